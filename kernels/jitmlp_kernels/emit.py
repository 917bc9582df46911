"""The few moves that every vector intrinsic is built from: pointers, loops, loads.

Offsets are counted in elements of one flat array. Addresses come from that array's
data pointer by ``getelementptr`` only: round trips through integers have been
miscompiled by recent LLVM.
"""

from __future__ import annotations

from contextlib import contextmanager

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from jitmlp_kernels.host import VECTOR_BYTES
from jitmlp_kernels.lanes import FASTMATH, INT32, INT64, Lanes, vector_name

BYTE = ir.IntType(8)


def int64(number):
    """A constant of the offsets' type."""
    return ir.Constant(INT64, number)


def vector_kernel(twin):
    """Decorate an intrinsic's typing function; ``twin`` is the same in plain NumPy.

    With ``NUMBA_DISABLE_JIT=1`` the twin takes the intrinsic's place, so that the
    whole step can be followed in a debugger.
    """

    def decorate(typing_function):
        if numba.config.DISABLE_JIT:
            return np.errstate(all="ignore")(twin)  # compiled arithmetic is silent too
        kernel = intrinsic(typing_function)
        kernel.twin = twin
        return kernel

    return decorate


def integers(*arguments):
    """Whether all these Numba types are integers (an intrinsic's offsets)."""
    return all(isinstance(argument, types.Integer) for argument in arguments)


def splat(builder, scalar, lanes):
    """A scalar of any type in every lane of a vector."""
    vector = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
    zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


class Memory:
    """A flat float array as the intrinsics see it: vectors at element offsets."""

    def __init__(self, context, builder, array_type, array):
        self.builder = builder
        self.element = context.get_value_type(array_type.dtype)
        self.bytes = 4 if isinstance(self.element, ir.FloatType) else 8
        self.lanes = max(1, VECTOR_BYTES // self.bytes)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.data = context.make_array(array_type)(context, builder, array).data

    def at(self, offset, base=None):
        """Pointer to the element ``offset`` elements past ``base`` (the array's start)."""
        return self.builder.gep(self.data if base is None else base, [offset], source_etype=self.element)

    def load(self, pointer):
        typed = self.builder.bitcast(pointer, self.vector.as_pointer())
        return Lanes(self.builder, self.builder.load(typed, align=self.bytes))

    def store(self, lanes, pointer):
        typed = self.builder.bitcast(pointer, self.vector.as_pointer())
        self.builder.store(lanes.value, typed, align=self.bytes)

    def splat(self, scalar):
        """One number in every lane."""
        return Lanes(self.builder, splat(self.builder, scalar, self.lanes))

    def broadcast(self, pointer):
        """The element at ``pointer`` in every lane."""
        return self.splat(self.builder.load(pointer, typ=self.element))

    def narrow(self, number):
        """A float64 scalar in the array's dtype."""
        if self.bytes == 8:
            return number
        return self.builder.fptrunc(number, self.element)

    def widen(self, number):
        """An element of the array as float64."""
        return number if self.bytes == 8 else self.builder.fpext(number, ir.DoubleType())

    def vectors(self, units):
        """How many vectors hold ``units`` elements."""
        padded = self.builder.add(units, int64(self.lanes - 1))
        return self.builder.sdiv(padded, int64(self.lanes))

    def zero(self):
        return Lanes(self.builder, ir.Constant(self.vector, [ir.Constant(self.element, 0.0)] * self.lanes))


class Accumulator:
    """A running vector, kept in a stack slot that LLVM turns into a register."""

    def __init__(self, memory, start):
        self.memory = memory
        self.slot = cgutils.alloca_once(memory.builder, memory.vector)
        self.set(start)

    def get(self):
        return Lanes(self.memory.builder, self.memory.builder.load(self.slot, typ=self.memory.vector))

    def set(self, lanes):
        self.memory.builder.store(lanes.value, self.slot)


def reduce_lanes(memory, name, lanes):
    """Combine the lanes of one vector with ``fadd`` or ``fmax``, in a fixed order."""
    builder = memory.builder
    arguments, flags = [lanes.value], FASTMATH
    if name == "fadd":
        arguments.insert(0, ir.Constant(memory.element, -0.0))
        flags = (*FASTMATH, "reassoc")  # a tree instead of a chain
    function = builder.module.declare_intrinsic(
        f"llvm.vector.reduce.{name}.{vector_name(memory.vector)}",
        (),
        ir.FunctionType(memory.element, [argument.type for argument in arguments]),
    )
    return builder.call(function, arguments, fastmath=flags)


def lane_mask(memory, first, units):
    """Which lanes of the vector at index ``first`` of a row hold one of its ``units``."""
    builder = memory.builder
    narrow = ir.VectorType(INT32, memory.lanes)
    left = builder.trunc(builder.sub(units, first), INT32)
    iota = ir.Constant(narrow, list(range(memory.lanes)))
    return Lanes(builder, builder.icmp_signed("<", iota, splat(builder, left, memory.lanes)))


def masked_load(builder, pointer, vector, mask):
    """The lanes of a vector that ``mask`` selects, read from memory, and zeros."""
    element = vector.element
    name = f"f{32 if isinstance(element, ir.FloatType) else 64}"
    if isinstance(element, ir.IntType):
        name = f"i{element.width}"
    pointer = builder.bitcast(pointer, vector.as_pointer())
    kinds = [pointer.type, INT32, mask.value.type, vector]
    full_name = f"llvm.masked.load.v{vector.count}{name}.p0"
    function = builder.module.globals.get(full_name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(vector, kinds), full_name)
    zero = ir.Constant(vector, [ir.Constant(element, 0)] * vector.count)
    return builder.call(function, [pointer, ir.Constant(INT32, 1), mask.value, zero])


@contextmanager
def loop(builder, count):
    """Emit ``for i in range(count)``; yields ``i``."""
    with cgutils.for_range_slice(builder, int64(0), count, int64(1), INT64) as (index, _):
        yield index


def switch(builder, code, cases):
    """Emit ``cases[code]()`` for the integer ``code``; unknown codes do nothing."""
    done = builder.append_basic_block("switch.done")
    chooser = builder.switch(code, done)
    for number, emit in cases.items():
        block = builder.append_basic_block(f"switch.{number}")
        chooser.add_case(ir.Constant(code.type, number), block)
        with builder.goto_block(block):
            emit()
            builder.branch(done)
    builder.position_at_end(done)
