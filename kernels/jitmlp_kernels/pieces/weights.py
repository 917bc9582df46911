"""Backward to the parameters, and their update, over tiles that each thread owns.

The gradient of a tile of weights is a product over all rows of the mini-batch. In a plain step the
optimizer takes it from the first-level cache and no gradient is written. Where something must
be known before the update (the rest of a large mini-batch, the norm of all gradients, what
other processes found), it is accumulated first and taken from there by a later phase.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from jitmlp_kernels.pieces.product import Block, tile
from jitmlp_kernels.pieces.records import (
    ADDRESS,
    INT,
    LINE,
    NOTHING,
    kernel,
    record,
)
from jitmlp_kernels.pieces.share import share
from jitmlp_kernels.pieces.transpose import transpose_tile
from jitmlp_kernels.trace.functions import clamp, fma, sqrt, where
from jitmlp_kernels.trace.target import TILE_PANELS, TILE_ROWS

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
    fan_in_padded=INT,
    transposed=ADDRESS,  # the copy for the backward pass: [panel of fan_in][unit][lane]
    has_transposed=INT,
    first_strip=INT,  # index of the layer's first strip of TILE_ROWS rows
    prefetch=INT,  # whether its tiles ask for the next mini-batch's rows meanwhile
    slots=INT,  # of the optimizer's state
)


@kernel(NOTHING)
def mini_batch_totals(m, job, unit, op):
    """The scale of the gradients, and on the first thread the sum of the losses."""
    n_batch = unit.n_batch
    weights, losses = (a.cast(np.float64) for a in (job.row_weight, job.row_loss))
    weight = m.variable(m.double(n_batch))
    for _ in m.when(job.weighted != 0):
        weight.set(m.double(0.0))
        for i in m.loop(n_batch):
            weight.set(weight.get() + m.read(weights.at(i)))
    total = weight.get()
    scale = where(total != 0.0, 1.0 / total, 0.0)
    unit.scale = scale
    for _ in m.when(unit.thread == 0):
        loss = m.variable(m.double(0.0))
        for i in m.loop(n_batch):
            loss.set(loss.get() + m.read(losses.at(i)))
        place = job.total.cast(np.float64)
        m.write(m.read(place) + loss.get() * scale * m.double(n_batch), place)


def _owned(m, job, unit, layer):
    """First and last row of a layer's weights that the thread owns."""
    place = job.shares.cast(np.int64).at((unit.thread * job.n_layers + layer) * 2)
    return m.read(place), m.read(place.at(1))


class _Update:
    """The optimizer's step for vectors of parameters, with what is the same for all of them read once."""

    def __init__(self, m, job, unit, optimizer, penalized):
        self.m, self.optimizer = m, optimizer
        row = job.coefficients.cast(np.float64).at(unit.step * job.n_coefficients)
        names = optimizer.names
        self.rate = m.read(row)
        self.c = SimpleNamespace(**{name: m.spread(m.read(row.at(i))) for i, name in enumerate(names)})
        self.alpha = m.spread(job.alpha) if penalized else m.zero()
        self.scale = m.spread(unit.scale * unit.factor)
        self.limit = m.spread(job.clip_value)
        self.state_stride = job.state_stride

    def vector(self, parameter, gradient):
        """Update one vector; ``parameter`` and ``gradient`` are pointers. Returns it as it was."""
        m = self.m
        slots = [parameter.at((i + 1) * self.state_stride) for i in range(len(self.optimizer.slots))]
        w = m.load(parameter)
        g = fma(self.alpha, w, m.load(gradient)) * self.scale
        g = clamp(g, -self.limit, self.limit)
        new, state = self.optimizer.update(w, g, tuple(m.load(slot) for slot in slots), self.c)
        m.store(new, parameter)
        for slot, value in zip(slots, state):
            m.store(value, slot)
        return w


def _shrink(m, parameter, amount):
    """Move a vector of parameters towards 0 by ``amount`` and no further; returns its sizes before.

    The proximal operator of the L1 norm (Parikh & Boyd 2014, section 6.5.2).
    """
    w = m.load(parameter)
    m.store(where(w > amount, w - amount, where(w < -amount, w + amount, w * 0.0)), parameter)
    return abs(w)


class _Tiles:
    """The tiles of a layer that the thread owns."""

    def __init__(self, m, job, unit, op):
        self.m = m
        self.first, self.last = _owned(m, job, unit, op.layer)
        self.weights, self.panel, self.panels = op.weights.cast(m.dtype), op.panel, op.panels
        self.first_strip, self.gradients = op.first_strip, job.gradients
        self.penalties, self.squares = (a.cast(np.float64) for a in (job.penalties, job.squares))

    def each(self, visit):
        """``visit(i, j, width)`` for each tile: its first row, first panel, and how many panels it has."""
        m = self.m
        pairs = self.panels // TILE_PANELS * TILE_PANELS

        def strip(j, width):
            for i in m.loop(self.first, self.last, TILE_ROWS):
                visit(i, j, width)

        for j in m.loop(0, pairs, TILE_PANELS):
            strip(j, TILE_PANELS)
        for _ in m.when(pairs < self.panels):
            strip(pairs, 1)

    def at(self, i, j):
        """The pointer to the first weight of a tile."""
        return self.weights.at(j * self.panel).at(i * self.m.lanes)

    def add_penalty(self, i, places, value):
        """Add to the number of a tile's strip."""
        cell = places.at(self.first_strip + i // TILE_ROWS)
        self.m.write(self.m.read(cell) + value, cell)


class _Product:
    """The gradients of tiles: activations transposed times deltas, over the rows of the block."""

    def __init__(self, m, job, unit, op):
        self.m, self.rows = m, unit.n_rows
        self.inputs, self.inputs_row = op.inputs.cast(m.dtype), op.inputs_row
        self.deltas, self.deltas_row = op.deltas.cast(m.dtype), op.deltas_row
        self.zeros = job.zeros.cast(m.dtype)

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        m = self.m
        # neighbouring rows of the transposed operand are neighbours in memory
        a_rows = [self.inputs.at(i).at(r) for r in range(TILE_ROWS)]
        b = Block(self.deltas.at(j * m.lanes), self.deltas_row, m.lanes)
        tile(m, TILE_ROWS, width, a_rows, self.inputs_row, b, init, c, self.rows, ahead)


class _Ahead:
    """The next mini-batch's rows of the thread, asked for piece by piece while tiles are computed.

    A random row lies in pages that no translation buffer holds; asked for in bursts, the same
    lines gain nothing, since page walks stop the core from retiring.
    """

    def __init__(self, m, job, unit, op, tiles):
        n_batch, block_rows, n_order, batch_size = unit.n_batch, job.block_rows, job.n_order, job.batch_size
        next_start = m.choose(n_batch > block_rows, n_order, (unit.step + 1) * batch_size)
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


def _finish(m, job, unit, op, tiles, update, l1):
    """What is done to a tile once its gradient is known: a function of the tile and its gradient."""
    panel, lanes = tiles.panel, m.lanes
    squares, sizes = m.variable(m.zero()), m.variable(m.zero())
    share_of_loss = unit.scale * m.double(unit.n_batch)
    transposed, has_transposed = op.transposed.cast(m.dtype), op.has_transposed
    across = tiles.panels * lanes * lanes
    half_alpha, amount = 0.5 * job.alpha, update.rate * job.l1 * unit.scale

    def finish(i, j, width, gradient):
        weights = tiles.at(i, j)
        squares.set(m.zero())
        sizes.set(m.zero())
        for v in m.loop(width):
            for r in m.loop(TILE_ROWS):
                parameter = weights.at(v * panel).at(r * lanes)
                w = update.vector(parameter, gradient.at(r, v))
                squares.set(fma(w, w, squares.get()))
        penalty = half_alpha * m.double(m.sum_lanes(squares.get())) * share_of_loss
        if l1:
            step = m.spread(amount)
            for v in m.loop(width):
                for r in m.loop(TILE_ROWS):
                    sizes.set(sizes.get() + _shrink(m, weights.at(v * panel).at(r * lanes), step))
            penalty = penalty + job.l1 * m.double(m.sum_lanes(sizes.get())) * share_of_loss
        tiles.add_penalty(i, tiles.penalties, penalty)
        for _ in m.when(has_transposed != 0):
            target = transposed.at(i // lanes * across).at(j * (lanes * lanes) + i % lanes)
            transpose_tile(m, weights, width, panel, target, across)

    return finish


@kernel(WEIGHTS)
def step_weights(m, job, unit, op, optimizer, l1):
    """Gradient and update, tile by tile."""
    tiles, gradients = _Tiles(m, job, unit, op), _Product(m, job, unit, op)
    update = _Update(m, job, unit, optimizer, penalized=True)
    finish = _finish(m, job, unit, op, tiles, update, l1)
    ahead = _Ahead(m, job, unit, op, tiles)
    zeros = Block(gradients.zeros, 0, 0)
    scratch = job.scratch.cast(m.dtype).at(unit.thread * job.scratch_stride)
    place = Block(scratch, m.lanes, TILE_ROWS * m.lanes)
    copies, stride = op.slots + 1, update.state_stride

    def visit(i, j, width):
        start = tiles.at(i, j)
        line = LINE // m.dtype.itemsize
        for copy in m.loop(copies):  # the weights and their state, before the product
            for v in range(width):
                for first in range(0, TILE_ROWS * m.lanes, line):
                    m.prefetch(start.at(copy * stride).at(v * tiles.panel).at(first), write=True)
        gradients.into(i, j, width, zeros, place, ahead.next())
        finish(i, j, width, place)

    tiles.each(visit)


@kernel(WEIGHTS)
def accumulate_weights(m, job, unit, op):
    """The gradient of the block's rows, added to that of the blocks before."""
    tiles, gradients = _Tiles(m, job, unit, op), _Product(m, job, unit, op)
    later = unit.block > 0

    def visit(i, j, width):
        c = tiles.at(i, j).at(tiles.gradients)
        init = m.choose(later, c, gradients.zeros)
        row, panel = (m.choose(later, stride, 0) for stride in (m.whole(m.lanes), tiles.panel))
        gradients.into(i, j, width, Block(init, row, panel), Block(c, m.lanes, tiles.panel))

    tiles.each(visit)


@kernel(WEIGHTS)
def update_weights(m, job, unit, op, optimizer, l1):
    """The update with gradients that have been accumulated."""
    tiles = _Tiles(m, job, unit, op)
    update = _Update(m, job, unit, optimizer, penalized=True)
    finish = _finish(m, job, unit, op, tiles, update, l1)

    def visit(i, j, width):
        finish(i, j, width, Block(tiles.at(i, j).at(tiles.gradients), m.lanes, tiles.panel))

    tiles.each(visit)


@kernel(WEIGHTS)
def square_weights(m, job, unit, op):
    """Sums of squares of the accumulated gradients, penalty included, one a strip."""
    tiles = _Tiles(m, job, unit, op)
    alpha, scale = m.spread(job.alpha), m.spread(unit.scale)
    squares = m.variable(m.zero())
    for i in m.loop(tiles.first, tiles.last, TILE_ROWS):
        m.write(0.0, tiles.squares.at(tiles.first_strip + i // TILE_ROWS))

    def visit(i, j, width):
        weights = tiles.at(i, j)
        squares.set(m.zero())
        for v in m.loop(width):
            for r in m.loop(TILE_ROWS):
                w = weights.at(v * tiles.panel).at(r * m.lanes)
                g = fma(alpha, m.load(w), m.load(w.at(tiles.gradients))) * scale
                squares.set(fma(g, g, squares.get()))
        tiles.add_penalty(i, tiles.squares, m.double(m.sum_lanes(squares.get())))

    tiles.each(visit)


# A vector of parameters a layer: biases, gamma, beta. It goes with the layer's first strip.
VECTOR = record(
    layer=INT,
    parameters=ADDRESS,
    vectors=INT,
    gradients=ADDRESS,  # where they lie, or the deltas to sum
    deltas_row=INT,
    square=INT,  # place of its sum of squares
    starts_square=INT,  # whether it is the first of the layer's vectors
)


def _if_owned(m, job, unit, op):
    """Run the body on the thread that owns the first strip of the layer."""
    first, last = _owned(m, job, unit, op.layer)
    return m.when((first == 0) & (first < last))


def _bias_tile(m, job, unit, op, i, width, init, c):
    """Sums of deltas over the rows: a product with a row of ones."""
    ones = [job.ones.cast(m.dtype)]
    b = Block(op.gradients.cast(m.dtype).at(i * m.lanes), op.deltas_row, m.lanes)
    tile(m, 1, width, ones, 0, b, init, c, unit.n_rows)


def _by_pairs(m, count, visit):
    pairs = count // TILE_PANELS * TILE_PANELS
    for i in m.loop(0, pairs, TILE_PANELS):
        visit(i, TILE_PANELS)
    for _ in m.when(pairs < count):
        visit(pairs, 1)


@kernel(VECTOR)
def step_bias(m, job, unit, op, optimizer):
    """Gradient and update of a layer's biases."""
    for _ in _if_owned(m, job, unit, op):
        parameters = op.parameters.cast(m.dtype)
        update = _Update(m, job, unit, optimizer, penalized=False)
        scratch = job.scratch.cast(m.dtype).at(unit.thread * job.scratch_stride)
        zeros = Block(job.zeros.cast(m.dtype), 0, 0)

        def visit(i, width):
            _bias_tile(m, job, unit, op, i, width, zeros, Block(scratch, 0, m.lanes))
            for v in m.loop(width):
                update.vector(parameters.at((i + v) * m.lanes), scratch.at(v * m.lanes))

        _by_pairs(m, op.vectors, visit)


@kernel(VECTOR)
def accumulate_bias(m, job, unit, op):
    """The biases' gradient of the block's rows, added to that of the blocks before."""
    for _ in _if_owned(m, job, unit, op):
        gradients, later = op.parameters.cast(m.dtype).at(job.gradients), unit.block > 0

        def visit(i, width):
            c = gradients.at(i * m.lanes)
            init = Block(m.choose(later, c, job.zeros.cast(m.dtype)), 0, m.choose(later, m.whole(m.lanes), 0))
            _bias_tile(m, job, unit, op, i, width, init, Block(c, 0, m.lanes))

        _by_pairs(m, op.vectors, visit)


@kernel(VECTOR)
def update_vector(m, job, unit, op, optimizer):
    """The update of a vector whose gradients lie at ``op.gradients``."""
    for _ in _if_owned(m, job, unit, op):
        update = _Update(m, job, unit, optimizer, penalized=False)
        parameters, gradients = op.parameters.cast(m.dtype), op.gradients.cast(m.dtype)
        for i in m.loop(op.vectors):
            update.vector(parameters.at(i * m.lanes), gradients.at(i * m.lanes))


@kernel(VECTOR)
def square_vector(m, job, unit, op):
    """Sum of squares of a vector's gradients, added to that of the layer's vectors before."""
    for _ in _if_owned(m, job, unit, op):
        gradients, scale = op.gradients.cast(m.dtype), m.spread(unit.scale)
        squares = m.variable(m.zero())
        for i in m.loop(op.vectors):
            g = m.load(gradients.at(i * m.lanes)) * scale
            squares.set(fma(g, g, squares.get()))
        place = job.squares.cast(np.float64).at(op.square)
        before = where(op.starts_square != 0, 0.0, m.read(place))
        m.write(before + m.double(m.sum_lanes(squares.get())), place)


@kernel(NOTHING)
def clip_factor(m, job, unit, op):
    """What all gradients are multiplied by so that their norm is at most ``clip_norm``."""
    squares = m.variable(m.double(0.0))
    places, limit = job.squares.cast(np.float64), job.clip_norm
    for i in m.loop(job.n_squares):
        squares.set(squares.get() + m.read(places.at(i)))
    norm = sqrt(squares.get())
    unit.factor = where(norm > limit, limit / where(norm > limit, norm, 1.0), 1.0)


NORMS = record(weights=ADDRESS, rows=INT, panels=INT, panel=INT, transposed=ADDRESS, has_transposed=INT, below=INT)


@kernel(NORMS)
def limit_norms(m, job, unit, op):
    """Scale down units whose incoming weights exceed ``max_norm`` (Srivastava et al. 2014).

    Their rows of the transposed copy are scaled alike.
    """
    lanes, limit = m.lanes, m.spread(job.max_norm)
    panels, rows, panel, below = op.panels, op.rows, op.panel, op.below
    thread, n_threads = unit.thread, job.n_threads
    weights, transposed = op.weights.cast(m.dtype), op.transposed.cast(m.dtype)
    across, copies = panels * (lanes * lanes), m.choose(op.has_transposed != 0, below, 0)
    squares = m.variable(m.zero())
    for j in m.loop(thread * panels // n_threads, (thread + 1) * panels // n_threads):
        start = weights.at(j * panel)
        squares.set(m.zero())
        for i in m.loop(rows):
            w = m.load(start.at(i * lanes))
            squares.set(fma(w, w, squares.get()))
        norms = sqrt(squares.get())
        factor = where(norms > limit, limit / where(norms > limit, norms, 1.0), 1.0)
        for i in m.loop(rows):
            place = start.at(i * lanes)
            m.store(m.load(place) * factor, place)
        for copy in m.loop(copies):
            base = transposed.at(copy * across + j * (lanes * lanes))
            for lane in range(lanes):
                place = base.at(lane * lanes)
                m.store(m.load(place) * m.spread(m.lane(factor, lane)), place)
