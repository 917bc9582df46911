"""A progress bar for the parameter ``callback``: epoch, loss, score, rows a second, time left."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any

LINES = 20  # of a whole fit, at most, where no bar can be drawn


class ProgressBar:
    """Show how far a fit is, on standard error.

    A bar in terminals and, with ``ipywidgets``, in notebooks, drawn by ``rich``; elsewhere, and without ``rich``, at
    most 20 plain lines. ``partial_fit`` is an epoch whose end is not known, and shows nothing.

    Parameters
    ----------
    silent : bool, default=False
        Show nothing.

    Examples
    --------
    >>> from jitmlp import MLPClassifier, ProgressBar
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), tol=1e-2, random_state=0, callback=ProgressBar(silent=True)).fit(X, y)
    """

    def __init__(self, silent: bool = False) -> None:
        self.silent = silent
        self._bar: Any = None
        self._start: float | None = None  # outside of a fit
        self._shown = self._epoch = 0

    def on_fit_begin(self, model: Any, X: Any, y: Any) -> None:
        """Begin."""
        self._start, self._shown, self._epoch = time.monotonic(), 0, 0
        if not self.silent:
            self._bar = rich_bar(
                model.max_iter,
                "epoch {task.completed:>3}/{task.total}",
                "loss {task.fields[loss]:.4f}{task.fields[score]}, {task.fields[speed]}",
                "left at most",
                loss=float("nan"),
                score="",
                speed="",
            )

    def __call__(self, model: Any) -> None:
        """Show an epoch."""
        if self.silent or self._start is None:
            return
        self._epoch = epoch = model.n_iter_
        scores = getattr(model, "validation_scores_", None)
        score = f", validation score {scores[-1]:.4f}" if scores else ""
        n_rows = model.t_ / len(model.loss_curve_)
        speed = f"{n_rows / max(model.history_['seconds'][-1], 1e-9):,.0f} rows/s"
        if self._bar is not None:
            self._bar.update(0, completed=epoch, loss=model.loss_, score=score, speed=speed)
            return
        share = epoch * LINES // model.max_iter
        if share > self._shown:
            self._shown = share
            left = (time.monotonic() - self._start) / epoch * (model.max_iter - epoch)
            line = f"epoch {epoch}/{model.max_iter} loss {model.loss_:.4f}{score}, {speed}, left at most {left:.0f} s"
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the bar as it is now."""
        self._start = None
        if self._bar is not None:
            self._bar.update(0, total=self._epoch)
            self._bar.stop()
            self._bar = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bar": None, "_start": None}


def rich_bar(total: int, count: str, state: str, left: str, **fields: Any) -> Any:
    """rich's bar, begun, or None where it cannot be drawn.

    Parameters
    ----------
    total : int
    count, state, left : str
        What stands before the bar, behind it, and before the time left, in rich's format of the task.
    **fields
        What ``state`` and ``count`` name beside it, as it is at the beginning.
    """
    if find_spec("rich") is None:
        return None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_jupyter:
        console = Console()
    if (console.is_jupyter and find_spec("ipywidgets") is None) or not (console.is_jupyter or console.is_terminal):
        return None
    columns = (
        TextColumn(count),
        BarColumn(bar_width=24),
        TextColumn(state),
        TimeElapsedColumn(),
        TextColumn(left),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    bar.add_task("fit", total=total, **fields)
    bar.start()
    return bar
