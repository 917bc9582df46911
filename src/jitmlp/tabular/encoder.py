"""From a table as it comes to the network's numbers: categories, missing values, scales."""

from __future__ import annotations

from collections import Counter
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from jitmlp.estimators.categories import by_entries, chosen_columns
from jitmlp.estimators.columns import Columns, columns_of, is_words, word, words_of
from jitmlp.estimators.links import DocumentationLink
from jitmlp_kernels.pieces.gather import smooth_clip

SPARSE_BELOW = 0.5  # share of numbers that are not 0, up to which rows by their entries take less memory


class TableEncoder(DocumentationLink, TransformerMixin, BaseEstimator):
    """Tables as they come to numbers for a network.

    Categories become one-hot columns; those that are missing, or that ``fit`` has not seen, are all 0. Numbers are brought
    to median 0 and interquartile range 1 and clipped smoothly by ``x / sqrt(1 + (x / 3)^2)`` (Holzmüller, Grinsztajn &
    Steinwart 2024); a missing one becomes the median, with a column that says so where training had any. Constant columns
    are left out.

    Parameters
    ----------
    categorical_features : 'from_dtype' or array-like of names, places or bool, default='from_dtype'
        Which columns hold categories. By default those that hold no numbers: words, truths, a frame's categories.
    max_categories : int, default=256
        Categories that a column has at most; the rarest share one then.
    dtype : {'float32', 'float64'}, default='float32'

    Attributes
    ----------
    n_features_in_ : int
        Columns seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of a frame's columns. Later frames may have them in any order, and others beside them.
    categorical_, numeric_ : ndarray of int
        Places of the columns that hold categories, and of those that hold numbers which are not all the same.
    feature_of_ : ndarray of shape (n_numbers,)
        Which column each of the network's numbers comes from.

    Examples
    --------
    >>> from jitmlp import TableEncoder
    >>> rows = [[1.0, "red"], [2.0, "blue"], [3.0, None]]
    >>> encoder = TableEncoder().fit(rows)
    >>> encoder.get_feature_names_out().tolist()
    ['x0', 'x1_blue', 'x1_red']
    >>> encoder.transform(rows)[:, 1:].tolist()
    [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """

    _parameter_constraints = {
        "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
        "max_categories": [Interval(Integral, 2, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"})],
    }

    def __init__(
        self, categorical_features: Any = "from_dtype", *, max_categories: int = 256, dtype: str = "float32"
    ) -> None:
        self.categorical_features, self.max_categories, self.dtype = categorical_features, max_categories, dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> TableEncoder:
        """Learn categories, medians and scales.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
            Not changed. pandas, polars, pyarrow, arrays, lists.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For dates, infinite numbers, and columns that are named but not there.
        """
        self._learn(columns_of(X))
        return self

    def transform(self, X: Any) -> Any:
        """Rows for a network.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)

        Returns
        -------
        rows : ndarray or CSR array of shape (n_samples, n_numbers)
            Whichever takes less memory: a network looks categories up either as it reads rows or as it multiplies them.
        """
        check_is_fitted(self, "n_features_in_")
        return self._encode(self._in_order(columns_of(X)))

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Both, reading the table once."""
        self._validate_params()
        table = columns_of(X)
        self._learn(table)
        return self._encode(table)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the network's numbers, in their order.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns, where ``fit`` was given none.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self, "n_features_in_")
        names = getattr(self, "feature_names_in_", input_features)
        names = [f"x{j}" for j in range(self.n_features_in_)] if names is None else names
        found = [str(names[j]) for j in self._numeric]
        found += [f"{names[j]}_missing" for j in self._numeric[self._missing]]
        for j, categories in zip(self._categorical, self._names):
            found += [f"{names[j]}_{category}" for category in categories]
        return np.array(found, object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _learn(self, table: Columns) -> None:
        self.n_features_in_ = len(table.values)
        self.__dict__.pop("feature_names_in_", None)
        if table.names is not None:
            self.feature_names_in_ = np.array(table.names, object)
        chosen = chosen_columns(self.categorical_features, table)
        self._categorical = np.flatnonzero(chosen)
        self._learn_numbers(table, np.flatnonzero(~chosen))
        self.learn_categories([Counter(self._words(table, j).tolist()) for j in self._categorical])

    @property
    def numeric_(self) -> np.ndarray:
        """Places of the columns that hold numbers, but of constant ones."""
        return self._numeric

    @property
    def categorical_(self) -> np.ndarray:
        """Places of the columns that hold categories."""
        return self._categorical

    def learn_categories(self, counts: list[Counter]) -> None:
        """The categories of each column that holds them, with how many rows each has; a missing one is None.

        ``fit`` learns those of its rows. After it others can be put in their place, of a table that is too large for it.

        Parameters
        ----------
        counts : list of Counter
            One for each of ``categorical_``.
        """
        self._names, self._codes = [], []
        for counter in counts:
            words: Counter = Counter()
            for value, n in counter.items():
                words[word(value)] += n
            names, codes = _categories_of(words, self.max_categories)
            self._names.append(names)
            self._codes.append(codes)
        sizes = [len(names) for names in self._names]
        self.feature_of_ = np.concatenate(
            [self._numeric, self._numeric[self._missing], np.repeat(self._categorical, sizes)]
        ).astype(int)

    def _learn_numbers(self, table: Columns, places: np.ndarray) -> None:
        """Medians and scales of the columns that are not constant, and which have missing numbers."""
        learned = []
        for j in places:
            column = table.values[j]
            known = column[~np.isnan(column)]
            has_missing = len(known) < len(column)
            # of a constant column whether it is there is all that it says
            if len(known) and (has_missing or known.min() < known.max()):
                low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
                spread = high - low if high > low else (known.max() - known.min()) / 2
                learned.append((j, has_missing, middle, spread or 1.0))
        numeric, missing, median, scale = zip(*learned) if learned else ((),) * 4
        self._numeric, self._missing = np.array(numeric, int), np.array(missing, bool)
        self._median, self._scale = np.array(median, float), np.array(scale, float)

    def _encode(self, table: Columns) -> Any:
        dtype = np.dtype(self.dtype)
        numbers = np.empty((table.n_rows, len(self._numeric) + int(self._missing.sum())), dtype)
        marks = len(self._numeric)
        for k, j in enumerate(self._numeric):
            column = self._numbers(table, j)
            lost = np.isnan(column)
            with np.errstate(over="ignore"):
                numbers[:, k] = smooth_clip(
                    (np.where(lost, self._median[k], column) - self._median[k]) / self._scale[k]
                )
            if self._missing[k]:
                numbers[:, marks] = lost
                marks += 1
        if not len(self._categorical):
            return numbers
        places = [
            np.array([known.get(value, -1) for value in self._words(table, j)], int)
            for j, known in zip(self._categorical, self._codes)
        ]
        sizes = [len(names) for names in self._names]
        rows = by_entries(numbers, places, sizes)
        n_entries = numbers.shape[1] + len(places)
        return rows if n_entries < SPARSE_BELOW * rows.shape[1] else rows.toarray()

    def _in_order(self, table: Columns) -> Columns:
        """The columns in fit's order, found by name."""
        known = getattr(self, "feature_names_in_", None)
        if table.names is not None and known is not None:
            lost = [name for name in known if name not in table.names]
            if lost:
                raise ValueError(
                    f"The feature names should match those that were passed during fit. Missing: {', '.join(lost)}"
                )
            places = {name: j for j, name in enumerate(table.names)}
            return Columns(list(known), [table.values[places[name]] for name in known], table.n_rows)
        if len(table.values) != self.n_features_in_:
            raise ValueError(
                f"X has {len(table.values)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        return table

    def _numbers(self, table: Columns, j: Any) -> np.ndarray:
        values = table.values[j]
        if not is_words(values):
            return values
        there = [value for value in values if value is not None]
        try:
            return np.array([np.nan if value is None else float(value) for value in values])
        except ValueError:
            raise ValueError(f"the column {table.name(j)} held numbers in fit, and now {there[:3]}") from None

    def _words(self, table: Columns, j: Any) -> np.ndarray:
        values = table.values[j]
        return values if is_words(values) else words_of(values)


def _categories_of(counts: Counter, most: int) -> tuple[list[str], dict[str, int]]:
    """Names of a column's one-hot columns, and the place of every category among them; the rarest share the last."""
    counts.pop(None, None)
    if len(counts) <= most:
        names = sorted(counts)
        return names, {name: code for code, name in enumerate(names)}
    frequent = sorted(sorted(counts, key=lambda name: (-counts[name], name))[: most - 1])
    codes = {name: code for code, name in enumerate(frequent)}
    return [*frequent, "infrequent"], {name: codes.get(name, most - 1) for name in counts}
