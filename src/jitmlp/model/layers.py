"""From the estimators' parameters to layers: sizes, activations, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitmlp.model.choices import Activation, nearest, refuse
from jitmlp.model.initializers import BY_NAME as INITIALIZERS
from jitmlp.model.model import Layer
from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATION_NAMES
from jitmlp_kernels.rules.activations import ActivationRule

HIDDEN_NAMES = tuple(name for name, row in ACTIVATION_NAMES.items() if row.hidden)


def _one_activation(activation: Any, parameter_name: str, names: Any) -> tuple[ActivationRule, float]:
    wanted = activation if isinstance(activation, Activation) else Activation(activation)
    if callable(wanted.function):
        parameter = 0.0 if wanted.parameter is None else float(wanted.parameter)
        return wanted.rule, parameter
    if not isinstance(wanted.function, str) or wanted.function not in names:
        hint = nearest(wanted.function, names)
        raise refuse(
            parameter_name, f"a name among {sorted(names)}{hint}, an Activation, or one a hidden layer", activation
        )
    row = ACTIVATION_NAMES[wanted.function]
    if wanted.parameter is None:
        return row, row.default
    if not row.parameter:
        raise refuse(parameter_name, f"without a parameter for {row.name}", activation)
    if not isinstance(wanted.parameter, (int, float, np.number)) or not np.isfinite(wanted.parameter):
        raise refuse(parameter_name, f"an activation with a finite {row.parameter}", activation)
    return row, float(wanted.parameter)


def hidden_layers(sizes: Any, activation: Any, dropout: Any, batch_norm: bool) -> tuple[tuple[Layer, ...], float]:
    """The hidden layers from the estimators' parameters, and the dropout of the inputs.

    Raises
    ------
    InvalidParameterError
        For an unknown name, a rate outside [0, 1), or a tuple of the wrong length.
    """
    n = len(sizes)
    if isinstance(activation, (tuple, list)):
        if len(activation) != n:
            raise refuse("activation", f"one name, or one a hidden layer ({n})", activation)
        activations = [_one_activation(a, "activation", HIDDEN_NAMES) for a in activation]
    else:
        activations = [_one_activation(activation, "activation", HIDDEN_NAMES)] * n
    rates = dropout_rates(dropout, n)
    layers = tuple(
        Layer(int(units), rule, parameter, rate, bool(batch_norm))
        for units, (rule, parameter), rate in zip(sizes, activations, rates[1:])
    )
    return layers, rates[0]


def output_layer(units: int, activation: Any) -> Layer:
    """The output layer with an activation by name."""
    rule, parameter = _one_activation(activation, "out_activation", tuple(ACTIVATION_NAMES))
    return Layer(units, rule, parameter)


def is_logistic(activation: Any) -> bool:
    """Whether the hidden layers are logistic, which scikit-learn initializes apart."""
    names = activation if isinstance(activation, (tuple, list)) else (activation,)
    return any((a.name if isinstance(a, Activation) else a) in ("logistic", "sigmoid") for a in names)


def initializers(initializer: Any, n_layers: int) -> list:
    """One initializer a layer, the output's last, from the ``initializer`` parameter.

    Raises
    ------
    InvalidParameterError
        For what is not in the table, and a list of another length.
    """
    chosen = initializer if isinstance(initializer, list) else [initializer] * n_layers
    if len(chosen) != n_layers:
        raise refuse("initializer", f"one, or a list with one for each of the {n_layers} layers", initializer)
    for one in chosen:
        _check_initializer(one)
    return chosen


def _check_initializer(initializer: Any) -> None:
    """Raise unless this is a name of the table, or such a name and a number."""
    name = initializer[0] if isinstance(initializer, tuple) and len(initializer) == 2 else initializer
    number = initializer[1] if isinstance(initializer, tuple) and len(initializer) == 2 else 0.0
    known = isinstance(name, str) and name in INITIALIZERS
    if not known or not isinstance(number, (int, float, np.number)) or not np.isfinite(number):
        allowed = f"a name among {sorted(INITIALIZERS)}{nearest(name, INITIALIZERS)}, or (name, number)"
        raise refuse("initializer", allowed, initializer)


def dropout_rates(dropout: Any, n_hidden: int) -> tuple[float, ...]:
    """Shares dropped of the inputs and of every hidden layer from the ``dropout`` parameter.

    Raises
    ------
    InvalidParameterError
        For a rate outside [0, 1), or a tuple of the wrong length.
    """
    if isinstance(dropout, (tuple, list)):
        rates = tuple(dropout)
        allowed = f"a number, or a tuple with one for the inputs and each hidden layer ({n_hidden + 1})"
    else:
        rates = (0.0, *(dropout,) * n_hidden)
        allowed = "a number in the range [0, 1)"
    valid = all(isinstance(rate, (int, float, np.number)) and 0 <= float(rate) < 1 for rate in rates)
    if not valid or len(rates) != n_hidden + 1:
        raise refuse("dropout", allowed, dropout)
    return tuple(float(rate) for rate in rates)
