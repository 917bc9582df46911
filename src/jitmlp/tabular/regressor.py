"""The regressor for tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import assert_all_finite

from jitmlp.estimators.regressor import MLPRegressor
from jitmlp.tabular.ensemble import HELD_OUT, TableEnsemble, shared_constraints


class TabularRegressor(RegressorMixin, TableEnsemble):
    """An ensemble of networks that takes a table as it comes: categories, missing values, columns of any scale.

    Each member is trained on all folds of the rows but one, which chooses its epoch; predictions are averaged. The target
    is brought to mean 0 and deviation 1 on the way, and predictions stay within what ``fit`` has seen of it.

    Parameters
    ----------
    n_members : int, default=5
        Networks, as many folds. With one a fifth of the rows is held out, until its epoch is known: ``refit``.
    hidden_layer_sizes : tuple, default=(128, 128, 128)
    activation : name or Activation, default='mish'
    learning_rate_init : float, default=0.07
        See :class:`TabularClassifier`.
    max_iter : int, default=100
        Epochs of a member, which ends where its score has not become better in two fifths of them.
    batch_size : int, default=256
    dropout : float or tuple, default=0.0
    alpha : float or tuple, default=0.0
        L2 penalty.
    loss : name or Loss, default='squared_error'
        Of the standardized target; one of :class:`MLPRegressor` that takes any target.
    scoring : str or callable, default='loss'
        What chooses the epoch: the loss, the name of one of scikit-learn's scorers, a scorer, or None for R squared. They
        see the standardized target.
    numeric_bins : int, 'auto', None or tuple, default='auto'
        Bins of each column of numbers, see :class:`MLPRegressor`; 'auto' for as many as give 512 inputs, from 8 to 96; of a
        tuple the members have one each, in turn.
    categorical_features, time_limit, n_jobs, verbose, random_state :
        See :class:`TabularClassifier`.

    Attributes
    ----------
    members_ : list of MLPRegressor
        Fitted on the rows that ``encoder_`` gives, and the standardized target.
    encoder_ : TableEncoder
    target_mean_, target_scale_ : float
        What the target was shifted and divided by.
    oof_prediction_ : ndarray of shape (n_samples,)
        Prediction of every row by the member that has not seen it; NaN where there is none.
    oof_score_ : float
        R squared of these; NaN without any.
    history_ : dict of list
        Of all members' epochs, as a data frame takes it; ``best_score`` is the best of the member so far.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        The columns' names, of a frame.

    Examples
    --------
    >>> from jitmlp import TabularRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TabularRegressor(n_members=2, max_iter=20, random_state=0).fit(X, y)
    >>> bool(model.oof_score_ > 0.3)
    True
    """

    _member = MLPRegressor
    _parameter_constraints = {
        **TableEnsemble._parameter_constraints,
        **shared_constraints("MLPRegressor", (
            "hidden_layer_sizes", "activation", "learning_rate_init", "dropout", "alpha", "loss", "scoring",
            "verbose", "random_state",
        )),
    }  # fmt: skip

    def __init__(
        self,
        n_members: int = 5,
        *,
        hidden_layer_sizes: Any = (128, 128, 128),
        activation: Any = "mish",
        learning_rate_init: float = 0.07,
        max_iter: int | None = 100,
        batch_size: int = 256,
        dropout: Any = 0.0,
        alpha: Any = 0.0,
        loss: Any = "squared_error",
        scoring: Any = "loss",
        numeric_bins: Any = "auto",
        categorical_features: Any = "from_dtype",
        time_limit: float | None = None,
        refit: bool = True,
        n_jobs: int | None = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.dropout = dropout
        self.alpha = alpha
        self.loss = loss
        self.scoring = scoring
        self.numeric_bins = numeric_bins
        self.categorical_features = categorical_features
        self.time_limit = time_limit
        self.refit = refit
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def _learn_target(self, y: np.ndarray) -> np.ndarray:
        y = self._numbers(y)
        if len(y) < 2:
            raise ValueError("n_samples=1 is too small: a row to train on and one to look at are needed")
        self.target_mean_, self.target_scale_ = float(y.mean()), float(y.std()) or 1.0
        target = (y - self.target_mean_) / self.target_scale_
        self._bounds_ = float(target.min()), float(target.max())
        return target

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        return (self._numbers(y) - self.target_mean_) / self.target_scale_

    @staticmethod
    def _numbers(y: np.ndarray) -> np.ndarray:
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must be numbers: {error}") from None
        assert_all_finite(y, input_name="y")
        return y

    def _folds(self, target: np.ndarray, random: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
        rows = np.arange(len(target))
        if self.n_members == 1:
            return [tuple(train_test_split(rows, test_size=HELD_OUT, random_state=random))]  # type: ignore[list-item]
        n_folds = min(self.n_members, max(2, len(rows) // 2))
        return list(KFold(n_folds, shuffle=True, random_state=random).split(rows))

    def _look_back(self, rows: Any, target: np.ndarray, weights: Any, seen: list) -> None:
        """Predictions out of fold."""
        predict = lambda model, outside: model.predict(rows[outside]).clip(*self._bounds_)  # noqa: E731
        known, means = self._out_of_fold(np.zeros(len(target)), seen, predict)
        found = np.full(len(target), np.nan)
        found[known] = means
        own = None if weights is None else weights[known]
        self.oof_score_ = float(r2_score(target[known], found[known], sample_weight=own)) if known.sum() > 1 else np.nan
        self.oof_prediction_ = found * self.target_scale_ + self.target_mean_

    def _predictions(self, rows: Any) -> np.ndarray:
        found = [model.predict(rows).clip(*self._bounds_) for model in self.members_]
        return np.asarray(np.mean(found, axis=0, dtype=np.float64)) * self.target_scale_ + self.target_mean_

    def _score_rows(self, rows: Any, y: np.ndarray) -> float:
        return float(r2_score(y, self._predictions(rows)))

    def predict(self, X: Any) -> np.ndarray:
        """The mean of the members' predictions.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        return self._predictions(self._rows(X))
