"""Reading the IDX files in which MNIST is published."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jitmlp.engine.memory import check_bytes

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
    with open(path, "rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.open(raw) if gzipped else raw as file:
                return _read(file, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def _read(file: Any, path: Any) -> np.ndarray:
    """The array of an open IDX file; no more is unpacked than its header announces."""
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _DTYPES:
        raise ValueError(f"{path} is not an IDX file")
    dtype, n_axes = np.dtype(_DTYPES[head[2]]), head[3]
    sizes = file.read(4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise ValueError(f"{path} ends inside its header")
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4", n_axes))
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    check_bytes(expected, str(path))
    data = file.read(expected + 1)
    if len(data) != expected:
        have = "more" if len(data) > expected else len(data)
        raise ValueError(f"{path} has {have} bytes of numbers, its header announces {expected}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


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
