"""How should the members of a large team count the shares that they have finished?

    python benchmarks/lab/counters.py [--threads 16] [--turns 15]

Medians of alternating runs of the bare step loop with counters of one member, of two, of four and so on to all.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.lab.scaling import CASES
from benchmarks.suites.common import Steps

from jitmlp.engine.threads import available_threads
from jitmlp_kernels.step import run


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--turns", type=int, default=15)
    given = parser.parse_args()
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size < 2 * given.threads]
    print(f"{f'us a step on {given.threads}, by':28s}" + "".join(f"{size:9d}" for size in sizes))
    for name, (units, batch, n_steps) in CASES.items():
        made = Steps(units, batch, n_threads=given.threads, n_steps=max(10, n_steps // 4))
        taken = {size: [] for size in sizes}
        for _ in range(given.turns):
            for size in sizes:
                run.group_size = lambda n_threads, size=size: size
                made.run(n_threads=given.threads)
                start = time.perf_counter()
                made.run(n_threads=given.threads)
                taken[size].append((time.perf_counter() - start) / max(10, n_steps // 4))
        print(f"{name:28s}" + "".join(f"{1e6 * np.median(seconds):9.2f}" for seconds in taken.values()), flush=True)


if __name__ == "__main__":
    main()
