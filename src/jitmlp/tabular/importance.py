"""Permutation importance of a table's columns, on the numbers that the networks see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state


def permutation_importance(
    score: Callable, rows: Any, feature_of: np.ndarray, n_features: int, n_repeats: int, random_state: Any
) -> dict[str, np.ndarray]:
    """What ``score(rows)`` loses where all numbers of a column go to other rows together.

    Nothing is encoded again: a column is a block of the rows' numbers, and the networks predict.

    Parameters
    ----------
    rows : ndarray or CSR array of shape (n_samples, n_numbers)
    feature_of : ndarray of shape (n_numbers,)
        Which column a number comes from; a column that none comes from has importance 0.

    Returns
    -------
    found : dict
        ``importances`` of shape (n_features, n_repeats), their mean and deviation.
    """
    random = check_random_state(random_state)
    whole, n = score(rows), rows.shape[0]
    importances = np.zeros((n_features, n_repeats))
    for feature in range(n_features):
        block = np.flatnonzero(feature_of == feature)
        for repeat in range(n_repeats):
            order = random.permutation(n)  # drawn for every column, so that the others do not depend on this one
            if len(block):
                importances[feature, repeat] = whole - score(_with_block(rows, block, order))
    return {
        "importances": importances,
        "importances_mean": importances.mean(axis=1),
        "importances_std": importances.std(axis=1),
    }


def _with_block(rows: Any, block: np.ndarray, order: np.ndarray) -> Any:
    """The rows with some columns of other rows."""
    if not sparse.issparse(rows):
        shuffled = rows.copy()
        shuffled[:, block] = rows[order][:, block]
        return shuffled
    keep = np.ones(rows.shape[1], rows.dtype)
    keep[block] = 0
    others = sparse.csr_array(rows @ sparse.diags_array(keep))
    return sparse.csr_array(others + rows[order] @ sparse.diags_array(1 - keep))
