"""The user's arrays as the kernels see them: addresses, strides and element types.

Rows of X, their targets and their weights are one value, :class:`Data`. What the kernels cannot
read where it lies is copied here: other byte orders, unaligned strides of targets, pieces of sparse
matrices that are views. Everything that the kernels rely on is checked here, once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from jitmlp_kernels.pieces.gather import ELEMENTS
from jitmlp_kernels.trace.target import TILE_ROWS


class Kind(NamedTuple):
    """What decides which pieces read the data.

    Attributes
    ----------
    element : str
        dtype of X as it lies in memory.
    indices : str
        dtype of a sparse matrix's indices, empty for dense rows.
    contiguous : bool
        Whether the columns of a row are neighbours.
    density : float
        The least of ``DENSITIES`` that the share of a sparse matrix's cells that are stored does not exceed; of dense
        rows the least of ``FILLS`` that the share of tiles that are not all zeros does not.
    target : str
        dtype of the targets; "classes" for class numbers, empty for none.
    target_contiguous : bool
    """

    element: str
    indices: str
    contiguous: bool
    density: float
    target: str
    target_contiguous: bool


# What is read where it lies, and the element type as which it is read; other orders of bytes are not among these
READABLE = {**{dtype: dtype.name for dtype in ELEMENTS}, np.dtype(bool): "uint8"}


# Shares of a sparse matrix's cells that are stored up to which it is faster to go through its entries than to spread its
# rows over zeros: into a layer of one vector's width, into wider ones (benchmarks/lab/density.py), and all
DENSITIES = (0.08, 0.2, 1.0)


# Shares of the columns in which one of TILE_ROWS rows is not zero, rounded up to these
FILLS = (0.05, *(k / 10 for k in range(1, 11)))
SAMPLE_TILES, FEWEST = 16, 1024  # that are looked at; rows for which that is little work


def fill_of(X: np.ndarray) -> float:
    """How much of dense rows is left if tiles that are all zeros are left out, from a sample; 1 where rows are few."""
    whole = X.shape[1] // TILE_ROWS * TILE_ROWS
    if len(X) < FEWEST or not whole:
        return 1.0
    rows = np.linspace(0, len(X) - 1, SAMPLE_TILES * TILE_ROWS).astype(np.int64)
    is_filled = X[rows] != 0
    of_rows = is_filled.reshape(TILE_ROWS, SAMPLE_TILES, -1).any(axis=0).mean()  # a tile's rows are from everywhere
    # the truths of a tile's columns, seen as one number: three times as fast as reducing them
    strips = np.ascontiguousarray(is_filled[:, :whole]).view(f"u{TILE_ROWS}")
    of_columns = np.count_nonzero(strips) / strips.size
    return next(fill for fill in FILLS if (of_rows + of_columns) / 2 <= fill)


def map_of(X: Any) -> Any:
    """The map of a file in which an array lies: a :class:`numpy.memmap`, or an :class:`mmap.mmap`; None for others."""
    while X is not None and not isinstance(X, (np.memmap, mmap.mmap)):
        X = getattr(X, "base", None) if not isinstance(X, memoryview) else X.obj
    return X


def file_state(path: Any) -> tuple[int, int]:
    """Size and age of a file, which are others once it has changed."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


class MappedFile:
    """The file in which an array lies that is read only, to notice when it changes.

    Reading what a file has lost ends the process (SIGBUS): between two calls into the kernels there is time for an error.
    """

    def __init__(self, path: Any) -> None:
        self.path = path
        self.state = self._state()

    @classmethod
    def of(cls, X: Any) -> MappedFile | None:
        """The file of an array; None for others, and for a map that its owner may write to."""
        found = map_of(X)
        watched = isinstance(found, np.memmap) and found.filename is not None and found.mode in ("r", "c")
        return cls(found.filename) if watched else None

    def _state(self) -> tuple[int, int] | None:
        try:
            return file_state(self.path)
        except OSError:  # removed, which leaves the map as it is
            return None

    def check(self) -> None:
        """Raise ValueError if it has changed."""
        now = self._state()
        if now is not None and now != self.state:
            was = f"had {self.state[0]:,} bytes and has {now[0]:,} now" if self.state else "was not there"
            raise ValueError(f"X lies in the file {self.path}, which has changed while it is used: it {was}")


def is_readable(dtype: np.dtype) -> bool:
    """Whether the kernels read this dtype where it lies."""
    return dtype in READABLE


def address(array: np.ndarray) -> int:
    """Address of an array's first element."""
    try:  # three times as fast as the general way, which matters where one row is predicted
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return array.ctypes.data


def readable(X: Any) -> Any:
    """``X`` itself if the kernels can read it, else a float64 copy."""
    if sparse.issparse(X):
        X = X if X.format == "csr" else X.tocsr()
        return X if is_readable(X.data.dtype) else X.astype(np.float64)
    return X if is_readable(X.dtype) else X.astype(np.float64)


class Data:
    """Rows of X, with or without their targets and weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Of a dtype in ``ELEMENTS`` or bool, in any layout; others are converted.
    y : ndarray, optional
        Class numbers of shape (n_samples,), or targets of shape (n_samples, n_outputs).
    sample_weight : ndarray of shape (n_samples,), optional

    Raises
    ------
    ValueError
        If the lengths do not fit together.
    """

    def __init__(self, X: Any, y: Any = None, sample_weight: Any = None) -> None:
        if type(X) is not np.ndarray or X.dtype not in READABLE:
            X = readable(X)
        if X.ndim != 2:
            raise ValueError(f"X must have two dimensions, got {X.ndim}")
        self.X, self.y, self.sample_weight = X, y, sample_weight
        self.file = None if sparse.issparse(X) else MappedFile.of(X)
        self.n_samples, self.n_features = X.shape
        # what reading the rows takes, by name; what training takes beside
        self.fields: dict[str, int] = {}
        self.training_fields: dict[str, int] = {"weighted": 0, "x_row_bytes": 0}
        if sparse.issparse(X):
            share = X.nnz / max(1, X.shape[0] * X.shape[1])
            density = next((limit for limit in DENSITIES if share <= limit), 1.0)  # duplicates may make it more
            self.reading = (*self._read_csr(X, y is not None), True, density)
        else:
            row, column = X.strides
            contiguous = column == X.itemsize or self.n_features == 1
            self.reading = (READABLE[X.dtype], "", contiguous, fill_of(X))
            self._kept = [X]
            self.fields = {"x": address(X), "x_row": row, "x_column": column}
            if contiguous:
                self.training_fields["x_row_bytes"] = self.n_features * X.itemsize
        self._target, self._target_contiguous = ("", True) if y is None else self._read_targets(y)
        if sample_weight is not None:
            weights = np.array(sample_weight, np.float64, order="C", copy=None)
            self._expect(weights, "sample_weight", (self.n_samples,))
            self._kept.append(weights)
            self.sample_weight = weights
            self.training_fields["weighted"], self.training_fields["weights"] = 1, address(weights)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, of sparse ones on average."""
        X = self.X
        stored = X.data.nbytes + X.indices.nbytes if sparse.issparse(X) else X.size * X.itemsize
        return -(-stored // max(1, self.n_samples))

    n_classes = n_outputs = longest_row = 0  # without targets; without entries

    @property
    def kind(self) -> Kind:
        """What decides which pieces read the data."""
        return Kind(*self.reading, self._target, self._target_contiguous)

    def _read_csr(self, X: Any, trained: bool) -> tuple[str, str]:
        index = np.result_type(X.indices.dtype, X.indptr.dtype, np.int32)
        if index not in (np.int32, np.int64):
            index = np.dtype(np.int64)
        data = np.ascontiguousarray(X.data)
        indices, indptr = (np.ascontiguousarray(a, index) for a in (X.indices, X.indptr))
        self._expect(indptr, "indptr of the sparse matrix", (self.n_samples + 1,))
        self._kept = [data, indices, indptr]
        self.fields = {"x": address(data), "indices": address(indices), "indptr": address(indptr)}
        self.fields["n_entries"] = min(len(data), len(indices))
        if trained and self.n_samples:
            self.longest_row = int(np.diff(indptr).max())
        return READABLE[data.dtype], index.name

    def _read_targets(self, y: Any) -> tuple[str, bool]:
        if y.ndim == 1:
            classes = np.ascontiguousarray(y, np.int64)
            self._expect(classes, "y", (self.n_samples,))
            self.n_classes, self.n_outputs = (int(classes.max()) + 1 if len(classes) else 0), 0
            if len(classes) and classes.min() < 0:
                raise ValueError(f"class numbers in y must not be negative, got {classes.min()}")
            self._kept.append(classes)
            self.training_fields["classes"] = address(classes)
            return "classes", True
        y = y if is_readable(y.dtype) else y.astype(np.float64)
        self._expect(y, "y", (self.n_samples, y.shape[1] if y.ndim == 2 else 1))
        self.n_classes, self.n_outputs = 0, y.shape[1]
        self._kept.append(y)
        self.training_fields["y"] = address(y)
        self.training_fields["y_row"], self.training_fields["y_column"] = y.strides
        return READABLE[y.dtype], y.strides[1] == y.itemsize or y.shape[1] == 1

    @staticmethod
    def _expect(array: np.ndarray, name: str, shape: tuple) -> None:
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")

    def check(self, n_features: int, n_outputs: int, trained: bool) -> None:
        """Raise ValueError unless a network of these sizes can read the data.

        The last check before the kernels, whatever led here.
        """
        if self.file is not None:
            self.file.check()
        if self.n_features != n_features:
            raise ValueError(f"X has {self.n_features} features, but the network is expecting {n_features} features")
        if trained:
            if not self._target:
                raise ValueError("training needs targets")
            if self.n_classes > n_outputs:
                raise ValueError(f"y has class number {self.n_classes - 1}, the network has {n_outputs} outputs")
            if self.n_outputs and self.n_outputs != n_outputs:
                raise ValueError(f"y has {self.n_outputs} columns, the network has {n_outputs} outputs")
