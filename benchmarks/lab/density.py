"""What is saved where cells are zero, from 1 to 100 % of them filled at random places.

    python benchmarks/lab/density.py [--dense] [--turns 5] [--picture FILE]

Sparse rows entry by entry and spread over zeros (``jitmlp.engine.data.DENSITIES``); with ``--dense`` dense rows with the zeros
of whole tiles left out and with all of them (``jitmlp.engine.program.MOST_FILLED``). Microseconds a step of both ways and of
what is chosen, taking turns in one process; Adam, one hidden layer, ten classes, mini-batches of 200.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import sparse

from jitmlp import MLPClassifier
from jitmlp.engine import program

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
NETWORKS = ((2000, 16), (2000, 100), (784, 128), (10_000, 100))
# the limit that decides; for each way its value, and as it is chosen
SPARSE = "DENSITIES", {"entries": (1.0, 1.0), "spread": (-1.0, -1.0), "chosen": program.DENSITIES}
DENSE = "MOST_FILLED", {"some": 9.0, "all": -1.0, "chosen": program.MOST_FILLED}


def measure(n_features: int, hidden: int, density: float, turns: int, dense: bool) -> dict[str, float]:
    """Microseconds a step of each way, the best of the turns."""
    rng = np.random.default_rng(0)
    n, epochs = 2000, 3
    X = sparse.random(n, n_features, density, format="csr", dtype=np.float32, random_state=0)
    X = X.toarray() if dense else X
    y = rng.integers(10, size=n)
    limit, ways = DENSE if dense else SPARSE
    best = dict.fromkeys(ways, np.inf)
    for turn in range(turns + 1):
        for way, value in ways.items():
            setattr(program, limit, value)
            model = MLPClassifier((hidden,), batch_size=200, max_iter=epochs, tol=0.0, n_iter_no_change=99)
            start = time.perf_counter()
            model.fit(X, y)
            if turn:  # the first compiles
                best[way] = min(best[way], (time.perf_counter() - start) / (epochs * n / 200) * 1e6)
    setattr(program, limit, ways["chosen"])
    return best


def main() -> None:
    """Print a table, and draw it."""
    import warnings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dense", action="store_true", help="dense rows")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--picture", help="PNG file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ways = list((DENSE if options.dense else SPARSE)[1])
    print(f"| network | filled | {' | '.join(f'{way} us' for way in ways)} |\n|---|---|---|---|---|")
    found = {}
    for n_features, hidden in NETWORKS:
        for density in DENSITIES:
            row = found[n_features, hidden, density] = measure(
                n_features, hidden, density, options.turns, options.dense
            )
            times = " | ".join(f"{row[way]:.0f}" for way in ways)
            print(f"| {n_features}-{hidden}-10 | {density:.0%} | {times} |", flush=True)
    if options.picture:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, len(NETWORKS), figsize=(3.4 * len(NETWORKS), 3.2), layout="constrained")
        for ax, (n_features, hidden) in zip(axes, NETWORKS):
            rows = [found[n_features, hidden, density] for density in DENSITIES]
            for way in (ways[0], "chosen"):  # ratios: the ways took turns, the densities did not
                ax.plot(DENSITIES, [row[ways[1]] / row[way] for row in rows], "o-", ms=3, label=way)
            ax.axhline(1, color="0.6", lw=1)
            ax.set(title=f"{n_features}-{hidden}-10", xscale="log", xlabel="share of cells filled")
        axes[0].set_ylabel(f"times as fast as with {'all products' if options.dense else 'rows spread over zeros'}")
        axes[0].legend()
        figure.savefig(options.picture, dpi=120)


if __name__ == "__main__":
    main()
