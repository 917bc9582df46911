"""Nanoseconds an element of every kernel that is not a matrix product, on one core."""

import numpy as np
from numba import njit

from jitmlp_kernels import activations, batchnorm, losses, optimizers
from jitmlp_kernels.gather import CODES as ELEMENT_CODES
from jitmlp_kernels.gather import gather_rows
from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.random import dropout, row_key
from jitmlp_kernels.transpose import transpose_tile
from jitmlp_kernels.updates import update_parameters

from .kernels import best_seconds

DTYPES = ["float32", "float64"]
ROWS, UNITS = 64, 256
compiled = njit(nogil=True, error_model="numpy")


def nanoseconds(kernel, *arguments, elements, repeats=200):
    """Time of one element in the fastest of several runs."""
    return best_seconds(lambda: kernel(repeats, *arguments)) / repeats / elements * 1e9


def buffers(dtype, count):
    """``count`` blocks of rows of numbers between 0.1 and 0.9."""
    return np.random.default_rng(0).uniform(0.1, 0.9, count * ROWS * UNITS).astype(dtype)


@compiled
def activate(repeats, memory, code, parameter):
    for _ in range(repeats):
        activations.activate(memory, 0, ROWS * UNITS, ROWS, UNITS, UNITS, code, parameter)


@compiled
def derive(repeats, memory, code, parameter):
    for _ in range(repeats):
        activations.derive(memory, 0, ROWS * UNITS, ROWS, UNITS, UNITS, code, parameter)


@compiled
def softmax(repeats, memory):
    for _ in range(repeats):
        for i in range(ROWS):
            losses.softmax(memory, i * UNITS, (ROWS + i) * UNITS, UNITS)


@compiled
def loss(repeats, memory, code, parameter, weights, row_losses):
    block = ROWS * UNITS
    for _ in range(repeats):
        losses.loss_rows(
            memory, 0, block, 2 * block, ROWS, UNITS, UNITS, code, 0, parameter, weights, row_losses, 0
        )


@compiled
def update(repeats, memory, tiles, stride, code, table):
    size = TILE_ROWS * VECTOR_BYTES // memory.itemsize
    for _ in range(repeats):
        for t in range(tiles):
            update_parameters(
                memory,
                0,
                size,
                (t + 1) * 2 * size,
                TILE_ROWS,
                2,
                size,
                stride,
                code,
                table,
                0,
                1e-4,
                1.0,
                np.inf,
            )


@compiled
def drop(repeats, memory):
    for r in range(repeats):
        for i in range(ROWS):
            dropout(memory, i * UNITS, (ROWS + i) * UNITS, UNITS, row_key(1, r, 0, i), 0.5)


@compiled
def statistics(repeats, memory, panels, lanes, place):
    for _ in range(repeats):
        for j in range(panels):
            batchnorm.column_statistics(memory, j * lanes, UNITS, ROWS, place + j * lanes, UNITS)


@compiled
def transpose(repeats, memory, size, lanes):
    for _ in range(repeats):
        transpose_tile(memory, 0, 2, size, 2 * size, 2 * lanes * lanes)


@compiled
def gather(repeats, memory, data, row_bytes, order, stride, code):
    for _ in range(repeats):
        gather_rows(memory, 0, UNITS, data, 0, row_bytes, order, 0, ROWS, UNITS, stride, code, ROWS * UNITS)


class Activations:
    """Forward and derivative of every row of the table."""

    params = [[row.name for row in activations.ACTIVATIONS if row.hidden], DTYPES]
    param_names = ["activation", "dtype"]

    def track_forward(self, name, dtype):
        row = activations.ACTIVATIONS[activations.CODES[name]]
        return nanoseconds(
            activate, buffers(dtype, 2), activations.CODES[name], row.default or 0.0, elements=ROWS * UNITS
        )

    def track_derivative(self, name, dtype):
        row = activations.ACTIVATIONS[activations.CODES[name]]
        return nanoseconds(
            derive, buffers(dtype, 2), activations.CODES[name], row.default or 0.0, elements=ROWS * UNITS
        )

    track_forward.unit = track_derivative.unit = "ns"


class Losses:
    """Loss and derivative of every row of the table."""

    params = [[row.name for row in losses.LOSSES], DTYPES]
    param_names = ["loss", "dtype"]

    def track_loss(self, name, dtype):
        ones, out = np.ones(ROWS), np.zeros(ROWS)
        return nanoseconds(loss, buffers(dtype, 3), losses.CODES[name], 0.5, ones, out, elements=ROWS * UNITS)

    track_loss.unit = "ns"


class Updates:
    """One optimizer step a parameter, from the second-level cache and from memory."""

    params = [[row.name for row in optimizers.OPTIMIZERS], DTYPES, [10_000, 1_000_000]]
    param_names = ["optimizer", "dtype", "parameters"]

    def track_update(self, name, dtype, parameters):
        size = 2 * TILE_ROWS * VECTOR_BYTES // np.dtype(dtype).itemsize
        tiles = parameters // size
        stride = (tiles + 1) * size + 64
        memory = np.full((2 + optimizers.MAX_SLOTS) * stride, 0.01, dtype)
        table = optimizers.coefficient_table(name, np.full(1, 1e-9), np.full(1, 5.0), {})
        return nanoseconds(
            update, memory, tiles, stride, optimizers.CODES[name], table,
            elements=tiles * size, repeats=max(1, 500_000 // parameters),
        )  # fmt: skip

    track_update.unit = "ns"


class Others:
    """Softmax, dropout, the sums of batch normalization, the transposed copy of a tile."""

    params = [DTYPES]
    param_names = ["dtype"]

    def track_softmax(self, dtype):
        return nanoseconds(softmax, buffers(dtype, 2), elements=ROWS * UNITS)

    def track_dropout(self, dtype):
        return nanoseconds(drop, buffers(dtype, 2), elements=ROWS * UNITS)

    def track_batch_statistics(self, dtype):
        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        memory = np.concatenate([buffers(dtype, 1), np.ones(batchnorm.VECTORS * UNITS, dtype)])
        return nanoseconds(statistics, memory, UNITS // lanes, lanes, ROWS * UNITS, elements=ROWS * UNITS)

    def track_transpose(self, dtype):
        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        size = TILE_ROWS * lanes
        memory = np.ones(2 * size + 4 * lanes * lanes * max(1, TILE_ROWS // lanes), dtype)
        return nanoseconds(transpose, memory, size, lanes, elements=2 * size, repeats=20_000)

    track_softmax.unit = track_dropout.unit = track_batch_statistics.unit = track_transpose.unit = "ns"


class Gathers:
    """A row's element cast into the buffer, for every dtype of input."""

    params = [sorted(str(dtype) for dtype in ELEMENT_CODES), DTYPES]
    param_names = ["input", "dtype"]

    def track_gather(self, kind, dtype):
        data = np.ones((1000, UNITS), kind)
        memory = np.zeros(ROWS * UNITS + 64, dtype)
        order = np.random.default_rng(0).integers(1000, size=ROWS)
        code = ELEMENT_CODES[data.dtype]
        raw = data.reshape(-1).view(np.uint8)
        return nanoseconds(
            gather, memory, raw, data.strides[0], order, data.itemsize, code, elements=ROWS * UNITS
        )

    track_gather.unit = "ns"
