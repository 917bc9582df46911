"""What more threads gain, and that small steps do not lose by them.

    python benchmarks/lab/scaling.py [--turns 9]

Medians of alternating runs of the bare step loop on one thread, on two, four and so on to all; ``chosen`` is the loop
with the thread count that is measured at run time (see ``ThreadChoice``).
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps

from jitmlp.engine.threads import available_threads
from jitmlp.engine.workspace import Constraints
from jitmlp.training.recipe import Recipe, Start
from jitmlp.training.schedules import BY_NAME, Rate
from jitmlp.training.trainer import Trainer

CASES = {
    "W1  784-128-64-10, 200": ((784, 128, 64, 10), 200, 300),
    "W2  784-128-64-10, 32": ((784, 128, 64, 10), 32, 1000),
    "W3  784-30-10, 10": ((784, 30, 10), 10, 4000),
    "W4  784-512-512-10, 128": ((784, 512, 512, 10), 128, 100),
    "W5  784-1024-1024-10, 512": ((784, 1024, 1024, 10), 512, 10),
    "    64-32-10, 8": ((64, 32, 10), 8, 20_000),
    "    8-4-2, 4": ((8, 4, 2), 4, 50_000),
}


def counts(most):
    """1, 2, 4 and so on, and the most."""
    return sorted({min(2**k, most) for k in range(most.bit_length() + 1)})


def seconds_a_step(units, batch, n_steps, threads, turns):
    """Median seconds of a step on each count of threads, and as chosen."""
    made = Steps(units, batch, n_threads=threads[-1], n_steps=n_steps)
    rate = Rate(BY_NAME["constant"], 1e-4)
    recipe = Recipe(
        made.workspace.optimizer, rate, constraints=Constraints(1e-4), batch_size=batch, n_threads=threads[-1]
    )
    trainer = Trainer(made.workspace.model, recipe, Start(made.workspace.parameters()), made.workspace)
    runs = {n: (lambda n=n: made.run(n_threads=n)) for n in threads}
    runs["chosen"] = lambda: trainer.run_epoch([(made.data, made.order)], len(made.order))
    taken = {kind: [] for kind in runs}
    for _ in range(turns):
        for kind, run in runs.items():
            run()  # wakes the threads, and brings the weights to their cores
            start = time.perf_counter()
            run()
            taken[kind].append((time.perf_counter() - start) / n_steps)
    return {kind: float(np.median(seconds)) for kind, seconds in taken.items()}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9)
    turns = parser.parse_args().turns
    threads = counts(available_threads())
    print(f"{'us a step on':28s}" + "".join(f"{n:9d}" for n in threads) + f"{'chosen':>9s}{'gain':>7s}")
    for name, (units, batch, n_steps) in CASES.items():
        taken = seconds_a_step(units, batch, n_steps, threads, turns)
        best = min(taken.values())
        print(
            f"{name:28s}" + "".join(f"{s * 1e6:9.2f}" for s in taken.values()) + f"{taken[1] / best:7.2f}", flush=True
        )


if __name__ == "__main__":
    main()
