"""Batch normalization of a hidden layer's preactivations (Ioffe & Szegedy 2015).

``y = gamma (z - mean) / sqrt(variance + epsilon) + beta`` with the mini-batch's mean and
variance in training, their running values in prediction. Sums over the mini-batch are taken
column by column, each by one thread in the order of the rows. Where other processes have rows of the mini-batch
too, a phase ends with the sums of one's own, and what they add up to is put into their places before the next begins.
"""

from __future__ import annotations

from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.trace.functions import fma, sqrt

# The vectors of a layer lie one behind the other at ``statistics``, each ``panels`` vectors long
MEAN, INVERSE, RUNNING_MEAN, RUNNING_VARIANCE, RUNNING_INVERSE, D_GAMMA, D_BETA = range(7)
SQUARES = INVERSE  # of distances from the mean, until the processes have exchanged theirs
VECTORS = 7
EPSILON = 1e-5
MOMENTUM = 0.9  # of the running values

BATCH_NORM = record(
    linear=ADDRESS,  # what is normalized
    normalized=ADDRESS,
    deltas=ADDRESS,
    row=INT,
    panels=INT,
    statistics=ADDRESS,
    gamma=ADDRESS,
    beta=ADDRESS,
)


def _columns(m, job, unit, op):
    """The thread's columns: ``(offset of a vector of them, pointers to its statistics)`` one by one."""
    panels, thread, n_threads = op.panels, unit.thread, job.n_threads
    statistics = op.statistics.cast(m.dtype)
    for j in m.loop(thread * panels // n_threads, (thread + 1) * panels // n_threads):
        yield j * m.lanes, [statistics.at((k * panels + j) * m.lanes) for k in range(VECTORS)]


def _moments(m, job, unit, op):
    """The thread's columns: ``(pointers to its statistics, mean, squares of distances from it)`` one by one."""
    rows, row, linear = unit.n_rows, op.row, op.linear.cast(m.dtype)
    count, total = m.spread(rows), m.variable(m.zero())
    for offset, cell in _columns(m, job, unit, op):
        z = linear.at(offset)
        total.set(m.zero())
        for i in m.loop(rows):
            total.set(total.get() + m.load(z.at(i * row)))
        mean = total.get() / count
        total.set(m.zero())
        for i in m.loop(rows):
            distance = m.load(z.at(i * row)) - mean
            total.set(fma(distance, distance, total.get()))
        yield cell, mean, total.get()


@kernel(BATCH_NORM)
def own_moments(m, job, unit, op):
    """Mean, and squares of distances from it, over this process's rows of the mini-batch; NaN where it has none."""
    for cell, mean, squares in _moments(m, job, unit, op):
        m.store(mean, cell[MEAN])
        m.store(squares, cell[SQUARES])


@kernel(BATCH_NORM)
def batch_statistics(m, job, unit, op):
    """Mean and variance of columns over the mini-batch, and their running values."""
    rows = unit.n_rows
    count, others = m.spread(rows), m.spread(m.most(rows - 1, 1))
    for cell, mean, squares in _moments(m, job, unit, op):
        variance, unbiased = squares / count, squares / others
        m.store(mean, cell[MEAN])
        m.store(1.0 / sqrt(variance + EPSILON), cell[INVERSE])
        for place, new in ((RUNNING_MEAN, mean), (RUNNING_VARIANCE, unbiased)):
            m.store(m.load(cell[place]) * MOMENTUM + new * (1 - MOMENTUM), cell[place])
        m.store(1.0 / sqrt(m.load(cell[RUNNING_VARIANCE]) + EPSILON), cell[RUNNING_INVERSE])


@kernel(BATCH_NORM)
def batch_norm_gradients(m, job, unit, op):
    """Gradients of gamma and beta, summed over the rows."""
    rows, row = unit.n_rows, op.row
    linear, deltas = op.linear.cast(m.dtype), op.deltas.cast(m.dtype)
    gamma, beta = m.variable(m.zero()), m.variable(m.zero())
    for offset, cell in _columns(m, job, unit, op):
        mean, inverse = m.load(cell[MEAN]), m.load(cell[INVERSE])
        gamma.set(m.zero())
        beta.set(m.zero())
        for i in m.loop(rows):
            delta = m.load(deltas.at(i * row + offset))
            normalized = (m.load(linear.at(i * row + offset)) - mean) * inverse
            gamma.set(fma(delta, normalized, gamma.get()))
            beta.set(beta.get() + delta)
        m.store(gamma.get(), cell[D_GAMMA])
        m.store(beta.get(), cell[D_BETA])


@kernel(BATCH_NORM)
def batch_norm_forward(m, job, unit, op, running):
    """Normalized, scaled and shifted rows; with the running values in prediction."""
    row, panels, first = op.row, op.panels, unit.place
    source, target = (a.cast(m.dtype).at(first * row) for a in (op.linear, op.normalized))
    statistics, gamma, beta = (a.cast(m.dtype) for a in (op.statistics, op.gamma, op.beta))
    means, inverses = (
        statistics.at(k * panels * m.lanes) for k in ((RUNNING_MEAN, RUNNING_INVERSE) if running else (MEAN, INVERSE))
    )
    for r in m.loop(unit.padded):
        for i in m.loop(panels):
            at = i * m.lanes
            z = m.load(source.at(r * row + at)) - m.load(means.at(at))
            scale = m.load(inverses.at(at)) * m.load(gamma.at(at))
            m.store(fma(z, scale, m.load(beta.at(at))), target.at(r * row + at))


@kernel(BATCH_NORM)
def batch_norm_backward(m, job, unit, op, shared):
    """Deltas behind the normalization into deltas before it; of a mini-batch that is shared, with all its rows."""
    row, panels, first = op.row, op.panels, unit.place
    source, deltas = (a.cast(m.dtype).at(first * row) for a in (op.linear, op.deltas))
    statistics, gamma = (a.cast(m.dtype) for a in (op.statistics, op.gamma))
    part = 1.0 / m.spread(job.all_rows if shared else unit.n_rows)
    for r in m.loop(unit.padded):
        for i in m.loop(panels):
            at = i * m.lanes
            mean, inverse, d_gamma, d_beta = (
                m.load(statistics.at((k * panels + i) * m.lanes)) for k in (MEAN, INVERSE, D_GAMMA, D_BETA)
            )
            delta = deltas.at(r * row + at)
            normalized = (m.load(source.at(r * row + at)) - mean) * inverse
            centred = m.load(delta) - fma(normalized, d_gamma, d_beta) * part
            m.store(centred * m.load(gamma.at(at)) * inverse, delta)
