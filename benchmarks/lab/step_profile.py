"""Where the microseconds of a mini-batch step go.

    python benchmarks/lab/step_profile.py
    MNIST_DIR=... python benchmarks/lab/step_profile.py --zeros

The table of calls is the step: it is run on one thread with more and more of its calls, which take turns, and what
each adds to the best time is its share. What a call costs beside others (its memory in the cache or not) is in the figure.
With --zeros steps on MNIST with all products and with the zeros left out take turns, on one thread.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps, first_calls

from jitmlp.engine import program
from jitmlp.engine.data import Data
from jitmlp.engine.workspace import Constraints
from jitmlp.files.idx import load_mnist

ROWS = 60_000  # more than the caches hold


def profile(name, units, batch, n_steps, repeats=15):
    """Print what each call of the step adds."""
    made = Steps(units, batch, n_threads=1, n_steps=n_steps)
    rng = np.random.default_rng(0)
    data = Data(rng.random((ROWS, units[0]), np.float32), rng.integers(units[-1], size=ROWS))
    made.data, made.order = data, rng.integers(ROWS, size=n_steps * batch)
    made.run()
    job = made.workspace.training_job(data, Constraints(1e-4))
    labels = [wanted.label for wanted in job.wanted]
    best = np.full(len(labels) + 1, np.inf)
    for _ in range(repeats):
        for count in range(len(best)):
            with first_calls(job, count):
                start = time.perf_counter()
                made.run()
                best[count] = min(best[count], (time.perf_counter() - start) / n_steps * 1e6)
    whole = best[-1]
    print(f"{name}: {units}, batch {batch}, one thread, {whole:.2f} us a step")
    for label, share in zip(("the loop", *labels), np.diff(best, prepend=0)):
        print(f"  {label:56s}{share:8.2f}")
    macs = [a * b for a, b in zip(units, units[1:])]
    flops = 2 * batch * (2 * macs[0] + 3 * sum(macs[1:]))
    print(f"  {'sum':56s}{whole:8.2f}   {flops / whole / 1e3:.0f} GFLOP/s")


def both_ways(name, units, batch, n_steps, turns=40):
    """Print the best time of a step with all products and with the zeros of images left out."""
    X, y, *_ = load_mnist(os.environ["MNIST_DIR"])
    data, chosen = Data(X.astype(np.float32) / 255, y.astype(np.int64)), program.MOST_FILLED
    ways = {}
    for way, limit in (("all", -1.0), ("some", 9.0)):
        program.MOST_FILLED = limit
        ways[way] = made = Steps(units, batch, n_threads=1, n_steps=n_steps)
        made.data, made.order = data, np.random.default_rng(0).integers(len(y), size=n_steps * batch)
        made.run()
    program.MOST_FILLED = chosen
    best = dict.fromkeys(ways, np.inf)
    for _ in range(turns):
        for way, made in ways.items():
            start = time.perf_counter()
            made.run()
            best[way] = min(best[way], (time.perf_counter() - start) / n_steps * 1e6)
    print(
        f"| {name} {units}, {batch} rows | {best['all']:.0f} | {best['some']:.0f} | {best['all'] / best['some']:.2f} |"
    )


if __name__ == "__main__" and "--zeros" in sys.argv:
    print("| us a step | all products | zeros left out | ratio |\n|---|---|---|---|")
    both_ways("W1", (784, 128, 64, 10), 200, 8)
    both_ways("W2", (784, 128, 64, 10), 32, 50)
    both_ways("W3", (784, 30, 10), 10, 160)
    both_ways("W5", (784, 1024, 1024, 10), 512, 1, turns=10)
elif __name__ == "__main__":
    profile("W1", (784, 128, 64, 10), 200, 300)
    profile("W2", (784, 128, 64, 10), 32, 1000)
    profile("W3", (784, 30, 10), 10, 4000)
