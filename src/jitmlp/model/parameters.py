"""The parameters of a network as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitmlp.model.model import Embedding, Model
from jitmlp_kernels.pieces.batch_norm import EPSILON


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization of one layer: arrays of shape (units,).

    In an optimizer's state ``mean`` and ``variance`` are None: they are not trained.
    """

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None


@dataclass(frozen=True)
class Parameters:
    """Weights, biases and batch normalization of all layers.

    Attributes
    ----------
    weights : tuple of ndarray of shape (fan_in, fan_out)
    biases : tuple of ndarray of shape (fan_out,)
    batch_norms : tuple of BatchNorm or None
        One a layer.
    embeddings : tuple of ndarray of shape (n_categories, dim)
        One a column of categories that are looked up.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    batch_norms: tuple[BatchNorm | None, ...]
    embeddings: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, weights: Any, biases: Any, batch_norms: Any = (), embeddings: Any = ()) -> Parameters:
        """From sequences of arrays, by default without batch normalization and embeddings."""
        return cls(tuple(weights), tuple(biases), tuple(batch_norms) or (None,) * len(weights), tuple(embeddings))

    def arrays(self) -> Iterator[np.ndarray]:
        """All arrays: embeddings, weights, biases, batch normalizations."""
        yield from self.embeddings
        yield from self.weights
        yield from self.biases
        for norm in self.batch_norms:
            if norm is not None:
                yield from (a for a in (norm.gamma, norm.beta, norm.mean, norm.variance) if a is not None)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Parameters:
        """The parameters with every array replaced by ``function(array)``."""
        norms = [
            norm
            and BatchNorm(
                function(norm.gamma),
                function(norm.beta),
                None if norm.mean is None else function(norm.mean),
                None if norm.variance is None else function(norm.variance),
            )
            for norm in self.batch_norms
        ]
        weights, biases, looked_up = (
            tuple(map(function, part)) for part in (self.weights, self.biases, self.embeddings)
        )
        return Parameters(weights, biases, tuple(norms), looked_up)

    def frozen(self) -> Parameters:
        """The same with read-only arrays, so that packed copies of them cannot go stale."""
        for array in self.arrays():
            array.flags.writeable = False
        return self

    def flat(self) -> np.ndarray:
        """Weights and biases in one vector of float64."""
        return np.hstack([a.ravel() for a in (*self.weights, *self.biases)]).astype(np.float64)

    def like(self, flat: np.ndarray) -> Parameters:
        """Parameters of these shapes and dtypes from what :meth:`flat` gives."""
        arrays, start = [], 0
        for old in (*self.weights, *self.biases):
            arrays.append(flat[start : start + old.size].reshape(old.shape).astype(old.dtype))
            start += old.size
        n = len(self.weights)
        return Parameters(tuple(arrays[:n]), tuple(arrays[n:]), self.batch_norms)

    def folded(self) -> Parameters:
        """The weights and biases that compute the same, in prediction, without batch normalization."""
        weights, biases = list(self.weights), list(self.biases)
        for l, norm in enumerate(self.batch_norms):
            if norm is not None and norm.variance is not None:
                scale = norm.gamma / np.sqrt(norm.variance + EPSILON)
                weights[l] = weights[l] * scale
                biases[l] = (biases[l] - norm.mean) * scale + norm.beta
        return Parameters.of(weights, biases)

    def multiplied(self, embedding: Embedding | None) -> Parameters:
        """The same for rows in which every category has a feature of its own, without embeddings."""
        if embedding is None:
            return self
        first = embedding.product(self.weights[0], self.embeddings)
        return Parameters((first, *self.weights[1:]), self.biases, self.batch_norms)

    def all_finite(self) -> bool:
        """Whether no array holds NaN or infinity."""
        return all(np.isfinite(array).all() for array in self.arrays())

    def fits(self, model: Model) -> bool:
        """Whether the shapes are those of a model."""
        embedding = model.embedding
        tables = [(count, embedding.dim) for count in embedding.categories] if embedding else []
        return (
            [w.shape for w in self.weights] == model.shapes
            and [norm is not None for norm in self.batch_norms] == [layer.batch_norm for layer in model.layers]
            and [own.shape for own in self.embeddings] == tables
        )


def check_shapes(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], ending: str = "") -> None:
    """Raise ValueError unless the layers fit each other; what was given is called ``coefs`` with this ending."""
    coefs, intercepts = f"coefs{ending}", f"intercepts{ending}"
    if not weights or len(weights) != len(biases):
        raise ValueError(f"{coefs} and {intercepts} must have one array a layer, got {len(weights)} and {len(biases)}")
    for l, (weight, bias) in enumerate(zip(weights, biases)):
        fan_in = (weights[l - 1].shape[-1:] if l else weight.shape[:1]) or (0,)
        if weight.ndim != 2 or weight.shape[:1] != fan_in or bias.shape != weight.shape[1:]:
            raise ValueError(
                f"layer {l}: {coefs}[{l}] must have shape ({fan_in[0]}, fan_out) and {intercepts}[{l}] (fan_out,), "
                f"got {weight.shape} and {bias.shape}"
            )


def new_batch_norms(model: Model) -> tuple[BatchNorm | None, ...]:
    """Batch normalization before training: gamma 1, beta 0, mean 0, variance 1."""
    start = (1.0, 0.0, 0.0, 1.0)
    return tuple(
        BatchNorm(*(np.full(layer.units, value, model.dtype) for value in start)) if layer.batch_norm else None
        for layer in model.layers
    )
