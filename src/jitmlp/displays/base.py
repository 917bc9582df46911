"""What the displays share: scikit-learn's convention, and axes."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted


class Display:
    """Numbers that ``plot`` draws; ``from_estimator`` takes them from a fitted estimator and draws them at once.

    Attributes
    ----------
    ax_, figure_ :
        matplotlib's axes (an array of them where there are several) and figure, after ``plot``.
    """

    ax_: Any
    figure_: Any

    def _axes(self, ax: Any) -> Any:
        """The axes given, or those of a new figure."""
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(layout="constrained")[1]
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def history_of(estimator: Any) -> dict[str, list]:
    """The curves of a fitted estimator.

    Raises
    ------
    ValueError
        If L-BFGS fitted it, which has none, or several networks were fitted.
    """
    check_is_fitted(estimator)
    if hasattr(estimator, "members_") and not hasattr(estimator, "history_"):
        raise ValueError("each of members_ has a history_ of its own: draw that of one")
    if not hasattr(estimator, "history_"):
        raise ValueError(f"this {type(estimator).__name__} has no history_: lbfgs keeps none")
    return estimator.history_
