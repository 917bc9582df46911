"""Rows of the user's arrays into the padded batch buffer, cast on the way.

The only place that meets the user's memory. Each element type and layout is a piece of its own,
so nothing is converted but the rows at hand. NaN and infinity are found while rows are read: 0
times them is NaN, and stays in the thread's status.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.records import ADDRESS, INT, LINE, kernel, record
from jitmlp_kernels.trace.functions import clamp, fma, sqrt

# What is read where it lies
ELEMENTS = tuple(np.dtype(name) for name in "float32 float64 uint8 int8 uint16 int16 uint32 int32 uint64 int64".split())

# Where the rows go. With ``normalize`` they become (x - shift) * scale, in float64: the shift of a
# large number must not be rounded before it is subtracted. "clipped" brings that to between -BOUND and BOUND.
BOUND, LARGEST = 3.0, 1e150  # whose square is finite
GATHER = record(target=ADDRESS, row=INT, units=INT, shift=ADDRESS, scale=ADDRESS, scratch=ADDRESS)


class Status:
    """The thread's record of whether all numbers were finite."""

    def __init__(self, m, job, unit):
        self.m = m
        self.pointer = job.status.byte(unit.thread * LINE).cast(m.dtype)
        self.zeros = m.variable(m.load(self.pointer))

    def note(self, lanes):
        """Remember if one of these is not finite."""
        self.zeros.set(fma(lanes, 0.0, self.zeros.get()))

    def keep(self):
        """Write what was found."""
        self.m.store(self.zeros.get(), self.pointer)


def smooth_clip(x):
    """``x / sqrt(1 + (x / BOUND)^2)`` of float64 numbers, which lies between ``-BOUND`` and ``BOUND``."""
    x = clamp(x, -LARGEST, LARGEST)
    return x / sqrt(fma(x * (1 / BOUND), x * (1 / BOUND), 1.0))


def _scaled(values, shift, scale, normalize, note):
    """Normalized float64 values; of what is clipped ``note`` gets 0, or NaN of what is not finite."""
    scaled = (values - shift) * scale
    if normalize != "clipped":
        return scaled
    note(scaled * 0.0)
    return smooth_clip(scaled)


def _scaled_vector(m, values, op, offset, normalize, status):
    """Normalized vector of float64 values at an index of the row, in the network's dtype."""
    shift, scale = (m.load(a.cast(np.float64).at(offset)) for a in (op.shift, op.scale))
    return m.round(_scaled(values, shift, scale, normalize, lambda zeros: status.note(m.round(zeros))))


def _gather(m, job, unit, op, element, data, row_bytes, column_bytes, contiguous, normalize):
    """Cast the group's rows of a matrix into rows of the network's memory."""
    element = np.dtype(element)
    units, lanes, target_row = op.units, m.lanes, op.row
    target = op.target.cast(m.dtype).at(unit.place * target_row)
    order = job.order.cast(np.int64).at(unit.first + unit.row)
    status = Status(m, job, unit)
    wide = np.dtype(np.float64) if normalize else m.dtype
    whole = units // lanes
    for r in m.loop(unit.count):
        begin = data.byte(m.read(order.at(r)) * row_bytes).cast(element, align=1)
        to = target.at(r * target_row)
        if contiguous:

            def take(i, mask, begin=begin, to=to):
                values = m.load_as(begin.at(i * lanes), wide, mask)
                if normalize:
                    values = _scaled_vector(m, values, op, i * lanes, normalize, status)
                if element.kind == "f":
                    status.note(values)
                m.store(values, to.at(i * lanes))

            for i in m.loop(whole):
                take(i, None)
            for _ in m.when(whole * lanes < units):
                take(whole, m.inside(whole * lanes, units))
        else:
            for j in m.loop(units):
                value = m.read_as(begin.byte(j * column_bytes), wide)
                if normalize:
                    shift, scale = (m.read(a.cast(np.float64).at(j)) for a in (op.shift, op.scale))
                    value = _scaled(value, shift, scale, normalize, lambda zeros: status.note(m.spread(zeros)))
                if element.kind == "f":
                    status.note(m.spread(value))
                m.write(value, to.at(j))
    status.keep()


@kernel(GATHER)
def gather_inputs(m, job, unit, op, element, contiguous, normalize):
    """Rows of X."""
    _gather(m, job, unit, op, element, job.x, job.x_row, job.x_column, contiguous, normalize)


@kernel(GATHER)
def gather_targets(m, job, unit, op, element, contiguous):
    """Rows of targets, smoothed towards one half."""
    _gather(m, job, unit, op, element, job.y, job.y_row, job.y_column, contiguous, "")
    smoothing = job.smoothing
    row, units, lanes = op.row, op.units, m.lanes
    target = op.target.cast(m.dtype).at(unit.place * row)
    keep, half = m.spread(1.0 - smoothing), m.spread(0.5 * smoothing)
    for _ in m.when(smoothing > 0.0):
        for r in m.loop(unit.count):
            for i in m.loop(m.vectors(units)):
                cell = target.at(r * row + i * lanes)
                m.store(m.load(cell) * keep + half, cell)


@kernel(GATHER)
def spread_classes(m, job, unit, op):
    """One-hot rows of class numbers, smoothed towards equal shares."""
    row, units = op.row, op.units
    target = op.target.cast(m.dtype).at(unit.place * row)
    order, classes = job.order.cast(np.int64).at(unit.first + unit.row), job.classes.cast(np.int64)
    smoothing = job.smoothing
    rest = smoothing / m.double(units)
    others, own = m.spread(rest), 1.0 - smoothing + rest
    for r in m.loop(unit.count):
        to = target.at(r * row)
        for i in m.loop(m.vectors(units)):
            m.store(others, to.at(i * m.lanes))
        m.write(own, to.at(m.read(classes.at(m.read(order.at(r))))))


class SparseRows:
    """The user's CSR matrix: columns and values of a row."""

    def __init__(self, m, job, element, index):
        self.m, self.n_entries = m, job.n_entries
        self.values = job.x.cast(element, align=1)
        self.columns, self.starts = (address.cast(index, align=1) for address in (job.indices, job.indptr))

    def span(self, number):
        """First and last entry of the row whose number is at a pointer, and whether they lie outside of the matrix."""
        m = self.m
        start = self.starts.at(m.read(number))
        first, last = m.read(start), m.read(start.at(1))
        outside = (first < 0) | (last > self.n_entries)
        return first, m.choose(outside, first, last), outside

    def column(self, entry):
        """The column of an entry."""
        return self.m.read(self.columns.at(entry))

    def value(self, entry, dtype):
        """The value of an entry as a float."""
        return self.m.read_as(self.values.at(entry), dtype)


@kernel(GATHER)
def gather_csr(m, job, unit, op, element, index, normalize):
    """Rows of a CSR matrix, spread over zeros; duplicates add up.

    A row or column outside of the matrix, which only a matrix changed meanwhile can have, is not
    followed but noted as a number that is not finite.
    """
    units, row = op.units, op.row
    wide = np.dtype(np.float64) if normalize else m.dtype
    target = op.target.cast(m.dtype).at(unit.place * row)
    scratch = op.scratch.cast(np.float64).at(unit.thread * row)
    order = job.order.cast(np.int64).at(unit.first + unit.row)
    rows, status = SparseRows(m, job, element, index), Status(m, job, unit)
    for r in m.loop(unit.count):
        to = scratch if normalize else target.at(r * row)
        for i in m.loop(m.vectors(units)):
            m.store(m.spread(0.0, wide), to.at(i * m.lanes))
        first, last, outside = rows.span(order.at(r))
        for _ in m.when(outside):
            status.note(m.spread(float("inf")))
        for j in m.loop(first, last):
            column = rows.column(j)
            for inside in m.either((column >= 0) & (column < units)):
                if inside:
                    value, cell = rows.value(j, wide), to.at(column)
                    if np.dtype(element).kind == "f" and not normalize:
                        status.note(m.spread(value))
                    m.write(m.read(cell) + value, cell)
                else:
                    status.note(m.spread(float("inf")))
        if normalize:
            for i in m.loop(m.vectors(units)):
                values = _scaled_vector(m, m.load(scratch.at(i * m.lanes)), op, i * m.lanes, normalize, status)
                status.note(values)
                m.store(values, target.at(r * row + i * m.lanes))
    status.keep()
