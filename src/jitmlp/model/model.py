"""What a network computes: frozen, and without any memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitmlp_kernels.rules.activations import ActivationRule
from jitmlp_kernels.rules.losses import LossRule


def network_dtype(dtype: Any) -> np.dtype:
    """The dtype of a network on numbers of this one: float32 stays float32, everything else is float64."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


@dataclass(frozen=True)
class Layer:
    """One layer of units.

    Attributes
    ----------
    units : int
    activation : ActivationRule
    parameter : float
        Of the activation.
    dropout : float
        Share of the outputs dropped in training.
    batch_norm : bool
        Whether the preactivations are normalized over the mini-batch.
    """

    units: int
    activation: ActivationRule
    parameter: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False


@dataclass(frozen=True, eq=False)
class Scaling:
    """Inputs become ``(x - shift) * scale``, feature by feature, as they are read."""

    shift: np.ndarray
    scale: np.ndarray

    def apply(self, X: np.ndarray) -> np.ndarray:
        """The same in NumPy, in float64."""
        return (np.asarray(X, np.float64) - self.shift) * self.scale


@dataclass(frozen=True)
class Model:
    """What a network computes: layers, loss, dtype.

    Attributes
    ----------
    n_features : int
    layers : tuple of Layer
        The output layer is the last.
    loss : LossRule
    dtype : numpy dtype
        float32 or float64.
    loss_parameter, smoothing : float
        Of the loss; the share of a class target that is spread over all classes.
    input_dropout : float
    scaling : Scaling, optional
        Of the inputs.
    bfloat16 : bool
        Whether what is multiplied in a float32 network is rounded to 8 bits of precision.
    """

    n_features: int
    layers: tuple[Layer, ...]
    loss: LossRule
    dtype: np.dtype
    loss_parameter: float = 0.0
    smoothing: float = 0.0
    input_dropout: float = 0.0
    scaling: Scaling | None = None
    bfloat16: bool = False

    @property
    def layer_units(self) -> tuple[int, ...]:
        """Features, units of every hidden layer, outputs."""
        return (self.n_features, *(layer.units for layer in self.layers))

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """``(fan_in, fan_out)`` of every layer."""
        units = self.layer_units
        return list(zip(units, units[1:]))

    @property
    def n_outputs(self) -> int:
        """Units of the output layer."""
        return self.layers[-1].units

    @property
    def has_dropout(self) -> bool:
        """Whether training drops anything."""
        return self.input_dropout > 0 or any(layer.dropout for layer in self.layers)

    @property
    def has_batch_norm(self) -> bool:
        """Whether any layer is normalized over the mini-batch."""
        return any(layer.batch_norm for layer in self.layers)

    @property
    def is_canonical(self) -> bool:
        """Whether the delta of the loss with the output's activation is prediction minus target."""
        return self.loss.canonical == self.layers[-1].activation.name

    def for_prediction(self) -> Model:
        """The same without what only training does."""
        layers = tuple(replace(layer, dropout=0.0, batch_norm=False) for layer in self.layers)
        return replace(self, layers=layers, smoothing=0.0, input_dropout=0.0)
