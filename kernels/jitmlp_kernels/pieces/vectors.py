"""Gradients and updates of the vectors of a layer: biases, and gamma and beta of its batch normalization."""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.product import Block, by_pairs, tile
from jitmlp_kernels.pieces.records import (
    ADDRESS,
    INT,
    kernel,
    record,
)
from jitmlp_kernels.pieces.share import parts
from jitmlp_kernels.pieces.tiles import Update, owned
from jitmlp_kernels.trace.functions import fma, where

# A vector of parameters a layer: biases, gamma, beta. It goes with the layer's first strip.
VECTOR = record(
    layer=INT,
    parameters=ADDRESS,
    vectors=INT,
    units=INT,
    gradients=ADDRESS,  # where they lie, or the deltas to sum
    deltas_row=INT,
    square=INT,  # place of its sum of squares
    starts_square=INT,  # whether it is the first of the layer's vectors
)


def _if_owned(m, job, unit, op):
    """Run the body on the thread that owns the first strip of the layer."""
    first, last = owned(m, job, unit, op.layer)
    return m.when((first == 0) & (first < last))


def _bias_tile(m, job, op, i, width, init, c, part):
    """Sums of deltas over rows: a product with a row of ones."""
    ones = [job.ones.cast(m.dtype)]
    b = Block(op.gradients.cast(m.dtype).at(part.first * op.deltas_row).at(i * m.lanes), op.deltas_row, m.lanes)
    tile(m, 1, width, ones, 0, b, init, c, part.last - part.first)


@kernel(VECTOR)
def step_bias(m, job, unit, op, optimizer):
    """Gradient and update of a layer's biases."""
    (part,) = parts(m, job, unit, "")
    for _ in _if_owned(m, job, unit, op):
        parameters = op.parameters.cast(m.dtype)
        update = Update(m, job, unit, op.layer, optimizer, of_weights=False)
        scratch = job.scratch.cast(m.dtype).at(unit.thread * job.scratch_stride)
        zeros = Block(job.zeros.cast(m.dtype), 0, 0)

        def visit(i, width):
            _bias_tile(m, job, op, i, width, zeros, Block(scratch, 0, m.lanes), part)
            for v in m.loop(width):
                first = (i + v) * m.lanes
                update.vector(parameters.at(first), scratch.at(v * m.lanes), first, op.units)

        by_pairs(m, op.vectors, visit)


@kernel(VECTOR)
def accumulate_bias(m, job, unit, op, found_by):
    """The biases' gradient of the block's rows, or of each quarter of them, added to that of the blocks before."""
    for _ in [None] if found_by == "rows" else _if_owned(m, job, unit, op):
        for part in parts(m, job, unit, found_by):
            gradients = op.parameters.cast(m.dtype).at(job.gradients + part.number * job.state_stride)
            later = unit.block > 0

            def visit(i, width, part=part, gradients=gradients, later=later):
                c = gradients.at(i * m.lanes)
                init = Block(m.choose(later, c, job.zeros.cast(m.dtype)), 0, m.choose(later, m.whole(m.lanes), 0))
                _bias_tile(m, job, op, i, width, init, Block(c, 0, m.lanes), part)

            by_pairs(m, op.vectors, visit)


@kernel(VECTOR)
def update_vector(m, job, unit, op, optimizer, in_quarters=False):
    """The update of a vector whose gradients lie at ``op.gradients``."""
    for _ in _if_owned(m, job, unit, op):
        update = Update(m, job, unit, op.layer, optimizer, of_weights=False, in_quarters=in_quarters)
        parameters, gradients = op.parameters.cast(m.dtype), op.gradients.cast(m.dtype)
        for i in m.loop(op.vectors):
            first = i * m.lanes
            update.vector(parameters.at(first), gradients.at(first), first, op.units)


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
