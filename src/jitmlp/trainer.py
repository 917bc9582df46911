"""The training loop: epochs of compiled mini-batch steps.

``fit`` -> ``run_epoch`` -> chunks of steps. A chunk is one call into the kernels and
lasts at most about 0.2 s, so that an interrupt is heard.
"""

from __future__ import annotations

import time

import numpy as np
from jitmlp_kernels.optimizers import coefficient_table

from jitmlp.data import Source
from jitmlp.network import Network

CHUNK_SECONDS = 0.2


class Trainer:
    """Optimizer steps on one network.

    Parameters
    ----------
    network : Network
        Laid out with the state of ``network.optimizer``.
    learning_rate : LearningRate
    hyperparameters : dict
        Of the optimizer's row, where they differ from its defaults.
    alpha : float
        L2 penalty.
    """

    def __init__(self, network: Network, learning_rate, hyperparameters: dict, alpha: float):
        self.network = network
        self.learning_rate = learning_rate
        self.hyperparameters = hyperparameters
        self.alpha = alpha
        self.steps = 0
        self._seconds_per_step = None

    def run_epoch(self, source: Source, order, batch_size: int, max_epochs: int) -> float:
        """One pass over the rows ``order``; returns the mean loss, penalty included."""
        n_steps = -(-len(order) // batch_size)
        rates = self.learning_rate.rates(self.steps, n_steps, max_epochs)
        total, done = 0.0, 0
        while done < n_steps:
            n_chunk = min(self._chunk(), n_steps - done)
            numbers = np.arange(self.steps + 1, self.steps + 1 + n_chunk, dtype=float)
            table = coefficient_table(
                self.network.optimizer, rates[done : done + n_chunk], numbers, self.hyperparameters
            )
            rows = order[done * batch_size : (done + n_chunk) * batch_size]
            start = time.perf_counter()
            total += self.network.train(source, rows, batch_size, table, self.alpha)
            self._seconds_per_step = (time.perf_counter() - start) / n_chunk
            self.steps += n_chunk
            done += n_chunk
        return total / len(order)

    def _chunk(self) -> int:
        """Steps that the next call may take."""
        if self._seconds_per_step is None:
            return 1
        return max(1, int(CHUNK_SECONDS / max(self._seconds_per_step, 1e-7)))

    def state(self) -> dict:
        """The optimizer's state, independent of the kernels' memory layout."""
        slots = [self.network.unpack(slot + 1) for slot in range(len(self.network.slots))]
        return {"steps": self.steps, "learning_rate": self.learning_rate, "slots": slots}

    def restore(self, state: dict) -> None:
        """Go on from what :meth:`state` gave."""
        self.steps = state["steps"]
        self.learning_rate = state["learning_rate"]
        for number, (coefs, intercepts) in enumerate(state["slots"]):
            self.network.pack(coefs, intercepts, slot=number + 1)
