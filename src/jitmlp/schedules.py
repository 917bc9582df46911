"""The table of learning-rate schedules.

A schedule is a function of the step, evaluated for a whole epoch at a time outside the
kernels. To add one, write its function and add a row to ``SCHEDULES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Schedule(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    factor : callable or None
        ``factor(s, n, e, p)``: what the initial learning rate is multiplied by at the
        steps ``s`` (from 0) of ``n`` in all, ``e`` a training epoch, with the parameters
        ``p``. None for those that depend on what training has seen.
    parameters : dict
        Names and defaults of what ``p`` holds.
    """

    name: str
    factor: Callable | None
    parameters: dict
    formula: str


def _warmup_cosine(s, n, e, p):
    first = max(1.0, p["warmup"] * n)
    rest = np.clip((s - first) / max(1.0, n - first), 0, 1)
    return np.where(s < first, (s + 1) / first, 0.5 * (1 + np.cos(np.pi * rest)))


def _one_cycle(s, n, e, p):
    """Smith & Topin 2018 with cosine annealing, as PyTorch's OneCycleLR."""
    peak = max(1.0, p["warmup"] * n - 1)
    rise = np.clip(s / peak, 0, 1)
    fall = np.clip((s - peak) / max(1.0, n - 1 - peak), 0, 1)
    start, end = 1 / p["start"], 1 / (p["start"] * p["end"])
    return np.where(
        s <= peak,
        1 + (start - 1) * 0.5 * (1 + np.cos(np.pi * rise)),
        end + (1 - end) * 0.5 * (1 + np.cos(np.pi * fall)),
    )


SCHEDULES = (
    Schedule("constant", lambda s, n, e, p: np.ones(len(s)), {}, "lr"),
    Schedule("invscaling", None, {}, "lr / (t + 1)^power_t, t the samples seen at the epoch's end"),
    Schedule("adaptive", None, {}, "lr / 5 at every plateau of n_iter_no_change epochs"),
    Schedule(
        "step",
        lambda s, n, e, p: p["factor"] ** ((s // e) // p["every"]),
        {"factor": 0.5, "every": 10},
        "lr factor^floor(epoch / every)",
    ),
    Schedule(
        "exponential",
        lambda s, n, e, p: p["factor"] ** (s // e),
        {"factor": 0.95},
        "lr factor^epoch",
    ),
    Schedule(
        "cosine",
        lambda s, n, e, p: p["end"] + (1 - p["end"]) * 0.5 * (1 + np.cos(np.pi * s / n)),
        {"end": 0.0},
        "lr (end + (1 - end) (1 + cos(pi s / n)) / 2)",
    ),
    Schedule(
        "warmup",
        lambda s, n, e, p: np.minimum(1.0, (s + 1) / max(1.0, p["warmup"] * n)),
        {"warmup": 0.1},
        "linear from 0 over a share of the steps, then lr",
    ),
    Schedule(
        "warmup_cosine",
        _warmup_cosine,
        {"warmup": 0.1},
        "linear from 0 over a share of the steps, then cosine to 0",
    ),
    Schedule(
        "one_cycle",
        _one_cycle,
        {"warmup": 0.3, "start": 25.0, "end": 1e4},
        "cosine from lr / start to lr and down to lr / (start end)",
    ),
    Schedule(
        "reduce_on_plateau",
        None,
        {"factor": 0.1, "patience": 5, "threshold": 1e-4},
        "lr factor after patience epochs without a relative gain of threshold",
    ),
)

BY_NAME = {row.name: row for row in SCHEDULES}


class LearningRate:
    """The learning rate of a run: the steps' rates, and what epoch ends do to them.

    Parameters
    ----------
    schedule : str or callable
        A name of the table, or ``f(step) -> learning rate`` of the step counted from 0.
    initial : float
    parameters : dict
        Those of the row that differ from its defaults.
    power_t : float
        Exponent of ``invscaling``.
    """

    def __init__(self, schedule, initial, parameters, power_t):
        self.schedule = schedule
        self.initial = float(initial)
        self.current = float(initial)
        self.power_t = power_t
        defaults = {} if callable(schedule) else BY_NAME[schedule].parameters
        if set(parameters) - set(defaults):
            raise ValueError(
                f"The 'learning_rate_params' parameter must be a dict with keys among "
                f"{sorted(defaults)} for learning_rate={schedule!r}. Got {parameters!r} instead."
            )
        self.parameters = {**defaults, **parameters}
        self.best = np.inf
        self.waited = 0

    def rates(self, first_step: int, n_steps: int, max_epochs: int) -> np.ndarray:
        """Learning rates of one epoch of ``n_steps``, of which ``first_step`` came before."""
        steps = np.arange(first_step, first_step + n_steps)
        factor = None if callable(self.schedule) else BY_NAME[self.schedule].factor
        if callable(self.schedule):
            rates = np.array([float(self.schedule(int(step))) for step in steps])
        elif factor is None:
            return np.full(n_steps, self.current)
        else:
            total = max(n_steps * max_epochs, first_step + n_steps)
            rates = self.initial * factor(steps, total, n_steps, self.parameters)
        self.current = float(rates[-1])
        return rates

    def end_epoch(self, t: int, loss: float) -> None:
        """Take note of an epoch's end, ``t`` samples into training."""
        if self.schedule == "invscaling":
            self.current = self.initial / (t + 1) ** self.power_t
        elif self.schedule == "reduce_on_plateau":
            if loss < self.best * (1 - self.parameters["threshold"]):
                self.best, self.waited = loss, 0
            else:
                self.waited += 1
            if self.waited > self.parameters["patience"]:
                self.current *= self.parameters["factor"]
                self.waited = 0

    def stop_at_plateau(self, message: str, verbose) -> bool:
        """Whether a plateau ends training; ``adaptive`` goes on with a fifth of the rate."""
        if self.schedule != "adaptive":
            text = " Stopping."
        elif self.current <= 1e-6:
            text = " Learning rate too small. Stopping."
        else:
            self.current /= 5.0
            if verbose:
                print(f"{message} Setting learning rate to {self.current:f}")
            return False
        if verbose:
            print(message + text)
        return True
