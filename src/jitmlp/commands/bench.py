"""``jitmlp bench``: fits and predictions beside scikit-learn's, on this machine."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_digits

from jitmlp.commands.info import machine_line
from jitmlp.estimators.classifier import MLPClassifier
from jitmlp.estimators.regressor import MLPRegressor


class Work(NamedTuple):
    """One row of the table: data, and what both are asked for."""

    text: str
    make: Callable[[], tuple[Any, Any]]
    options: dict[str, Any]
    predict: int = 0  # calls for one row each, instead of a fit
    regression: bool = False


def _digits() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def _images() -> tuple[Any, Any]:
    """Random images that are one fifth not zero, as those of digits are."""
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=12_000)
    patterns = rng.random((10, 784), np.float32)
    return np.where(rng.random((len(y), 784)) < 0.2, patterns[y], 0).astype(np.float32), y


def _table() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 50)).astype(np.float32)
    return X, np.tanh(X @ rng.standard_normal((50, 8))).sum(axis=1).astype(np.float32)


def _text() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = sparse.random(4000, 20_000, 0.003, format="csr", dtype=np.float32, random_state=0)
    return X, rng.integers(20, size=4000)


WORK = (
    Work("digits, 64-100-10, to convergence", _digits, {"max_iter": 200}),
    Work(
        "images, 784-128-64-10, batches of 200",
        _images,
        {"hidden_layer_sizes": (128, 64), "batch_size": 200, "max_iter": 3},
    ),
    Work(
        "images, 784-128-64-10, batches of 32",
        _images,
        {"hidden_layer_sizes": (128, 64), "batch_size": 32, "max_iter": 1},
    ),
    Work(
        "table, 50-256-256-1, batches of 256",
        _table,
        {"hidden_layer_sizes": (256, 256), "batch_size": 256, "max_iter": 3},
        regression=True,
    ),
    Work("sparse text, 20000-100-20", _text, {"max_iter": 2}),
    Work("predictions of single digits, 200", _digits, {"max_iter": 2}, predict=200),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--repeats", metavar="N", type=int, default=3, help="of which the median is shown (3)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads of jitmlp, by default all")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _seconds(model: Any, work: Work, X: Any, y: Any) -> float:
    """Seconds of one fit, or of the predictions."""
    start = time.perf_counter()
    if not work.predict:
        model.fit(X, y)
    for i in range(work.predict):
        model.predict(X[i : i + 1])
    return time.perf_counter() - start


def measure(work: Work, repeats: int, n_threads: int | None) -> tuple[float, float]:
    """Median seconds of jitmlp and of scikit-learn, who take turns."""
    X, y = work.make()
    ours: Any = MLPRegressor if work.regression else MLPClassifier
    theirs = getattr(neural_network, ours.__name__)
    options = {"random_state": 0, **work.options}
    models = ours(**options, n_threads=n_threads), theirs(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models[0].fit(X, y)  # loads, or compiles, the kernels
        if work.predict:
            models[1].fit(X, y)
        taken = [[_seconds(model, work, X, y) for model in models] for _ in range(repeats)]
    mine, their = (statistics.median(seconds) for seconds in zip(*taken))
    return mine, their


def run(options: argparse.Namespace) -> int:
    """Measure, and print the table."""
    for name, value in (("--repeats", options.repeats), ("--threads", options.threads)):
        if value is not None and value < 1:
            print(f"jitmlp bench: {name} must be at least 1, got {value}", file=sys.stderr)
            return 2
    rows = []
    if not options.json:
        print(machine_line(options.threads))
        print(f"{'':40s}{'jitmlp':>11s}{'scikit-learn':>14s}{'ratio':>8s}")
    for work in WORK:
        mine, theirs = measure(work, options.repeats, options.threads)
        rows.append({"work": work.text, "jitmlp_seconds": mine, "scikit_learn_seconds": theirs, "ratio": theirs / mine})
        if not options.json:
            print(f"{work.text:40s}{mine * 1e3:8.1f} ms{theirs * 1e3:11.1f} ms{theirs / mine:8.1f}", flush=True)
    if options.json:
        print(json.dumps({"machine": machine_line(options.threads), "rows": rows}))
    return 0
