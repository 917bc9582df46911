"""Numbers in bins, without their parts: between two edges a first layer is linear in a number.

What a number adds to the units at each edge of its bins, its knots, follows from the weights once a step:

    value_b = sum_{t < b} whole * weights_t + (3 b / T - 3 / 2) * weights_rank

Forward, a number then adds what lies between two knots, however many bins there are. Backward, the thread that owns rows of
the weights puts the mini-batch's rows in the order of their bins; the gradient of a part's weights is a sum over the bins
above it, which goes on from bin to bin, and that of a rank's follows from its feature's parts. To rounding, these are the
numbers of :mod:`jitmlp_kernels.pieces.bins`, whose parts a dense product multiplies.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.pieces.tiles import WEIGHTS, Product, owned
from jitmlp_kernels.trace.functions import fma, where
from jitmlp_kernels.trace.target import TILE_PANELS, TILE_ROWS

KNOTS = record(
    n_features=INT,  # that are encoded
    n_plain=INT,  # inputs before the first rank
    features=ADDRESS,  # int64 [feature][4]: its place among the inputs, that of its rank behind them, of its edges, parts
    rows=ADDRESS,  # int64 [row of weights behind the inputs][2]: its feature, -1 for none, and its part, -1 for the rank
    edges=ADDRESS,  # of each feature in whole vectors, filled up with infinity
    slopes=ADDRESS,  # 1 / width of the bin, likewise
    sizes=ADDRESS,  # [feature][2]: of a whole part, and what a bin more adds to the rank
    inputs=ADDRESS,
    inputs_row=INT,
    knots=ADDRESS,  # int32 [row][feature]: the knot below the number
    fractions=ADDRESS,  # [row][feature]: how far it is from there to the next
    weights=ADDRESS,  # of the first rank
    panel=INT,
    panels=INT,
    values=ADDRESS,  # [panel][knot][lane]
    values_panel=INT,
    together=INT,  # features whose values stay in the first-level cache
    linear=ADDRESS,  # what the values are added to
    linear_row=INT,
    # of the features of a thread's weights, one after the other
    ends=ADDRESS,  # int32 [slot][bin]: behind its last entry
    ends_row=INT,
    entry_rows=ADDRESS,  # int32 [slot][entry] in the order of bins: the row
    entry_fractions=ADDRESS,  # likewise
    entries_row=INT,
)
PANELS = 4  # vectors of a row that are summed at once
HALF_RANGE = 1.5  # the rank lies between this and its negative


class Feature:
    """A feature's row of the table."""

    def __init__(self, m, op, number):
        row = op.features.cast(np.int64).at(number * 4)
        self.source, self.first, self.first_edge, self.parts = (m.read(row.at(i)) for i in range(4))
        sizes = op.sizes.cast(m.dtype).at(number * 2)
        self.whole, self.step = m.broadcast(sizes), m.broadcast(sizes.at(1))


@kernel(KNOTS)
def find_knots(m, job, unit, op):
    """The knots below the numbers of the group's rows."""
    n_features, lanes = op.n_features, m.lanes
    knots = op.knots.cast(np.int32).at(unit.place * n_features)
    fractions = op.fractions.cast(m.dtype).at(unit.place * n_features)
    inputs = op.inputs.cast(m.dtype).at(unit.place * op.inputs_row)
    edges, slopes = (a.cast(m.dtype) for a in (op.edges, op.slopes))
    below = m.variable(m.whole(0))
    for k in m.loop(n_features):
        feature = Feature(m, op, k)
        own = edges.at(feature.first_edge)
        for r in m.loop(unit.count):
            number = inputs.at(r * op.inputs_row + feature.source)
            value = m.broadcast(number)
            below.set(m.whole(0))
            for i in m.loop(m.vectors(feature.parts)):
                reached = where(m.load(own.at(i * lanes)) <= value, m.spread(1.0), 0.0)
                below.set(below.get() + m.count_bits(m.nonzero_lanes(reached)))
            # infinity has reached what fills up the last vector
            bin_ = m.most(m.least(below.get(), feature.parts) - 1, 0)
            edge, slope = m.broadcast(own.at(bin_)), m.broadcast(slopes.at(feature.first_edge + bin_))
            part = (value - edge) * slope
            part = where(part > 0.0, part, 0.0)
            part = where(part < 1.0, part, 1.0)
            cell = r * n_features + k
            m.write(feature.first + bin_, knots.at(cell))
            m.write(m.lane(part, 0), fractions.at(cell))


@kernel(KNOTS)
def add_values(m, job, unit, op):
    """Add to the group's preactivations what its numbers in bins add to them."""
    n_features, lanes, panels = op.n_features, m.lanes, op.panels
    knots = op.knots.cast(np.int32).at(unit.place * n_features)
    fractions = op.fractions.cast(m.dtype).at(unit.place * n_features)
    linear = op.linear.cast(m.dtype).at(unit.place * op.linear_row)
    values, panel = op.values.cast(m.dtype), op.values_panel

    def strip(first, width):
        for block in m.loop(0, n_features, op.together):
            add_block(first, width, block, m.least(block + op.together, n_features))

    def add_block(first, width, begin, end):
        for r in m.loop(unit.count):
            cells = linear.at(r * op.linear_row + first * lanes)
            # two sums of each vector, since one would wait for itself
            lower = [m.variable(m.load(cells.at(v * lanes))) for v in range(width)]
            upper = [m.variable(m.zero()) for _ in range(width)]
            for k in m.loop(begin, end):
                cell = r * n_features + k
                fraction = m.broadcast(fractions.at(cell))
                rest = 1.0 - fraction
                below = values.at(first * panel).at(m.read(knots.at(cell)) * lanes)
                for v in range(width):
                    there = below.at(v * panel)
                    lower[v].set(fma(rest, m.load(there), lower[v].get()))
                    upper[v].set(fma(fraction, m.load(there.at(lanes)), upper[v].get()))
            for v in range(width):
                m.store(lower[v].get() + upper[v].get(), cells.at(v * lanes))

    whole = panels // PANELS * PANELS
    for first in m.loop(0, whole, PANELS):
        strip(first, PANELS)
    for first in m.loop(whole, panels):
        strip(first, 1)


@kernel(KNOTS)
def set_values(m, job, unit, op):
    """What numbers add at their knots, of the thread's panels of all weights."""
    lanes, thread, n_threads, panels = m.lanes, unit.thread, job.n_threads, op.panels
    weights, values = op.weights.cast(m.dtype), op.values.cast(m.dtype)
    total = m.variable(m.zero())
    for j in m.loop(thread * panels // n_threads, (thread + 1) * panels // n_threads):
        for k in m.loop(op.n_features):
            feature = Feature(m, op, k)
            own = weights.at(j * op.panel).at(feature.first * lanes)
            to = values.at(j * op.values_panel).at(feature.first * lanes)
            rank = m.load(own)
            total.set(m.zero())
            m.store(rank * -HALF_RANGE, to)
            for t in m.loop(1, feature.parts + 1):
                total.set(fma(feature.whole, m.load(own.at(t * lanes)), total.get()))
                place = m.spread(t) * feature.step - HALF_RANGE
                m.store(fma(place, rank, total.get()), to.at(t * lanes))


@kernel(WEIGHTS)
def sort_knots(m, job, unit, op):
    """Put the block's rows in the order of their bins, for each feature some of whose weights the thread owns."""
    own = m.fields(op.knots, KNOTS)
    first, last = owned(m, job, unit, op.layer)
    n_features, n_rows = own.n_features, unit.n_rows
    knots, fractions = own.knots.cast(np.int32), own.fractions.cast(m.dtype)
    for k in m.loop(n_features):
        feature = Feature(m, own, k)
        begin = own.n_plain + feature.first
        for _ in m.when((begin < last) & (begin + feature.parts >= first)):
            slot = k + unit.thread
            ends = own.ends.cast(np.int32).at(slot * own.ends_row)
            rows = own.entry_rows.cast(np.int32).at(slot * own.entries_row)
            sorted_fractions = own.entry_fractions.cast(m.dtype).at(slot * own.entries_row)
            for t in m.loop(feature.parts):
                m.write(0, ends.at(t))
            for r in m.loop(n_rows):
                end = ends.at(m.read(knots.at(r * n_features + k)) - feature.first)
                m.write(m.read(end) + 1, end)
            before = m.variable(m.whole(0))
            for t in m.loop(feature.parts):
                start = before.get()
                before.set(start + m.read(ends.at(t)))
                m.write(start, ends.at(t))
            for r in m.loop(n_rows):
                cell = r * n_features + k
                end = ends.at(m.read(knots.at(cell)) - feature.first)
                place = m.read(end)
                m.write(r, rows.at(place))
                m.write(m.read(fractions.at(cell)), sorted_fractions.at(place))
                m.write(place + 1, end)


class KnotProduct(Product):
    """The gradients of tiles, from the last row to the first; stands where ``tiles.Product`` does."""

    downwards = True

    def __init__(self, m, job, unit, op, part):
        super().__init__(m, job, unit, op, part)
        self.own, self.thread = m.fields(op.knots, KNOTS), unit.thread
        self.n_plain, self.table = self.own.n_plain, self.own.rows.cast(np.int64)
        self.last = owned(m, job, unit, op.layer)[1]
        # of the bins above the row, and of all parts' gradients above and at it
        self.above, self.of_rank = ([m.variable(m.zero()) for _ in range(TILE_PANELS)] for _ in range(2))

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        m = self.m
        for plain in m.either(i + TILE_ROWS <= self.n_plain):
            if plain:
                super().into(i, j, width, init, c, ahead)
            else:
                for step in m.loop(TILE_ROWS):
                    r = TILE_ROWS - 1 - step
                    self._row(i + r, r, j, width, init, c)

    def _row(self, row, r, j, width, init, c):
        m, deltas = self.m, self.deltas.at(j * self.m.lanes)
        for plain in m.either(row < self.n_plain):
            if plain:
                self._plain_row(row, r, deltas, width, init, c)
                continue
            place = self.table.at((row - self.n_plain) * 2)
            number, t = m.read(place), m.read(place.at(1))
            for known in m.either(number >= 0):
                if known:
                    self._known_row(row, r, deltas, width, init, c, number, t)
                else:
                    for v in range(width):
                        m.store(m.load(init.at(r, v)), c.at(r, v))

    def _plain_row(self, row, r, deltas, width, init, c):
        m = self.m
        sums = [m.variable(m.load(init.at(r, v))) for v in range(width)]
        for n in m.loop(self.rows):
            value = m.broadcast(self.inputs.at(n * self.inputs_row + row))
            for v, total in enumerate(sums):
                total.set(fma(value, m.load(deltas.at(n * self.deltas_row + v * m.lanes)), total.get()))
        for v, total in enumerate(sums):
            m.store(total.get(), c.at(r, v))

    def _known_row(self, row, r, deltas, width, init, c, number, t):
        m = self.m
        feature = Feature(m, self.own, number)
        for _ in m.when((t + 1 == feature.parts) | (row + 1 == self.last)):
            for total in (*self.above[:width], *self.of_rank[:width]):
                total.set(m.zero())
            for step in m.loop(feature.parts - 1 - t):  # which another thread owns
                self._pass_bin(deltas, width, feature, number, feature.parts - 1 - step)
        for is_part in m.either(t >= 0):
            if is_part:
                found = self._pass_bin(deltas, width, feature, number, t)
                for v in range(width):
                    m.store(fma(feature.whole, found[v], m.load(init.at(r, v))), c.at(r, v))
            else:
                for v in range(width):
                    found = fma(feature.step, self.of_rank[v].get(), self.above[v].get() * -HALF_RANGE)
                    m.store(m.load(init.at(r, v)) + found, c.at(r, v))

    def _pass_bin(self, deltas, width, feature, number, t):
        """The gradient at a part that would be 1 in whole bins; its bin is above the next row."""
        m, own = self.m, self.own
        slot = number + self.thread
        ends = own.ends.cast(np.int32).at(slot * own.ends_row)
        begin, end = m.choose(t > 0, m.read(ends.at(m.most(t - 1, 0))), 0), m.read(ends.at(t))
        rows = own.entry_rows.cast(np.int32).at(slot * own.entries_row)
        fractions = own.entry_fractions.cast(m.dtype).at(slot * own.entries_row)
        inside = [m.variable(m.zero()) for _ in range(width)]
        partly = [m.variable(total.get()) for total in self.above[:width]]
        for entry in m.loop(begin, end):
            fraction = m.broadcast(fractions.at(entry))
            row = deltas.at(m.read(rows.at(entry)) * self.deltas_row)
            for v in range(width):
                delta = m.load(row.at(v * m.lanes))
                inside[v].set(inside[v].get() + delta)
                partly[v].set(fma(fraction, delta, partly[v].get()))
        found = [total.get() for total in partly]
        for v in range(width):
            self.above[v].set(self.above[v].get() + inside[v].get())
            self.of_rank[v].set(self.of_rank[v].get() + found[v])
        return found
