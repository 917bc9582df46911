"""The perceptron: one threshold unit and Rosenblatt's learning rule."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jitmlp.engine.data import address
from jitmlp.estimators.links import DocumentationLink
from jitmlp.model.messages import warn_user
from jitmlp_kernels.link.pieces import callable_of, piece
from jitmlp_kernels.pieces.perceptron import PERCEPTRON, perceptron_epoch
from jitmlp_kernels.pieces.records import new

if TYPE_CHECKING:
    from typing_extensions import Self


class Perceptron(DocumentationLink, ClassifierMixin, BaseEstimator):
    """Linear threshold classifier, learned by the perceptron rule.

    For two classes, the output is ``classes_[1]`` where ``w.x + b > 0``. Several classes
    are told apart one against the rest. On the same order of samples the result is that
    of :class:`sklearn.linear_model.Perceptron`.

    Parameters
    ----------
    eta0 : float, default=1.0
        What a mistake adds: ``eta0`` times the sample.
    fit_intercept : bool, default=True
    max_iter : int, default=1000
        Most epochs.
    tol : float, default=1e-3
        Gain in the loss, per sample, that counts as an improvement; None to run
        ``max_iter`` epochs, or until one without a mistake.
    n_iter_no_change : int, default=5
        Epochs without improvement before training stops.
    shuffle : bool, default=True
        Whether samples are shuffled before every epoch.
    random_state : int, RandomState instance, default=None

    Attributes
    ----------
    coef_ : ndarray of shape (1 or n_classes, n_features)
    intercept_ : ndarray of shape (1 or n_classes,)
    classes_ : ndarray of shape (n_classes,)
    n_iter_ : int
        Epochs of the class that took the longest.
    mistakes_ : list of list of int
        Mistakes of every epoch, one list for each row of ``coef_``.

    References
    ----------
    Rosenblatt, "The perceptron: a probabilistic model for information storage and
    organization in the brain", Psychological Review 65, 1958.

    Examples
    --------
    >>> from jitmlp import Perceptron
    >>> model = Perceptron(tol=None, shuffle=False).fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 0, 0, 1])
    >>> model.predict([[1, 1], [0, 1]])
    array([1, 0])
    """

    _parameter_constraints: dict = {
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        eta0: Any = 1.0,
        fit_intercept: Any = True,
        max_iter: Any = 1000,
        tol: Any = 1e-3,
        n_iter_no_change: Any = 5,
        shuffle: Any = True,
        random_state: Any = None,
    ) -> None:
        self.eta0 = eta0
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Learn from the samples of X and their classes y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : object
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(self.classes_)} class")
        positive = [1] if len(self.classes_) == 2 else range(len(self.classes_))
        random_state = check_random_state(self.random_state)
        fitted = [self._fit_one(X, np.where(codes == c, 1.0, -1.0), random_state) for c in positive]
        self.coef_ = np.array([weights for weights, _, _ in fitted])
        self.intercept_ = np.array([intercept for _, intercept, _ in fitted])
        self.mistakes_ = [mistakes for _, _, mistakes in fitted]
        self.n_iter_ = max(len(mistakes) for mistakes in self.mistakes_)
        return self

    def _fit_one(self, X: Any, sign: np.ndarray, random_state: Any) -> tuple[np.ndarray, float, list[int]]:
        """Weights, intercept and mistakes of the unit that tells ``sign`` 1 from -1."""
        weights, intercept, order = np.zeros(X.shape[1]), np.zeros(1), np.arange(len(X))
        run = callable_of(piece(perceptron_epoch, np.float64))
        epoch = new(
            PERCEPTRON,
            x=address(X),
            sign=address(sign),
            order=address(order),
            n_rows=len(X),
            n_features=X.shape[1],
            weights=address(weights),
            intercept=address(intercept),
            rate=float(self.eta0),
            fit_intercept=bool(self.fit_intercept),
        )
        place = epoch.ctypes.data
        best, waited, mistakes = np.inf, 0, []
        for _ in range(self.max_iter):
            if self.shuffle:
                random_state.shuffle(order)
            run(place, place, place)
            wrong, loss = int(epoch["mistakes"][0]), float(epoch["loss"][0])
            mistakes.append(wrong)
            if self.tol is None:
                if wrong == 0:
                    break
                continue
            waited = waited + 1 if loss > best - self.tol * len(X) else 0
            best = min(best, loss)
            if waited >= self.n_iter_no_change:
                break
        else:
            warn_user(f"Maximum number of iterations ({self.max_iter}) reached before convergence", ConvergenceWarning)
        return weights, intercept[0], mistakes

    def decision_function(self, X: Any) -> np.ndarray:
        """``w.x + b`` of every sample.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = X @ self.coef_.T + self.intercept_
        return scores.ravel() if len(self.coef_) == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Classes of the samples of X.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]
