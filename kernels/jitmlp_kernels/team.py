"""Threads that stay together for a run of steps.

A parallel region is entered once for many mini-batches. Inside it the work is a
sequence of phases, each of one unit a member; a phase begins when all units of the one
before are done. A unit is claimed before it is run, by its own member or, if that
member has not arrived (the region got fewer threads than it asked for), by another:
so the team can never wait for a thread that does not exist. Who runs a unit has no
influence on its result.

Each member has one cache line of ``team`` (eight int64): whether it is present, the
phases claimed and the phases done for its unit.
"""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba.core import types

from jitmlp_kernels.cache import inlined
from jitmlp_kernels.emit import INT32, INT64, int64, integers, vector_kernel

LINE = 8
PRESENT, CLAIMED, DONE = 0, 1, 2
# A tight loop of PAUSE tells a hypervisor that the virtual CPU can be taken away, and a
# phase that lasts 10 us then waits 20 us to be seen; spaced out, it does not.
SPINS_BETWEEN_PAUSES = 64
SPINS_BEFORE_YIELD = 64 * 40  # some microseconds
SPINS_BEFORE_STEALING = 4_000_000


def _cell(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index], source_etype=INT64)


def _load_twin(team, index):
    return team[index]


@vector_kernel(_load_twin)
def load_acquire(typing, team, index):
    """Read a counter; what its writer did before is visible after."""
    if not integers(index):
        return None

    def generate(context, builder, signature, arguments):
        pointer = _cell(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(pointer, "acquire", 8, typ=INT64)

    return types.int64(team, types.intp), generate


def _store_twin(team, index, value):
    team[index] = value


@vector_kernel(_store_twin)
def store_release(typing, team, index, value):
    """Write a counter after everything done before."""
    if not integers(index, value):
        return None

    def generate(context, builder, signature, arguments):
        pointer = _cell(context, builder, signature.args[0], *arguments[:2])
        builder.store_atomic(arguments[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(team, types.intp, types.int64), generate


def _claim_twin(team, index, expected):
    won = team[index] == expected
    if won:
        team[index] = expected + 1
    return won


@vector_kernel(_claim_twin)
def claim(typing, team, index, expected):
    """Raise a counter from ``expected`` by one, unless somebody did before."""
    if not integers(index, expected):
        return None

    def generate(context, builder, signature, arguments):
        pointer = _cell(context, builder, signature.args[0], *arguments[:2])
        following = builder.add(arguments[2], int64(1))
        pair = builder.cmpxchg(pointer, arguments[2], following, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(team, types.intp, types.int64), generate


def _pause_twin(give_way):
    return None


@vector_kernel(_pause_twin)
def pause(typing, give_way):
    """Tell the core that this is a spin; give the core away if ``give_way``."""

    def generate(context, builder, signature, arguments):
        void = ir.VoidType()
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            hint = builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(void, []))
            builder.call(hint, [])
        elif machine in ("aarch64", "arm64"):
            hint_type = ir.FunctionType(void, [INT32])
            hint = builder.module.declare_intrinsic("llvm.aarch64.hint", (), hint_type)
            builder.call(hint, [ir.Constant(INT32, 1)])  # the YIELD instruction
        if sys.platform != "win32":
            yield_type = ir.FunctionType(ir.IntType(32), [])
            module = builder.module
            function = module.globals.get("sched_yield") or ir.Function(module, yield_type, "sched_yield")
            with builder.if_then(arguments[0]):
                builder.call(function, [])
        return context.get_dummy_value()

    return types.void(types.boolean), generate


@inlined
def wait_or_steal(team, n_threads, phase):
    """Wait until phase ``phase`` is done; returns a unit to run instead, or -1."""
    for unit in range(n_threads):
        line = unit * LINE
        spins = 0
        while load_acquire(team, line + DONE) <= phase:
            spins += 1
            absent = load_acquire(team, line + PRESENT) == 0 or spins > SPINS_BEFORE_STEALING
            if absent and claim(team, line + CLAIMED, phase):
                return unit
            if spins % SPINS_BETWEEN_PAUSES == 0:
                pause(spins % SPINS_BEFORE_YIELD == 0)
    return -1
