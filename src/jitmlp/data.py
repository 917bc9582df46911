"""The user's arrays as the kernels see them: bytes, strides and an element code."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np
from scipy import sparse

from jitmlp_kernels.gather import CODES
from jitmlp_kernels.plan import CLASS_TARGET, CSR, DENSE, DENSE_TARGET, NO_TARGET, SOURCE, records

NO_BYTES = np.empty(0, np.uint8)
NO_CLASSES = np.empty(0, np.int64)
NO_WEIGHTS = np.empty(0, np.float64)


def memory_bytes(array: np.ndarray) -> tuple[np.ndarray, int]:
    """All memory of an array as one writable byte array, and the offset of its first element.

    Numba would compile anew for a read-only array; the kernels only ever read. The
    caller keeps ``array`` alive.
    """
    if array.size == 0:
        return NO_BYTES, 0
    if array.flags.c_contiguous and array.flags.writeable:
        return array.reshape(-1).view(np.uint8), 0
    low, high = np.lib.array_utils.byte_bounds(array)
    start = array.__array_interface__["data"][0]
    raw = (ctypes.c_uint8 * (high - low)).from_address(low)
    return np.ctypeslib.as_array(raw), start - low


def is_readable(dtype: np.dtype) -> bool:
    """Whether the kernels read this dtype where it lies."""
    return dtype.isnative and dtype in CODES


@lru_cache(maxsize=256)
def _record(**fields):
    """A record of these fields, the others 0. Shared: whoever predicts row by row needs the same again."""
    record = records(1, SOURCE)
    for name, value in fields.items():
        record[name] = value
    return record


class Source:
    """Rows of X, with or without their targets, for the kernels.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Of a dtype in ``jitmlp_kernels.gather.ELEMENTS`` or bool; any strides.
    y : ndarray, optional
        Class numbers of shape (n_samples,) and dtype int64, or targets of shape
        (n_samples, n_outputs).
    sample_weight : ndarray of shape (n_samples,), optional
    """

    def __init__(self, X, y=None, sample_weight=None):
        self.kept_alive = (X, y)
        self.n_samples, self.n_features = X.shape
        record = {}
        self.indices = self.indptr = self.y = NO_BYTES
        self.classes = NO_CLASSES
        if sparse.issparse(X):
            record["kind"], record["code"] = CSR, CODES[X.data.dtype]
            record["index_bytes"] = X.indptr.dtype.itemsize
            self.x, _ = memory_bytes(X.data)
            self.indices, _ = memory_bytes(X.indices)
            self.indptr, _ = memory_bytes(X.indptr)
        else:
            record["kind"], record["code"] = DENSE, CODES[X.dtype]
            record["row_stride"], record["column_stride"] = strides = X.strides
            self.x, record["start"] = memory_bytes(X)
            if strides[1] == X.itemsize:
                record["row_bytes"] = X.shape[1] * X.itemsize
        if y is None:
            record["target_kind"] = NO_TARGET
        elif y.ndim == 1:
            record["target_kind"] = CLASS_TARGET
            self.classes = np.ascontiguousarray(y, np.int64)
        else:
            record["target_kind"], record["target_code"] = DENSE_TARGET, CODES[y.dtype]
            record["target_row_stride"], record["target_column_stride"] = y.strides
            self.y, record["target_start"] = memory_bytes(y)
        self.record = _record(**record)
        if sample_weight is None:
            self.weights = NO_WEIGHTS
        else:
            self.weights = np.ascontiguousarray(sample_weight, np.float64)

    def inputs(self):
        """What the kernels take to read rows of X."""
        return self.record, self.x, self.indices, self.indptr
