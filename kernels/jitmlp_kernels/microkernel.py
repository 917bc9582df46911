"""The register tile: a small block of a matrix product held in vector registers.

``c[m, v] = init[m, v] + sum_k a[m, k] * b[k, v]``, with ``a`` broadcast element by
element and ``b`` read a vector at a time. The shape of the tile is fixed at compile
time; everything else is an offset or a stride, in elements of one flat array. Each
element is summed in the order of ``k``, whatever the shape of the tile it falls in.
"""

from __future__ import annotations

import numpy as np
from numba.core import types

from jitmlp_kernels.emit import BYTE, INT64, Memory, int64, integers, vector_kernel
from jitmlp_kernels.host import TILE_PANELS, TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.lanes import Lanes, fma
from jitmlp_kernels.prefetch import READ, emit_prefetch


def make_tile(rows: int, panels: int, unit_rows: bool, ahead: bool = False):
    """Build the product intrinsic for one shape.

    Parameters
    ----------
    rows, panels : int
        Rows of ``c``, and vectors in a row of ``c``.
    unit_rows : bool
        Whether neighbouring rows of ``a`` are neighbours in memory (the transposed
        operand of the weight gradient); else neighbouring ``k`` are. ``a_stride`` is
        the other stride. Knowing one saves the address registers that the tile needs.
    ahead : bool
        Whether the tile takes an address and a number of bytes too: it asks for the memory
        there, so many bytes further with every ``k``, while it computes.
    """

    def twin(
        memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth, *ahead
    ):
        lanes = VECTOR_BYTES // memory.itemsize
        m, k, v, x = (np.arange(n) for n in (rows, depth, panels, lanes))
        a_row, a_k = (1, a_stride) if unit_rows else (a_stride, 1)
        a_block = memory[a + m[:, None] * a_row + k * a_k]
        b_block = memory[b + k[:, None, None] * b_k + v[:, None] * b_panel + x]
        start = memory[init + m[:, None, None] * init_row + v[:, None] * init_panel + x]
        memory[c + m[:, None, None] * c_row + v[:, None] * c_panel + x] = start + np.tensordot(
            a_block, b_block, 1
        )

    def emit(context, builder, array_type, arguments):
        array, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth, *far = (
            arguments
        )
        far_start = builder.inttoptr(far[0], BYTE.as_pointer()) if far else None
        memory = Memory(context, builder, array_type, array)
        cells = [(m, v) for m in range(rows) for v in range(panels)]

        def cell(base, m, row_stride, v, panel_stride):
            by_row = builder.mul(int64(m), row_stride)
            return memory.at(builder.add(by_row, builder.mul(int64(v), panel_stride)), base)

        init_base, a_base, b_base, c_base = (memory.at(offset) for offset in (init, a, b, c))
        starts = [memory.load(cell(init_base, m, init_row, v, init_panel)).value for m, v in cells]
        a_rows = [
            memory.at(int64(m) if unit_rows else builder.mul(int64(m), a_stride), a_base) for m in range(rows)
        ]
        b_panels = [memory.at(builder.mul(int64(v), b_panel), b_base) for v in range(panels)]

        before = builder.block
        body = builder.append_basic_block("tile.k")
        after = builder.append_basic_block("tile.done")
        builder.cbranch(builder.icmp_signed("<", int64(0), depth), body, after)

        builder.position_at_end(body)
        k = builder.phi(INT64, "k")
        sums = [builder.phi(memory.vector) for _ in cells]
        b_row = builder.mul(k, b_k)
        b_values = [memory.load(memory.at(b_row, panel)) for panel in b_panels]
        a_step = builder.mul(k, a_stride) if unit_rows else k
        scales = [memory.broadcast(memory.at(a_step, row)) for row in a_rows]
        if far:
            emit_prefetch(builder, builder.gep(far_start, [builder.mul(k, far[1])], source_etype=BYTE), READ)
        added = [fma(scales[m], b_values[v], Lanes(builder, total)).value for (m, v), total in zip(cells, sums)]
        following = builder.add(k, int64(1))
        k.add_incoming(int64(0), before)
        k.add_incoming(following, body)
        for total, start, new in zip(sums, starts, added):
            total.add_incoming(start, before)
            total.add_incoming(new, body)
        builder.cbranch(builder.icmp_signed("<", following, depth), body, after)

        builder.position_at_end(after)
        finals = [builder.phi(memory.vector) for _ in cells]
        for final, start, new in zip(finals, starts, added):
            final.add_incoming(start, before)
            final.add_incoming(new, body)
        for (m, v), final in zip(cells, finals):
            memory.store(Lanes(builder, final), cell(c_base, m, c_row, v, c_panel))
        return context.get_dummy_value()

    def generate(context, builder, signature, arguments):
        return emit(context, builder, signature.args[0], arguments)

    def typed(memory, *offsets):
        return (types.void(memory, *[types.intp] * len(offsets)), generate) if integers(*offsets) else None

    def plain(
        typing, memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth
    ):
        return typed(memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth)

    def with_ahead(
        typing, memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth,
        far, far_step,
    ):  # fmt: skip
        return typed(
            memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth, far,
            far_step,
        )  # fmt: skip

    return vector_kernel(twin)(with_ahead if ahead else plain)


HALF_ROWS = TILE_ROWS // 2
tile_rows = make_tile(TILE_ROWS, TILE_PANELS, unit_rows=False)
tile_rows_narrow = make_tile(TILE_ROWS, 1, unit_rows=False)
half_rows = make_tile(HALF_ROWS, TILE_PANELS, unit_rows=False)
half_rows_narrow = make_tile(HALF_ROWS, 1, unit_rows=False)
tile_columns = make_tile(TILE_ROWS, TILE_PANELS, unit_rows=True, ahead=True)
tile_columns_narrow = make_tile(TILE_ROWS, 1, unit_rows=True, ahead=True)
sum_columns = make_tile(1, TILE_PANELS, unit_rows=True)
sum_columns_narrow = make_tile(1, 1, unit_rows=True)
