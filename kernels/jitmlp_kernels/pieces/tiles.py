"""The tiles of weights that a thread owns: their gradients, their update, and what is asked for meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from jitmlp_kernels.pieces.product import Block, by_pairs, tile
from jitmlp_kernels.pieces.records import (
    ADDRESS,
    INT,
    record,
)
from jitmlp_kernels.pieces.share import QUARTERS, share
from jitmlp_kernels.pieces.transpose import transpose_tile
from jitmlp_kernels.trace.functions import clamp, fma, where
from jitmlp_kernels.trace.target import TILE_ROWS

# The weights of a layer: [panel][fan_in padded][lane]
WEIGHTS = record(
    layer=INT,
    inputs=ADDRESS,
    inputs_row=INT,
    deltas=ADDRESS,
    deltas_row=INT,
    weights=ADDRESS,
    panels=INT,
    panel=INT,  # elements from panel to panel
    fan_in=INT,
    units=INT,
    transposed=ADDRESS,  # the copy for the backward pass: [panel of fan_in][unit][lane]
    has_transposed=INT,
    first_strip=INT,  # index of the layer's first strip of TILE_ROWS rows
    prefetch=INT,  # whether its tiles ask for the next mini-batch's rows meanwhile
    knots=ADDRESS,  # a record of its own, where numbers in bins are inputs
)


def owned(m, job, unit, layer):
    """First and last row of a layer's weights that the thread owns."""
    place = job.shares.cast(np.int64).at((unit.thread * job.n_layers + layer) * 2)
    return m.read(place), m.read(place.at(1))


def owned_or_all(m, job, unit, op, found_by):
    """The rows of a layer's weights whose gradients the thread finds: see ``found_by`` of :class:`jitmlp.engine.program.Plan`."""
    return (m.whole(0), op.panel // m.lanes) if found_by == "rows" else owned(m, job, unit, op.layer)


def penalties(m, job, layer):
    """L2 and L1 penalty of a layer."""
    place = job.layer_penalties.cast(np.float64).at(layer * 2)
    return m.read(place), m.read(place.at(1))


class Update:
    """The optimizer's step for vectors of parameters, with what is the same for all of them read once."""

    def __init__(self, m, job, unit, layer, optimizer, of_weights, penalized=True, in_quarters=False):
        self.m, self.optimizer, self.in_quarters = m, optimizer, in_quarters
        first = unit.step * job.n_coefficients + layer * job.layer_coefficients
        row = job.coefficients.cast(np.float64).at(first if of_weights else first + job.vector_coefficients)
        names = optimizer.names
        self.rate = m.read(row)
        self.c = SimpleNamespace(**{name: m.spread(m.read(row.at(i))) for i, name in enumerate(names)})
        self.alpha = m.spread(penalties(m, job, layer)[0]) if of_weights and penalized else m.zero()
        self.scale = m.spread(unit.scale * unit.factor)
        self.limit = m.spread(job.clip_value)
        self.state_stride = job.state_stride

    def vector(self, parameter, gradient, first, units):
        """Update the vector that begins at index ``first`` of ``units`` parameters; returns it as it was.

        ``parameter`` and ``gradient`` are pointers.
        """
        m = self.m
        slots = [parameter.at((i + 1) * self.state_stride) for i in range(len(self.optimizer.slots))]
        w = m.load(parameter)
        g = fma(self.alpha, w, self._found(gradient)) * self.scale
        g = clamp(g, -self.limit, self.limit)
        new, state = self.optimizer.update(w, g, tuple(m.load(slot) for slot in slots), self.c)
        if not self.optimizer.built_in:  # which may divide 0 by 0 in the padding
            new, *state = (where(m.inside(first, units), value, 0.0) for value in (new, *state))
        m.store(new, parameter)
        for slot, value in zip(slots, state):
            m.store(value, slot)
        return w

    def _found(self, gradient):
        """A vector of the gradient, which may have been found in quarters."""
        if not self.in_quarters:
            return self.m.load(gradient)
        first, second, third, fourth = (self.m.load(gradient.at(k * self.state_stride)) for k in range(QUARTERS))
        return (first + second) + (third + fourth)


def shrink(m, parameter, amount):
    """Move a vector of parameters towards 0 by ``amount`` and no further; returns its sizes before.

    The proximal operator of the L1 norm (Parikh & Boyd 2014, section 6.5.2).
    """
    w = m.load(parameter)
    m.store(where(w > amount, w - amount, where(w < -amount, w + amount, w * 0.0)), parameter)
    return abs(w)


class Tiles:
    """The tiles of a layer that the thread owns."""

    def __init__(self, m, job, unit, op, found_by=""):
        self.m = m
        self.first, self.last = owned_or_all(m, job, unit, op, found_by)
        self.weights, self.panel, self.panels = op.weights.cast(m.dtype), op.panel, op.panels
        self.first_strip, self.gradients = op.first_strip, job.gradients
        self.penalties, self.squares = (a.cast(np.float64) for a in (job.penalties, job.squares))
        self.penalties = self.penalties.at(unit.epoch * job.n_penalties)

    def each(self, visit, downwards=False):
        """``visit(i, j, width)`` for each tile: its first row, first panel, and how many panels it has."""

        def strip(j, width):
            for i in self.m.loop(self.first, self.last, TILE_ROWS):
                visit(self.first + self.last - TILE_ROWS - i if downwards else i, j, width)

        by_pairs(self.m, self.panels, strip)

    def at(self, i, j):
        """The pointer to the first weight of a tile."""
        return self.weights.at(j * self.panel).at(i * self.m.lanes)

    def add_penalty(self, i, places, value):
        """Add to the number of a tile's strip."""
        cell = places.at(self.first_strip + i // TILE_ROWS)
        self.m.write(self.m.read(cell) + value, cell)


class Product:
    """The gradients of tiles: activations transposed times deltas, over a part of the block's rows."""

    downwards = False  # whether tiles are asked for from the last row to the first

    def __init__(self, m, job, unit, op, part):
        self.m, self.rows = m, part.last - part.first
        self.inputs_row, self.deltas_row = op.inputs_row, op.deltas_row
        self.inputs = op.inputs.cast(m.dtype).at(part.first * op.inputs_row)
        self.deltas = op.deltas.cast(m.dtype).at(part.first * op.deltas_row)
        self.zeros = job.zeros.cast(m.dtype)

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        m = self.m
        # neighbouring rows of the transposed operand are neighbours in memory
        a_rows = [self.inputs.at(i).at(r) for r in range(TILE_ROWS)]
        b = Block(self.deltas.at(j * m.lanes), self.deltas_row, m.lanes)
        tile(m, TILE_ROWS, width, a_rows, self.inputs_row, b, init, c, self.rows, ahead)


class Ahead:
    """The next mini-batch's rows of the thread, asked for piece by piece while tiles are computed.

    A random row lies in pages that no translation buffer holds; asked for in bursts, the same
    lines gain nothing, since page walks stop the core from retiring.
    """

    def __init__(self, m, job, unit, op, tiles):
        n_batch, block_rows, n_order, batch_size = unit.n_batch, job.block_rows, job.n_order, job.batch_size
        next_start = m.choose(n_batch > block_rows, n_order, unit.first - unit.before + n_batch)
        n_next = m.most(0, m.least(batch_size, n_order - next_start))
        first, last = share(m, n_next, job.n_threads, unit.thread)
        row_bytes = job.x_row_bytes
        wanted = (op.prefetch != 0) & (row_bytes > 0)
        self.m = m
        self.count = m.choose(wanted, m.least(n_next, last) - first, 0)
        self.order = job.order.cast(np.int64).at(next_start + first)
        self.x, self.x_row = job.x, job.x_row
        n_tiles = (tiles.last - tiles.first) // TILE_ROWS * ((tiles.panels + 1) // 2)
        some = m.most(self.count, 1)
        # into how many parts a row is cut, so that each tile asks for one; none where rows are more
        self.parts = m.choose(self.count > 0, n_tiles // some, 0)
        self.part_bytes = row_bytes // m.most(self.parts, 1) + 1
        self.step = self.part_bytes // m.most(unit.n_rows, 1) + 1
        self.row, self.part = m.variable(m.whole(0)), m.variable(m.whole(0))

    def next(self):
        """Where the next tile shall ask, and in what steps."""
        m, row, part = self.m, self.row.get(), self.part.get()
        more = (self.parts > 0) & (row < self.count)
        offset = m.variable(m.whole(0))
        for _ in m.when(more):  # the order has nothing to read behind its end
            offset.set(m.read(self.order.at(row)) * self.x_row + part * self.part_bytes)
        start = self.x.byte(offset.get())
        following = part + 1
        full = following == self.parts
        self.row.set(m.choose(more & full, row + 1, row))
        self.part.set(m.choose(more, m.choose(full, 0, following), part))
        return start, m.choose(more, self.step, 0)


def finisher(m, job, unit, op, tiles, update, l1):
    """What is done to a tile once its gradient is known: a function of the tile and its gradient."""
    panel, lanes, fan_in, units = tiles.panel, m.lanes, op.fan_in, op.units
    squares, sizes = m.variable(m.zero()), m.variable(m.zero())
    share_of_loss = unit.scale * m.double(unit.n_batch)
    transposed, has_transposed = op.transposed.cast(m.dtype), op.has_transposed
    across = tiles.panels * lanes * lanes
    alpha, l1_penalty = penalties(m, job, op.layer)
    half_alpha, amount = 0.5 * alpha, update.rate * l1_penalty * unit.scale

    def finish(i, j, width, gradient):
        weights = tiles.at(i, j)
        squares.set(m.zero())
        sizes.set(m.zero())
        for v in m.loop(width):
            for r in m.loop(TILE_ROWS):
                parameter = weights.at(v * panel).at(r * lanes)
                w = update.vector(parameter, gradient.at(r, v), (j + v) * lanes, m.choose(i + r < fan_in, units, 0))
                squares.set(fma(w, w, squares.get()))
        penalty = half_alpha * m.double(m.sum_lanes(squares.get())) * share_of_loss
        if l1:
            step = m.spread(amount)
            for v in m.loop(width):
                for r in m.loop(TILE_ROWS):
                    sizes.set(sizes.get() + shrink(m, weights.at(v * panel).at(r * lanes), step))
            penalty = penalty + l1_penalty * m.double(m.sum_lanes(sizes.get())) * share_of_loss
        tiles.add_penalty(i, tiles.penalties, penalty)
        for _ in m.when(has_transposed != 0):
            target = transposed.at(i // lanes * across).at(j * (lanes * lanes) + i % lanes)
            transpose_tile(m, weights, width, panel, target, across)

    return finish
