"""Normalization of the inputs, learned here and applied in the kernels' gather.

No normalized copy of the data is made: every row becomes ``(x - shift) * scale`` on its
way into the batch buffer, sparse rows too, and may be clipped there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

from jitmlp.engine.group import Group, current
from jitmlp.model.model import Scaling

CHUNK_BYTES = 2**24
NORMALIZATIONS = ("minmax", "standard", "robust", "robust_clip")
QUANTILES = ("robust", "robust_clip")


def _scale(spread: Any) -> np.ndarray:
    """Inverse of a spread; 1 for features that do not vary, as scikit-learn's scalers do."""
    spread = np.asarray(spread, np.float64)
    return 1 / np.where(spread > 10 * np.finfo(spread.dtype).eps, spread, 1.0)


def _chunks(length: int, other: int) -> list[slice]:
    size = max(1, CHUNK_BYTES // (8 * max(1, other)))
    return [slice(start, start + size) for start in range(0, length, size)]


def _fitted(scaler: Any, X: Any) -> Any:
    """A scaler that has seen all rows, some at a time."""
    for part in _chunks(*X.shape):
        scaler.partial_fit(X[part].astype(np.float64))
    return scaler


def _dense(kind: str, X: Any) -> tuple[np.ndarray, np.ndarray]:
    n_samples, n_features = X.shape
    if kind in QUANTILES:  # quantiles need whole columns: a few at a time
        parts = [RobustScaler().fit(X[:, part]) for part in _chunks(n_features, n_samples)]
        return np.hstack([p.center_ for p in parts]), 1 / np.hstack([p.scale_ for p in parts])
    scaler = _fitted(MinMaxScaler() if kind == "minmax" else StandardScaler(), X)
    if kind == "minmax":
        return scaler.data_min_, scaler.scale_
    return scaler.mean_, 1 / scaler.scale_


def _sparse(kind: str, X: Any) -> tuple[np.ndarray, np.ndarray]:
    X = X.astype(np.float64)  # as dense rows: in float32 sums, spreads and quantiles would be rounded to it
    if kind == "minmax":
        low, high = min_max_axis(X, axis=0)
        return low, _scale(high - low)
    if kind == "standard":
        mean, variance = mean_variance_axis(X, axis=0)
        return mean, _scale(np.sqrt(variance))
    columns = X.tocsc()
    shift, spread = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for j in range(X.shape[1]):
        column = columns[:, [j]].toarray().ravel()
        low, shift[j], high = np.percentile(column, [25, 50, 75])
        spread[j] = high - low
    return shift, _scale(spread)


class Moments:
    """What ``normalize`` needs to know of rows that come some at a time, or lie at several processes.

    Parameters
    ----------
    kind : {'minmax', 'standard'}
        Quantiles, of 'robust' and 'robust_clip', cannot be added up.
    """

    def __init__(self, kind: str) -> None:
        if kind in QUANTILES:
            raise ValueError(f"normalize={kind!r} needs whole columns, which chunks of rows are not; use 'standard'")
        self.kind = kind
        self.found: list[tuple] = []

    def add(self, X: Any) -> None:
        """Take rows into account."""
        if self.kind == "minmax":
            self.found.append(min_max_axis(X, axis=0) if sparse.issparse(X) else (X.min(axis=0), X.max(axis=0)))
        elif sparse.issparse(X):
            self.found.append((X.shape[0], *mean_variance_axis(X.astype(np.float64), axis=0)))
        else:
            scaler = _fitted(StandardScaler(), X)
            self.found.append((X.shape[0], scaler.mean_, scaler.var_))
        self.found = [self._merged(self.found)]

    def _merged(self, found: list[tuple]) -> tuple:
        columns = [np.array(values, np.float64) for values in zip(*found)]
        if self.kind == "minmax":
            return columns[0].min(axis=0), columns[1].max(axis=0)
        counts, means, variances = columns
        shares = counts[:, None] / counts.sum()
        mean = (shares * means).sum(axis=0)
        # Chan, Golub & LeVeque 1983
        return counts.sum(), mean, (shares * (variances + (means - mean) ** 2)).sum(axis=0)

    def scaling(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale, over the rows of all processes."""
        merged = self._merged(group.gather(self.found[0]))
        if self.kind == "minmax":
            return merged[0], _scale(merged[1] - merged[0])
        return merged[1], _scale(np.sqrt(merged[2]))


def _of_all(group: Group, kind: str, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same over the rows of all processes: sums and extremes are merged, quantiles taken of whole columns."""
    if kind not in QUANTILES:
        moments = Moments(kind)
        moments.add(X)
        return moments.scaling(group)
    parts = []
    for part in _chunks(X.shape[1], int(group.total(X.shape[0])[0])):
        own = X[:, part].toarray() if sparse.issparse(X) else np.asarray(X[:, part])
        scaler = RobustScaler().fit(group.join(own))
        parts.append((scaler.center_, 1 / scaler.scale_))
    return np.hstack([shift for shift, _ in parts]), np.hstack([scale for _, scale in parts])


def scaling_of(kind: str, shift: Any, scale: Any) -> Scaling:
    """What a kind of normalization does with these."""
    return Scaling(np.asarray(shift, np.float64), np.asarray(scale, np.float64), clips=kind == "robust_clip")


def learn_normalization(kind: str, X: Any) -> Scaling:
    """Shift and scale of every feature, float64.

    Parameters
    ----------
    kind : {'minmax', 'standard', 'robust', 'robust_clip'}
        To [0, 1]; to mean 0 and deviation 1; to median 0 and interquartile range 1; the same, and clipped smoothly.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    """
    group = current()
    if not group.is_alone:
        shift, scale = _of_all(group, kind, X)
    else:
        shift, scale = _sparse(kind, X) if sparse.issparse(X) else _dense(kind, X)
    return scaling_of(kind, shift, scale)
