"""Tables from files: CSV, TSV and Parquet with names of columns; NumPy's npy and MNIST's IDX without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jitmlp.files.idx import read_idx

SUFFIXES = (".csv", ".tsv", ".parquet", ".npy")
IDX = re.compile(r"(\.idx|[-.]idx\d-ubyte|-ubyte)(\.gz)?$", re.IGNORECASE)


class Table(NamedTuple):
    """Columns by name; those of an array are called ``0``, ``1`` ..."""

    path: str
    columns: dict[str, np.ndarray]
    named: bool

    def take(self, name: str) -> np.ndarray:
        """A column.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self.columns:
            raise ValueError(f"{self.path} has no column {name!r}, but {_listed(self.columns)}")
        return self.columns[name]

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Columns side by side, as float64, or as they are if all are of one kind of integers.

        Raises
        ------
        ValueError
            If one is missing or holds what is no number.
        """
        found = [self.take(name) for name in names]
        words = [name for name, column in zip(names, found) if column.dtype.kind not in "biuf"]
        if words:
            raise ValueError(
                f"{self.path} has columns that hold no numbers: {_listed(words)}; encode them, or leave them out"
            )
        empty = [name for name, column in zip(names, found) if not np.isfinite(column.astype(float)).all()]
        if empty:
            raise ValueError(f"{self.path} has missing or infinite numbers in the columns {_listed(empty)}")
        kinds = {column.dtype for column in found}
        whole = len(kinds) == 1 and next(iter(kinds)).kind in "iu"
        return np.column_stack(found if whole else [column.astype(np.float64) for column in found])


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def read_table(path: Any, target: str | None = None) -> Table:
    """The table in a file.

    Parameters
    ----------
    path : path-like
        Ending in .csv, .tsv, .parquet (which need the package ``polars``) or .npy, or an IDX file of images or rows.
    target : str, optional
        Where the rows are of an IDX file, the IDX file of their labels, which becomes the column of this name.

    Raises
    ------
    ValueError
        If it holds no table.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        Without ``polars``.
    """
    suffix = Path(path).suffix.lower()
    if IDX.search(Path(path).name):
        return _idx_table(path, target)
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{path} must end in one of {', '.join(SUFFIXES)}, or be called as IDX files are, such as rows-idx3-ubyte.gz"
        )
    if suffix == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
        except EOFError as error:
            raise ValueError(f"{path} is empty") from error
        if array.ndim != 2 or not len(array) or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path} must hold an array of numbers in two dimensions with a row at least, got {array.dtype} {array.shape}"
            )
        return Table(str(path), {str(j): array[:, j] for j in range(array.shape[1])}, False)
    import polars

    try:
        if suffix == ".parquet":
            frame = polars.read_parquet(path)
        else:
            frame = polars.read_csv(path, separator="\t" if suffix == ".tsv" else ",", infer_schema_length=None)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not len(frame):
        raise ValueError(f"{path} has no rows")
    return Table(str(path), {column.name: _array(column) for column in frame}, True)


def _idx_table(path: Any, target: str | None) -> Table:
    """Images as rows of pixels, and beside them the labels of another file."""
    images = read_idx(path)
    if images.ndim < 2 or not images.size:
        raise ValueError(f"{path} must hold images or rows, got an array of shape {images.shape}")
    rows = images.reshape(len(images), -1)
    columns = {str(j): rows[:, j] for j in range(rows.shape[1])}
    if target is not None and target not in columns:
        labels = read_idx(target)
        if labels.shape != (len(images),):
            raise ValueError(f"{target} must hold {len(images)} labels, got an array of shape {labels.shape}")
        columns[target] = labels
    return Table(str(path), columns, False)


def _array(column: Any) -> np.ndarray:
    """A column of a frame; missing numbers are NaN, missing words None."""
    if column.dtype.is_decimal():
        column = column.cast(float)
    return (
        column.to_numpy()
        if column.dtype.is_numeric() or not column.null_count()
        else np.array(column.to_list(), object)
    )
