"""Columns of categories: which they are, and rows for the network in which each is one entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import _check_y, check_consistent_length, validate_data

from jitmlp.engine.normalization import learn_normalization
from jitmlp.estimators.columns import Columns, columns_of, is_words, words_of
from jitmlp.model.model import Scaling


def chosen_columns(given: Any, table: Columns) -> np.ndarray:
    """Which columns are taken as categories, as a truth for each.

    Parameters
    ----------
    given : 'from_dtype', None or array-like of names, places or bool
    table : Columns

    Raises
    ------
    ValueError
        For columns that are named but not there, and those that hold words and are not named.
    """
    n = len(table.values)
    holds_words = np.array([is_words(values) for values in table.values])
    if isinstance(given, str):
        return holds_words
    given = np.asarray([] if given is None else given)
    chosen = np.zeros(n, bool)
    if given.dtype == bool:
        if given.shape != (n,):
            raise ValueError(f"categorical_features must have {n} truths, one a column, got {len(given)}")
        chosen = given
    elif given.dtype.kind in "US" or given.dtype == object:
        names = table.names or []
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"categorical_features names columns that are not there: {unknown}; there are {names}")
        chosen[[names.index(name) for name in given]] = True
    elif given.size:
        if given.dtype.kind not in "iu" or given.min() < -n or given.max() >= n:
            raise ValueError(f"categorical_features must be names, truths or integers in [0, {n}), got {given}")
        chosen[given] = True
    words = [table.name(j) for j in np.flatnonzero(holds_words & ~chosen)]
    if words:
        raise ValueError(f"the columns {', '.join(words)} hold no numbers and are not among categorical_features")
    return chosen


def by_entries(numbers: np.ndarray, places: list[np.ndarray], sizes: list[int]) -> sparse.csr_array:
    """Rows in which a category is one entry, behind the numbers: a 1 in its own column.

    Parameters
    ----------
    numbers : ndarray of shape (n_samples, n_numbers)
    places : list of ndarray of shape (n_samples,)
        Of each column of categories, which of its categories a row has, -1 for none.
    sizes : list of int
        How many categories each column has.
    """
    n, n_numbers = numbers.shape
    columns = np.empty((n, n_numbers + len(places)), np.int32)
    values = np.ones(columns.shape, numbers.dtype)
    values[:, :n_numbers], columns[:, :n_numbers] = numbers, np.arange(n_numbers)
    first = n_numbers
    for k, (own, size) in enumerate(zip(places, sizes)):
        columns[:, n_numbers + k] = np.where(own < 0, -1, first + own)
        first += size
    known = columns >= 0
    ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    index = np.int32 if ends[-1] <= np.iinfo(np.int32).max else np.int64  # the wider of both would be taken for both
    return sparse.csr_array((values[known], columns[known].astype(index), ends.astype(index)), shape=(n, first))


class CategoryEncoder:
    """Rows of a table to rows of a network, in which a category is one entry: that of its own column, which is 1.

    Numbers come first, in the order of their columns, then the categories of one column after the other. A category that is
    missing, or that was not there when the columns were learned, has no entry.

    Parameters
    ----------
    is_categorical : ndarray of bool, shape (n_features,)
    categories : list of ndarray
        Of each column that holds categories, in order: numbers, or words.
    scaling : Scaling, optional
        What numbers are brought to.
    """

    def __init__(
        self, is_categorical: np.ndarray, categories: list[np.ndarray], scaling: Scaling | None = None
    ) -> None:
        self.is_categorical, self.categories, self.scaling = is_categorical, categories, scaling
        self._codes = [
            {word: code for code, word in enumerate(own.tolist())} if own.dtype == object else None
            for own in categories
        ]

    @classmethod
    def learned(cls, table: Columns, given: Any, normalize: str | None) -> CategoryEncoder:
        """What is to be known of a table's columns."""
        chosen = chosen_columns(given, table)
        categories = []
        for j in np.flatnonzero(chosen):
            values = table.values[j]
            if is_words(values):
                categories.append(np.array(sorted({word for word in values if word is not None}), object))
            else:
                categories.append(np.unique(values[~np.isnan(values)]))
        made = cls(chosen, categories)
        if normalize is not None and not chosen.all():
            made.scaling = learn_normalization(normalize, made._numbers(table))
        return made

    @property
    def n_numbers(self) -> int:
        """Columns that hold numbers."""
        return int((~self.is_categorical).sum())

    @property
    def width(self) -> int:
        """Columns of the network's rows."""
        return self.n_numbers + sum(len(own) for own in self.categories)

    def description(self) -> list:
        """All that was learned, as numbers and words."""
        own = self.scaling
        scaling = None if own is None else [own.shift.tolist(), own.scale.tolist(), own.clips]
        return [self.is_categorical.tolist(), [own.tolist() for own in self.categories], scaling]

    @classmethod
    def of_description(cls, description: list) -> CategoryEncoder:
        """What :meth:`description` describes.

        Raises
        ------
        ValueError
            If it fits nothing.
        """
        is_categorical, categories, scaling = description
        found = [
            np.array(own, object if any(isinstance(value, str) for value in own) else np.float64) for own in categories
        ]
        made = cls(np.array(is_categorical, bool), found, None)
        if sum(made.is_categorical) != len(found):
            raise ValueError("as many lists of categories as columns that hold them are needed")
        if scaling is not None:
            shift, scale, *clips = scaling  # which older files do not say
            made.scaling = Scaling(np.array(shift, np.float64), np.array(scale, np.float64), any(clips))
            if any(part.shape != (made.n_numbers,) for part in (made.scaling.shift, made.scaling.scale)):
                raise ValueError("a shift and a scale for every column of numbers are needed")
        return made

    def _numbers(self, table: Columns) -> np.ndarray:
        """The columns of numbers, float64."""
        places = np.flatnonzero(~self.is_categorical)
        numbers = np.empty((table.n_rows, len(places)))
        for k, j in enumerate(places):
            values = table.values[j]
            if is_words(values):
                raise ValueError(f"the column {table.name(j)} must hold numbers as in fit, got words")
            if np.isnan(values).any():
                raise ValueError(
                    f"Input X contains NaN: the column {table.name(j)} has missing numbers. Fill them in, as "
                    "sklearn.impute.SimpleImputer does, or use TabularClassifier or TabularRegressor, which take them"
                )
            numbers[:, k] = values
        return numbers

    def _places(self, values: np.ndarray, k: int) -> np.ndarray:
        """Where the categories of a column stand among those that were learned; -1 for others."""
        own, codes = self.categories[k], self._codes[k]
        if codes is not None:
            return np.array([codes.get(word, -1) for word in (values if is_words(values) else words_of(values))], int)
        if is_words(values):  # numbers in words, or missing throughout
            values = np.array([_number(word) for word in values])
        places = np.searchsorted(own, values)
        places[places == len(own)] = 0
        return np.where(own[places] == values, places, -1) if len(own) else np.full(len(values), -1)

    def rows(self, table: Columns, dtype: Any) -> sparse.csr_array:
        """The network's rows, entries in the order of their columns."""
        numbers = self._numbers(table)
        if self.scaling is not None:
            numbers = self.scaling.apply(numbers)
        places = [self._places(table.values[j], k) for k, j in enumerate(np.flatnonzero(self.is_categorical))]
        return by_entries(numbers.astype(dtype), places, [len(own) for own in self.categories])

    def transform(self, X: Any, dtype: Any = np.float64) -> sparse.csr_array:
        """The network's rows of a table.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
        dtype : {numpy.float32, numpy.float64}, default=numpy.float64

        Returns
        -------
        rows : CSR array of shape (n_samples, width)

        Raises
        ------
        ValueError
            For another number of columns, and for numbers that are missing or not finite.
        """
        table = columns_of(X)
        if len(table.values) != len(self.is_categorical):
            raise ValueError(f"X must have {len(self.is_categorical)} columns, got {len(table.values)}")
        return self.rows(table, dtype)


def _number(word: str | None) -> float:
    try:
        return float(word) if word is not None else np.nan
    except ValueError:
        return np.nan


def validated_table(estimator: Any, X: Any, y: Any, reset: bool, multi_output: bool, y_numeric: bool) -> Any:
    """scikit-learn's validation of a table with categories; the network's rows, and the targets where there are any.

    With ``reset`` the estimator is given what the columns hold as ``encoder_``.
    """
    if sparse.issparse(X):
        raise TypeError("categorical_features needs a table with columns of its own, got a sparse matrix")
    table = columns_of(X)
    validate_data(estimator, X if hasattr(X, "shape") else np.asarray(X, object), skip_check_array=True, reset=reset)
    if reset:
        estimator.encoder_ = CategoryEncoder.learned(table, estimator.categorical_features, estimator.normalize)
    rows = estimator.encoder_.rows(table, np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64)
    if isinstance(y, str) and y == "no_validation":
        return rows
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    y = _check_y(y, multi_output=multi_output, y_numeric=y_numeric, estimator=estimator)
    check_consistent_length(rows, y)
    return rows, y
