"""What the estimators for tables share: an ensemble of networks, each trained on its own fold, one a core."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import Bunch, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from jitmlp.engine.group import current
from jitmlp.engine.threads import available_threads
from jitmlp.estimators.links import DocumentationLink
from jitmlp.estimators.members import wait_for
from jitmlp.estimators.parameters import table_of
from jitmlp.tabular import bins
from jitmlp.tabular.encoder import TableEncoder
from jitmlp.tabular.importance import permutation_importance
from jitmlp.tabular.search import search_space
from jitmlp.tabular.watch import Watch, epochs_within

HELD_OUT = 0.2  # of the rows, for a single network
# Share of a member's epochs, and how many at least, in which its score must have become better: with less a cycle of the
# schedule begins that would have been the best one (docs/performance.md, Tables)
PATIENCE, FEWEST_WAITED = 0.4, 10
# Neural-tangent parametrization (Jacot et al. 2018): weights W / sqrt(fan_in) with W ~ N(0, 1) and a rate for W. Adam's
# steps do not depend on the gradient's size, so the rate over sqrt(fan_in) for the weights themselves is the same.
VECTOR_RATE = 0.1  # of the intercepts


def shared_constraints(estimator: str, names: tuple[str, ...]) -> dict[str, list]:
    """What is allowed for the parameters that the members have too."""
    rows = table_of(estimator)
    return {name: rows[name].allowed for name in names}


def best_epoch(model: Any) -> int:
    """The epoch, from 1 on, whose weights a member ended with."""
    return int(np.nanargmax([-np.inf, *model.history_["validation_score"]])) or model.n_iter_


class Trained(NamedTuple):
    """A member, and what is known of rows that it has not seen.

    Attributes
    ----------
    member : MLPClassifier or MLPRegressor
        What predicts.
    judged : MLPClassifier or MLPRegressor
        The same, or what it was before it was trained on all rows.
    outside : ndarray
        Rows that ``judged`` has not seen.
    """

    member: Any
    judged: Any
    outside: np.ndarray


class TableEnsemble(DocumentationLink, BaseEstimator):
    """Base class of :class:`TabularClassifier` and :class:`TabularRegressor`."""

    _parameter_constraints: dict[str, list] = {
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "categorical_features": TableEncoder._parameter_constraints["categorical_features"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "numeric_bins": bins.ALLOWED,
        "refit": ["boolean"],
        "n_jobs": [Integral, None],
    }
    _member: type
    _output_initializer = "lecun_normal"
    _default_epochs = {"alone": 100, "several": 100}
    search_space = staticmethod(search_space)

    # What differs between the two

    def _learn_target(self, y: np.ndarray) -> np.ndarray:
        """The target as the members see it."""
        raise NotImplementedError

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        """Other targets in the same way."""
        raise NotImplementedError

    def _folds(self, target: np.ndarray, random: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to train on and rows that choose the epoch; members are more than the pairs where rows are few."""
        raise NotImplementedError

    def _weigh(self, target: np.ndarray, weights: Any) -> Any:
        """The rows' weights with what their classes weigh."""
        return weights

    def _look_back(self, rows: Any, target: np.ndarray, weights: Any, seen: list) -> None:
        """Learn from what the members say of rows that they have not seen."""
        raise NotImplementedError

    def _score_rows(self, rows: Any, y: np.ndarray) -> float:
        """The score of encoded rows."""
        raise NotImplementedError

    @staticmethod
    def _out_of_fold(sums: np.ndarray, seen: list, predict: Callable) -> tuple[np.ndarray, np.ndarray]:
        """Which rows a member has not seen, and the mean of what such members say of them.

        Parameters
        ----------
        sums : ndarray
            Zeros, a row of them for each row.
        seen : list of (member, rows that it has not seen)
        predict : callable
            ``predict(member, rows)``.
        """
        counts = np.zeros(len(sums))
        for model, outside in seen:
            if len(outside):
                sums[outside] += predict(model, outside)
                counts[outside] += 1
        known = counts > 0
        return known, (sums[known].T / counts[known]).T

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit all members.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
            Columns of any kind but dates, with missing values. Not changed.
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None
        X_val, y_val : default=None
            Validation data of your own: every member trains on all of ``X``, these choose its epoch, and nothing is out
            of fold.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For tables and targets that cannot be read; the message names the column.
        """
        start = time.monotonic()
        if (X_val is None) != (y_val is None):
            raise ValueError(
                f"X_val and y_val must be given together, got only {'y_val' if X_val is None else 'X_val'}"
            )
        if not current().is_alone:
            raise ValueError(f"{type(self).__name__} trains alone: use MLPClassifier or MLPRegressor in data_parallel")
        draft = clone(self)
        draft.encoder_ = TableEncoder(self.categorical_features).set_output(transform="default")
        rows = _with_a_column(draft.encoder_.fit_transform(X))
        draft.n_features_in_ = draft.encoder_.n_features_in_
        if hasattr(draft.encoder_, "feature_names_in_"):
            draft.feature_names_in_ = draft.encoder_.feature_names_in_
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        y = column_or_1d(np.asarray(y), warn=True)
        check_consistent_length(rows, y)
        target = draft._learn_target(y)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, rows)
        if weights is not None and (weights < 0).any():
            raise ValueError("sample_weight must be >= 0")
        weights = draft._weigh(target, weights)
        random = check_random_state(self.random_state)
        seeds = random.randint(2**31, size=self.n_members)
        if X_val is None:
            held, folds = None, draft._folds(target, random)
        else:
            rows_val = _with_a_column(draft.encoder_.transform(X_val))
            held = rows_val, draft._encode_target(column_or_1d(np.asarray(y_val), warn=True))
            folds = [(np.arange(len(y)), np.arange(0))]
        fitted = draft._train(rows, target, weights, held, list(zip(seeds, cycle(folds))), start)
        draft.members_ = [found.member for found in fitted]
        draft._look_back(rows, target, weights, [(found.judged, found.outside) for found in fitted])
        draft.history_ = _joined([found.judged for found in fitted])
        draft.n_iter_ = max(found.judged.n_iter_ for found in fitted)
        # written to once, when all is whole: what was fitted before goes, what is fitted now comes
        kept = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        self.__dict__ = {**kept, **{name: value for name, value in vars(draft).items() if name.endswith("_")}}
        return self

    def _train(self, rows: Any, target: Any, weights: Any, held: Any, work: list, start: float) -> list[Trained]:
        """The members with their folds, in their order; those for which no time was left are missing."""
        wanted = self.n_jobs if self.n_jobs and self.n_jobs > 0 else None
        n_jobs = available_threads(wanted)
        at_once = min(len(work), n_jobs)
        rounds = -(-len(work) // at_once)
        most = self._epochs()
        n_bins = bins.bins_of_members(self.numeric_bins, len(work), len(self.encoder_.numeric_))
        n_inputs = {own: bins.n_inputs(rows, own) for own in set(n_bins)}
        # those that take longest first, so that all cores are free at one time for the one that may be left over
        order = sorted(range(len(work)), key=lambda number: -n_inputs[n_bins[number]])
        refits = bool(self.refit) and len(work) == 1 and held is None
        watch = Watch(len(work), most, bool(self.verbose), start, self.time_limit, len(work) + refits, n_jobs)

        def network(number: int, n_rows: int, epochs: int) -> Any:
            model = self._network(int(work[number][0]), n_inputs[n_bins[number]], n_rows)
            return model.set_params(numeric_bins=n_bins[number], n_threads=wanted, max_iter=epochs)

        def train(number: int, epochs: int) -> Trained | None:
            inside, outside = work[number][1]
            if watch.is_over and number != order[0]:
                return None
            model = network(number, len(inside), epochs)
            waited = max(FEWEST_WAITED, int(np.ceil(PATIENCE * epochs)))
            X_val, y_val = held if held is not None else (rows[outside], target[outside])
            if len(inside) == len(target):
                inside = slice(None)  # no copy
            own = None if weights is None else weights[inside]
            own_val = None if weights is None or held is not None else weights[outside]
            if len(y_val) < 2 and self.scoring is None:
                model.set_params(scoring="loss")  # no R squared of a single row
            with model._accompanied(watch.member(patience=waited)):
                model.fit(rows[inside], target[inside], own, X_val=X_val, y_val=y_val, sample_weight_val=own_val)
            watch.finish(epochs - model.n_iter_)
            return Trained(model, model, outside)

        def refitted(found: Trained, epochs: int) -> Trained:
            """On all rows, to the epoch that was best; as it was if there is no time for that."""
            if watch.is_over:
                return found
            last = best_epoch(found.judged)
            watch.advance(epochs - last)
            model = network(0, len(target), epochs)
            model.set_params(restore_best=False, scoring=None)
            with model._accompanied(watch.member(end=last)):
                model.fit(rows, target, weights)
            return found._replace(member=model) if model.n_iter_ == last else found

        def find(futures: list) -> list:
            """What they find; a failure or an interrupt ends them all."""
            try:
                return wait_for(futures)
            except BaseException:
                watch.stop()
                for future in futures:
                    future.cancel()
                raise

        with watch, ThreadPoolExecutor(at_once) as pool:
            probe = lambda: find([pool.submit(train, order[0], 2)])  # noqa: E731
            times = rounds + refits / (1 - HELD_OUT)  # an epoch takes
            epochs = epochs_within(self.time_limit, start, times, most, probe)
            watch.begin(epochs)
            found = find([pool.submit(train, number, epochs) for number in order])
            fitted = [found[order.index(number)] for number in range(len(work))]
            if refits:
                fitted = find([pool.submit(refitted, fitted[0], epochs)])
        return [trained for trained in fitted if trained is not None]

    def _epochs(self) -> int:
        """Of each member."""
        if self.max_iter is None:
            return self._default_epochs["alone" if self.n_members == 1 else "several"]
        return int(self.max_iter)

    def _network(self, seed: int, n_inputs: int, n_rows: int) -> Any:
        """A member, not fitted yet."""
        sizes = self.hidden_layer_sizes
        sizes = tuple(sizes) if hasattr(sizes, "__iter__") else (sizes,)
        fan_in = (n_inputs, *sizes)
        given = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name in table_of(self._member.__name__)
        }
        given.update(
            hidden_layer_sizes=sizes,
            batch_size=min(self.batch_size, n_rows),
            max_iter=self._epochs(),
            layer_rates=tuple((max(n, 1) ** -0.5, VECTOR_RATE) for n in fan_in),
            initializer=["lecun_normal"] * len(sizes) + [self._output_initializer],
            learning_rate="cosine_log",
            beta_2=0.95,
            dtype="float32",
            tol=0.0,
            n_iter_no_change=np.inf,
            restore_best=True,
            on_divergence="restore",
            verbose=False,
            random_state=seed,
        )
        # the ensemble's own, in the rows' weights, and by the encoder
        for done in ("n_members", "class_weight", "categorical_features", "numeric_bins"):
            given.pop(done, None)
        return self._member(**given)

    # What is there after a fit

    def _rows(self, X: Any) -> Any:
        """The numbers of a table."""
        check_is_fitted(self, "members_")
        return _with_a_column(self.encoder_.transform(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the numbers that the networks see.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns, where ``fit`` was given none.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self, "members_")
        return self.encoder_.get_feature_names_out(input_features)

    def feature_importance(self, X: Any, y: Any, *, n_repeats: int = 5, random_state: Any = 0) -> Bunch:
        """What the score loses where a column is shuffled (Breiman 2001), computed on the encoded rows.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)
            Rows, better such as ``fit`` has not seen.
        y : array-like of shape (n_samples,)
        n_repeats : int, default=5
        random_state : int, RandomState instance or None, default=0

        Returns
        -------
        result : Bunch
            ``importances`` of shape (n_features, n_repeats), ``importances_mean``, ``importances_std`` and
            ``feature_names``, as of :func:`sklearn.inspection.permutation_importance`.
        """
        if n_repeats < 1:
            raise ValueError(f"n_repeats must be >= 1, got {n_repeats!r}")
        rows = self._rows(X)
        y = column_or_1d(np.asarray(y))
        check_consistent_length(rows, y)
        score: Callable = lambda shuffled: self._score_rows(shuffled, y)  # noqa: E731
        features = self.encoder_.feature_of_
        found = permutation_importance(score, rows, features, self.n_features_in_, n_repeats, random_state)
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(self.n_features_in_)])
        return Bunch(**found, feature_names=np.asarray(names))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        return tags


def _with_a_column(rows: Any) -> Any:
    """The rows; zeros where no column says anything, from which a network learns the mean or the shares."""
    return rows if rows.shape[1] else np.zeros((rows.shape[0], 1), rows.dtype)


def _joined(members: list) -> dict[str, list]:
    """The members' histories, one below the other, with the best score so far of each."""
    found: dict[str, list] = {"member": [], "epoch": []}
    for number, model in enumerate(members):
        epochs = len(model.loss_curve_)
        found["member"] += [number] * epochs
        found["epoch"] += range(1, epochs + 1)
        best = np.maximum.accumulate(np.array(model.history_["validation_score"], float)).tolist()
        for name, values in {**model.history_, "best_score": best}.items():
            found.setdefault(name, []).extend(values)
    return found
