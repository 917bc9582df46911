"""Every row of the table of optimizers against a step-by-step NumPy reference."""

import numpy as np
import pytest

from helpers import Constraints, Data, coefficient_table, make_network
from jitmlp_kernels.rules.optimizers import OPTIMIZERS

STEPS = 25


def adam_moments(g, s, t, h):
    s["m"] = h["beta_1"] * s.get("m", 0) + (1 - h["beta_1"]) * g
    s["v"] = h["beta_2"] * s.get("v", 0) + (1 - h["beta_2"]) * g**2
    return s["m"] / (1 - h["beta_1"] ** t), s["v"] / (1 - h["beta_2"] ** t)


def gradient_descent(w, g, s, t, lr, h):
    return w - lr * g


def momentum(w, g, s, t, lr, h):
    s["v"] = h["momentum"] * s.get("v", 0) - lr * g
    return w + s["v"]


def nesterov(w, g, s, t, lr, h):
    s["v"] = h["momentum"] * s.get("v", 0) - lr * g
    return w + h["momentum"] * s["v"] - lr * g


def adagrad(w, g, s, t, lr, h):
    s["G"] = s.get("G", 0) + g**2
    return w - lr * g / (np.sqrt(s["G"]) + h["epsilon"])


def rmsprop(w, g, s, t, lr, h):
    s["v"] = h["rho"] * s.get("v", 0) + (1 - h["rho"]) * g**2
    s["a"] = h["rho"] * s.get("a", 0) + (1 - h["rho"]) * g
    spread = s["v"] - (s["a"] ** 2 if h["centered"] else 0)
    s["b"] = h["momentum"] * s.get("b", 0) + g / (np.sqrt(spread) + h["epsilon"])
    return w - lr * s["b"]


def adam(w, g, s, t, lr, h):
    # epsilon beside the uncorrected root: the efficient form of the paper, scikit-learn's
    m, v = adam_moments(g, s, t, h)
    root = np.sqrt(1 - h["beta_2"] ** t)
    return w - lr * root * m / (np.sqrt(s["v"]) + h["epsilon"])


def amsgrad(w, g, s, t, lr, h):
    m, _ = adam_moments(g, s, t, h)
    s["x"] = np.maximum(s.get("x", 0), s["v"])
    return w - lr * m / (np.sqrt(s["x"] / (1 - h["beta_2"] ** t)) + h["epsilon"])


def adamw(w, g, s, t, lr, h):
    m, v = adam_moments(g, s, t, h)
    return w - lr * h["weight_decay"] * w - lr * m / (np.sqrt(v) + h["epsilon"])


def nadam(w, g, s, t, lr, h):
    mu = h["beta_1"] * (1 - 0.5 * 0.96 ** (t * 0.004))
    following = h["beta_1"] * (1 - 0.5 * 0.96 ** ((t + 1) * 0.004))
    s["p"] = s.get("p", 1) * mu
    _, v = adam_moments(g, s, t, h)
    m = following * s["m"] / (1 - s["p"] * following) + (1 - mu) * g / (1 - s["p"])
    return w - lr * m / (np.sqrt(v) + h["epsilon"])


def lion(w, g, s, t, lr, h):
    c = h["beta_1"] * s.get("m", 0) + (1 - h["beta_1"]) * g
    s["m"] = h["beta_2"] * s.get("m", 0) + (1 - h["beta_2"]) * g
    return w - lr * (np.sign(c) + h["weight_decay"] * w)


REFERENCES = {
    f.__name__: f for f in (gradient_descent, momentum, nesterov, adagrad, rmsprop, adam, amsgrad, adamw, nadam, lion)
}
VARIANTS = [
    *[(row.name, {}) for row in OPTIMIZERS if row.name != "gradient"],
    ("rmsprop", {"centered": True, "momentum": 0.8, "rho": 0.95}),
    ("adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("adamw", {"weight_decay": 0.1}),
    ("lion", {"weight_decay": 0.1}),
]


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-9), ("float32", 2e-3)])
@pytest.mark.parametrize("name, changed", VARIANTS)
def test_steps_equal_the_reference(name, changed, dtype, rtol):
    """Twenty-five steps of a linear model, whose gradients the test computes itself."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 18)), rng.normal(size=(40, 3))
    network, (W,), (b,) = make_network(
        (18, 3), output="identity", loss="squared_error", dtype=dtype, optimizer=name, rows=8
    )
    row = next(row for row in OPTIMIZERS if row.name == name)
    hyperparameters = {**row.defaults, **changed}
    rates = 0.01 / np.arange(1, STEPS + 1) ** 0.5
    table = coefficient_table(name, rates, np.arange(1.0, STEPS + 1), changed)
    order = np.concatenate([np.arange(40)] * 5)
    network.run(Data(X.astype(dtype), Y), order, 8, table, Constraints(0.1))
    states = {}, {}
    for t in range(1, STEPS + 1):
        rows = order[(t - 1) * 8 : t * 8]
        delta = X[rows] @ W + b - Y[rows]
        gradients = (X[rows].T @ delta + 0.1 * W) / 8, delta.mean(axis=0)
        W, b = (
            REFERENCES[name](w, g, s, t, rates[t - 1], hyperparameters) for w, g, s in zip((W, b), gradients, states)
        )
    (mine,), (my_bias,) = network.unpack()
    np.testing.assert_allclose(mine, W, rtol=rtol, atol=rtol * 1e-1)
    np.testing.assert_allclose(my_bias, b, rtol=rtol, atol=rtol * 1e-1)


def test_every_row_has_a_reference():
    assert set(REFERENCES) == {row.name for row in OPTIMIZERS} - {"gradient"}
