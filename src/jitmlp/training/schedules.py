"""The table of learning-rate schedules.

A schedule is a function of the step, evaluated for a whole epoch at a time outside the
kernels, or a reaction to what an epoch's end or a plateau shows. To add one, write its functions
and add a row to ``SCHEDULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from jitmlp_kernels.rules.optimizers import Hyperparameter

SMALLEST_RATE = 1e-6  # below which "adaptive" gives up, as in scikit-learn


class RateState(NamedTuple):
    """The learning rate now, and what a schedule remembers of the losses."""

    rate: float
    best: float = np.inf
    waited: int = 0


@dataclass(frozen=True)
class Schedule:
    """One row of the table.

    Attributes
    ----------
    factor : callable or None
        ``factor(s, n, e, p)``: what the initial learning rate is multiplied by at the
        steps ``s`` (from 0) of ``n`` in all, ``e`` a training epoch, with the parameters
        ``p``; None for those that only react.
    end_epoch : callable or None
        ``end_epoch(state, initial, t, loss, p) -> RateState`` after ``t`` samples.
    at_plateau : callable or None
        ``at_plateau(state) -> RateState``, or None to stop, where nothing improves.
    parameters : mapping
        Names, defaults and ranges of what ``p`` holds.
    """

    name: str
    factor: Callable | None = None
    end_epoch: Callable | None = None
    at_plateau: Callable | None = None
    parameters: Mapping[str, Hyperparameter] = field(default_factory=dict, hash=False)
    formula: str = ""


def _warmup_cosine(s: np.ndarray, n: int, e: int, p: Mapping[str, float]) -> np.ndarray:
    first = max(1.0, p["warmup"] * n)
    rest = np.clip((s - first) / max(1.0, n - first), 0, 1)
    return np.where(s < first, (s + 1) / first, 0.5 * (1 + np.cos(np.pi * rest)))


def _one_cycle(s: np.ndarray, n: int, e: int, p: Mapping[str, float]) -> np.ndarray:
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


def _invscaling(state: RateState, initial: float, t: int, loss: float, p: Mapping[str, float]) -> RateState:
    return state._replace(rate=initial / (t + 1) ** p["power_t"])


def _fifth(state: RateState) -> RateState | None:
    return None if state.rate <= SMALLEST_RATE else state._replace(rate=state.rate / 5.0)


def _reduce_on_plateau(state: RateState, initial: float, t: int, loss: float, p: Mapping[str, float]) -> RateState:
    if loss < state.best * (1 - p["threshold"]):
        return state._replace(best=loss, waited=0)
    if state.waited + 1 > p["patience"]:
        return state._replace(rate=state.rate * p["factor"], waited=0)
    return state._replace(waited=state.waited + 1)


SHARE = Hyperparameter(0.1, 0.0, 1.0)
SCHEDULES = (
    Schedule("constant", formula="lr"),
    Schedule(
        "invscaling",
        end_epoch=_invscaling,
        parameters={"power_t": Hyperparameter(0.5)},
        formula="lr / (t + 1)^power_t, t the samples seen at the epoch's end",
    ),
    Schedule("adaptive", at_plateau=_fifth, formula="lr / 5 at every plateau of n_iter_no_change epochs"),
    Schedule(
        "step",
        lambda s, n, e, p: p["factor"] ** ((s // e) // p["every"]),
        parameters={"factor": Hyperparameter(0.5), "every": Hyperparameter(10, 1)},
        formula="lr factor^floor(epoch / every)",
    ),
    Schedule(
        "exponential",
        lambda s, n, e, p: p["factor"] ** (s // e),
        parameters={"factor": Hyperparameter(0.95)},
        formula="lr factor^epoch",
    ),
    Schedule(
        "cosine",
        lambda s, n, e, p: p["end"] + (1 - p["end"]) * 0.5 * (1 + np.cos(np.pi * s / n)),
        parameters={"end": Hyperparameter(0.0)},
        formula="lr (end + (1 - end) (1 + cos(pi s / n)) / 2)",
    ),
    Schedule(
        "cosine_log",
        lambda s, n, e, p: 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + (2 ** p["cycles"] - 1) * s / n))),
        parameters={"cycles": Hyperparameter(4, np.nextafter(0, 1), 50)},
        formula="lr (1 - cos(2 pi log2(1 + (2^cycles - 1) s / n))) / 2: cycles of doubled length (Holzmüller et al. 2024)",
    ),
    Schedule(
        "warmup",
        lambda s, n, e, p: np.minimum(1.0, (s + 1) / max(1.0, p["warmup"] * n)),
        parameters={"warmup": SHARE},
        formula="linear from 0 over a share of the steps, then lr",
    ),
    Schedule(
        "warmup_cosine",
        _warmup_cosine,
        parameters={"warmup": SHARE},
        formula="linear from 0 over a share of the steps, then cosine to 0",
    ),
    Schedule(
        "one_cycle",
        _one_cycle,
        parameters={
            "warmup": Hyperparameter(0.3, 0.0, 1.0),
            "start": Hyperparameter(25.0, np.nextafter(0, 1)),
            "end": Hyperparameter(1e4, np.nextafter(0, 1)),
        },
        formula="cosine from lr / start to lr and down to lr / (start end)",
    ),
    Schedule(
        "reduce_on_plateau",
        end_epoch=_reduce_on_plateau,
        parameters={
            "factor": Hyperparameter(0.1),
            "patience": Hyperparameter(5),
            "threshold": Hyperparameter(1e-4),
        },
        formula="lr factor after patience epochs without a relative gain of threshold",
    ),
)

BY_NAME = {row.name: row for row in SCHEDULES}


@dataclass(frozen=True)
class Rate:
    """The learning rate of a run.

    Attributes
    ----------
    schedule : Schedule or callable
        A row of the table, or ``f(step) -> learning rate`` of the step counted from 0.
    initial : float
    parameters : mapping
        Those of the row.
    """

    schedule: Schedule | Callable
    initial: float
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def start(self) -> RateState:
        """The state before training."""
        return RateState(float(self.initial))

    @property
    def identity(self) -> tuple:
        """What a state belongs to: it serves another rate only if these are equal."""
        schedule = self.schedule.name if isinstance(self.schedule, Schedule) else self.schedule
        return schedule, float(self.initial), tuple(sorted(self.parameters.items()))

    @property
    def is_even(self) -> bool:
        """Whether all steps of an epoch have the rate of the state."""
        return isinstance(self.schedule, Schedule) and self.schedule.factor is None

    @cached_property
    def holds(self) -> bool:
        """Whether the rate stays as it is from plateau to plateau."""
        return isinstance(self.schedule, Schedule) and self.is_even and self.schedule.end_epoch is None

    def rates(
        self, state: RateState, first_step: int, n_steps: int, max_epochs: int, cyclic: bool = False
    ) -> np.ndarray:
        """Learning rates of one epoch of ``n_steps``, of which ``first_step`` came before.

        Raises
        ------
        ValueError
            If a schedule of the user's own gives anything but numbers >= 0.
        """
        if self.is_even:
            return np.full(n_steps, state.rate)
        steps = np.arange(first_step, first_step + n_steps)
        if not isinstance(self.schedule, Schedule):
            return self._of_user(steps)
        assert self.schedule.factor is not None
        total = n_steps * max_epochs
        if cyclic:
            steps = steps % total
        else:
            total = max(total, first_step + n_steps)
        return self.initial * self.schedule.factor(steps, total, n_steps, self.parameters)

    def _of_user(self, steps: np.ndarray) -> np.ndarray:
        rates = np.empty(len(steps))
        for i, step in enumerate(steps):
            rate = self.schedule(int(step))  # type: ignore[operator]
            try:
                rates[i] = float(rate)
            except (TypeError, ValueError):
                rates[i] = np.nan
            if not 0 <= rates[i] < np.inf:
                raise ValueError(
                    f"The 'learning_rate' parameter must give numbers in [0, inf). "
                    f"Got {rate!r} for step {int(step)} instead."
                )
        return rates

    def end_epoch(self, state: RateState, rates: np.ndarray, t: int, loss: float) -> RateState:
        """The state after an epoch, ``t`` samples into training."""
        state = state._replace(rate=float(rates[-1])) if len(rates) else state
        if isinstance(self.schedule, Schedule) and self.schedule.end_epoch is not None:
            return self.schedule.end_epoch(state, self.initial, t, loss, self.parameters)
        return state

    def at_plateau(self, state: RateState) -> RateState | None:
        """The state to go on with at a plateau; None to stop."""
        if isinstance(self.schedule, Schedule) and self.schedule.at_plateau is not None:
            return self.schedule.at_plateau(state)
        return None

    @property
    def reacts_to_plateau(self) -> bool:
        """Whether a plateau need not be the end."""
        return isinstance(self.schedule, Schedule) and self.schedule.at_plateau is not None
