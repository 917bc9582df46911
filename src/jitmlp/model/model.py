"""What a network computes: frozen, and without any memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitmlp.model.bins import Bins
from jitmlp_kernels.pieces.gather import smooth_clip
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
    """Inputs become ``(x - shift) * scale``, feature by feature, as they are read; then they may be clipped smoothly."""

    shift: np.ndarray
    scale: np.ndarray
    clips: bool = False

    def of(self, columns: slice) -> Scaling:
        """That of some features."""
        return Scaling(self.shift[columns], self.scale[columns], self.clips)

    def apply(self, X: np.ndarray) -> np.ndarray:
        """The same in NumPy, in float64."""
        scaled = (np.asarray(X, np.float64) - self.shift) * self.scale
        return smooth_clip(scaled) if self.clips else scaled


@dataclass(frozen=True)
class Embedding:
    """Features that are categories, each looked up as a row of numbers, which are the first layer's inputs.

    Attributes
    ----------
    n_numbers : int
        Features that are numbers; they come first.
    categories : tuple of int
        How many each column of the table has, in the order of the features.
    dim : int
        Width of an embedding.
    """

    n_numbers: int
    categories: tuple[int, ...]
    dim: int

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer: numbers, and an embedding of each column."""
        return self.n_numbers + len(self.categories) * self.dim

    @property
    def places(self) -> np.ndarray:
        """Where among the inputs the embedding of each category begins."""
        return np.repeat(np.arange(self.n_numbers, self.n_inputs, self.dim), self.categories)

    def product(self, weights: np.ndarray, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """The weights of all features, and of what follows, which do without embeddings what those of the inputs do with them."""
        starts = range(self.n_numbers, self.n_inputs, self.dim)
        parts = [own @ weights[start : start + self.dim] for own, start in zip(embeddings, starts)]
        return np.concatenate([weights[: self.n_numbers], *parts, weights[self.n_inputs :]])


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
    embedding : Embedding, optional
        Of features that are categories.
    bins : Bins, optional
        Of features that are numbers.
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
    embedding: Embedding | None = None
    bins: Bins | None = None

    @property
    def n_read(self) -> int:
        """Inputs of the first layer that are read: the features, or numbers and embeddings."""
        return self.n_features if self.embedding is None else self.embedding.n_inputs

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer: those that are read, and what bins add to them."""
        return self.n_read + (self.bins.n_added if self.bins else 0)

    @property
    def interpolates(self) -> bool:
        """Whether numbers in bins are not inputs, but places between what they add to the units at two edges.

        Not where all inputs are needed as they are: to be dropped or rounded, or for what embeddings learn.
        """
        needs_inputs = self.input_dropout or self.bfloat16 or self.embedding is not None
        return bool(self.bins and self.bins.n_added and not needs_inputs)

    @property
    def n_multiplied(self) -> int:
        """Inputs of the first layer that are multiplied by weights."""
        return self.n_read if self.interpolates else self.n_inputs

    @property
    def layer_units(self) -> tuple[int, ...]:
        """Inputs, units of every hidden layer, outputs."""
        return (self.n_inputs, *(layer.units for layer in self.layers))

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
