"""Batch normalization of a hidden layer's preactivations (Ioffe & Szegedy 2015).

``y = gamma (z - mean) / sqrt(variance + epsilon) + beta`` with the mini-batch's mean and
variance in training, their running values in prediction. Sums over the mini-batch are
taken column by column, each by one thread in the order of the rows.

The vectors of a layer lie one behind the other at ``statistics``, each ``width`` long:
"""

from __future__ import annotations

import numpy as np
from numba.core import types

from jitmlp_kernels.emit import Accumulator, Memory, int64, integers, loop, vector_kernel
from jitmlp_kernels.host import VECTOR_BYTES
from jitmlp_kernels.lanes import fma, sqrt

MEAN, INVERSE, RUNNING_MEAN, RUNNING_VARIANCE, RUNNING_INVERSE, D_GAMMA, D_BETA = range(7)
VECTORS = 7
EPSILON = 1e-5
MOMENTUM = 0.9  # of the running values


def _lanes(memory):
    return VECTOR_BYTES // memory.itemsize


def _statistics_twin(memory, values, stride, rows, statistics, width):
    n = _lanes(memory)
    z = memory[values + np.arange(rows)[:, None] * stride + np.arange(n)]
    mean, variance = z.mean(axis=0), z.var(axis=0)
    cell = [memory[statistics + i * width : statistics + i * width + n] for i in range(VECTORS)]
    cell[MEAN][:], cell[INVERSE][:] = mean, 1 / np.sqrt(variance + EPSILON)
    unbiased = variance * (rows / max(rows - 1, 1))
    cell[RUNNING_MEAN][:] = MOMENTUM * cell[RUNNING_MEAN] + (1 - MOMENTUM) * mean
    cell[RUNNING_VARIANCE][:] = MOMENTUM * cell[RUNNING_VARIANCE] + (1 - MOMENTUM) * unbiased
    cell[RUNNING_INVERSE][:] = 1 / np.sqrt(cell[RUNNING_VARIANCE] + EPSILON)


@vector_kernel(_statistics_twin)
def column_statistics(typing, memory, values, stride, rows, statistics, width):
    """Mean and variance of one vector of columns, and their running values."""
    if not integers(values, stride, rows, statistics, width):
        return None

    def generate(context, builder, signature, arguments):
        array, values, stride, rows, statistics, width = arguments
        memory = Memory(context, builder, signature.args[0], array)
        start, base = memory.at(values), memory.at(statistics)
        cell = [memory.at(builder.mul(width, int64(i)), base) for i in range(VECTORS)]
        count = memory.splat(builder.sitofp(rows, memory.element))
        total = Accumulator(memory, memory.zero())
        with loop(builder, rows) as i:
            total.set(total.get() + memory.load(memory.at(builder.mul(i, stride), start)))
        mean = total.get() / count
        total.set(memory.zero())
        with loop(builder, rows) as i:
            distance = memory.load(memory.at(builder.mul(i, stride), start)) - mean
            total.set(fma(distance, distance, total.get()))
        variance = total.get() / count
        several = builder.icmp_signed(">", rows, int64(1))
        others = builder.select(several, builder.sub(rows, int64(1)), int64(1))
        unbiased = total.get() / memory.splat(builder.sitofp(others, memory.element))
        memory.store(mean, cell[MEAN])
        memory.store(1.0 / sqrt(variance + EPSILON), cell[INVERSE])
        for place, new in ((RUNNING_MEAN, mean), (RUNNING_VARIANCE, unbiased)):
            memory.store(memory.load(cell[place]) * MOMENTUM + new * (1 - MOMENTUM), cell[place])
        running = memory.load(cell[RUNNING_VARIANCE])
        memory.store(1.0 / sqrt(running + EPSILON), cell[RUNNING_INVERSE])
        return context.get_dummy_value()

    return types.void(memory, *[types.intp] * 5), generate


def _gradients_twin(memory, values, deltas, stride, rows, statistics, width):
    n = _lanes(memory)
    place = np.arange(rows)[:, None] * stride + np.arange(n)
    cell = [memory[statistics + i * width : statistics + i * width + n] for i in range(VECTORS)]
    normalized = (memory[values + place] - cell[MEAN]) * cell[INVERSE]
    cell[D_GAMMA][:] = (memory[deltas + place] * normalized).sum(axis=0)
    cell[D_BETA][:] = memory[deltas + place].sum(axis=0)


@vector_kernel(_gradients_twin)
def column_gradients(typing, memory, values, deltas, stride, rows, statistics, width):
    """Gradients of gamma and beta for one vector of columns, summed over the rows."""
    if not integers(values, deltas, stride, rows, statistics, width):
        return None

    def generate(context, builder, signature, arguments):
        array, values, deltas, stride, rows, statistics, width = arguments
        memory = Memory(context, builder, signature.args[0], array)
        start, delta_start, base = (memory.at(x) for x in (values, deltas, statistics))
        cell = [memory.at(builder.mul(width, int64(i)), base) for i in range(VECTORS)]
        mean, inverse = memory.load(cell[MEAN]), memory.load(cell[INVERSE])
        gamma, beta = Accumulator(memory, memory.zero()), Accumulator(memory, memory.zero())
        with loop(builder, rows) as i:
            down = builder.mul(i, stride)
            delta = memory.load(memory.at(down, delta_start))
            normalized = (memory.load(memory.at(down, start)) - mean) * inverse
            gamma.set(fma(delta, normalized, gamma.get()))
            beta.set(beta.get() + delta)
        memory.store(gamma.get(), cell[D_GAMMA])
        memory.store(beta.get(), cell[D_BETA])
        return context.get_dummy_value()

    return types.void(memory, *[types.intp] * 6), generate


def _rows_twin(memory, source, target, rows, stride, statistics, width, gamma, beta, running):
    place = np.arange(rows)[:, None] * stride + np.arange(width)
    cell = [memory[statistics + i * width :][:width] for i in range(VECTORS)]
    mean, inverse = (RUNNING_MEAN, RUNNING_INVERSE) if running else (MEAN, INVERSE)
    normalized = (memory[source + place] - cell[mean]) * cell[inverse]
    memory[target + place] = normalized * memory[gamma : gamma + width] + memory[beta : beta + width]


@vector_kernel(_rows_twin)
def normalize_batch(typing, memory, source, target, rows, stride, statistics, width, gamma, beta, running):
    """Normalized, scaled and shifted rows; with the running values if ``running``."""
    if not integers(source, target, rows, stride, statistics, width, gamma, beta, running):
        return None

    def generate(context, builder, signature, arguments):
        array, source, target, rows, stride, statistics, width, gamma, beta, running = arguments
        memory = Memory(context, builder, signature.args[0], array)
        starts = [memory.at(x) for x in (source, target, gamma, beta)]
        moved = builder.icmp_signed("!=", running, int64(0))
        means, inverses = (
            memory.at(
                builder.add(statistics, builder.mul(width, builder.select(moved, int64(later), int64(now))))
            )
            for now, later in ((MEAN, RUNNING_MEAN), (INVERSE, RUNNING_INVERSE))
        )
        with loop(builder, rows) as r:
            down = builder.mul(r, stride)
            with loop(builder, memory.vectors(width)) as i:
                first = builder.mul(i, int64(memory.lanes))
                cell = builder.add(down, first)
                z = memory.load(memory.at(cell, starts[0])) - memory.load(memory.at(first, means))
                scale = memory.load(memory.at(first, inverses)) * memory.load(memory.at(first, starts[2]))
                memory.store(
                    fma(z, scale, memory.load(memory.at(first, starts[3]))), memory.at(cell, starts[1])
                )
        return context.get_dummy_value()

    return types.void(memory, *[types.intp] * 9), generate


def _derive_twin(memory, values, deltas, rows, stride, statistics, width, gamma, count):
    place = np.arange(rows)[:, None] * stride + np.arange(width)
    cell = [memory[statistics + i * width :][:width] for i in range(VECTORS)]
    normalized = (memory[values + place] - cell[MEAN]) * cell[INVERSE]
    centred = memory[deltas + place] - (cell[D_BETA] + normalized * cell[D_GAMMA]) / memory.dtype.type(count)
    memory[deltas + place] = centred * memory[gamma : gamma + width] * cell[INVERSE]


@vector_kernel(_derive_twin)
def derive_batch(typing, memory, values, deltas, rows, stride, statistics, width, gamma, count):
    """Deltas behind the normalization into deltas before it, for a mini-batch of ``count`` rows."""
    if not integers(values, deltas, rows, stride, statistics, width, gamma, count):
        return None

    def generate(context, builder, signature, arguments):
        array, values, deltas, rows, stride, statistics, width, gamma, count = arguments
        memory = Memory(context, builder, signature.args[0], array)
        start, delta_start, base, gammas = (memory.at(x) for x in (values, deltas, statistics, gamma))
        cell = [memory.at(builder.mul(width, int64(i)), base) for i in range(VECTORS)]
        share = 1.0 / memory.splat(builder.sitofp(count, memory.element))
        with loop(builder, rows) as r:
            down = builder.mul(r, stride)
            with loop(builder, memory.vectors(width)) as i:
                first = builder.mul(i, int64(memory.lanes))
                mean, inverse, d_gamma, d_beta = (
                    memory.load(memory.at(first, cell[k])) for k in (MEAN, INVERSE, D_GAMMA, D_BETA)
                )
                here = builder.add(down, first)
                pointer = memory.at(here, delta_start)
                normalized = (memory.load(memory.at(here, start)) - mean) * inverse
                centred = memory.load(pointer) - fma(normalized, d_gamma, d_beta) * share
                memory.store(centred * memory.load(memory.at(first, gammas)) * inverse, pointer)
        return context.get_dummy_value()

    return types.void(memory, *[types.intp] * 8), generate
