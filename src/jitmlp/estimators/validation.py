"""scikit-learn's validation of the data, without its conversions."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from jitmlp.engine.data import is_readable, readable
from jitmlp.estimators.categories import validated_table


def is_watched(X: Any) -> bool:
    """Whether the kernels notice NaN and infinity in ``X`` while they read it.

    Looking for them before costs a pass over all memory, and of a memory map over its disk.
    """
    return type(X) in (np.ndarray, np.memmap) and X.ndim == 2 and is_readable(X.dtype)


def is_plain_target(X: np.ndarray, y: Any, kinds: str) -> bool:
    """Whether targets need none of scikit-learn's validation: an array of one number a row of ``X``."""
    return type(y) is np.ndarray and y.ndim == 1 and len(y) == len(X) and y.dtype.kind in kinds


def has_categories(estimator: Any, first: bool) -> bool:
    """Whether some columns hold categories: as the parameter says for a first fit, else as they did in fit."""
    return estimator.categorical_features is not None if first else vars(estimator).get("encoder_") is not None


def validated(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """scikit-learn's validation, and what it leaves out: the indices of sparse matrices.

    Returns ``X``, or ``(X, y)``, as the kernels can read it. Where they are the first to read
    ``X`` and look for NaN and infinity themselves, only ``y`` has been searched.
    """
    if has_categories(estimator, options["reset"]):
        chosen = {name: options.get(name, False) for name in ("reset", "multi_output", "y_numeric")}
        return validated_table(estimator, X, y, **chosen)
    if sparse.issparse(X):
        _check_indices(X)
    elif not is_watched(X) and not hasattr(X, "dtypes"):
        kind = np.asarray(X).dtype.kind if not hasattr(X, "dtype") else getattr(X.dtype, "kind", "")
        if kind in "mM":
            raise ValueError(
                f"X must hold numbers, got {np.asarray(X).dtype}; give dates as numbers of days or seconds"
            )
        if kind in "US":  # numbers in words, which scikit-learn reads where they are an array
            X, options["dtype"] = np.asarray(X), np.float64
    searched = estimator.normalize is not None or not is_watched(X)
    checked = validate_data(estimator, X, y, accept_sparse="csr", ensure_all_finite=searched, **options)
    result, rest = (checked[0], checked[1:]) if isinstance(checked, tuple) else (checked, ())
    if sparse.issparse(result):
        _check_indices(result)
    return (readable(result), *rest) if rest else readable(result)


def _check_indices(X: Any) -> None:
    """Raise ValueError for a sparse matrix whose indices lie outside of it: wrong addresses."""
    if hasattr(X, "check_format"):
        X.check_format(full_check=True)
    elif X.format in ("coo", "dia") and X.nnz:
        for name, indices, size in zip(("row", "column"), getattr(X, "coords", ()), X.shape):
            if len(indices) and not (indices.min() >= 0 and indices.max() < size):
                raise ValueError(f"{name} index values must be >= 0 and < {size}")


def checked_weights(sample_weight: Any, X: Any, dtype: Any) -> np.ndarray | None:
    """Sample weights as float64.

    Raises
    ------
    ValueError
        If they are not finite, negative in sum, or too small for the network's dtype.
    """
    if sample_weight is None:
        return None
    weights = np.array(_check_sample_weight(sample_weight, X), np.float64, order="C", copy=None)
    if not weights.sum() > 0:
        raise ValueError("sample_weight must have a positive sum, got a sum of 0 or less")
    smallest = np.finfo(dtype).tiny
    if not (np.abs(weights).max() >= smallest and weights.sum() >= smallest):
        raise ValueError(f"sample_weight must not be smaller than {smallest:g} throughout: nothing would be learned")
    return weights


def explain(estimator: Any, X: Any) -> None:
    """Let scikit-learn say what is not finite in ``X``."""
    check_array(X, accept_sparse=True, dtype="numeric", input_name="X", estimator=estimator)
