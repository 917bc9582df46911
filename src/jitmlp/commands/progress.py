"""A fit with a progress bar on standard error: epoch, loss, score, rows a second, time left."""

from __future__ import annotations

import time
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning


def fit_with_progress(model: Any, X: Any, y: Any, silent: bool = False, **more: Any) -> float:
    """Fit a model, with ``more`` arguments of its method; returns the seconds that it took."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch {task.completed:>3}/{task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}{task.fields[score]}, {task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left at most"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=silent) as progress:
        task = progress.add_task("fit", total=model.max_iter, loss=float("nan"), score="", speed="")

        def show(fitted: Any) -> None:
            scores = fitted.validation_scores_
            score = f", validation score {scores[-1]:.4f}" if scores else ""
            speed = f"{len(X) / max(fitted.history_['seconds'][-1], 1e-9):,.0f} rows/s"
            progress.update(task, completed=fitted.n_iter_, loss=fitted.loss_, score=score, speed=speed)

        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(callback=show).fit(X, y, **more)
        seconds = time.perf_counter() - start
        progress.update(task, total=model.n_iter_)
    model.set_params(callback=None)
    return seconds
