"""GFLOP/s of the register tile and nanoseconds an element of the other kernels."""

import time

import numpy as np
from numba import njit

from jitmlp_kernels.host import TILE_PANELS, TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.microkernel import make_tile, tile_rows

tile_columns = make_tile(TILE_ROWS, TILE_PANELS, unit_rows=True)  # without what it asks for ahead


def best_seconds(function, repeats=7):
    """The fastest of several calls, the first of which compiles."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@njit(nogil=True, error_model="numpy")
def forward_product(memory, weights, outputs, zeros, rows, depth, panels, lanes, repeats):
    """``rows x depth`` times ``depth x panels`` as the forward pass does it."""
    for _ in range(repeats):
        for j in range(0, panels, 2):
            for i in range(0, rows, TILE_ROWS):
                tile_rows(
                    memory, i * depth, depth, weights + j * depth * lanes, lanes, depth * lanes, zeros, 0, 0,
                    outputs + i * panels * lanes + j * lanes, panels * lanes, lanes, depth,
                )  # fmt: skip


@njit(nogil=True, error_model="numpy")
def gradient_product(memory, deltas, outputs, zeros, rows, depth, panels, lanes, repeats):
    """``depth x rows`` times ``rows x panels`` as the weight gradient does it."""
    for _ in range(repeats):
        for j in range(0, panels, 2):
            for i in range(0, depth - TILE_ROWS + 1, TILE_ROWS):
                tile_columns(
                    memory, i, depth, deltas + j * lanes, panels * lanes, lanes, zeros, 0, 0,
                    outputs + j * depth * lanes + i * lanes, lanes, depth * lanes, rows,
                )  # fmt: skip


class Tile:
    """GFLOP/s of one core on the products of a dense layer."""

    params = [["float32", "float64"], [(96, 784, 128), (32, 784, 128), (128, 512, 512), (16, 128, 64)]]
    param_names = ["dtype", "rows, fan_in, fan_out"]
    unit = "GFLOP/s"

    def _measure(self, product, dtype, shape, transposed):
        rows, depth, units = shape
        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        panels = units // lanes
        first = rows * depth
        second = first + (rows if transposed else depth) * panels * lanes
        zeros = second + (depth if transposed else rows) * panels * lanes
        memory = np.full(zeros + 8 * lanes, 0.01, dtype)
        memory[zeros:] = 0
        flops = 2 * rows * depth * units
        repeats = max(1, int(2e8 / flops))
        run = lambda: product(memory, first, second, zeros, rows, depth, panels, lanes, repeats)  # noqa: E731
        return flops * repeats / best_seconds(run) / 1e9

    def track_forward(self, dtype, shape):
        return self._measure(forward_product, dtype, shape, False)

    def track_gradient(self, dtype, shape):
        return self._measure(gradient_product, dtype, shape, True)

    track_forward.unit = track_gradient.unit = unit


class Blas:
    """GFLOP/s of NumPy's matrix product on one core, to compare with."""

    params = [["float32", "float64"]]
    param_names = ["dtype"]

    def track_gemm(self, dtype):
        from threadpoolctl import threadpool_limits

        a = np.full((1024, 1024), 0.01, dtype)
        with threadpool_limits(1):
            return 2 * 1024**3 / best_seconds(lambda: a @ a) / 1e9

    track_gemm.unit = "GFLOP/s"
