"""How long a row of a network's buffers should be: an odd number of vectors, or of cache lines.

    python benchmarks/lab/row_lengths.py [--threads 1] [--turns 40]

The gradient of weights takes a pair of neighbouring vectors from every row. With vectors of half a line the pair lies in two
lines in every other row, unless rows are whole lines long. Steps of networks with both kinds of rows take turns: the best
times, and their ratio. Where a vector is a line (AVX-512) both are the same.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps

from jitmlp.engine.layout import Layout, up
from jitmlp_kernels.trace.target import TILE_ROWS

NETWORKS = (
    ((64, 8, 8, 10), 200, 400),
    ((64, 32, 32, 10), 200, 300),
    ((64, 100, 100, 10), 200, 100),
    ((20, 256, 256, 256, 3), 256, 40),
    ((784, 30, 10), 10, 2000),
    ((784, 128, 64, 10), 200, 100),
    ((784, 128, 64, 10), 32, 300),
    ((784, 512, 512, 10), 128, 10),
    ((784, 1024, 1024, 10), 512, 2),
)
in_lines = Layout._row


def in_vectors(layout, units):
    """An odd number of vectors."""
    vectors = -(-up(units, TILE_ROWS) // layout.lanes)
    return (vectors + 1 - vectors % 2) * layout.lanes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=40)
    arguments = parser.parse_args()
    print("| network, rows | odd in vectors, us a step | in lines | ratio |\n|---|---|---|---|")
    for units, batch, n_steps in NETWORKS:
        made, best = {}, {}
        for rule in (in_vectors, in_lines):
            Layout._row = rule
            made[rule] = Steps(units, batch, n_threads=arguments.threads, n_steps=n_steps)
            best[rule] = np.inf
        for _ in range(arguments.turns):
            for rule, steps in made.items():
                start = time.perf_counter()
                steps.run()
                best[rule] = min(best[rule], (time.perf_counter() - start) / n_steps * 1e6)
        before, now = best[in_vectors], best[in_lines]
        print(f"| {units}, {batch} | {before:.1f} | {now:.1f} | {before / now:.2f} |", flush=True)
