"""What a default fit for tables takes on one core and on all, beside a matrix product of the same minute.

    python benchmarks/lab/ensembles.py [--rows 6000] [--columns 20] [--turns 3] [--epochs 100]

Seconds of :class:`TabularClassifier` and :class:`TabularRegressor` with ``n_jobs`` of 1 and of all cores in turns, the members a
whole number of times the cores so that none waits; the efficiency is the ratio of the two over the number of cores. With
``--defaults`` the five members of the defaults instead, of which the last one has a core for itself.
"""

from __future__ import annotations

import argparse
import time

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
    classes = make_classification(options.rows, options.columns, n_informative=12, n_classes=3, random_state=0)
    numbers = make_regression(options.rows, options.columns, n_informative=12, noise=20, random_state=0)
    given = {"random_state": 0} if options.defaults else {"random_state": 0, "n_members": 2 * n_cores}
    if options.epochs is not None:
        given["max_iter"] = options.epochs
    for estimator, (X, y) in ((TabularClassifier, classes), (TabularRegressor, numbers)):
        estimator(max_iter=1, random_state=0).fit(X, y)  # what is compiled
        seconds: dict[int, list[float]] = {1: [], n_cores: []}
        for _ in range(options.turns):
            for n_jobs, found in seconds.items():
                speed, start = product_speed(), time.perf_counter()
                estimator(n_jobs=n_jobs, **given).fit(X, y)
                found.append(time.perf_counter() - start)
                print(f"{estimator.__name__}, {n_jobs} core(s): {found[-1]:.1f} s ({speed:.0f} GFLOP/s)", flush=True)
        alone, together = (float(np.median(found)) for found in seconds.values())
        print(
            f"{estimator.__name__}: {alone:.1f} s, {together:.1f} s, {alone / together / n_cores:.2f} of {n_cores} cores"
        )


if __name__ == "__main__":
    main()
