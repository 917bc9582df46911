"""GFLOP/s of the register tile in the two products of a dense layer, beside BLAS."""

import numpy as np

from jitmlp_kernels.pieces.product import product
from jitmlp_kernels.pieces.records import GROUP_ROWS
from jitmlp_kernels.pieces.weights import accumulate_weights
from jitmlp_kernels.trace.target import VECTOR_BYTES

from .common import Bench, best_seconds


def forward_rate(dtype, depth, units):
    """GFLOP/s of ``64 x depth`` times ``depth x units`` as the forward pass does it."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    panels = units // lanes
    a, b = np.full((GROUP_ROWS, depth), 0.01, dtype), np.full((panels, depth, lanes), 0.01, dtype)
    bias, c = np.zeros(units, dtype), np.zeros((GROUP_ROWS, units + lanes), dtype)
    operands = {
        "a": a.ctypes.data, "a_row": depth, "b": b.ctypes.data, "b_panel": depth * lanes, "panels": panels,
        "init": bias.ctypes.data, "init_panel": lanes, "c": c.ctypes.data, "c_row": units + lanes, "depth": depth,
    }  # fmt: skip
    flops = 2 * GROUP_ROWS * depth * units
    return flops / Bench(dtype).seconds(product, operands, repeats=max(1, int(2e8 / flops))) / 1e9


def gradient_rate(dtype, rows, fan_in, units):
    """GFLOP/s of ``fan_in x rows`` times ``rows x units`` as the weight gradient does it."""
    bench = Bench(dtype, rows, by_rows=False)
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    panels, panel = units // lanes, fan_in * lanes
    inputs, deltas = (np.full((rows, n + lanes), 0.01, dtype) for n in (fan_in, units))
    weights = np.zeros(2 * panels * panel + 64, dtype)
    shares = np.array([0, fan_in], np.int64)
    operands = {
        "inputs": inputs.ctypes.data, "inputs_row": fan_in + lanes, "deltas": deltas.ctypes.data,
        "deltas_row": units + lanes, "weights": weights.ctypes.data, "panels": panels, "panel": panel,
        "fan_in": fan_in, "units": units,
    }  # fmt: skip
    job = {"gradients": panels * panel, "n_layers": 1}
    flops = 2 * rows * fan_in * units
    bench.workspace.layout.share_strips = lambda n: shares
    return flops / bench.seconds(accumulate_weights, operands, max(1, int(2e8 / flops)), job) / 1e9


class Tile:
    """GFLOP/s of one core on the products of a dense layer."""

    params = [["float32", "float64"], [(96, 784, 128), (32, 784, 128), (128, 512, 512), (16, 128, 64)]]
    param_names = ["dtype", "rows, fan_in, fan_out"]

    def track_forward(self, dtype, shape):
        return forward_rate(dtype, *shape[1:])

    def track_gradient(self, dtype, shape):
        return gradient_rate(dtype, *shape)

    track_forward.unit = track_gradient.unit = "GFLOP/s"


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
