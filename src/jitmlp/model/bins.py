"""Piecewise-linear encoding of numbers: how far a value lies in each of its feature's bins.

A number ``x`` of a feature with edges ``e_0 < ... < e_T`` is, beside itself, its rank and ``T`` inputs more

    part_t = min(max((x - e_t) / (e_{t+1} - e_t), 0), 1) / sqrt(T + 1),    rank = 3 mean_t(part_t sqrt(T + 1)) - 1.5

(Gorishniy, Rubachev & Babenko 2022, equation 1; the rank, and the root which keeps a feature's inputs of its own size
however many they are, are measured choices). A first layer of these is piecewise linear in every feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST_EDGES = 4  # of a feature that is encoded: fewer distinct values say no more than the number itself
RANK_RANGE = 3.0  # from the least to the largest rank


@dataclass(frozen=True, eq=False)
class Bins:
    """Edges of the bins of features, which give inputs behind all others.

    Attributes
    ----------
    edges : tuple of ndarray
        Of the first features, one array each, increasing; an empty one for a feature that is not encoded.
    """

    edges: tuple[np.ndarray, ...]

    @property
    def features(self) -> list[int]:
        """Places of the features that are encoded."""
        return [j for j, own in enumerate(self.edges) if len(own)]

    @property
    def n_added(self) -> int:
        """Inputs that there are more: the rank of each encoded feature, then its parts."""
        return sum(len(own) for own in self.edges)

    @property
    def most_parts(self) -> int:
        """Of a feature."""
        return max(len(own) for own in self.edges) - 1

    def starts(self, first: int) -> list[int]:
        """Where among the inputs those of each encoded feature begin, if the first of all is at a place."""
        sizes = [len(own) for own in self.edges]
        return (first + np.cumsum(sizes, dtype=int) - sizes)[self.features].tolist()

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Inputs with what is added behind them, in NumPy."""
        found = [X]
        for j in self.features:
            edges = np.asarray(self.edges[j], X.dtype)
            parts = np.clip((X[:, [j]] - edges[:-1]) / np.diff(edges), 0, 1)
            found += [RANK_RANGE * (parts.mean(axis=1, keepdims=True) - 0.5), parts / np.sqrt(len(edges))]
        return np.hstack(found).astype(X.dtype)

    def unscaled(self, shift: np.ndarray, scale: np.ndarray) -> Bins:
        """The same for inputs that are not brought to ``(x - shift) * scale``."""
        raw = (own / scale[j] + shift[j] if len(own) else own for j, own in enumerate(self.edges))
        return Bins(tuple(raw))

    def of_parts(self, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A first layer's weights and intercepts for inputs behind which there are parts from 0 to 1 alone."""
        first = len(weights) - self.n_added
        rows, bias = [weights[:first]], np.array(bias)
        for j, start in zip(self.features, self.starts(first)):
            n_parts = len(self.edges[j]) - 1
            rank, own = weights[start], weights[start + 1 : start + 1 + n_parts]
            rows.append(own / np.sqrt(n_parts + 1) + RANK_RANGE / n_parts * rank)
            bias -= RANK_RANGE / 2 * rank
        return np.concatenate(rows), bias

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all parts in order: the feature, the lower edge, and the width."""
        own = [self.edges[j] for j in self.features]
        sources = np.repeat(self.features, [len(edges) - 1 for edges in own]).astype(np.int64)
        lower = np.concatenate([edges[:-1] for edges in own] or [np.zeros(0)])
        return sources, lower, np.concatenate([np.diff(edges) for edges in own] or [np.zeros(0)])


def bins_of(edges: Sequence[Any]) -> Bins:
    """Bins with these edges, which are not written to any more.

    Raises
    ------
    ValueError
        For edges that are no bins.
    """
    own = tuple(np.array(one, np.float64) for one in edges)
    for j, one in enumerate(own):
        if one.ndim != 1 or len(one) == 1 or not np.isfinite(one).all() or (np.diff(one) <= 0).any():
            raise ValueError(
                f"edges of bins must be two finite numbers or more that increase, or none, got {one} for feature {j}"
            )
        one.flags.writeable = False
    return Bins(own)
