"""Asking for memory before it is needed. Nothing here has an influence on results."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from jitmlp_kernels.cache import inlined
from jitmlp_kernels.emit import BYTE, INT32, Memory, int64, integers, loop, vector_kernel
from jitmlp_kernels.host import LINE_BYTES, TILE_ROWS

READ, WRITE = 0, 1


def emit_prefetch(builder, pointer, access):
    """Ask for the cache line at ``pointer``, to be read or to be written."""
    pointer = builder.bitcast(pointer, BYTE.as_pointer())
    kinds = [pointer.type, INT32, INT32, INT32]
    function = builder.module.globals.get("llvm.prefetch.p0")
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0")
    keep_close, data = 3, 1
    builder.call(function, [pointer, *(ir.Constant(INT32, n) for n in (access, keep_close, data))])


def _parameters_twin(memory, parameters, panels, panel_stride, copies, stride):
    return None


@vector_kernel(_parameters_twin)
def prefetch_parameters(typing, memory, parameters, panels, panel_stride, copies, stride):
    """Ask for a tile of parameters and the optimizer's state that belongs to it.

    ``copies`` counts the parameters and the slots of the state, ``stride`` apart.
    """
    if not integers(parameters, panels, panel_stride, copies, stride):
        return None
    signature = types.void(memory, *[types.intp] * 5)

    def generate(context, builder, signature, arguments):
        array, parameters, panels, panel_stride, copies, stride = arguments
        memory = Memory(context, builder, signature.args[0], array)
        step = LINE_BYTES // memory.bytes
        with loop(builder, copies) as copy, loop(builder, panels) as panel:
            across = builder.add(builder.mul(copy, stride), builder.mul(panel, panel_stride))
            start = memory.at(builder.add(parameters, across))
            for first in range(0, TILE_ROWS * memory.lanes, step):
                emit_prefetch(builder, memory.at(int64(first), start), WRITE)
        return context.get_dummy_value()

    return signature, generate


@inlined
def parts_of_rows(length, count, tiles):
    """Into how many parts ``count`` rows are cut so that ``tiles`` tiles can ask for one each.

    Returns the parts of a row and the bytes of a part; no parts where there are more rows
    than tiles.
    """
    parts = tiles // count if count > 0 else 0
    return parts, length // parts + 1 if parts > 0 else 0
