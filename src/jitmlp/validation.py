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


def validated(estimator, X, y="no_validation", **options):
    """scikit-learn's validation, and what it leaves out: the indices of sparse matrices.

    Returns ``X``, or ``(X, y)``, as the kernels can read it.
    """
    if sparse.issparse(X) and hasattr(X, "check_format"):
        X.check_format(full_check=True)  # a wrong index would be a wrong address
    checked = validate_data(estimator, X, y, accept_sparse="csr", **options)
    return (readable(checked[0]), checked[1]) if isinstance(checked, tuple) else readable(checked)
