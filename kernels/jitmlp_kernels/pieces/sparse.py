"""Sparse rows, entry by entry: what is not stored is not computed.

Forward, a row's preactivations are a sum of weight rows, one an entry. Backward, the thread that owns
rows of the weights puts the mini-batch's entries of these columns in the order of columns, and the
gradient of a tile is a sum over the entries of its columns. Products are added in the order of the dense way, which
gives its bits where a row's columns are in order and none is stored twice.

An entry outside of the matrix, which only a matrix changed meanwhile can have, is not followed but
noted as a number that is not finite.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.gather import SparseRows, Status
from jitmlp_kernels.pieces.product import PRODUCT
from jitmlp_kernels.pieces.records import kernel
from jitmlp_kernels.pieces.tiles import WEIGHTS, owned
from jitmlp_kernels.trace.functions import fma, where
from jitmlp_kernels.trace.target import TILE_ROWS

FORWARD_PANELS = 4  # vectors of a row that are summed at once


@kernel(PRODUCT)
def sparse_product(m, job, unit, op, element, index):
    """Forward through the first layer."""
    rows, status = SparseRows(m, job, element, index), Status(m, job, unit)
    b, init, c = (address.cast(m.dtype) for address in (op.b, op.init, op.c))
    b_panel, panels, init_panel, c_row, depth, lanes = op.b_panel, op.panels, op.init_panel, op.c_row, op.depth, m.lanes
    order = job.order.cast(np.int64).at(unit.first + unit.row)
    c = c.at(unit.place * c_row)
    whole = panels // FORWARD_PANELS * FORWARD_PANELS
    for r in m.loop(unit.count):
        first, last, outside = rows.span(order.at(r))
        for _ in m.when(outside):
            status.note(m.spread(float("inf")))

        def strip(panel, width, r=r, first=first, last=last):
            sums = [m.variable(m.load(init.at((panel + v) * init_panel))) for v in range(width)]
            for entry in m.loop(first, last):
                column = rows.column(entry)
                inside = (column >= 0) & (column < depth)
                value = m.spread(where(inside, rows.value(entry, m.dtype), float("nan")))
                weights = b.at(panel * b_panel).at(m.choose(inside, column, 0) * lanes)
                status.note(value)
                for v, total in enumerate(sums):
                    total.set(fma(value, m.load(weights.at(v * b_panel)), total.get()))
            for v, total in enumerate(sums):
                m.store(total.get(), c.at(r * c_row).at((panel + v) * lanes))

        for panel in m.loop(0, whole, FORWARD_PANELS):
            strip(panel, FORWARD_PANELS)
        for panel in m.loop(whole, panels):
            strip(panel, 1)
    status.keep()


@kernel(WEIGHTS)
def sort_entries(m, job, unit, op, element, index):
    """Put the block's entries of the thread's columns in the order of columns, then of rows (a counting sort)."""
    rows, ends = SparseRows(m, job, element, index), job.column_ends.cast(np.int64)
    first, last_row = owned(m, job, unit, op.layer)
    last, room = m.least(last_row, op.fan_in), job.room
    order = job.order.cast(np.int64).at(unit.first)
    sorted_rows, sorted_values = job.entry_rows.cast(np.int64), job.entry_values.cast(m.dtype)
    before = m.variable(m.whole(0))  # entries of earlier columns, which other threads own

    def each_entry():
        for r in m.loop(unit.n_rows):
            start, stop, _ = rows.span(order.at(r))
            for entry in m.loop(start, stop):
                yield r, entry, rows.column(entry)

    for column in m.loop(first, last_row):
        m.write(0, ends.at(column))
    for _, _, column in each_entry():
        before.set(before.get() + m.choose((column >= 0) & (column < first), 1, 0))
        for _ in m.when((column >= first) & (column < last)):
            m.write(m.read(ends.at(column)) + 1, ends.at(column))
    unit.entries_before = before.get()
    for column in m.loop(first, last_row):
        begin = before.get()
        before.set(begin + m.read(ends.at(column)))
        m.write(begin, ends.at(column))
    for r, entry, column in each_entry():
        for _ in m.when((column >= first) & (column < last)):
            place = m.read(ends.at(column))
            for _ in m.when(place < room):  # a matrix changed meanwhile may have more
                m.write(r, sorted_rows.at(place))
                m.write(rows.value(entry, m.dtype), sorted_values.at(place))
                m.write(place + 1, ends.at(column))


class SparseProduct:
    """The gradients of tiles, over the sorted entries; stands where ``tiles.Product`` does."""

    downwards = False

    def __init__(self, m, job, unit, op, part):
        self.m, self.zeros, self.part = m, job.zeros.cast(m.dtype), part
        self.deltas, self.deltas_row = op.deltas.cast(m.dtype), op.deltas_row
        self.first, self.before = owned(m, job, unit, op.layer)[0], unit.entries_before
        self.ends, self.rows = (address.cast(np.int64) for address in (job.column_ends, job.entry_rows))
        self.values, self.room = job.entry_values.cast(m.dtype), job.room

    def _end(self, column):
        """Where a column's entries end; of a matrix that has more than there is room for by now, some are left out."""
        return self.m.least(self.m.read(self.ends.at(column)), self.room)

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        m = self.m
        within = i > self.first
        begin = m.variable(m.choose(within, self._end(m.choose(within, i - 1, i)), m.least(self.before, self.room)))
        deltas = self.deltas.at(j * m.lanes)
        for r in m.loop(TILE_ROWS):
            end = self._end(i + r)
            sums = [m.variable(m.load(init.at(r, v))) for v in range(width)]
            for entry in m.loop(begin.get(), end):
                number, value = m.read(self.rows.at(entry)), m.broadcast(self.values.at(entry))
                if not self.part.is_whole:
                    own = (number >= self.part.first) & (number < self.part.last)
                    value = where(own, value, 0.0)
                row = deltas.at(number * self.deltas_row)
                for v, total in enumerate(sums):
                    total.set(fma(value, m.load(row.at(v * m.lanes)), total.get()))
            for v, total in enumerate(sums):
                m.store(total.get(), c.at(r, v))
            begin.set(end)
