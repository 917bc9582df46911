"""What is done to the rows of a group, element by element: activations, dropout, losses, outputs."""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.records import ADDRESS, FLOAT, INT, kernel, record
from jitmlp_kernels.pieces.transpose import transposed
from jitmlp_kernels.trace.elementary import exp
from jitmlp_kernels.trace.functions import where

# Rows from one buffer of the network to another
ROWS = record(
    source=ADDRESS,
    target=ADDRESS,
    row=INT,  # elements from row to row, in both
    units=INT,
    parameter=FLOAT,
)


def _group(m, unit, op):
    """Source and target of the group, elements from row to row, units, and vectors that hold them."""
    row, first = op.row, unit.place
    down = first * row
    units = op.units
    return op.source.cast(m.dtype).at(down), op.target.cast(m.dtype).at(down), row, units, m.vectors(units)


def _pairs(m, unit, row, vectors):
    """The first element of each vector of the group's rows, and where it lies in two neighbouring rows."""
    for r in m.loop(0, unit.padded, 2):  # half tiles are even
        for i in m.loop(vectors):
            first = i * m.lanes
            yield first, (r * row + first, (r + 1) * row + first)


def _both(m, vectors):
    """Two vectors as one of twice the lanes.

    A formula of it is two chains of instructions, of which one goes on while the other waits: tanh of narrow layers takes a
    fifth less time.
    """
    return m.shuffle(*vectors, range(2 * m.lanes))


def _apart(m, both):
    """The two again."""
    return [m.shuffle(both, both, range(first, first + m.lanes)) for first in (0, m.lanes)]


@kernel(ROWS)
def activation_forward(m, job, unit, op, activation):
    """Activations of rows of preactivations; the padding of the target becomes 0."""
    source, target, row, units, vectors = _group(m, unit, op)
    p = m.spread(op.parameter)
    for first, cells in _pairs(m, unit, row, vectors):
        z = _both(m, [m.load(source.at(cell)) for cell in cells])
        inside = m.inside(first, units)
        for cell, value in zip(cells, _apart(m, activation.function(z, _both(m, (p, p))))):
            m.store(where(inside, value, 0.0), target.at(cell))


@kernel(ROWS)
def activation_backward(m, job, unit, op, activation):
    """Multiply rows of deltas by the activation's derivative.

    ``source`` is where the activations lie, or the preactivations for the rows of the table whose
    derivative needs them.
    """
    source, target, row, units, vectors = _group(m, unit, op)
    p = m.spread(op.parameter)
    for first, cells in _pairs(m, unit, row, vectors):
        known = _both(m, [m.load(source.at(cell)) for cell in cells])
        for cell, slope in zip(cells, _apart(m, activation.derivative(known, _both(m, (p, p))))):
            value = m.load(target.at(cell)) * slope
            if not activation.built_in:  # whose derivative at the padding's 0 may be infinite
                value = where(m.inside(first, units), value, 0.0)
            m.store(value, target.at(cell))


@kernel(ROWS)
def softmax_forward(m, job, unit, op):
    """Softmax of rows of preactivations; the padding of the target becomes 0."""
    source, target, row, units, vectors = _group(m, unit, op)
    for is_narrow in m.either(vectors == 1):
        if is_narrow:
            for first in m.loop(0, unit.padded, m.lanes):
                _softmax_across(m, source, target, row, units, first, unit.padded - 1)
        else:
            _softmax_along(m, source, target, row, units, unit.padded)


def _softmax_across(m, source, target, row, units, first, last):
    """As many rows as a vector has lanes, each of one vector, with a row in each lane: no step waits for a sum along a row.

    Rows behind the last are the last once more.
    """
    lowest = m.spread(float(np.finfo(m.dtype).min))
    cells = [m.least(first + r, last) * row for r in range(m.lanes)]
    outputs = transposed(m, [m.load(source.at(cell)) for cell in cells])
    masks = [m.inside(0, (units - j) * m.lanes) for j in range(m.lanes)]
    peak = lowest
    for z, mask in zip(outputs, masks):
        bigger = where(mask, z, lowest)
        peak = where(bigger < peak, peak, bigger)
    values = [where(mask, exp(z - peak), 0.0) for z, mask in zip(outputs, masks)]
    totals = values
    while len(totals) > 1:  # in the order in which a vector's lanes are summed
        half = len(totals) // 2
        totals = [a + b for a, b in zip(totals[:half], totals[half:])]
    scale = 1.0 / totals[0]
    for cell, probabilities in zip(cells, transposed(m, [value * scale for value in values])):
        m.store(probabilities, target.at(cell))


def _softmax_along(m, source, target, row, units, rows):
    """Row by row, each of any number of vectors."""
    vectors = m.vectors(units)
    lowest = m.spread(float(np.finfo(m.dtype).min))
    largest, total = m.variable(lowest), m.variable(m.zero())
    for r in m.loop(rows):
        z_row, a_row = source.at(r * row), target.at(r * row)
        largest.set(lowest)
        total.set(m.zero())
        for i in m.loop(vectors):
            first = i * m.lanes
            seen = largest.get()
            bigger = where(m.inside(first, units), m.load(z_row.at(first)), lowest)
            largest.set(where(bigger < seen, seen, bigger))
        peak = m.spread(m.largest_lane(largest.get()))
        for i in m.loop(vectors):
            first = i * m.lanes
            value = where(m.inside(first, units), exp(m.load(z_row.at(first)) - peak), 0.0)
            m.store(value, a_row.at(first))
            total.set(total.get() + value)
        scale = 1.0 / m.spread(m.sum_lanes(total.get()))
        for i in m.loop(vectors):
            a = a_row.at(i * m.lanes)
            m.store(m.load(a) * scale, a)


@kernel(ROWS)
def softmax_backward(m, job, unit, op):
    """Multiply rows of deltas by the Jacobian of the softmax ``source``."""
    source, target, row, units, vectors = _group(m, unit, op)
    total = m.variable(m.zero())
    for r in m.loop(unit.padded):
        a_row, d_row = source.at(r * row), target.at(r * row)
        total.set(m.zero())
        for i in m.loop(vectors):
            first = i * m.lanes
            total.set(total.get() + m.load(d_row.at(first)) * m.load(a_row.at(first)))
        mean = m.spread(m.sum_lanes(total.get()))
        for i in m.loop(vectors):
            deltas, a = d_row.at(i * m.lanes), a_row.at(i * m.lanes)
            m.store(m.load(a) * (m.load(deltas) - mean), deltas)


# Dropout of rows; ``layer`` counts from 0 at the inputs
DROPOUT = record(source=ADDRESS, target=ADDRESS, row=INT, units=INT, layer=INT, rate=FLOAT)

# The finalizer of MurmurHash3 (Appleby 2011), which mixes every bit into every other
ROUNDS = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))
GOLDEN = 0x9E3779B9


def row_key(m, seed, step, layer, row):
    """One 32-bit number of all that chooses what dropout drops in a row (SplitMix64, Steele et al. 2014)."""
    z = seed
    for part in (step, layer, row):
        z = m.wrap(z + m.wrap(part * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019))
        z = m.wrap((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9)
        z = m.wrap((z ^ (z >> 27)) * 0x94D049BB133111EB)
        z = z ^ (z >> 31)
    return z >> 32


def hash_lanes(x):
    """Mix 32-bit numbers so that each bit of the result depends on all of them."""
    for _ in range(2):
        for shift, factor in ROUNDS:
            x = (x ^ (x >> shift)) * factor
        x = x ^ (x >> 16)
    return x


@kernel(DROPOUT)
def dropout(m, job, unit, op):
    """Set a share ``rate`` of the units to 0 and scale the others by ``1 / (1 - rate)``.

    Inverted dropout (Srivastava et al. 2014, section 10): prediction uses all units as they are.
    Whether unit ``j`` of row ``i`` is dropped in step ``t`` is a hash of ``(seed, t, layer, i, j)``,
    computed where it is needed, forward and backward, and stored nowhere: no thread, chunk or
    order can change it.
    """
    source, target, row, units, vectors = _group(m, unit, op)
    rate, layer = op.rate, op.layer
    scale = m.spread(1.0 / (1.0 - rate))
    threshold = m.fraction_bits(rate)
    seed, step, before = job.seed, job.first_step + unit.step, unit.before + unit.row
    for r in m.loop(unit.padded):
        key = m.spread_bits(row_key(m, seed, step, layer, before + r))
        for i in m.loop(vectors):
            first = i * m.lanes
            numbers = m.lane_numbers() + m.spread_bits(first)
            kept = m.not_below(hash_lanes(numbers * GOLDEN + key) >> 8, threshold)
            cell = r * row + first
            value = m.load(source.at(cell)) * scale
            m.store(where(kept & m.inside(first, units), value, 0.0), target.at(cell))


# The output layer: predictions and targets in, deltas out
LOSS = record(source=ADDRESS, targets=ADDRESS, target=ADDRESS, row=INT, units=INT, parameter=FLOAT)


@kernel(LOSS)
def loss_rows(m, job, unit, op, loss, canonical):
    """Weighted losses of rows; their derivatives, or ``a - y`` if canonical, become the deltas."""
    source, target, row, units, vectors = _group(m, unit, op)
    targets = op.targets.cast(m.dtype).at(unit.place * row)
    p = m.spread(op.parameter)
    weights, losses = (a.cast(np.float64).at(unit.before + unit.row) for a in (job.row_weight, job.row_loss))
    given, order = job.weights.cast(np.float64), job.order.cast(np.int64).at(unit.first + unit.row)
    weighted = job.weighted != 0
    total, weight = m.variable(m.zero()), m.variable(m.double(1.0))
    for r in m.loop(unit.count):
        for _ in m.when(weighted):
            weight.set(m.read(given.at(m.read(order.at(r)))))
        w = m.spread(weight.get())
        total.set(m.zero())
        for i in m.loop(vectors):
            first = i * m.lanes
            cell = r * row + first
            a, y = m.load(source.at(cell)), m.load(targets.at(cell))
            inside = m.inside(first, units)
            total.set(total.get() + where(inside, loss.value(a, y, p), 0.0))
            slope = a - y if canonical else loss.derivative(a, y, p)
            m.store(where(inside, w * slope, 0.0), target.at(cell))
        m.write(weight.get(), weights.at(r))
        m.write(m.double(m.sum_lanes(total.get())) * weight.get(), losses.at(r))


@kernel(ROWS)
def copy_outputs(m, job, unit, op):
    """Rows of outputs into the array that a prediction returns."""
    source, _, row, units, _ = _group(m, unit, op)
    out, out_row = job.out.cast(m.dtype), job.out_row
    for r in m.loop(unit.count):
        target = out.at((unit.first + unit.row + r) * out_row)
        for j in m.loop(units):
            m.write(m.read(source.at(r * row + j)), target.at(j))
