"""What a second thread gains, and that small steps do not lose by it.

    python benchmarks/lab/scaling.py

Medians of alternating runs of the bare step loop on one and on all threads; ``chosen`` is
the loop with the thread count that is measured at run time (see ``ThreadChoice``).
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps

from jitmlp.engine.workspace import Constraints
from jitmlp.training.recipe import Recipe, Start
from jitmlp.training.schedules import BY_NAME, Rate
from jitmlp.training.trainer import Trainer

THREADS = os.cpu_count()
CASES = {
    "W1  784-128-64-10, 200": ((784, 128, 64, 10), 200, 300),
    "W2  784-128-64-10, 32": ((784, 128, 64, 10), 32, 1000),
    "W3  784-30-10, 10": ((784, 30, 10), 10, 4000),
    "W4  784-512-512-10, 128": ((784, 512, 512, 10), 128, 100),
    "W5  784-1024-1024-10, 512": ((784, 1024, 1024, 10), 512, 10),
    "    64-32-10, 8": ((64, 32, 10), 8, 20_000),
    "    8-4-2, 4": ((8, 4, 2), 4, 50_000),
}


def main():
    """Print a table."""
    print(f"{'us a step':28s}{'one':>9s}{THREADS:9d}{'gain':>7s}{'chosen':>9s}")
    for name, (units, batch, n_steps) in CASES.items():
        made = Steps(units, batch, n_threads=THREADS, n_steps=n_steps)
        rate = Rate(BY_NAME["constant"], 1e-4)
        recipe = Recipe(
            made.workspace.optimizer, rate, constraints=Constraints(1e-4), batch_size=batch, n_threads=THREADS
        )
        trainer = Trainer(made.workspace.model, recipe, Start(made.workspace.parameters()), made.workspace)
        runs = {
            "one": lambda made=made: made.run(n_threads=1),
            "all": lambda made=made: made.run(n_threads=THREADS),
            "chosen": lambda made=made, t=trainer: t.run_epoch(made.data, made.order),
        }
        seconds = {kind: [] for kind in runs}
        for _ in range(9):
            for kind, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[kind].append((time.perf_counter() - start) / n_steps * 1e6)
        one, both, chosen = (np.median(seconds[kind]) for kind in runs)
        print(f"{name:28s}{one:9.2f}{both:9.2f}{one / both:7.2f}{chosen:9.2f}")


if __name__ == "__main__":
    main()
