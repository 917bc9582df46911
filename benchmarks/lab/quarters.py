"""What it gains that quarters of a small network's mini-batch have gradients of their own, on one thread and on several.

    python benchmarks/lab/quarters.py [--threads 2] [--turns 20]

Steps with gradients of quarters and of whole mini-batches take turns, each for a twentieth of a second, on dense rows: medians,
and the median ratio of the two turns beside each other. The last columns are what the rule in ``engine/layout.py`` looks at.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps

from jitmlp.engine import layout
from jitmlp.engine.data import Data

NETWORKS = (
    ((4, 100, 3), 150, "float64"),
    ((13, 100, 3), 178, "float64"),
    ((30, 100, 1), 200, "float64"),
    ((64, 100, 10), 200, "float64"),
    ((100, 100, 10), 200, "float64"),
    ((64, 100, 10), 64, "float64"),
    ((20, 64, 64, 3), 256, "float32"),
    ((64, 128, 64, 10), 200, "float32"),
    ((20, 128, 128, 3), 256, "float32"),
    ((200, 100, 10), 200, "float32"),
    ((4, 32, 16, 4), 10_000, "float32"),
)
SECONDS = 0.05


def steps(units, batch, dtype, n_threads, most):
    """Steps of a network whose parameters take ``most`` bytes or fewer to have gradients of quarters."""
    kept, layout.MOST_QUARTERED = layout.MOST_QUARTERED, most
    kept_least, layout.LEAST_ACTIVATIONS = layout.LEAST_ACTIVATIONS, 0
    try:
        made = Steps(units, batch, dtype, n_threads, n_steps=max(8, 8000 // batch))
    finally:
        layout.MOST_QUARTERED, layout.LEAST_ACTIVATIONS = kept, kept_least
    rng = np.random.default_rng(0)
    made.data = Data(
        rng.normal(size=(len(made.order), units[0])).astype(dtype), rng.integers(units[-1], size=len(made.order))
    )
    made.order = np.arange(len(made.order))
    made.run()
    return made


def microseconds(made):
    """The median time of a step."""
    made.run()
    seconds, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        made.run()
        seconds.append(time.perf_counter() - start)
    return np.median(seconds) / made.n_steps * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    print("| network, rows, dtype | threads | whole, us | quarters, us | ratio | KB | activations a parameter |")
    print("|---|---|---|---|---|---|---|")
    for units, batch, dtype in NETWORKS:
        size = sum((a + 1) * b for a, b in zip(units, units[1:]))
        for n_threads in sorted({1, options.threads}):
            whole, in_quarters = (steps(units, batch, dtype, n_threads, most) for most in (-1, 2**40))
            assert (whole.workspace.layout.in_quarters, in_quarters.workspace.layout.in_quarters) == (False, True)
            turns = np.array([[microseconds(whole), microseconds(in_quarters)] for _ in range(options.turns)])
            before, now = np.median(turns, axis=0)
            ratio = np.median(turns[:, 0] / turns[:, 1])
            kilobytes = size * np.dtype(dtype).itemsize / 1024
            share = min(batch, layout.MAX_BLOCK_ROWS) * sum(units) / size
            name = "-".join(map(str, units))
            print(
                f"| {name}, {batch}, {dtype} | {n_threads} | {before:.1f} | {now:.1f} | {ratio:.2f} "
                f"| {kilobytes:.0f} | {share:.1f} |",
                flush=True,
            )
