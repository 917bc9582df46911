"""Callbacks for the parameter ``callback``, ready to use: each is called with the estimator after every epoch.

They look at ``history_`` and ``n_iter_`` alone, pickle, and can be used for one fit after another.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from jitmlp.estimators.model_file import save
from jitmlp.model.messages import warn_user


class Checkpoint:
    """Write the model, state included, to a file after every so many epochs.

    Whatever ends the process, the file is whole: that of the last epoch written. To go on from it,
    ``jitmlp.load(path).set_params(warm_start="continue", max_iter=...).fit(X, y)``; for the same bits as without
    a stop the model that is fitted needs ``warm_start="continue"`` too.

    Parameters
    ----------
    path : path-like
    every : int, default=1
        Epochs from file to file.
    keep : int, default=1
        Files that are kept: the newest at ``path``, those before at ``path`` with ``.1``, ``.2`` ... behind it.

    Examples
    --------
    >>> from jitmlp import Checkpoint, MLPClassifier
    >>> model = MLPClassifier(callback=Checkpoint("model.jitmlp", every=10, keep=3))
    """

    def __init__(self, path: str | Path, every: int = 1, keep: int = 1) -> None:
        for name, value in (("every", every), ("keep", keep)):
            if not value >= 1:
                raise ValueError(f"{name} must be >= 1, got {value!r}")
        self.path, self.every, self.keep = path, every, keep

    def __call__(self, model: Any) -> None:
        """Write the file, if it is time."""
        if len(model.loss_curve_) % self.every:
            return
        files = [Path(self.path), *(Path(f"{self.path}.{number}") for number in range(1, self.keep))]
        for newer, older in zip(files[-2::-1], files[:0:-1]):
            if newer.exists():
                shutil.copyfile(newer, older)  # a copy: at no moment is there no file at ``path``
        save(model, self.path, state=True)


class _Watching:
    """Knows where a fit begins; calls of ``partial_fit`` are epochs of one."""

    _before = 0

    def _begins(self, model: Any) -> bool:
        """Whether this is the first epoch, of the model or of a fit that goes on from others."""
        begins = len(model.loss_curve_) == 1 or (model.n_iter_ == 1 and self._before > 1) or self._before == 0
        self._before = model.n_iter_
        return begins

    def _answer(self, stop: bool) -> bool:
        """The answer; whatever comes after a stop begins."""
        self._before = 0 if stop else self._before
        return stop


def _latest(model: Any) -> dict[str, float]:
    """What the last epoch had, by name."""
    return {"epoch": len(model.loss_curve_), **{name: values[-1] for name, values in model.history_.items()}}


class EarlyStopping(_Watching):
    """End training where a column of ``history_`` has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default="validation_loss"
        Name of the column. The larger the better if it ends in "score", else the smaller.
    patience : int, default=10
        Epochs without an improvement after which training ends.
    min_delta : float, default=0.0
        What counts as an improvement must be larger.

    Raises
    ------
    ValueError
        When called, if ``history_`` has no such column.

    Examples
    --------
    >>> from jitmlp import EarlyStopping, MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((32,), callback=EarlyStopping(patience=3), restore_best=True, scoring="loss")
    >>> model = model.fit(X[:1500], y[:1500], X_val=X[1500:], y_val=y[1500:])
    >>> model.stopped_by_
    'callback'
    """

    def __init__(self, monitor: str = "validation_loss", patience: int = 10, min_delta: float = 0.0) -> None:
        if not patience >= 1:
            raise ValueError(f"patience must be >= 1, got {patience!r}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be >= 0, got {min_delta!r}")
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta

    def __call__(self, model: Any) -> bool:
        """Whether to stop."""
        if self.monitor not in model.history_:
            raise ValueError(f"monitor must be one of {sorted(model.history_)}, got {self.monitor!r}")
        if self._begins(model):
            self._best, self._waited = np.inf, 0
        value = model.history_[self.monitor][-1]
        cost = -value if self.monitor.endswith("score") else value
        better = cost < self._best - self.min_delta
        self._best, self._waited = (cost, 0) if better else (self._best, self._waited + 1)
        return self._answer(self._waited >= self.patience)


class TimeLimit(_Watching):
    """End training before a time is over, as far as the last epoch tells how long the next will take.

    Parameters
    ----------
    seconds : float
        From the start of the first epoch, of which only the training is seen: not the scoring of validation data,
        nor callbacks that come before in a list.
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds must be > 0, got {seconds!r}")
        self.seconds = seconds

    def __call__(self, model: Any) -> bool:
        """Whether to stop."""
        now = time.monotonic()
        if self._begins(model):
            self._start = self._last = now - model.history_["seconds"][-1]
        epoch, self._last = now - self._last, now
        return self._answer(now - self._start + epoch > self.seconds)


class _Log:
    """A file that every epoch is written to."""

    def __init__(self, path: str | Path) -> None:
        self.path = path


class CSVLogger(_Log):
    """Write a row of ``history_`` to a file after every epoch.

    Parameters
    ----------
    path : path-like
        Begun anew by every fit; ``partial_fit`` and warm starts go on.
    """

    def __call__(self, model: Any) -> None:
        """Write."""
        row = _latest(model)
        with open(self.path, "a+", newline="") as file:
            file.seek(0)
            if row["epoch"] > 1 and next(csv.reader(file), None) == list(row):
                csv.writer(file).writerow(row.values())
                return
            file.truncate(0)  # new, or with columns that came later
            writer = csv.writer(file)
            writer.writerow(row)
            writer.writerows(zip(range(1, int(row["epoch"]) + 1), *model.history_.values()))


class JSONLogger(_Log):
    """Write an object of ``history_``, a line of JSON, to a file after every epoch.

    Parameters
    ----------
    path : path-like
        Begun anew by every fit; ``partial_fit`` and warm starts go on.
    """

    def __call__(self, model: Any) -> None:
        """Write."""
        row = _latest(model)
        values = {name: None if np.isnan(value) else float(value) for name, value in row.items()}
        with open(self.path, "w" if row["epoch"] == 1 else "a") as file:
            print(json.dumps({**values, "epoch": int(row["epoch"])}), file=file)


class WeightAverage:
    """End ``fit`` with an average of the weights of its epochs, which often predicts better than those of the last.

    With ``decay`` an exponential mean (Polyak & Juditsky 1992), else the plain mean from ``start`` on, as in stochastic
    weight averaging (Izmailov et al. 2018), which goes well with a constant or cyclic learning rate. What batch
    normalization has learned is averaged alike, its running statistics too. Scores of validation data are those of the
    weights before; the average also takes the place of those that early stopping or ``restore_best`` would go back to.
    ``partial_fit`` is not averaged.

    Parameters
    ----------
    decay : float, default=None
        Share of the mean so far that is kept at the end of an epoch, in [0, 1).
    start : float or int, default=0.75
        The first epoch that counts: an int counts epochs from 0, a float is a share of ``max_iter``.

    Warns
    -----
    UserWarning
        If the fit ended before ``start``, so that nothing is averaged.

    Examples
    --------
    >>> from jitmlp import MLPRegressor, WeightAverage
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=(20,), callback=WeightAverage(start=2), tol=1, random_state=0)
    >>> model = model.fit(X, y / 100)
    """

    def __init__(self, decay: float | None = None, start: float = 0.75) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay must be None or lie in [0, 1), got {decay!r}")
        if not start >= 0 or (not isinstance(start, Integral) and start >= 1):
            raise ValueError(f"start must be an int >= 0 or a float in [0, 1), got {start!r}")
        self.decay, self.start = decay, start
        self._count = -1  # outside of a fit
        self._mean: list[np.ndarray] = []

    def on_fit_begin(self, model: Any, X: Any, y: Any) -> None:
        """Forget what an earlier fit had."""
        self._count, self._mean = 0, []

    def __call__(self, model: Any) -> None:
        """Add an epoch."""
        first = self.start if isinstance(self.start, Integral) else int(self.start * model.max_iter)
        if self._count < 0 or model.n_iter_ <= first:
            return
        weights = [array for arrays in _weights_of(model) for array in arrays]
        self._count += 1
        if self._count == 1:
            self._mean = [array.astype(np.float64) for array in weights]
            return
        share = 1 / self._count if self.decay is None else 1 - self.decay
        for mean, array in zip(self._mean, weights):
            mean += share * (array - mean)

    def on_fit_end(self, model: Any) -> None:
        """Put the average in the place of the weights."""
        if not self._mean:
            warn_user(
                f"no weights were averaged: the fit ended after {model.n_iter_} epochs, before start={self.start!r}"
            )
        means, self._count = iter(self._mean), -1
        if not self._mean:
            return
        lists = _weights_of(model)
        for arrays in lists:
            arrays[:] = [next(means).astype(array.dtype) for array in arrays]
            for array in arrays:
                array.flags.writeable = False  # as all fitted weights are, so that predictions know them
        if model.embeddings_ is not None:
            (model.embedding_coefs_,) = lists[-1]
            model.coefs_[0] = model._trained_parameters().multiplied(model._fitted_embedding()).frozen().weights[0]


def _weights_of(model: Any) -> list[list[np.ndarray]]:
    """The lists that hold a model's parameters."""
    embedded = [] if model.embeddings_ is None else [model.embeddings_, [model.embedding_coefs_]]
    return [model.coefs_, model.intercepts_, *model.batch_norm_, *embedded]
