"""The table of initializers.

Weights and intercepts are drawn layer by layer from one random state, in scikit-learn's
order and with its default, so that the same seed gives the same network. To add an
initializer, write its draw and add a row to ``INITIALIZERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Initializer(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    weights : callable
        ``weights(rng, fan_in, fan_out, p) -> array of shape (fan_in, fan_out)``.
    parameter, default : str, float
        Name and default of the parameter ``p``.
    bias_bound : callable or None
        ``bias_bound(fan_in, fan_out, p)``: intercepts are uniform within this bound;
        zero if None.
    """

    name: str
    weights: Callable
    formula: str
    source: str
    parameter: str = ""
    default: float = 0.0
    bias_bound: Callable | None = None


def _uniform(bound: Any) -> Callable:
    def draw(rng: np.random.RandomState, fan_in: int, fan_out: int, p: Any) -> np.ndarray:
        limit = bound(fan_in, fan_out, p)
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def _normal(deviation: Any) -> Callable:
    def draw(rng: np.random.RandomState, fan_in: int, fan_out: int, p: Any) -> np.ndarray:
        return rng.normal(0.0, deviation(fan_in, fan_out, p), (fan_in, fan_out))

    return draw


def _orthogonal(rng: np.random.RandomState, fan_in: int, fan_out: int, gain: Any) -> np.ndarray:
    tall = rng.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))  # without it the distribution is not uniform
    return gain * (q if fan_in >= fan_out else q.T)


def _sklearn_bound(fan_in: int, fan_out: int, factor: Any) -> float:
    return np.sqrt(factor / (fan_in + fan_out))


INITIALIZERS = (
    Initializer(
        "auto",
        _uniform(_sklearn_bound),
        "U(-b, b), b = sqrt(6 / (m + n)), or sqrt(2 / (m + n)) for logistic; intercepts alike",
        "scikit-learn; Glorot & Bengio 2010",
        "factor",
        6.0,
        _sklearn_bound,
    ),
    Initializer("uniform", _uniform(lambda m, n, a: a), "U(-a, a)", "LeCun et al. 1998", "a", 0.5),
    Initializer("normal", _normal(lambda m, n, s: s), "N(0, s^2)", "Krizhevsky 2012", "s", 0.01),
    Initializer(
        "glorot_uniform",
        _uniform(lambda m, n, p: np.sqrt(6 / (m + n))),
        "U(-b, b), b = sqrt(6 / (m + n))",
        "Glorot & Bengio 2010",
    ),
    Initializer(
        "glorot_normal",
        _normal(lambda m, n, p: np.sqrt(2 / (m + n))),
        "N(0, 2 / (m + n))",
        "Glorot & Bengio 2010",
    ),
    Initializer("he_uniform", _uniform(lambda m, n, p: np.sqrt(6 / m)), "U(-b, b), b = sqrt(6 / m)", "He et al. 2015"),
    Initializer("he_normal", _normal(lambda m, n, p: np.sqrt(2 / m)), "N(0, 2 / m)", "He et al. 2015"),
    Initializer(
        "lecun_uniform",
        _uniform(lambda m, n, p: np.sqrt(3 / m)),
        "U(-b, b), b = sqrt(3 / m)",
        "LeCun et al. 1998",
    ),
    Initializer("lecun_normal", _normal(lambda m, n, p: np.sqrt(1 / m)), "N(0, 1 / m)", "LeCun et al. 1998"),
    Initializer("orthogonal", _orthogonal, "gain times an orthogonal matrix", "Saxe et al. 2014", "gain", 1.0),
    Initializer("zeros", lambda rng, m, n, p: np.zeros((m, n)), "0", "for linear models"),
)

BY_NAME = {row.name: row for row in INITIALIZERS}


def draw_layer(
    initializer: Any, random_state: Any, fan_in: int, fan_out: int, logistic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts of one layer in float64.

    Parameters
    ----------
    initializer : str or tuple of (str, float)
        A name, or a name and its parameter.
    logistic : bool
        Whether hidden layers are logistic, for which "auto" draws a narrower interval.
    """
    name, parameter = initializer if isinstance(initializer, tuple) else (initializer, None)
    row = BY_NAME[name]
    if parameter is None:
        parameter = 2.0 if name == "auto" and logistic else row.default
    weights = row.weights(random_state, fan_in, fan_out, parameter)
    if row.bias_bound is None:
        return weights, np.zeros(fan_out)
    bound = row.bias_bound(fan_in, fan_out, parameter)
    return weights, random_state.uniform(-bound, bound, fan_out)
