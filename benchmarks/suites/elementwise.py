"""Nanoseconds an element of every kernel that is not a matrix product, on one core."""

import numpy as np

from jitmlp_kernels.pieces import batch_norm, gather, rows
from jitmlp_kernels.pieces.records import GROUP_ROWS
from jitmlp_kernels.pieces.vectors import update_vector
from jitmlp_kernels.rules.activations import ACTIVATIONS
from jitmlp_kernels.rules.losses import LOSSES
from jitmlp_kernels.rules.optimizers import OPTIMIZERS
from jitmlp_kernels.trace.target import VECTOR_BYTES

from .common import Bench

DTYPES = ["float32", "float64"]
UNITS = 256
ELEMENTS = GROUP_ROWS * UNITS
NAMES = [row.name for row in ACTIVATIONS if not row.coupled]
BY_NAME = {row.name: row for table in (ACTIVATIONS, LOSSES, OPTIMIZERS) for row in table}


class Elementwise:
    """Buffers of 64 rows of 256 numbers between 0.1 and 0.9."""

    def setup_buffers(self, dtype):
        self.bench = Bench(dtype)
        rng = np.random.default_rng(0)
        self.a, self.b, self.c = (rng.uniform(0.1, 0.9, ELEMENTS).astype(dtype) for _ in range(3))
        self.rows = {"source": self.a.ctypes.data, "target": self.b.ctypes.data, "row": UNITS, "units": UNITS}

    def measure(self, body, operands, **arguments):
        return self.bench.seconds(body, operands, **arguments) / ELEMENTS * 1e9


class Activation(Elementwise):
    """Forward, and the derivative times the deltas."""

    params = [NAMES, DTYPES]
    param_names = ["activation", "dtype"]

    def setup(self, name, dtype):
        self.setup_buffers(dtype)
        self.operands = {**self.rows, "parameter": BY_NAME[name].default}

    def track_forward(self, name, dtype):
        return self.measure(rows.activation_forward, self.operands, activation=BY_NAME[name])

    def track_backward(self, name, dtype):
        return self.measure(rows.activation_backward, self.operands, activation=BY_NAME[name])

    track_forward.unit = track_backward.unit = "ns an element"


class Rows(Elementwise):
    """Softmax, dropout, batch normalization and the gather."""

    params = [DTYPES]
    param_names = ["dtype"]

    def setup(self, dtype):
        self.setup_buffers(dtype)

    def track_softmax_forward(self, dtype):
        return self.measure(rows.softmax_forward, self.rows)

    def track_softmax_backward(self, dtype):
        return self.measure(rows.softmax_backward, self.rows)

    def track_dropout(self, dtype):
        return self.measure(rows.dropout, {**self.rows, "rate": 0.5, "layer": 1})

    def track_batch_norm_forward(self, dtype):
        panels = UNITS // (VECTOR_BYTES // np.dtype(dtype).itemsize)
        places = {"linear": self.a, "normalized": self.b, "statistics": self.c, "gamma": self.a, "beta": self.a}
        operands = {name: array.ctypes.data for name, array in places.items()}
        return self.measure(batch_norm.batch_norm_forward, {**operands, "row": UNITS, "panels": panels}, running=False)

    def track_gather(self, dtype):
        X = np.ones((GROUP_ROWS, UNITS), np.float32)
        operands = {"target": self.b.ctypes.data, "row": UNITS, "units": UNITS}
        job = {"x": X.ctypes.data, "x_row": X.strides[0], "x_column": 4}
        return self.measure(
            gather.gather_inputs, operands, job=job, element="float32", contiguous=True, normalize=False
        )

    for _track in (
        track_softmax_forward,
        track_softmax_backward,
        track_dropout,
        track_batch_norm_forward,
        track_gather,
    ):
        _track.unit = "ns an element"


class Loss(Elementwise):
    """Value and derivative."""

    params = [[row.name for row in LOSSES], DTYPES]
    param_names = ["loss", "dtype"]

    def setup(self, name, dtype):
        self.setup_buffers(dtype)

    def track_rows(self, name, dtype):
        operands = {**self.rows, "targets": self.c.ctypes.data, "parameter": BY_NAME[name].default}
        losses = np.zeros(200 * GROUP_ROWS)
        job = {"row_loss": losses.ctypes.data, "row_weight": losses.ctypes.data}
        return self.measure(rows.loss_rows, operands, job=job, loss=BY_NAME[name], canonical=False)

    track_rows.unit = "ns an element"


class Update:
    """An optimizer's step for parameters that lie in the first-level cache."""

    params = [[row.name for row in OPTIMIZERS], DTYPES]
    param_names = ["optimizer", "dtype"]

    def setup(self, name, dtype):
        self.bench = Bench(dtype, 8, by_rows=False)

    def track_update(self, name, dtype):
        rule, lanes = BY_NAME[name], VECTOR_BYTES // np.dtype(dtype).itemsize
        vectors = 32
        memory = np.full((2 + len(rule.slots)) * (vectors * lanes + 64), 0.01, dtype)
        table = np.ascontiguousarray(rule.table(np.full(1, 1e-9), np.ones(1), {}).repeat(200, axis=0))
        operands = {"parameters": memory.ctypes.data, "gradients": memory[-vectors * lanes :].ctypes.data}
        job = {
            "coefficients": table.ctypes.data, "n_coefficients": table.shape[1], "clip_value": np.inf,
            "state_stride": vectors * lanes + 64, "n_layers": 1,
        }  # fmt: skip
        seconds = self.bench.seconds(update_vector, {**operands, "vectors": vectors}, job=job, optimizer=rule)
        return seconds / (vectors * lanes) * 1e9

    track_update.unit = "ns an element"
