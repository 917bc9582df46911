"""What a default fit for tables takes on one core and on all, beside a matrix product of the same minute.

    python benchmarks/lab/ensembles.py [--rows 6000] [--columns 20] [--turns 3] [--epochs 100]

Seconds of :class:`TabularClassifier` and :class:`TabularRegressor` in turns: with ``n_jobs=1`` on an idle machine, with ``n_jobs=1``
in as many processes as there are cores, all at once, and with ``n_jobs`` of all cores. The members are a whole number of times
the cores, so that none waits. The efficiency is the first over the third and the number of cores; the first over the second is
what the machine itself leaves of a core when all are busy. With ``--defaults`` the five members of the defaults instead, of
which the last one has all cores for itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from sklearn.datasets import make_classification, make_regression
from threadpoolctl import threadpool_limits

from jitmlp import TabularClassifier, TabularRegressor
from jitmlp.engine.threads import available_threads


def product_speed() -> float:
    """GFLOP/s of NumPy's product of float32 matrices on one core."""
    a = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    with threadpool_limits(1):
        a @ a
        start = time.perf_counter()
        for _ in range(10):
            a @ a
        return 10 * 2 * 1024**3 / (time.perf_counter() - start) / 1e9


def table(estimator: type, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes, or numbers."""
    if estimator is TabularClassifier:
        return make_classification(rows, columns, n_informative=12, n_classes=3, random_state=0)
    return make_regression(rows, columns, n_informative=12, noise=20, random_state=0)


def fit(estimator: type, rows: int, columns: int, **given: int) -> float:
    """Seconds of a fit."""
    X, y = table(estimator, rows, columns)
    model = estimator(random_state=0, **given)
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def main() -> None:
    """Print a line a turn, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--defaults", action="store_true")
    options = parser.parse_args()
    n_cores = available_threads(None)
    given = {} if options.defaults else {"n_members": 2 * n_cores}
    if options.epochs is not None:
        given["max_iter"] = options.epochs
    with ProcessPoolExecutor(n_cores, get_context("spawn")) as processes:
        for estimator in (TabularClassifier, TabularRegressor):
            run = partial(fit, estimator, options.rows, options.columns, **given)
            measure(estimator.__name__, run, n_cores, processes, options.turns)


def measure(name: str, run: Callable, n_cores: int, processes: ProcessPoolExecutor, turns: int) -> None:
    """Print the lines of an estimator, whose fit ``run(**parameters)`` times."""

    def side_by_side(**more: int) -> float:
        found = [processes.submit(run, n_jobs=1, **more) for _ in range(n_cores)]
        return max(future.result() for future in found)

    for _ in range(2):  # what is compiled and loaded, in each of the processes
        side_by_side(max_iter=3)
        run(max_iter=3)
    ways: dict[str, Callable[[], float]] = {
        "one core": lambda: run(n_jobs=1),
        f"{n_cores} processes": side_by_side,
        "all cores": lambda: run(n_jobs=n_cores),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, timed in ways.items():
            speed = product_speed()
            seconds[way].append(timed())
            print(f"{name}, {way}: {seconds[way][-1]:.1f} s ({speed:.0f} GFLOP/s)", flush=True)
    alone, beside, together = (float(np.median(found)) for found in seconds.values())
    print(
        f"{name}: {alone:.1f} s, {beside:.1f} s, {together:.1f} s: {alone / together / n_cores:.2f} of {n_cores} cores, "
        f"of which the machine leaves {alone / beside:.2f}"
    )


if __name__ == "__main__":
    main()
