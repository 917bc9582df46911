"""Backward to the parameters, and their update, over tiles that each thread owns.

The gradient of a tile of weights is a product over all rows of the mini-batch. In a plain step the
optimizer takes it from the first-level cache and no gradient is written. Where something must
be known before the update (the rest of a large mini-batch, the norm of all gradients, what
other processes found), it is accumulated first and taken from there by a later phase.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.bfloat16 import RoundedProduct
from jitmlp_kernels.pieces.knots import KnotProduct
from jitmlp_kernels.pieces.product import Block
from jitmlp_kernels.pieces.records import (
    ADDRESS,
    INT,
    LINE,
    NOTHING,
    kernel,
    record,
)
from jitmlp_kernels.pieces.share import parts
from jitmlp_kernels.pieces.sparse import SparseProduct
from jitmlp_kernels.pieces.tiles import WEIGHTS, Ahead, Product, Tiles, Update, finisher, penalties
from jitmlp_kernels.pieces.zeros import SomeRows
from jitmlp_kernels.trace.functions import fma, sqrt, where
from jitmlp_kernels.trace.target import TILE_ROWS


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
        place = job.total.cast(np.float64).at(unit.epoch)
        m.write(m.read(place) + loss.get() * scale * m.double(n_batch), place)


@kernel(NOTHING)
def exchanged_scale(m, job, unit, op):
    """The scale of gradients to which other processes have added theirs."""
    total = job.all_weight
    unit.scale = where(total != 0.0, 1.0 / where(total != 0.0, total, 1.0), 0.0)


# by what of the inputs is multiplied, or in what precision
GRADIENTS = {
    "all": Product,
    "some": SomeRows,
    "entries": SparseProduct,
    "knots": KnotProduct,
    "bfloat16": RoundedProduct,
}

# A tile asks for the weights and state of one that follows: the next one where its product is long, a farther one else.
# Its own came too late (784-512 with 128 rows, Zen 3: 6 % more time), those of the fourth were gone again with 512 rows
LONG, FAR, NEAR = 128, 4, 1


@kernel(WEIGHTS)
def step_weights(m, job, unit, op, optimizer, l1, inputs):
    """Gradient and update, tile by tile."""
    (part,) = parts(m, job, unit, "")
    tiles, gradients = Tiles(m, job, unit, op), GRADIENTS[inputs](m, job, unit, op, part)
    update = Update(m, job, unit, op.layer, optimizer, of_weights=True)
    finish = finisher(m, job, unit, op, tiles, update, l1)
    ahead = Ahead(m, job, unit, op, tiles)
    zeros = Block(gradients.zeros, 0, 0)
    scratch = job.scratch.cast(m.dtype).at(unit.thread * job.scratch_stride)
    place = Block(scratch, m.lanes, TILE_ROWS * m.lanes)
    size, line = TILE_ROWS * m.lanes, LINE // m.dtype.itemsize
    distance = m.choose(part.last - part.first < LONG, FAR, NEAR) * (-size if gradients.downwards else size)

    def visit(i, j, width):
        later = tiles.at(i, j).at(distance)
        for copy in range(len(optimizer.slots) + 1):  # the weights and their state, before the product
            for v in range(width):
                for first in range(0, size, line):
                    m.prefetch(later.at(copy * update.state_stride).at(v * tiles.panel).at(first), write=True)
        gradients.into(i, j, width, zeros, place, ahead.next())
        finish(i, j, width, place)

    tiles.each(visit, gradients.downwards)


@kernel(WEIGHTS)
def accumulate_weights(m, job, unit, op, inputs, found_by):
    """The gradient of the block's rows, or of each quarter of them, added to that of the blocks before."""
    tiles, later = Tiles(m, job, unit, op, found_by), unit.block > 0
    for part in parts(m, job, unit, found_by):
        gradients = GRADIENTS[inputs](m, job, unit, op, part)
        offset = tiles.gradients + part.number * job.state_stride

        def visit(i, j, width, gradients=gradients, offset=offset):
            c = tiles.at(i, j).at(offset)
            init = m.choose(later, c, gradients.zeros)
            row, panel = (m.choose(later, stride, 0) for stride in (m.whole(m.lanes), tiles.panel))
            gradients.into(i, j, width, Block(init, row, panel), Block(c, m.lanes, tiles.panel))

        tiles.each(visit, gradients.downwards)


@kernel(WEIGHTS)
def update_weights(m, job, unit, op, optimizer, l1, in_quarters=False):
    """The update with gradients that have been accumulated."""
    tiles = Tiles(m, job, unit, op)
    update = Update(m, job, unit, op.layer, optimizer, of_weights=True, in_quarters=in_quarters)
    finish = finisher(m, job, unit, op, tiles, update, l1)

    def visit(i, j, width):
        finish(i, j, width, Block(tiles.at(i, j).at(tiles.gradients), m.lanes, tiles.panel))

    tiles.each(visit)


@kernel(WEIGHTS)
def touch_weights(m, job, unit, op):
    """Write zeros where the thread's weights, their state and gradients will be: the first to write has a page beside it."""
    tiles = Tiles(m, job, unit, op)
    stride = job.state_stride
    copies = job.gradients // stride + 1

    def visit(i, j, width):
        for k in m.loop(copies):
            place = tiles.at(i, j).at(k * stride)
            for v in m.loop(width):
                for r in m.loop(TILE_ROWS):
                    m.store(m.zero(), place.at(v * tiles.panel).at(r * m.lanes))

    tiles.each(visit)


@kernel(WEIGHTS)
def square_weights(m, job, unit, op):
    """Sums of squares of the accumulated gradients, penalty included, one a strip."""
    tiles = Tiles(m, job, unit, op)
    alpha, scale = m.spread(penalties(m, job, op.layer)[0]), m.spread(unit.scale)
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
