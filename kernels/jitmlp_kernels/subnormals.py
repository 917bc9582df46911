"""Numbers too small to be normal, taken as 0 while a kernel runs.

The optimizer's second moments of weights that see nothing decay into them, and a core
takes ten times as long for each. Nothing that small survives beside an epsilon.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba.core import cgutils, types

from jitmlp_kernels.emit import INT32, vector_kernel

FLUSH_TO_ZERO, ZERO_FOR_SUBNORMAL = 0x8000, 0x40
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")


def _call(builder, name, pointer):
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [pointer.type]), name)
    builder.call(function, [pointer])


def _flush_twin():
    return 0


@vector_kernel(_flush_twin)
def flush_subnormals(typing):
    """Take subnormal numbers as 0 from here on; returns the thread's mode before."""

    def generate(context, builder, signature, arguments):
        if not IS_X86:
            return ir.Constant(INT32, 0)
        mode, changed = (cgutils.alloca_once(builder, INT32) for _ in range(2))
        _call(builder, "llvm.x86.sse.stmxcsr", mode)
        before = builder.load(mode, typ=INT32)
        flags = ir.Constant(INT32, FLUSH_TO_ZERO | ZERO_FOR_SUBNORMAL)
        builder.store(builder.or_(before, flags), changed)
        _call(builder, "llvm.x86.sse.ldmxcsr", changed)
        return before

    return types.int32(), generate


def _restore_twin(mode):
    return None


@vector_kernel(_restore_twin)
def restore_subnormals(typing, mode):
    """Put back what :func:`flush_subnormals` gave."""

    def generate(context, builder, signature, arguments):
        if IS_X86:
            before = cgutils.alloca_once(builder, INT32)
            builder.store(arguments[0], before)
            _call(builder, "llvm.x86.sse.ldmxcsr", before)
        return context.get_dummy_value()

    return types.void(types.int32), generate
