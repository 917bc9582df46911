"""scikit-learn's validation of the data, without its conversions."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from jitmlp.data import is_readable


def readable(X):
    """``X`` itself if the kernels can read it, else a float64 copy."""
    if sparse.issparse(X):
        if is_readable(X.data.dtype):
            return X
        return X.astype(np.float64)
    return X if is_readable(X.dtype) else X.astype(np.float64)


def is_watched(X):
    """Whether the kernels notice NaN and infinity in ``X`` while they read it.

    Looking for them before costs a pass over all memory, and of a memory map over its disk.
    """
    return (
        type(X) in (np.ndarray, np.memmap)
        and X.ndim == 2
        and is_readable(X.dtype)
        and X.strides[1] == X.itemsize
    )


def validated(estimator, X, y="no_validation", **options):
    """scikit-learn's validation, and what it leaves out: the indices of sparse matrices.

    Returns ``X``, or ``(X, y)``, as the kernels can read it. Where they are the first to read
    ``X`` and look for NaN and infinity themselves, only ``y`` has been searched.
    """
    if sparse.issparse(X) and hasattr(X, "check_format"):
        X.check_format(full_check=True)  # a wrong index would be a wrong address
    searched = estimator.normalize is not None or not is_watched(X)
    checked = validate_data(estimator, X, y, accept_sparse="csr", ensure_all_finite=searched, **options)
    return (readable(checked[0]), checked[1]) if isinstance(checked, tuple) else readable(checked)
