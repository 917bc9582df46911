"""Every row of the table of schedules against its formula, written out step by step."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_iris

from jitmlp import MLPClassifier
from jitmlp.training.schedules import BY_NAME, SCHEDULES, Rate

STEPS, EPOCHS = 4, 10
N = STEPS * EPOCHS


def one_cycle(s):
    peak = 0.3 * N - 1
    if s <= peak:
        return 1 + (1 / 25 - 1) * (1 + math.cos(math.pi * s / peak)) / 2
    t = (s - peak) / (N - 1 - peak)
    return 1 / 25e4 + (1 - 1 / 25e4) * (1 + math.cos(math.pi * t)) / 2


def warmup_cosine(s):
    first = 0.1 * N
    if s < first:
        return (s + 1) / first
    return (1 + math.cos(math.pi * min(1, (s - first) / (N - first)))) / 2


FORMULAS = {
    "constant": lambda s: 1.0,
    "step": lambda s: 0.5 ** (s // STEPS // 10),
    "exponential": lambda s: 0.95 ** (s // STEPS),
    "cosine": lambda s: (1 + math.cos(math.pi * s / N)) / 2,
    "cosine_log": lambda s: (1 - math.cos(2 * math.pi * math.log2(1 + 15 * s / N))) / 2,
    "warmup": lambda s: min(1.0, (s + 1) / (0.1 * N)),
    "warmup_cosine": warmup_cosine,
    "one_cycle": one_cycle,
}


def curve(schedule, parameters=None, losses=None):
    """All rates of a run whose epochs end with the given losses."""
    row = BY_NAME.get(schedule, schedule) if isinstance(schedule, str) else schedule
    defaults = {} if callable(schedule) else {name: h.default for name, h in row.parameters.items()}
    rate = Rate(row, 0.2, {**defaults, **(parameters or {})})
    state, rates = rate.start, []
    for epoch in range(EPOCHS):
        found = rate.rates(state, epoch * STEPS, STEPS, EPOCHS)
        rates.extend(found)
        state = rate.end_epoch(state, found, (epoch + 1) * 100, (losses or [1.0] * EPOCHS)[epoch])
    return np.array(rates)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    np.testing.assert_allclose(curve(name), [0.2 * FORMULAS[name](s) for s in range(N)], rtol=1e-12)


def test_every_row_is_tested():
    assert {row.name for row in SCHEDULES} == {*FORMULAS, "invscaling", "adaptive", "reduce_on_plateau"}


def test_inverse_scaling():
    expected = np.repeat([0.2, *(0.2 / (100 * e + 1) ** 0.5 for e in range(1, EPOCHS))], STEPS)
    np.testing.assert_allclose(curve("invscaling"), expected)


def test_reduce_on_plateau():
    losses = [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    rates = curve("reduce_on_plateau", {"patience": 1, "factor": 0.1}, losses)[::STEPS]
    np.testing.assert_allclose(rates, 0.2 * np.array([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]))


def test_parameters_and_functions():
    np.testing.assert_allclose(
        curve("step", {"factor": 0.1, "every": 2})[::STEPS], 0.2 * 0.1 ** (np.arange(EPOCHS) // 2)
    )
    np.testing.assert_allclose(curve(lambda step: 1 / (1 + step)), 1 / (1 + np.arange(N)))


def test_unknown_parameters_are_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="learning_rate_params"):
        MLPClassifier(learning_rate="step", learning_rate_params={"evry": 3}).fit(X, y)
