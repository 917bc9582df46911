"""Networks and data that the suites share, and a clock for single kernels."""

import time
from contextlib import contextmanager

import numpy as np

from jitmlp.engine.data import Data
from jitmlp.engine.job import Job
from jitmlp.engine.program import Program
from jitmlp.engine.workspace import Constraints, Workspace
from jitmlp.model.model import Layer, Model
from jitmlp.model.parameters import Parameters
from jitmlp_kernels.pieces.records import GROUP_ROWS
from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATIONS
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS

NETWORKS = {
    "784-128-64-10, batch 200": ((784, 128, 64, 10), 200),
    "784-128-64-10, batch 32": ((784, 128, 64, 10), 32),
    "784-30-10, batch 10": ((784, 30, 10), 10),
    "784-512-512-10, batch 128": ((784, 512, 512, 10), 128),
    "64-32-10, batch 8": ((64, 32, 10), 8),
}


def images(n, features, dtype="float32", classes=10):
    """Rows that are one fifth nonzero, as images of digits are, and their classes."""
    rng = np.random.default_rng(0)
    X = (rng.random((n, features)) * (rng.random((n, features)) < 0.2)).astype(dtype)
    return X, np.arange(n) % classes


def make_workspace(units, batch, dtype="float32", n_threads=2, optimizer="adam", activation="relu"):
    """A classifier's network with random weights."""
    hidden = [Layer(n, ACTIVATIONS[activation]) for n in units[1:-1]]
    model = Model(units[0], (*hidden, Layer(units[-1], ACTIVATIONS["softmax"])), LOSSES["log_loss"], np.dtype(dtype))
    workspace = Workspace(model, batch, n_threads, OPTIMIZERS[optimizer])
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in model.shapes]
    workspace.load(Parameters.of(weights, [np.zeros(n) for n in units[1:]]))
    return workspace


class Steps:
    """A network and everything that a run of its steps needs."""

    def __init__(self, units, batch, dtype="float32", n_threads=2, optimizer="adam", activation="relu", n_steps=50):
        self.workspace = make_workspace(units, batch, dtype, n_threads, optimizer, activation)
        self.data = Data(*images(max(2000, batch), units[0], dtype, units[-1]))
        self.order = np.random.default_rng(0).integers(self.data.n_samples, size=n_steps * batch)
        rates, numbers = np.full(n_steps, 1e-4), np.arange(1.0, n_steps + 1)
        self.table = OPTIMIZERS[optimizer].table(rates, numbers, {})
        self.batch, self.n_steps = batch, n_steps
        self.run()

    def run(self, n_threads=None):
        """All steps, in one call into the kernels."""
        self.workspace.train(self.data, self.order, self.batch, self.table, Constraints(1e-4), n_threads=n_threads)


@contextmanager
def first_calls(job, count):
    """Only the first ``count`` calls of the job's steps are made."""
    whole = job.phases.copy()
    for end in ("last_call", "end_call"):
        job.phases[end] = np.minimum(whole[end], count)
    try:
        yield
    finally:
        job.phases[:] = whole


def best_seconds(function, repeats=7):
    """The fastest of several calls, the first of which compiles."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class Bench:
    """Single pieces, run again and again by the driver on one thread.

    Parameters
    ----------
    dtype : str
    rows : int
        Of the buffers that a call works on; with ``by_rows`` 64, a group.
    """

    def __init__(self, dtype, rows=GROUP_ROWS, by_rows=True):
        self.workspace = make_workspace((8, 8, 4), max(rows, 8), dtype, 1)
        self.rows, self.by_rows, self.dtype = rows, by_rows, np.dtype(dtype)

    def seconds(self, body, operands, repeats=200, job=None, **arguments):
        """Seconds of one call: the fastest of several runs of ``repeats``."""
        program = Program(self.dtype)
        program.phase(by_rows=self.by_rows)
        program.call(body, operands, **arguments)
        made = Job(self.workspace, program)
        count = self.rows * repeats
        order = np.arange(count) % self.rows
        made.set(
            order=order.ctypes.data, n_order=count, epoch_rows=count, epoch_steps=repeats,
            batch_size=count if self.by_rows else self.rows,
            prediction=1, last_phase=1 if self.by_rows else repeats, n_threads=1,
            shares=self.workspace.layout.share_strips(1).ctypes.data, **(job or {}),
        )  # fmt: skip
        return best_seconds(made.run_alone) / repeats
