"""Counter-based random numbers: dropout masks that no thread, chunk or order can change.

Whether unit ``j`` of row ``i`` is dropped in step ``t`` is a hash of ``(seed, t, layer, i,
j)``, computed where it is needed, forward and backward, and stored nowhere.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types

from jitmlp_kernels.cache import inlined
from jitmlp_kernels.emit import INT32, Memory, int64, integers, lane_mask, loop, splat, vector_kernel
from jitmlp_kernels.lanes import Lanes, where

# The finalizer of MurmurHash3 (Appleby 2011), which mixes every bit into every other
ROUNDS = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
GOLDEN = 0x9E3779B9


@inlined
def row_key(seed, step, layer, row):
    """A 32-bit key of a row of a layer in a step, mixed by SplitMix64 (Steele et al. 2014)."""
    z = np.uint64(seed)
    for part in (step, layer, row):
        z += np.uint64(part) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.int64(z >> np.uint64(32))


def hash_units(key: int, units: int) -> np.ndarray:
    """The 32-bit hashes of a row's units, in NumPy."""
    x = np.arange(units, dtype=np.uint32) * np.uint32(GOLDEN) + np.uint32(key)
    for _ in range(2):
        for shift, factor in ROUNDS:
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        x ^= x >> np.uint32(16)
    return x


def _dropout_twin(memory, source, target, units, key, rate):
    kept = hash_units(key, units) >> np.uint32(8) >= np.uint32(int(rate * 2**24))
    scale = memory.dtype.type(1 / (1 - rate))
    memory[target : target + units] = np.where(kept, memory[source : source + units] * scale, 0)


@vector_kernel(_dropout_twin)
def dropout(typing, memory, source, target, units, key, rate):
    """Set a share ``rate`` of a row's units to 0 and scale the others by ``1 / (1 - rate)``.

    Inverted dropout (Srivastava et al. 2014, section 10): prediction uses all units as
    they are.
    """
    if not integers(source, target, units, key):
        return None
    signature = types.void(memory, *[types.intp] * 4, types.float64)

    def generate(context, builder, signature, arguments):
        array, source, target, units, key, rate = arguments
        memory = Memory(context, builder, signature.args[0], array)
        ints = ir.VectorType(INT32, memory.lanes)

        def constant(number):
            return ir.Constant(ints, [number] * memory.lanes)

        one = ir.Constant(rate.type, 1.0)
        scale = memory.splat(memory.narrow(builder.fdiv(one, builder.fsub(one, rate))))
        scaled = builder.fmul(rate, ir.Constant(rate.type, float(2**24)))
        threshold = splat(builder, builder.fptoui(scaled, INT32), memory.lanes)
        base = splat(builder, builder.trunc(key, INT32), memory.lanes)
        lanes = builder.mul(ir.Constant(ints, list(range(memory.lanes))), constant(GOLDEN))
        source_start, target_start = memory.at(source), memory.at(target)
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            stride = builder.mul(builder.trunc(first, INT32), ir.Constant(INT32, GOLDEN))
            x = builder.add(builder.add(lanes, splat(builder, stride, memory.lanes)), base)
            for _ in range(2):
                for shift, factor in ROUNDS:
                    x = builder.mul(builder.xor(x, builder.lshr(x, constant(shift))), constant(factor))
                x = builder.xor(x, builder.lshr(x, constant(16)))
            kept = builder.icmp_unsigned(">=", builder.lshr(x, constant(8)), threshold)
            inside = lane_mask(memory, first, units)
            value = memory.load(memory.at(first, source_start)) * scale
            kept_inside = Lanes(builder, builder.and_(kept, inside.value))
            memory.store(where(kept_inside, value, 0.0), memory.at(first, target_start))
        return context.get_dummy_value()

    return signature, generate
