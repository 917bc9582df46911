"""The learning-rate range test, as a callback or by itself."""

from __future__ import annotations

import warnings
from copy import deepcopy
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _num_samples

from jitmlp.estimators.solvers import is_stochastic
from jitmlp.training.divergence import DivergenceError

SMOOTHING = 0.9  # of the losses: an exponential mean, freed of its start as Adam's moments are
GIVE_UP = 4.0  # times the lowest loss so far: the rate is too large


class _Exponential:
    """The rate of a step, from ``low`` to ``high`` in even ratios."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        self.low, self.high, self.steps = low, high, steps

    def __call__(self, step: int) -> float:
        return float(self.low * (self.high / self.low) ** (step / max(self.steps - 1, 1)))


class LearningRateFinder:
    """Find a learning rate: mini-batch after mini-batch, each with a larger one, until the loss explodes.

    A copy of the estimator is trained for that, from new weights, or with ``warm_start`` from those that are there, without
    sample weights; the one given stays as it is. As ``callback`` the test is run at the beginning of ``fit``, and that fit
    uses what it suggests in place of ``learning_rate_init``. ``partial_fit`` takes no notice.

    Parameters
    ----------
    low, high : float, default=1e-6 and 10
        The first and the last learning rate.
    steps : int, default=150
        Mini-batches, as many rates.

    Attributes
    ----------
    rates_, losses_ : ndarray of shape (n_steps,)
        Learning rates, and the loss of each mini-batch before its step.
    smooth_losses_ : ndarray of shape (n_steps,)
        The losses' exponential mean.
    suggestion_ : float
        Where a line through an eighth of the smooth losses falls most steeply over the logarithm of the rate.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017.

    Examples
    --------
    >>> from jitmlp import LearningRateFinder, MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> finder = LearningRateFinder().find(MLPClassifier((32,), random_state=0), X, y)
    >>> 1e-6 < finder.suggestion_ < 1
    True
    """

    def __init__(self, low: float = 1e-6, high: float = 10.0, steps: int = 150) -> None:
        if not 0 < low < high < np.inf:
            raise ValueError(f"low and high must satisfy 0 < low < high < infinity, got {low!r} and {high!r}")
        if not isinstance(steps, Integral) or steps < 10:
            raise ValueError(f"steps must be an int >= 10, got {steps!r}")
        self.low: float = low
        self.high: float = high
        self.steps: int = steps

    def find(self, model: Any, X: Any, y: Any) -> LearningRateFinder:
        """Run the test.

        Parameters
        ----------
        model : MLPClassifier or MLPRegressor
            Whose copy is trained.
        X, y : array-like
            As for ``fit``.

        Returns
        -------
        self : LearningRateFinder

        Raises
        ------
        ValueError
            If the solver is lbfgs, which has no learning rate.
        """
        if not is_stochastic(model.solver):
            raise ValueError("solver='lbfgs' has no learning rate to find")
        model._validate_params()
        goes_on = bool(model.warm_start) and hasattr(model, "coefs_")
        copy = clone(model)
        if goes_on:
            copy.__dict__.update(deepcopy({name: vars(model)[name] for name in vars(model) if _is_learned(name)}))
        copy.set_params(
            learning_rate=_Exponential(self.low, self.high, self.steps), learning_rate_params=None, callback=None,
            early_stopping=False, warm_start=False, n_members=1, on_divergence="raise", verbose=False, scoring=None,
            **({"class_weight": None} if getattr(model, "class_weight", None) == "balanced" else {}),
        )  # fmt: skip
        X = X.tocsr() if sparse.issparse(X) else X
        n = _num_samples(X)
        size, random = min(200 if model.batch_size == "auto" else int(model.batch_size), n), check_random_state(0)
        classes = (
            {} if not hasattr(model, "predict_proba") else {"classes": model.classes_ if goes_on else unique_labels(y)}
        )
        losses: list[float] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            while len(losses) < self.steps:
                order = random.permutation(n)
                for first in range(0, n - size + 1, size)[: self.steps - len(losses)]:
                    rows = order[first : first + size]
                    try:
                        copy.partial_fit(_safe_indexing(X, rows), _safe_indexing(y, rows), **classes)
                    except DivergenceError:
                        return self._found(losses)
                    classes = {}
                    losses.append(float(copy.loss_))
                    if losses[-1] > GIVE_UP * min(losses) and len(losses) > 10:
                        return self._found(losses)
        return self._found(losses)

    def _found(self, losses: list[float]) -> LearningRateFinder:
        """Smooth the losses and look for their steepest fall."""
        if len(losses) < 3:
            raise ValueError(f"the loss explodes at low={self.low!r} already; try a smaller one")
        steps, rate = np.arange(len(losses)), _Exponential(self.low, self.high, self.steps)
        self.rates_, self.losses_ = np.array([rate(int(step)) for step in steps]), np.array(losses)
        mean, smooth = 0.0, []
        for step, loss in enumerate(losses, 1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smooth.append(mean / (1 - SMOOTHING**step))
        self.smooth_losses_ = np.array(smooth)
        self.suggestion_ = float(self.rates_[_steepest(self.smooth_losses_)])
        return self

    def on_fit_begin(self, model: Any, X: Any, y: Any) -> dict[str, float]:
        """Run the test; this fit uses what it suggests."""
        if y is None or _num_samples(X) != _num_samples(y) or not _num_samples(X):
            return {}  # fit says what is wrong
        return {"learning_rate_init": self.find(model, X, y).suggestion_}

    def __call__(self, model: Any) -> None:
        """Nothing, after an epoch."""

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the learning rates, and the suggestion.

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        ax : matplotlib axes
        """
        if not hasattr(self, "rates_"):
            raise ValueError("the finder has found nothing yet: call find, or fit with it as callback")
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
        ax.plot(self.rates_, self.losses_, color="0.8", label="mini-batch")
        ax.plot(self.rates_, self.smooth_losses_, color="C0", label="smoothed")
        ax.axvline(self.suggestion_, color="C3", linestyle="--", label=f"suggestion {self.suggestion_:.2g}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
        ax.legend()
        return ax


def _is_learned(name: str) -> bool:
    """Whether an attribute is something that a fit has left; the optimizer's state is not wanted."""
    return name.endswith("_") or name in ("_label_binarizer", "_normalize", "_no_improvement_count")


def _steepest(losses: np.ndarray) -> int:
    """Where a line through the losses around falls most steeply: two neighbours alone would say more of the noise."""
    width = max(3, len(losses) // 8)
    steps = np.arange(width) - (width - 1) / 2
    slopes = np.correlate(losses, steps, "valid")
    return int(np.argmin(slopes)) + width // 2
