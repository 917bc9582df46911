"""The register tile: a small block of a matrix product held in vector registers.

``c[m, v] = init[m, v] + sum_k a[m, k] * b[k, v]``, with ``a`` broadcast element by element
and ``b`` read a vector at a time. Each element is summed in the order of ``k``, whatever the
shape of the tile it falls in. Where ``a`` and ``b`` are words, each is a pair of bfloat16 numbers
(:mod:`jitmlp_kernels.pieces.bfloat16`), and one ``k`` is two products.
"""

from __future__ import annotations

from typing import NamedTuple

from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.pieces.share import HALF_ROWS
from jitmlp_kernels.trace.functions import fma
from jitmlp_kernels.trace.target import TILE_PANELS, TILE_ROWS

# How many k of a tile that asks for memory are one turn of its loop, with half as many requests: where a k takes four cycles
# (4 rows x 2 vectors of AVX2), a turn and a request with each took 2 to 8 % of a small network's steps
TOGETHER = 4


class Block(NamedTuple):
    """A matrix in memory: a pointer, and elements from row to row and from vector to vector."""

    start: object
    row: object
    panel: object

    def at(self, row, panel):
        """The pointer to one vector."""
        return self.start.at(row * self.row).at(panel * self.panel)


def tile(m, rows, panels, a_rows, a_step, b, init, c, depth, ahead=None, places=None):
    """One tile of the product, of a shape known when the kernel is made.

    Parameters
    ----------
    rows, panels : int
        Rows of ``c``, and vectors in a row of ``c``.
    a_rows : list of pointers
        Where each row of ``a`` begins; ``a_step`` elements on is the next ``k``.
    b, init, c : Block
        Rows of ``b`` are the ``k``.
    depth : number of ``k``
    ahead : (pointer, step), optional
        Memory to ask for meanwhile, so many bytes further with every ``k``.
    places : pointer, optional
        The ``depth`` numbers that are taken as ``k``; all from 0 on without.
    """
    cells = [(r, v) for r in range(rows) for v in range(panels)]
    sums = [m.variable(m.load(init.at(r, v))) for r, v in cells]
    b_panels = [b.start.at(v * b.panel) for v in range(panels)]
    add_product = fma if b.start.dtype.kind == "f" else m.dot_pairs

    def add_products(n, asks):
        k = n if places is None else m.read(places.at(n))
        b_row, a_column = k * b.row, k * a_step
        vectors = [m.load(panel.at(b_row)) for panel in b_panels]
        scales = [m.broadcast(row.at(a_column)) for row in a_rows]
        if asks:
            m.prefetch(ahead[0].byte(n * ahead[1]))
        for (r, v), total in zip(cells, sums):
            total.set(add_product(scales[r], vectors[v], total.get()))

    whole, in_turns = m.whole(0), ahead is not None and places is None
    if in_turns:
        whole = depth // TOGETHER * TOGETHER
        for first in m.loop(0, whole, TOGETHER):
            for n in range(TOGETHER):
                add_products(first + n, asks=n % 2 == 0)
    for n in m.loop(whole, depth):
        add_products(n, asks=ahead is not None and not in_turns)
    for (r, v), total in zip(cells, sums):
        m.store(total.get(), c.at(r, v))


def by_pairs(m, panels, visit):
    """``visit(panel, width)`` for all panels: by tiles of TILE_PANELS, and the odd one that may be left."""
    pairs = panels // TILE_PANELS * TILE_PANELS
    for panel in m.loop(0, pairs, TILE_PANELS):
        visit(panel, TILE_PANELS)
    for _ in m.when(pairs < panels):
        visit(pairs, 1)


# c = init + a b for the rows of a group; b in panels of one vector's width, [panel][k][lane]
PRODUCT = record(
    a=ADDRESS,
    a_row=INT,
    b=ADDRESS,
    b_panel=INT,
    panels=INT,
    init=ADDRESS,
    init_panel=INT,
    c=ADDRESS,
    c_row=INT,
    depth=INT,
)


@kernel(PRODUCT)
def product(m, job, unit, op):
    """Forward through a layer, or its deltas back to the layer below.

    Panels outside, rows inside: a pair of panels is read from the second-level cache once and
    serves every row tile of the group.
    """
    multiply_rows(m, unit, op, m.dtype)


def multiply_rows(m, unit, op, factors):
    """The product of a group's rows, with both factors of a dtype."""
    a, b = op.a.cast(factors), op.b.cast(factors)
    init, c = op.init.cast(m.dtype), op.c.cast(m.dtype)
    a_row, b_panel, panels, init_panel = op.a_row, op.b_panel, op.panels, op.init_panel
    c_row, depth, lanes = op.c_row, op.depth, m.lanes
    first, rows = unit.place, unit.padded
    full = rows // TILE_ROWS * TILE_ROWS
    a, c = a.at(first * a_row), c.at(first * c_row)

    def strip(panel, width):
        b_block = Block(b.at(panel * b_panel), lanes, b_panel)
        start = Block(init.at(panel * init_panel), 0, init_panel)

        def one(row, height):
            a_rows = [a.at((row + r) * a_row) for r in range(height)]
            target = Block(c.at(row * c_row).at(panel * lanes), c_row, lanes)
            tile(m, height, width, a_rows, 1, b_block, start, target, depth)

        for row in m.loop(0, full, TILE_ROWS):
            one(row, TILE_ROWS)
        for _ in m.when(full < rows):
            one(full, HALF_ROWS)

    by_pairs(m, panels, strip)
