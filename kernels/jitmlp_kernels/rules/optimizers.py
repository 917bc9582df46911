"""The table of optimizers.

To add an optimizer, write its update and the coefficients of its steps and add one
row to ``OPTIMIZERS``. The update is elementwise: it maps a parameter ``w``, its
gradient ``g`` and its state to the new parameter and state. Whatever depends on the
step and not on the parameter is computed outside, in float64, by ``coefficients``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from jitmlp_kernels.rules.rule import Rule
from jitmlp_kernels.trace.functions import sqrt, where


@dataclass(frozen=True)
class Hyperparameter:
    """Default of a hyperparameter, and the range it must lie in: ``low <= value < high``."""

    default: float | bool
    low: float = 0.0
    high: float = float("inf")


@dataclass(frozen=True)
class OptimizerRule(Rule):
    """One row of the table.

    Attributes
    ----------
    update : callable
        ``update(w, g, state, c) -> (w, state)``, with ``state`` a tuple of one value
        a slot and ``c`` the step's coefficients by name.
    coefficients : callable
        ``coefficients(lr, t, h) -> dict`` of arrays for the learning rates ``lr`` and
        the step numbers ``t`` (1 at the first step), with the hyperparameters ``h``.
    slots : tuple of str
        The names of the state's arrays, each of the parameters' shape, zero at first.
    hyperparameters : mapping
        Of what ``h`` holds, by name.
    """

    name: str
    update: Callable
    coefficients: Callable
    slots: tuple[str, ...] = ()
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict, hash=False)
    formula: str = ""
    source: str = ""
    built_in: bool = True

    @property
    def defaults(self) -> dict:
        """The hyperparameters' defaults."""
        return {name: h.default for name, h in self.hyperparameters.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`table`; the plain learning rate is the first."""
        return ("learning_rate", *self.coefficients(np.ones(1), np.ones(1), self.defaults))

    def table(self, rates, steps, hyperparameters) -> np.ndarray:
        """The coefficients of a run of steps, one row a step, for the kernels.

        Parameters
        ----------
        rates, steps : array of shape (n_steps,)
            The learning rate and the number (from 1) of each step.
        hyperparameters : dict
            Those of the row that differ from its defaults.
        """
        values = self.coefficients(rates, steps, {**self.defaults, **hyperparameters})
        table = np.empty((len(rates), len(values) + 1))
        table[:, 0] = rates
        for column, value in enumerate(values.values(), 1):
            table[:, column] = value
        return table


def _momentum(w, g, state, c):
    velocity = c.momentum * state[0] - c.lr * g
    return w + velocity, (velocity,)


def _nesterov(w, g, state, c):
    velocity = c.momentum * state[0] - c.lr * g
    return w + (c.momentum * velocity - c.lr * g), (velocity,)


def _adagrad(w, g, state, c):
    total = state[0] + g * g
    return w - c.lr * g / (sqrt(total) + c.epsilon), (total,)


def _rmsprop(w, g, state, c):
    square = c.rho * state[0] + c.rest * g * g
    mean = c.rho * state[1] + c.rest * g
    spread = square - c.centered * mean * mean
    velocity = c.momentum * state[2] + g / (sqrt(where(spread < 0.0, 0.0, spread)) + c.epsilon)
    return w - c.lr * velocity, (square, mean, velocity)


def _moments(g, state, c):
    """First and second moment of the gradient, each an exponential mean."""
    return c.beta_1 * state[0] + c.rest_1 * g, c.beta_2 * state[1] + c.rest_2 * (g * g)


def _betas(h):
    return {
        "beta_1": h["beta_1"],
        "rest_1": 1 - h["beta_1"],
        "beta_2": h["beta_2"],
        "rest_2": 1 - h["beta_2"],
        "epsilon": h.get("epsilon", 0.0),
    }


def _adam(w, g, state, c):
    first, second = _moments(g, state, c)
    return w - c.lr * first / (sqrt(second) + c.epsilon), (first, second)


def _corrected(lr, t, h):
    """Adam's coefficients with both bias corrections in the learning rate."""
    return {"lr": lr * np.sqrt(1 - h["beta_2"] ** t) / (1 - h["beta_1"] ** t), **_betas(h)}


def _amsgrad(w, g, state, c):
    first, second = _moments(g, state, c)
    largest = where(second < state[2], state[2], second)
    return w - c.lr * first / (sqrt(largest) * c.correction + c.epsilon), (first, second, largest)


def _separate(lr, t, h):
    """Adam's coefficients with the second correction beside the root, as PyTorch does."""
    correction = 1 / np.sqrt(1 - h["beta_2"] ** t)
    return {"lr": lr / (1 - h["beta_1"] ** t), **_betas(h), "correction": correction}


def _adamw(w, g, state, c):
    first, second = _moments(g, state, c)
    return w * c.keep - c.lr * first / (sqrt(second) * c.correction + c.epsilon), (first, second)


def _nadam(w, g, state, c):
    first, second = _moments(g, state, c)
    return w - (c.lr_gradient * g + c.lr_moment * first) / (sqrt(second) * c.correction + c.epsilon), (first, second)


def _nadam_coefficients(lr, t, h):
    """The momentum warm-up of Dozat 2016 with PyTorch's decay of 0.004."""
    last = int(np.max(t)) + 1
    mu = h["beta_1"] * (1 - 0.5 * 0.96 ** (np.arange(1, last + 1) * 0.004))
    product = np.cumprod(mu)
    t = np.asarray(t, dtype=int)
    now, following = mu[t - 1], mu[t]
    return {
        "lr_gradient": lr * (1 - now) / (1 - product[t - 1]),
        "lr_moment": lr * following / (1 - product[t]),
        **_betas(h),
        "correction": 1 / np.sqrt(1 - h["beta_2"] ** t.astype(float)),
    }


def _lion(w, g, state, c):
    blend = c.beta_1 * state[0] + c.rest_1 * g
    step = where(blend > 0.0, c.lr, where(blend < 0.0, -c.lr, blend * 0.0))
    return w * c.keep - step, (c.beta_2 * state[0] + c.rest_2 * g,)


def _decay(lr, h):
    return {"keep": 1 - lr * h["weight_decay"]}


SMALL = Hyperparameter(1e-8, low=np.nextafter(0, 1))
MOMENTUM = Hyperparameter(0.9, 0.0, np.nextafter(1, 2))  # 1 is allowed, as in scikit-learn
ADAM = {"beta_1": Hyperparameter(0.9, 0, 1), "beta_2": Hyperparameter(0.999, 0, 1), "epsilon": SMALL}

# The gradient itself as state: for L-BFGS, gradient checks, global norms, exchange between processes
GRADIENT = OptimizerRule(
    "gradient", lambda w, g, state, c: (w, (g,)), lambda lr, t, h: {}, ("gradient",), {}, "w unchanged, g kept"
)

OPTIMIZERS = (
    OptimizerRule(
        "gradient_descent",
        lambda w, g, state, c: (w - c.lr * g, ()),
        lambda lr, t, h: {"lr": lr},
        formula="w - lr g",
        source="Cauchy 1847; Robbins & Monro 1951",
    ),
    OptimizerRule(
        "momentum",
        _momentum,
        lambda lr, t, h: {"lr": lr, "momentum": h["momentum"]},
        ("velocity",),
        {"momentum": MOMENTUM},
        "v = mu v - lr g; w + v",
        "Polyak 1964",
    ),
    OptimizerRule(
        "nesterov",
        _nesterov,
        lambda lr, t, h: {"lr": lr, "momentum": h["momentum"]},
        ("velocity",),
        {"momentum": MOMENTUM},
        "v = mu v - lr g; w + mu v - lr g",
        "Nesterov 1983, in the form of Sutskever et al. 2013",
    ),
    OptimizerRule(
        "adagrad",
        _adagrad,
        lambda lr, t, h: {"lr": lr, "epsilon": h["epsilon"]},
        ("square_sum",),
        {"epsilon": SMALL},
        "G = G + g^2; w - lr g / (sqrt G + eps)",
        "Duchi, Hazan & Singer 2011",
    ),
    OptimizerRule(
        "rmsprop",
        _rmsprop,
        lambda lr, t, h: {
            "lr": lr,
            "rho": h["rho"],
            "rest": 1 - h["rho"],
            "epsilon": h["epsilon"],
            "momentum": h["momentum"],
            "centered": float(h["centered"]),
        },
        ("second_moment", "mean", "velocity"),
        {
            "rho": Hyperparameter(0.9, 0, 1),
            "epsilon": SMALL,
            "momentum": Hyperparameter(0.0, 0, 1),
            "centered": Hyperparameter(False),
        },
        "v = rho v + (1 - rho) g^2; w - lr g / (sqrt v + eps)",
        "Tieleman & Hinton 2012; centered: Graves 2013",
    ),
    OptimizerRule(
        "adam",
        _adam,
        _corrected,
        ("first_moment", "second_moment"),
        ADAM,
        "m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w - lr_t m / (sqrt v + eps)",
        "Kingma & Ba 2015, the efficient form at the end of section 2",
    ),
    OptimizerRule(
        "amsgrad",
        _amsgrad,
        _separate,
        ("first_moment", "second_moment", "largest_moment"),
        ADAM,
        "Adam with the running maximum of v",
        "Reddi, Kale & Kumar 2018",
    ),
    OptimizerRule(
        "adamw",
        _adamw,
        lambda lr, t, h: {**_separate(lr, t, h), **_decay(lr, h)},
        ("first_moment", "second_moment"),
        {**ADAM, "weight_decay": Hyperparameter(0.01)},
        "Adam on w (1 - lr decay)",
        "Loshchilov & Hutter 2019",
    ),
    OptimizerRule(
        "nadam",
        _nadam,
        _nadam_coefficients,
        ("first_moment", "second_moment"),
        ADAM,
        "Adam with Nesterov's look-ahead",
        "Dozat 2016",
    ),
    OptimizerRule(
        "lion",
        _lion,
        lambda lr, t, h: {"lr": lr, **_betas(h), **_decay(lr, h)},
        ("momentum",),
        {
            "beta_1": Hyperparameter(0.9, 0, 1),
            "beta_2": Hyperparameter(0.99, 0, 1),
            "weight_decay": Hyperparameter(0.0),
        },
        "w (1 - lr decay) - lr sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g",
        "Chen et al. 2023",
    ),
)

BY_NAME = {row.name: row for row in (*OPTIMIZERS, GRADIENT)}
