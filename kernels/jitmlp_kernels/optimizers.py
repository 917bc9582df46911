"""The table of optimizers.

To add an optimizer, write its update and the coefficients of its steps and add one
row to ``OPTIMIZERS``. The update is elementwise: it maps a parameter ``w``, its
gradient ``g`` and its state to the new parameter and state. Whatever depends on the
step and not on the parameter is computed outside, in float64, by ``coefficients``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jitmlp_kernels.lanes import sqrt, where

MAX_COEFFICIENTS = 10
RATE = MAX_COEFFICIENTS - 1  # the column of the plain learning rate


class Optimizer(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    update : callable
        ``update(w, g, state, c) -> (w, state)``, with ``state`` a tuple of one value
        a slot and ``c`` the step's coefficients.
    coefficients : callable
        ``coefficients(lr, t, h) -> list of arrays`` for the learning rates ``lr`` and
        the step numbers ``t`` (1 at the first step), with the hyperparameters ``h``.
    slots : tuple of str
        The names of the state's arrays, each of the parameters' shape, zero at first.
    hyperparameters : dict
        Names and defaults of what ``h`` holds.
    """

    name: str
    update: Callable
    coefficients: Callable
    slots: tuple[str, ...]
    hyperparameters: dict
    formula: str
    source: str


def _momentum(w, g, state, c):
    velocity = c[1] * state[0] - c[0] * g
    return w + velocity, (velocity,)


def _nesterov(w, g, state, c):
    velocity = c[1] * state[0] - c[0] * g
    return w + (c[1] * velocity - c[0] * g), (velocity,)


def _adagrad(w, g, state, c):
    total = state[0] + g * g
    return w - c[0] * g / (sqrt(total) + c[1]), (total,)


def _rmsprop(w, g, state, c):
    lr, rho, rest, eps, momentum, centered = (c[i] for i in range(6))
    square = rho * state[0] + rest * g * g
    mean = rho * state[1] + rest * g
    spread = square - centered * mean * mean
    velocity = momentum * state[2] + g / (sqrt(where(spread < 0.0, 0.0, spread)) + eps)
    return w - lr * velocity, (square, mean, velocity)


def _adam(w, g, state, c):
    lr, beta_1, rest_1, beta_2, rest_2, eps = (c[i] for i in range(6))
    first = beta_1 * state[0] + rest_1 * g
    second = beta_2 * state[1] + rest_2 * (g * g)
    return w - lr * first / (sqrt(second) + eps), (first, second)


def _corrected(lr, t, h):
    """Adam's coefficients with both bias corrections in the learning rate."""
    beta_1, beta_2 = h["beta_1"], h["beta_2"]
    rate = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return [rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, h["epsilon"]]


def _amsgrad(w, g, state, c):
    lr, beta_1, rest_1, beta_2, rest_2, eps = (c[i] for i in range(6))
    first = beta_1 * state[0] + rest_1 * g
    second = beta_2 * state[1] + rest_2 * (g * g)
    largest = where(second < state[2], state[2], second)
    return w - lr * first / (sqrt(largest) * c[6] + eps), (first, second, largest)


def _separate(lr, t, h):
    """Adam's coefficients with the second correction beside the root, as PyTorch does."""
    beta_1, beta_2 = h["beta_1"], h["beta_2"]
    return [
        lr / (1 - beta_1**t),
        beta_1,
        1 - beta_1,
        beta_2,
        1 - beta_2,
        h["epsilon"],
        1 / np.sqrt(1 - beta_2**t),
    ]


def _adamw(w, g, state, c):
    lr, beta_1, rest_1, beta_2, rest_2, eps = (c[i] for i in range(6))
    first = beta_1 * state[0] + rest_1 * g
    second = beta_2 * state[1] + rest_2 * (g * g)
    return w * c[7] - lr * first / (sqrt(second) * c[6] + eps), (first, second)


def _nadam(w, g, state, c):
    beta_1, rest_1, beta_2, rest_2, eps = (c[i] for i in range(1, 6))
    first = beta_1 * state[0] + rest_1 * g
    second = beta_2 * state[1] + rest_2 * (g * g)
    return w - (c[0] * g + c[7] * first) / (sqrt(second) * c[6] + eps), (first, second)


def _nadam_coefficients(lr, t, h):
    """The momentum warm-up of Dozat 2016 with PyTorch's decay of 0.004."""
    beta_1, beta_2 = h["beta_1"], h["beta_2"]
    last = int(np.max(t)) + 1
    mu = beta_1 * (1 - 0.5 * 0.96 ** (np.arange(1, last + 1) * 0.004))
    product = np.cumprod(mu)
    t = np.asarray(t, dtype=int)
    now, following = mu[t - 1], mu[t]
    return [
        lr * (1 - now) / (1 - product[t - 1]),
        beta_1,
        1 - beta_1,
        beta_2,
        1 - beta_2,
        h["epsilon"],
        1 / np.sqrt(1 - beta_2 ** t.astype(float)),
        lr * following / (1 - product[t]),
    ]


def _lion(w, g, state, c):
    lr, beta_1, rest_1, beta_2, rest_2 = (c[i] for i in range(5))
    blend = beta_1 * state[0] + rest_1 * g
    sign = where(blend > 0.0, lr, where(blend < 0.0, -lr, blend * 0.0))
    return w * c[5] - sign, (beta_2 * state[0] + rest_2 * g,)


_ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

OPTIMIZERS = (
    Optimizer(
        "gradient",
        lambda w, g, state, c: (w, (g,)),
        lambda lr, t, h: [lr],
        ("gradient",),
        {},
        "w unchanged, g kept",
        "for L-BFGS, gradient checks and global norms",
    ),
    Optimizer(
        "gradient_descent",
        lambda w, g, state, c: (w - c[0] * g, ()),
        lambda lr, t, h: [lr],
        (),
        {},
        "w - lr g",
        "Cauchy 1847; Robbins & Monro 1951",
    ),
    Optimizer(
        "momentum",
        _momentum,
        lambda lr, t, h: [lr, h["momentum"]],
        ("velocity",),
        {"momentum": 0.9},
        "v = mu v - lr g; w + v",
        "Polyak 1964",
    ),
    Optimizer(
        "nesterov",
        _nesterov,
        lambda lr, t, h: [lr, h["momentum"]],
        ("velocity",),
        {"momentum": 0.9},
        "v = mu v - lr g; w + mu v - lr g",
        "Nesterov 1983, in the form of Sutskever et al. 2013",
    ),
    Optimizer(
        "adagrad",
        _adagrad,
        lambda lr, t, h: [lr, h["epsilon"]],
        ("square_sum",),
        {"epsilon": 1e-8},
        "G = G + g^2; w - lr g / (sqrt G + eps)",
        "Duchi, Hazan & Singer 2011",
    ),
    Optimizer(
        "rmsprop",
        _rmsprop,
        lambda lr, t, h: [lr, h["rho"], 1 - h["rho"], h["epsilon"], h["momentum"], float(h["centered"])],
        ("second_moment", "mean", "velocity"),
        {"rho": 0.9, "epsilon": 1e-8, "momentum": 0.0, "centered": False},
        "v = rho v + (1 - rho) g^2; w - lr g / (sqrt v + eps)",
        "Tieleman & Hinton 2012; centered: Graves 2013",
    ),
    Optimizer(
        "adam",
        _adam,
        _corrected,
        ("first_moment", "second_moment"),
        _ADAM,
        "m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w - lr_t m / (sqrt v + eps)",
        "Kingma & Ba 2015, the efficient form at the end of section 2",
    ),
    Optimizer(
        "amsgrad",
        _amsgrad,
        _separate,
        ("first_moment", "second_moment", "largest_moment"),
        _ADAM,
        "Adam with the running maximum of v",
        "Reddi, Kale & Kumar 2018",
    ),
    Optimizer(
        "adamw",
        _adamw,
        lambda lr, t, h: _separate(lr, t, h) + [1 - lr * h["weight_decay"]],
        ("first_moment", "second_moment"),
        {**_ADAM, "weight_decay": 0.01},
        "Adam on w (1 - lr decay)",
        "Loshchilov & Hutter 2019",
    ),
    Optimizer(
        "nadam",
        _nadam,
        _nadam_coefficients,
        ("first_moment", "second_moment"),
        _ADAM,
        "Adam with Nesterov's look-ahead",
        "Dozat 2016",
    ),
    Optimizer(
        "lion",
        _lion,
        lambda lr, t, h: [
            lr,
            h["beta_1"],
            1 - h["beta_1"],
            h["beta_2"],
            1 - h["beta_2"],
            1 - lr * h["weight_decay"],
        ],
        ("momentum",),
        {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.0},
        "w (1 - lr decay) - lr sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g",
        "Chen et al. 2023",
    ),
)

CODES = {row.name: code for code, row in enumerate(OPTIMIZERS)}
MAX_SLOTS = max(len(row.slots) for row in OPTIMIZERS)


def coefficient_table(name: str, rates, steps, hyperparameters) -> np.ndarray:
    """The coefficients of a run of steps, one row a step, for the kernels.

    Parameters
    ----------
    name : str
        A row of the table.
    rates, steps : array of shape (n_steps,)
        The learning rate and the number (from 1) of each step.
    hyperparameters : dict
        Those of the row that differ from its defaults.
    """
    row = OPTIMIZERS[CODES[name]]
    values = row.coefficients(rates, steps, {**row.hyperparameters, **hyperparameters})
    table = np.zeros((len(rates), MAX_COEFFICIENTS))
    table[:, RATE] = rates
    for column, value in enumerate(values):
        table[:, column] = value
    return table
