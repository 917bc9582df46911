"""Categories by look-up: a category's embedding is part of the inputs of the first layer.

Rows are sparse: numbers first, then one entry for every category that is known, whose column tells which it is. Forward, the
embeddings are put beside the numbers, each at the place of its column of the table; a category that is missing leaves
zeros there. Backward, each thread owns embeddings and adds what the rows' deltas say of them, row by row.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.gather import SparseRows, Status
from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.pieces.tiles import Update

LOOKUP = record(
    target=ADDRESS,  # inputs, or their deltas
    row=INT,
    units=INT,  # numbers, and the width of an embedding for each column of categories
    n_numbers=INT,
    dim=INT,
    embeddings=ADDRESS,  # [category][dim]
    gradients=ADDRESS,  # likewise
    n_categories=INT,
    places=ADDRESS,  # int64: where among the inputs a category's embedding begins
)


@kernel(LOOKUP)
def gather_embedded(m, job, unit, op, element, index):
    """Rows of a CSR matrix as numbers and embeddings; duplicates add up."""
    units, row, n_numbers, dim, n_categories = op.units, op.row, op.n_numbers, op.dim, op.n_categories
    target, embeddings = op.target.cast(m.dtype).at(unit.place * row), op.embeddings.cast(m.dtype)
    places, order = op.places.cast(np.int64), job.order.cast(np.int64).at(unit.first + unit.row)
    rows, status = SparseRows(m, job, element, index), Status(m, job, unit)
    for r in m.loop(unit.count):
        to = target.at(r * row)
        for i in m.loop(m.vectors(units)):
            m.store(m.zero(), to.at(i * m.lanes))
        first, last, outside = rows.span(order.at(r))
        for _ in m.when(outside):
            status.note(m.spread(float("inf")))
        for entry in m.loop(first, last):
            column, value = rows.column(entry), rows.value(entry, m.dtype)
            status.note(m.spread(value))
            category = column - n_numbers
            for is_number in m.either((column >= 0) & (category < 0)):
                if is_number:
                    m.write(m.read(to.at(column)) + value, to.at(column))
                else:
                    for known in m.either((category >= 0) & (category < n_categories)):
                        if known:
                            cell = to.at(m.read(places.at(category)))
                            for i in m.loop(m.vectors(dim)):
                                # lanes behind the embedding add zeros; rows have room for the last vector's
                                mask, there = m.inside(i * m.lanes, dim), cell.at(i * m.lanes)
                                found = m.load_as(embeddings.at(category * dim + i * m.lanes), m.dtype, mask)
                                m.store(m.load(there) + found * m.spread(value), there)
                        else:
                            status.note(m.spread(float("inf")))
    status.keep()


def _owned(m, job, unit, op):
    """First category of a thread, and the one behind its last: whole vectors of embeddings, whatever their width."""
    blocks, thread, n_threads = m.vectors(op.n_categories), unit.thread, job.n_threads
    return thread * blocks // n_threads * m.lanes, (thread + 1) * blocks // n_threads * m.lanes


@kernel(LOOKUP)
def accumulate_embeddings(m, job, unit, op, element, index):
    """The gradients of the thread's embeddings, of the block's rows, added to those of the blocks before."""
    begin, end = _owned(m, job, unit, op)
    row, n_numbers, dim, n_categories = op.row, op.n_numbers, op.dim, op.n_categories
    deltas, gradients = op.target.cast(m.dtype), op.gradients.cast(m.dtype)
    places, order = op.places.cast(np.int64), job.order.cast(np.int64).at(unit.first)
    rows = SparseRows(m, job, element, index)
    for _ in m.when(unit.block == 0):
        for i in m.loop(begin // m.lanes * dim, end // m.lanes * dim):
            m.store(m.zero(), gradients.at(i * m.lanes))
    mine = m.least(end, n_categories)
    for r in m.loop(unit.n_rows):
        first, last, _ = rows.span(order.at(r))
        for entry in m.loop(first, last):
            category = rows.column(entry) - n_numbers
            for _ in m.when((category >= begin) & (category < mine)):
                value = rows.value(entry, m.dtype)
                delta, cell = deltas.at(r * row + m.read(places.at(category))), gradients.at(category * dim)
                for t in m.loop(dim):
                    m.write(m.read(cell.at(t)) + value * m.read(delta.at(t)), cell.at(t))


@kernel(LOOKUP)
def update_embeddings(m, job, unit, op, optimizer):
    """The optimizer's step for the thread's embeddings, which belong to the first layer."""
    begin, end = _owned(m, job, unit, op)
    update = Update(m, job, unit, m.whole(0), optimizer, of_weights=True, penalized=False)
    embeddings, gradients, dim = op.embeddings.cast(m.dtype), op.gradients.cast(m.dtype), op.dim
    units = op.n_categories * dim
    for i in m.loop(begin // m.lanes * dim, end // m.lanes * dim):
        first = i * m.lanes
        update.vector(embeddings.at(first), gradients.at(first), first, units)
