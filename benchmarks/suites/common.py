"""Networks and data that the suites share."""

import numpy as np

from jitmlp.data import Source
from jitmlp.network import Network
from jitmlp.spec import Constraints, LayerSpec, NetworkSpec
from jitmlp_kernels.activations import CODES, SOFTMAX
from jitmlp_kernels.optimizers import coefficient_table

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


class Steps:
    """A network and everything that a run of its steps needs."""

    def __init__(
        self, units, batch, dtype="float32", n_threads=2, optimizer="adam", activation="relu", n_steps=50
    ):
        layer = LayerSpec(CODES[activation])
        spec = NetworkSpec(
            units, (*[layer] * (len(units) - 2), LayerSpec(SOFTMAX)), "log_loss", np.dtype(dtype)
        )
        self.network = Network(spec, batch, n_threads, optimizer)
        rng = np.random.default_rng(0)
        self.network.pack(
            [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in zip(units, units[1:])],
            [np.zeros(n) for n in units[1:]],
        )
        self.source = Source(*images(max(2000, batch), units[0], dtype, units[-1]))
        self.order = rng.integers(self.source.n_samples, size=n_steps * batch)
        self.table = coefficient_table(optimizer, np.full(n_steps, 1e-4), np.arange(1.0, n_steps + 1), {})
        self.batch, self.n_steps = batch, n_steps
        self.run()

    def run(self, n_threads=None):
        """All steps, in one call into the kernels."""
        self.network.train(
            self.source, self.order, self.batch, self.table, Constraints(1e-4), n_threads=n_threads
        )
