"""How many threads the next chunk of steps uses."""

from __future__ import annotations

import numpy as np

CHUNK_SECONDS = 0.2  # a call into the kernels lasts no longer, so that an interrupt is heard


class ThreadChoice:
    """How many threads the next chunk uses, and how many steps it has.

    Results do not depend on the count. A step of more than ``SMALL_STEP`` on one thread
    gains from all of them, whatever else happens: meeting twice a step costs a team about
    a microsecond. The fastest of some steps says so, since others may have disturbed the
    first. What a smaller step gains depends on the machine and on what else runs on it now,
    so all counts take turns for a moment, at the start and again from time to time, and the
    fastest one is used, more threads only where they are faster by a twentieth. Where one
    thread does all there is to do in hardly more than that moment, they take turns once as
    much has been done in several fits.

    Parameters
    ----------
    n_threads : int
        The most; its halves down to 1 are tried too.

    Attributes
    ----------
    n_steps : float
        How many there are to be at most in this fit.
    """

    SMALL_STEP = 3e-4
    DOUBTFUL_STEP = 1e-2  # on all threads: it may be a small one that others disturb, or before which threads must wake
    PROBE_SECONDS = 0.002
    ROUNDS = 3
    AGAIN_AFTER = 25  # moments
    GAIN = 0.95  # of the time: a team that is as fast in a quiet moment waits for its slowest thread when others need a core

    def __init__(self, n_threads: int) -> None:
        self.counts = [n_threads]
        while self.counts[-1] > 1:
            self.counts.append(self.counts[-1] // 2)
        self.n_steps = np.inf
        self.seconds: dict[int, float] = {}  # the fastest step with each count
        self.latest = 0.0
        self.large = n_threads == 1
        self.to_try = [] if self.large else [1, 1]
        self.tried = self.chunks = 0
        self.judge_at = 1 if n_threads > 1 else np.inf  # after so many chunks of a large step
        self.moment = self.PROBE_SECONDS * len(self.counts) * (1 + self.ROUNDS)
        self.spent, self.wait = 0.0, np.inf  # seconds of steps since they took turns, and after how many they do again

    def next(self) -> tuple[int, int]:
        """Thread count, and steps to run with it."""
        if self.to_try:
            count = self.to_try[0]
            known = self.seconds.get(count)
            return count, 1 if known is None else self._steps(known, self.PROBE_SECONDS)
        best = self.counts[0] if self.large else self._fastest()
        return best, self._steps(self.latest, CHUNK_SECONDS) if self.latest else 1

    def _fastest(self) -> int:
        best = 1
        for count in sorted(self.seconds):
            if self.seconds[count] < self.GAIN * self.seconds[best]:
                best = count
        return best

    @staticmethod
    def _steps(seconds_per_step: float, limit: float) -> int:
        return max(1, int(limit / max(seconds_per_step, 1e-7)))

    def learn(self, count: int, seconds_per_step: float, n_steps: int) -> None:
        """Note the time of so many steps."""
        self.latest = seconds_per_step
        self.spent += seconds_per_step * n_steps
        if not self.to_try:
            self.chunks += 1
            if self.large:
                if seconds_per_step < self.DOUBTFUL_STEP and self.chunks >= self.judge_at:
                    self.to_try, self.judge_at = [1], 2 * self.chunks
            elif self.spent >= self.wait:
                self._probe()
            return
        self.to_try.pop(0)
        self.seconds[count] = min(seconds_per_step, self.seconds.get(count, np.inf))
        self.tried += 1
        if self.tried == 2 or self.large:  # the first step may have been a compilation
            self.large = self.seconds[1] > self.SMALL_STEP
            self.latest = 0.0
            if not self.large and self.seconds[1] * self.n_steps < 2 * self.moment:
                self.wait = 2 * self.moment
            elif not self.large:
                self._probe()

    def _probe(self) -> None:
        """Let all counts take turns; the first turn of each only wakes the threads."""
        self.seconds = {}
        self.spent, self.wait = 0.0, self.AGAIN_AFTER * self.moment
        self.to_try = self.counts * (1 + self.ROUNDS)
