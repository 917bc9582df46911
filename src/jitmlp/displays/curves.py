"""Curves over the epochs: losses and scores, and the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitmlp.displays.base import Display, history_of
from jitmlp.estimators.solvers import is_stochastic, mini_batch_size, rate_of

if TYPE_CHECKING:
    from typing_extensions import Self


class LossCurveDisplay(Display):
    """Losses, and the score of held-out rows, over the epochs.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
    validation_loss, validation_score : array-like of shape (n_epochs,), default=None

    Attributes
    ----------
    lines_ : list of matplotlib lines
        Those of the parameters that were given, in their order.

    Examples
    --------
    >>> from jitmlp import LossCurveDisplay, MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), tol=1e-2, early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(model)
    """

    def __init__(self, loss: Any, validation_loss: Any = None, validation_score: Any = None) -> None:
        self.loss, self.validation_loss, self.validation_score = loss, validation_loss, validation_score

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **line: Any) -> Self:
        """The curves of a fitted estimator, drawn.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        ax : matplotlib axes, default=None
        **line
            Options of the lines.

        Raises
        ------
        ValueError
            If L-BFGS fitted it, which has no curve.
        """
        history = history_of(estimator)
        found = (history.get(name) for name in ("loss", "validation_loss", "validation_score"))
        return cls(*found).plot(ax, **line)

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw; the score has an axis of its own, on the right."""
        ax = self._axes(ax)
        self.lines_: list[Any] = []
        for name, values in (("training loss", self.loss), ("validation loss", self.validation_loss)):
            if values is not None:
                epochs = np.arange(1, len(values) + 1)
                self.lines_ += ax.plot(epochs, values, **{"color": f"C{len(self.lines_)}", "label": name, **line})
        ax.set(xlabel="epoch", ylabel="loss")
        if self.validation_score is not None:
            right = ax.twinx()
            right.set_ylabel("validation score")
            epochs = np.arange(1, len(self.validation_score) + 1)
            options = {"color": "C2", **line}
            self.lines_ += right.plot(epochs, self.validation_score, **{"label": "validation score", **options})
        ax.legend(handles=self.lines_, loc="center right")  # where neither falling nor rising curves end
        return self


class LearningRateDisplay(Display):
    """The learning rate over the epochs.

    Parameters
    ----------
    epochs, rate : array-like of shape (n_points,)

    Attributes
    ----------
    line_ : matplotlib line
    """

    def __init__(self, epochs: Any, rate: Any) -> None:
        self.epochs, self.rate = epochs, rate

    @classmethod
    def from_estimator(cls, estimator: Any, *, n_samples: int | None = None, ax: Any = None, **line: Any) -> Self:
        """The learning rates of a fit, or those planned for one, drawn.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        n_samples : int, default=None
            Draw the schedule's rate of every step of ``max_iter`` epochs over so many rows, as it is planned: what
            reacts to the loss is drawn as if nothing happened. By default, what the last step of each epoch of a
            fitted estimator had.
        ax : matplotlib axes, default=None
        **line
            Options of the line.

        Examples
        --------
        >>> from jitmlp import LearningRateDisplay, MLPClassifier
        >>> model = MLPClassifier(learning_rate="one_cycle", max_iter=20)
        >>> display = LearningRateDisplay.from_estimator(model, n_samples=1000)
        """
        if n_samples is None:
            rates = history_of(estimator)["learning_rate"]
            return cls(np.arange(1, len(rates) + 1), np.asarray(rates)).plot(ax, **line)
        if not n_samples >= 1:
            raise ValueError(f"n_samples must be >= 1, got {n_samples!r}")
        if not is_stochastic(estimator.solver):
            raise ValueError("solver='lbfgs' has no learning rate to draw")
        rate = rate_of(estimator)
        steps, epochs = -(-n_samples // mini_batch_size(estimator, n_samples)), int(estimator.max_iter)
        state, rates = rate.start, []
        for epoch in range(epochs):
            found = rate.rates(state, epoch * steps, steps, epochs)
            rates.append(found)
            state = rate.end_epoch(state, found, (epoch + 1) * n_samples, float("-inf"))
        return cls(np.arange(epochs * steps) / steps, np.concatenate(rates)).plot(ax, **line)

    def plot(self, ax: Any = None, **line: Any) -> Self:
        """Draw."""
        ax = self._axes(ax)
        (self.line_,) = ax.plot(self.epochs, self.rate, **line)
        ax.set(xlabel="epoch", ylabel="learning rate")
        return self
