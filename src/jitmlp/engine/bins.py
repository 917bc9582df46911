"""The edges of features' bins, learned from rows: quantiles, so that as many rows lie in each."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from jitmlp.engine.group import current
from jitmlp.model.bins import FEWEST_EDGES, Bins, bins_of
from jitmlp.model.model import Scaling

MOST_ROWS = 200_000  # whose quantiles are taken, evenly spaced among all
COLUMNS = 16  # that are looked at together


def learn_bins(X: Any, n_bins: int, scaling: Scaling | None, n_numbers: int, dtype: np.dtype) -> Bins:
    """Bins of the first features.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
    n_bins : int
        Of each feature at most; equal quantiles are one edge.
    scaling : Scaling or None
        What the features are brought to first.
    n_numbers : int
        Features that are numbers: they come first.
    dtype : numpy dtype
        Of the network: edges differ in it.
    """
    group = current()
    step = -(-int(group.total(X.shape[0])[0]) // MOST_ROWS)
    X = X[::step]
    columns = X.tocsc() if sparse.issparse(X) else X
    shares = np.linspace(0, 1, n_bins + 1)
    edges: list[np.ndarray] = []
    for first in range(0, n_numbers, COLUMNS):
        part = columns[:, first : min(first + COLUMNS, n_numbers)]
        values = group.join(np.asarray(part.toarray() if sparse.issparse(part) else part, np.float64))
        if scaling is not None:
            values = scaling.of(slice(first, first + values.shape[1])).apply(values)
        for own in np.quantile(values, shares, axis=0).T:
            distinct = np.unique(own.astype(dtype))
            # what a bin's width is divided by must be finite
            distinct = distinct[np.diff(distinct.astype(float), prepend=-np.inf) > np.finfo(dtype).tiny]
            edges.append(distinct if len(distinct) >= FEWEST_EDGES else distinct[:0])
    return bins_of(edges)
