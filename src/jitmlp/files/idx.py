"""Reading the IDX files in which MNIST is published."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MNIST = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Any) -> np.ndarray:
    """Read one IDX file, gzipped or not.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray
        In native byte order.

    Raises
    ------
    ValueError
        If the file is not a whole IDX file.

    References
    ----------
    Format: LeCun, Cortes & Burges, "The MNIST database of handwritten digits", 1998.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _DTYPES:
        raise ValueError(f"{path} is not an IDX file")
    dtype, n_axes = np.dtype(_DTYPES[data[2]]), data[3]
    start = 4 + 4 * n_axes
    if len(data) < start:
        raise ValueError(f"{path} ends inside its header")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", n_axes, 4))
    expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(f"{path} has {len(data)} bytes, its header announces {expected}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def load_mnist(folder: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load the four MNIST files of a folder.

    Parameters
    ----------
    folder : str or path-like
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each with or
        without ``.gz``.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images as rows of 784 ``uint8``, labels as ``int64``.

    Raises
    ------
    FileNotFoundError
        If one of the files is missing.
    """
    arrays = []
    for stem in _MNIST.values():
        candidates = [Path(folder) / stem, Path(folder) / f"{stem}.gz"]
        found = [path for path in candidates if path.is_file()]
        if not found:
            raise FileNotFoundError(f"neither {candidates[0]} nor {candidates[1].name} exists")
        arrays.append(read_idx(found[0]))
    X_train, y_train, X_test, y_test = arrays
    return (
        X_train.reshape(len(X_train), -1),
        y_train.astype(np.int64),
        X_test.reshape(len(X_test), -1),
        y_test.astype(np.int64),
    )
