"""A table's columns, whatever holds it: numbers as float64, categories as words."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

ADVICE = "turn them into numbers, such as days since a date, the month or the weekday"
_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


class Columns(NamedTuple):
    """A table, column by column.

    Attributes
    ----------
    names : list of str or None
        None for what has no names.
    values : list of ndarray of shape (n_rows,)
        float64, NaN where missing; or objects: words, None where missing.
    n_rows : int
    """

    names: list[str] | None
    values: list[np.ndarray]
    n_rows: int

    def name(self, j: Any) -> str:
        """What a column is called in messages."""
        return repr(self.names[j]) if self.names is not None else str(j)


def is_words(values: np.ndarray) -> bool:
    """Whether a column holds categories."""
    return values.dtype == object


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)) and bool(value != value)


def word(value: Any) -> str | None:
    """The one spelling of a category, in all kinds of tables: 3, 3.0 and np.int64(3) are "3"."""
    if is_missing(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, float, np.number)) and np.isfinite(value) and float(value).is_integer():
        return str(int(value))
    return str(value)


def words_of(values: Any) -> np.ndarray:
    """A column as words."""
    found = np.empty(len(values), object)
    found[:] = [word(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]
    return found


def words_or_nothing(values: Any) -> np.ndarray:
    """A column as words; one without a single value has no kind, and is missing everywhere as numbers."""
    words = words_of(values)
    return words if any(value is not None for value in words) else np.full(len(words), np.nan)


def _of_cells(cells: list, name: str) -> np.ndarray:
    """A column of Python's objects: numbers if all that is there are, else words."""
    there = [cell for cell in cells if not is_missing(cell)]
    if any(isinstance(cell, _TIMES) for cell in there):
        raise ValueError(f"the column {name} holds dates or times: {ADVICE}")
    if any(isinstance(cell, (list, dict, set, np.ndarray)) for cell in there):
        raise ValueError(f"the column {name} holds lists or other containers: give each of their parts a column")
    if all(isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool) for cell in there):
        return np.array([np.nan if is_missing(cell) else float(cell) for cell in cells], np.float64)
    return words_of(cells)


def _of_frame(X: Any) -> Columns:
    """Of pandas' and polars' frames, pyarrow's tables and what else narwhals knows."""
    try:
        import narwhals as nw
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "frames are read by the package narwhals, which comes with scikit-learn 1.9: pip install narwhals"
        ) from None
    frame = nw.from_native(X, eager_only=True)
    values: list[np.ndarray] = []
    for name in frame.columns:
        column = frame.get_column(name)
        kind = column.dtype
        if kind.is_temporal():
            raise ValueError(f"the column {name!r} holds dates or times: {ADVICE}")
        if kind.is_numeric():
            numbers = column.cast(nw.Float64)
            plain = numbers.to_numpy() if not numbers.is_null().any() else None
            if plain is None or plain.dtype == object:
                plain = np.array([np.nan if is_missing(cell) else cell for cell in numbers.to_list()], np.float64)
            values.append(np.asarray(plain, np.float64))
        elif kind == nw.Object or kind == nw.Unknown or kind.is_nested():
            values.append(_of_cells(column.to_list(), repr(name)))
        else:
            values.append(words_or_nothing(column.to_list()))
    # as scikit-learn does: names are names where all are words
    named = all(isinstance(name, str) for name in frame.columns)
    return Columns(list(frame.columns) if named else None, values, len(frame))


def _of_array(X: Any) -> Columns:
    if sparse.issparse(X):
        raise TypeError(
            "A sparse matrix was passed, but a table with columns of its own is required: use MLPClassifier or "
            "MLPRegressor, which train on sparse rows, or give X.toarray()"
        )
    if isinstance(X, (list, tuple)):
        # NumPy would turn the numbers beside words into words
        given = np.asarray(X)
        X = np.array(X, object) if given.dtype.kind in "US" else given
    X = check_array(X, dtype=None, ensure_all_finite=False)
    if X.dtype.kind in "mM":
        raise ValueError(f"X holds dates or times: {ADVICE}")
    if X.dtype.kind in "iuf":
        values = list(np.array(X, np.float64, order="F").T)
    elif X.dtype == object:
        values = [_of_cells(X[:, j].tolist(), str(j)) for j in range(X.shape[1])]
    else:
        values = [words_or_nothing(X[:, j]) for j in range(X.shape[1])]
    return Columns(None, values, X.shape[0])


def columns_of(X: Any) -> Columns:
    """The columns of a frame, a table or an array.

    Raises
    ------
    ValueError
        If it is no table, has no rows or columns, or holds dates or infinite numbers.
    TypeError
        For a sparse matrix.
    ModuleNotFoundError
        For a frame without the package ``narwhals``, which scikit-learn brings from 1.9 on.
    """
    is_frame = hasattr(X, "column_names") or (hasattr(X, "columns") and hasattr(X, "shape"))
    table = _of_frame(X) if is_frame else _of_array(X)
    for what, size in (("sample", table.n_rows), ("feature", len(table.values))):
        if size < 1:
            shape = (table.n_rows, len(table.values))
            raise ValueError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
    for j, values in enumerate(table.values):
        if not is_words(values) and np.isinf(values).any():
            raise ValueError(f"the column {table.name(j)} contains infinity or a value too large for float64")
    return table
