"""The training loop: epochs of compiled mini-batch steps.

``fit`` -> ``run_epoch`` -> chunks of steps. A chunk is one call into the kernels and
lasts at most about 0.2 s, so that an interrupt is heard.
"""

from __future__ import annotations

import time

import numpy as np

from jitmlp.data import Source
from jitmlp.network import Network
from jitmlp_kernels.optimizers import coefficient_table

CHUNK_SECONDS = 0.2


class ThreadChoice:
    """How many threads the next chunk uses.

    Results do not depend on the count. A step of more than ``SMALL_STEP`` on one thread
    gains from all of them, whatever else happens: meeting twice a step costs a team about
    a microsecond. What a smaller step gains depends on the machine and on what else runs
    on it now, so all counts take turns for a moment, at the start and again from time to
    time, and the fastest one is used.

    Parameters
    ----------
    n_threads : int
        The most; its halves down to 1 are tried too.
    """

    SMALL_STEP = 3e-4
    PROBE_SECONDS = 0.002
    ROUNDS = 3
    RETRY_EVERY = 50

    def __init__(self, n_threads: int):
        self.counts = [n_threads]
        while self.counts[-1] > 1:
            self.counts.append(self.counts[-1] // 2)
        self.seconds: dict[int, float] = {}  # the fastest step with each count
        self.latest = 0.0
        self.large = n_threads == 1
        self.to_try = [] if self.large else [1, 1]
        self.tried = self.chunks = 0

    def next(self) -> tuple[int, int]:
        """Thread count, and steps to run with it."""
        if self.to_try:
            count = self.to_try[0]
            known = self.seconds.get(count)
            return count, 1 if known is None else self._steps(known, self.PROBE_SECONDS)
        best = self.counts[0] if self.large else min(self.seconds, key=lambda count: self.seconds[count])
        return best, self._steps(self.latest, CHUNK_SECONDS) if self.latest else 1

    @staticmethod
    def _steps(seconds_per_step, limit):
        return max(1, int(limit / max(seconds_per_step, 1e-7)))

    def learn(self, count: int, seconds_per_step: float) -> None:
        """Note the time of a step."""
        self.latest = seconds_per_step
        if not self.to_try:
            self.chunks += 1
            if not self.large and self.chunks % self.RETRY_EVERY == 0:
                self._probe()
            return
        self.to_try.pop(0)
        self.seconds[count] = min(seconds_per_step, self.seconds.get(count, np.inf))
        self.tried += 1
        if self.tried == 2:  # the first step may have been a compilation
            self.large = self.seconds[1] > self.SMALL_STEP
            self.latest = 0.0
            if not self.large:
                self._probe()

    def _probe(self):
        """Let all counts take turns; the first turn of each only wakes the threads."""
        self.seconds = {}
        self.to_try = self.counts * (1 + self.ROUNDS)


class Trainer:
    """Optimizer steps on one network.

    Parameters
    ----------
    network : Network
        Laid out with the state of ``network.optimizer``.
    learning_rate : LearningRate
    hyperparameters : dict
        Of the optimizer's row, where they differ from its defaults.
    constraints : Constraints
    seed : int
        Of what dropout drops.
    """

    def __init__(self, network: Network, learning_rate, hyperparameters: dict, constraints, seed: int = 0):
        self.network = network
        self.learning_rate = learning_rate
        self.hyperparameters = hyperparameters
        self.constraints = constraints
        self.seed = seed
        self.steps = 0
        self.threads = ThreadChoice(network.n_threads)

    def run_epoch(self, source: Source, order, batch_size: int, max_epochs: int) -> float:
        """One pass over the rows ``order``; returns the mean loss, penalty included."""
        n_steps = -(-len(order) // batch_size)
        rates = self.learning_rate.rates(self.steps, n_steps, max_epochs)
        total, done = 0.0, 0
        while done < n_steps:
            n_threads, limit = self.threads.next()
            n_chunk = min(limit, n_steps - done)
            numbers = np.arange(self.steps + 1, self.steps + 1 + n_chunk, dtype=float)
            table = coefficient_table(
                self.network.optimizer, rates[done : done + n_chunk], numbers, self.hyperparameters
            )
            rows = order[done * batch_size : (done + n_chunk) * batch_size]
            start = time.perf_counter()
            total += self.network.train(
                source, rows, batch_size, table, self.constraints, self.steps, self.seed, n_threads
            )
            self.threads.learn(n_threads, (time.perf_counter() - start) / n_chunk)
            self.steps += n_chunk
            done += n_chunk
        return total / len(order)

    def state(self) -> dict:
        """The optimizer's state, independent of the kernels' memory layout."""
        network = self.network
        slots = [
            (network.unpack(slot), network.unpack_normalization(slot))
            for slot in range(1, len(network.slots) + 1)
        ]
        return {"steps": self.steps, "learning_rate": self.learning_rate, "slots": slots}

    def restore(self, state: dict) -> None:
        """Go on from what :meth:`state` gave."""
        self.steps = state["steps"]
        self.learning_rate = state["learning_rate"]
        running = self.network.unpack_normalization()
        for number, ((coefs, intercepts), normalization) in enumerate(state["slots"], 1):
            self.network.pack(coefs, intercepts, slot=number)
            # a slot has no running values: those of the network stay
            own = [[*slot[:2], *now[2:]] for slot, now in zip(normalization, running)]
            self.network.pack_normalization(own, slot=number)
