"""Transposition of a weight tile into the panels of the backward pass."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from jitmlp_kernels.emit import INT32, Memory, int64, integers, loop, vector_kernel
from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES


def _transpose_twin(memory, source, panels, panel_stride, target, target_panel):
    lanes = VECTOR_BYTES // memory.itemsize
    group = min(TILE_ROWS, lanes)
    for panel in range(panels):
        start = source + panel * panel_stride
        block = memory[start : start + TILE_ROWS * lanes].reshape(TILE_ROWS, lanes)
        for first in range(0, TILE_ROWS, group):
            for x in range(lanes):
                to = target + first // group * target_panel + (panel * lanes + x) * lanes
                memory[to : to + group] = block[first : first + group, x]


@vector_kernel(_transpose_twin)
def transpose_tile(typing, memory, source, panels, panel_stride, target, target_panel):
    """Write TILE_ROWS rows of neighbouring weight panels transposed.

    Row ``r``, lane ``x`` of panel ``v`` goes to lane ``r`` of row ``v * lanes + x`` of
    the target panel; where a vector has fewer lanes than the tile has rows, later rows
    go to the panels that follow, ``target_panel`` apart.
    """
    if not integers(source, panels, panel_stride, target, target_panel):
        return None
    signature = types.void(memory, *[types.intp] * 5)

    def generate(context, builder, signature, arguments):
        array, source, panels, panel_stride, target, target_panel = arguments
        memory = Memory(context, builder, signature.args[0], array)
        lanes = memory.lanes
        group = min(TILE_ROWS, lanes)
        short = ir.VectorType(memory.element, group)

        def mask(indices):
            indices = list(indices)
            return ir.Constant(ir.VectorType(INT32, len(indices)), indices)

        def emit_group(vectors, to):
            """``group`` vectors of ``lanes`` -> ``lanes`` rows of ``group`` elements."""
            step = group // 2
            # perfect shuffles: after log2(group) rounds the elements lie column by column
            while step:
                low = mask(i // 2 + lanes * (i % 2) for i in range(lanes))
                high = mask(lanes // 2 + i // 2 + lanes * (i % 2) for i in range(lanes))
                half = len(vectors) // 2
                pairs = [(vectors[i], vectors[i + half]) for i in range(half)]
                vectors = [builder.shuffle_vector(a, b, m) for a, b in pairs for m in (low, high)]
                step //= 2
            for x in range(lanes):
                piece = vectors[x * group // lanes]
                first = x * group % lanes
                row = builder.shuffle_vector(piece, piece, mask(range(first, first + group)))
                pointer = memory.at(int64(x * lanes), to)
                builder.store(row, builder.bitcast(pointer, short.as_pointer()), align=memory.bytes)

        with loop(builder, panels) as panel:
            start = memory.at(builder.add(source, builder.mul(panel, panel_stride)))
            rows = [memory.load(memory.at(int64(r * lanes), start)).value for r in range(TILE_ROWS)]
            down = builder.mul(panel, int64(lanes * lanes))
            for g in range(TILE_ROWS // group):
                across = builder.mul(int64(g), target_panel)
                to = memory.at(builder.add(builder.add(target, down), across))
                emit_group(rows[g * group : (g + 1) * group], to)
        return context.get_dummy_value()

    return signature, generate
