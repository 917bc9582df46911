"""A fit with a progress bar on standard error."""

from __future__ import annotations

import time
import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from jitmlp.estimators.progress import ProgressBar


def fit_with_progress(model: Any, X: Any, y: Any, silent: bool = False, **more: Any) -> float:
    """Fit a model, with ``more`` arguments of its method; returns the seconds that it took."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(callback=None if silent else ProgressBar()).fit(X, y, **more)
    model.set_params(callback=None)
    return time.perf_counter() - start
