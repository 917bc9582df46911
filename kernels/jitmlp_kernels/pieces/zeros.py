"""Dense rows that are mostly zeros: what a tile would multiply by zeros alone is left out.

Forward, a tile of rows takes the columns in which one of them is not zero; backward, a tile of weights takes the
mini-batch's rows that are not zero in one of its columns. Products are added in the order in which they were, so that what
is left out of a sum are the zeros that finite weights give, and the bits are those of :mod:`jitmlp_kernels.pieces.product`.
A weight that is not finite is seen all the same: the penalty of each step adds up all of them.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.product import PRODUCT, Block, by_pairs, tile
from jitmlp_kernels.pieces.records import GROUP_ROWS, kernel
from jitmlp_kernels.pieces.share import HALF_ROWS, Part, parts
from jitmlp_kernels.pieces.tiles import WEIGHTS, Product, owned_or_all
from jitmlp_kernels.trace.target import TILE_ROWS

GROUP_TILES = GROUP_ROWS // TILE_ROWS
# Lists are of numbers below 1024. They begin with how many there are, those of rows with how often the block's rows hold them
NUMBER, HEAD, WHOLE_SHARE = np.int16, 2, 16
BLOCK = 256  # rows of the weights that are taken together
COLUMNS = 1 + BLOCK + 15  # numbers of a list of columns: how many, these, and room for what does not count


@kernel(PRODUCT)
def product_of_some(m, job, unit, op):
    """Forward through the first layer: blocks of its weights that stay in the first-level cache, one after the other."""
    a_row, b_panel, c_row, depth, lanes = op.a_row, op.b_panel, op.c_row, op.depth, m.lanes
    b, init = op.b.cast(m.dtype), op.init.cast(m.dtype)
    a = op.a.cast(m.dtype).at(unit.place * a_row)
    c = op.c.cast(m.dtype).at(unit.place * c_row)
    blocks = (depth + (BLOCK - 1)) // BLOCK
    lists = job.columns.cast(NUMBER).at(unit.thread * (GROUP_TILES * blocks * COLUMNS))
    full = unit.padded // TILE_ROWS * TILE_ROWS
    found = m.variable(m.whole(0))

    def each_row(visit):
        for row in m.loop(0, full, TILE_ROWS):
            visit(row, TILE_ROWS)
        for _ in m.when(full < unit.padded):
            visit(full, HALF_ROWS)

    def list_of(row, block):
        return lists.at((row // TILE_ROWS * blocks + block) * COLUMNS)

    def find(row, height):
        for block in m.loop(blocks):
            columns, first = list_of(row, block), block * BLOCK
            found.set(m.whole(0))
            for i in m.loop(m.vectors(m.least(depth - first, BLOCK))):
                cell = a.at(row * a_row).at(first + i * lanes)
                sizes = abs(m.load(cell))
                for r in range(1, height):
                    sizes = sizes + abs(m.load(cell.at(r * a_row)))
                bits = m.nonzero_lanes(sizes)
                for lane in range(lanes):  # written in any case, and written over unless it counts: no branch
                    m.write(i * lanes + lane, columns.at(1).at(found.get()))
                    found.set(found.get() + ((bits >> lane) & 1))
            m.write(found.get(), columns)

    each_row(find)

    def strip(panel, width):
        bias = init.at(panel * op.init_panel)
        for block in m.loop(blocks):
            first = block * BLOCK
            weights = Block(b.at(panel * b_panel).at(first * lanes), lanes, b_panel)

            def one(row, height, block=block, first=first, weights=weights):
                a_rows = [a.at((row + r) * a_row).at(first) for r in range(height)]
                target = c.at(row * c_row).at(panel * lanes)
                columns, later = list_of(row, block), block > 0
                start = Block(
                    m.choose(later, target, bias), m.choose(later, c_row, 0), m.choose(later, lanes, op.init_panel)
                )
                place = Block(target, c_row, lanes)
                tile(m, height, width, a_rows, 1, weights, start, place, m.read(columns), places=columns.at(1))

            each_row(one)

    by_pairs(m, op.panels, strip)


@kernel(WEIGHTS)
def find_rows(m, job, unit, op, found_by):
    """The rows that are not zero, for every strip of the weights that the thread owns; or of quarters, see ``Plan``."""
    inputs, inputs_row = op.inputs.cast(m.dtype), op.inputs_row
    stride, lanes = job.strip_rows_stride, m.lanes
    width = max(lanes, TILE_ROWS)  # columns that are looked at together
    first, last = owned_or_all(m, job, unit, op, found_by)
    whole = first + (last - first) // width * width

    def look(i, strips, rows_of, lists):
        counts = [m.variable(m.whole(0)) for _ in range(strips)]
        places = [lists.at((i // TILE_ROWS + strip) * stride) for strip in range(strips)]
        for row in m.loop(rows_of.first, rows_of.last):
            cells = inputs.at(row * inputs_row).at(i)
            bits = m.nonzero_lanes(m.load(cells))
            for part in range(lanes, TILE_ROWS, lanes):
                bits = bits | m.nonzero_lanes(m.load(cells.at(part)))
            for strip, (rows, count) in enumerate(zip(places, counts)):
                m.write(row, rows.at(HEAD).at(count.get()))
                own = (bits >> (strip * TILE_ROWS)) & (2**TILE_ROWS - 1)
                count.set(count.get() + m.choose(own != 0, 1, 0))
        for rows, count in zip(places, counts):
            m.write(count.get(), rows)
            m.write(WHOLE_SHARE * (rows_of.last - rows_of.first) // m.most(count.get(), 1), rows.at(1))

    for rows_of in parts(m, job, unit, found_by):
        lists = _lists(m, job, op, rows_of)
        for i in m.loop(first, whole, width):
            look(i, width // TILE_ROWS, rows_of, lists)
        for i in m.loop(whole, last, TILE_ROWS):
            look(i, 1, rows_of, lists)


def _lists(m, job, op, part):
    """Where the lists of a part of the rows begin."""
    return job.strip_rows.cast(NUMBER).at(part.number * (op.panel // m.lanes // TILE_ROWS * job.strip_rows_stride))


class SomeRows(Product):
    """The gradients of tiles, over the rows that were found."""

    def __init__(self, m, job, unit, op, part):
        to_the_end = Part(part.number, m.whole(0), part.last)  # lists are of the block's rows
        super().__init__(m, job, unit, op, to_the_end)
        self.lists, self.stride = _lists(m, job, op, part), job.strip_rows_stride

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        m = self.m
        rows = self.lists.at(i // TILE_ROWS * self.stride)
        if ahead is not None:  # as much as all rows would ask for
            ahead = ahead[0], ahead[1] * m.read(rows.at(1)) // WHOLE_SHARE
        a_rows = [self.inputs.at(i).at(r) for r in range(TILE_ROWS)]
        b = Block(self.deltas.at(j * m.lanes), self.deltas_row, m.lanes)
        tile(m, TILE_ROWS, width, a_rows, self.inputs_row, b, init, c, m.read(rows), ahead, rows.at(HEAD))
