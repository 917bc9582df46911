"""Sparse rows entry by entry, and spread over zeros, from 1 to 100 % of the cells stored.

    python benchmarks/lab/density.py [--turns 5] [--picture FILE]

Microseconds a step of both ways and of what is chosen (``jitmlp.engine.data.DENSITIES``), taking turns in one
process; Adam, one hidden layer, ten classes, mini-batches of 200.
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
CHOSEN = program.DENSITIES
WAYS = {"entries": (1.0, 1.0), "spread": (-1.0, -1.0), "chosen": CHOSEN}


def measure(n_features: int, hidden: int, density: float, turns: int) -> dict[str, float]:
    """Microseconds a step of each way, the best of the turns."""
    rng = np.random.default_rng(0)
    n, epochs = 2000, 3
    X = sparse.random(n, n_features, density, format="csr", dtype=np.float32, random_state=0)
    y = rng.integers(10, size=n)
    best = dict.fromkeys(WAYS, np.inf)
    for turn in range(turns + 1):
        for way, limits in WAYS.items():
            program.DENSITIES = limits
            model = MLPClassifier((hidden,), batch_size=200, max_iter=epochs, tol=0.0, n_iter_no_change=99)
            start = time.perf_counter()
            model.fit(X, y)
            if turn:  # the first compiles
                best[way] = min(best[way], (time.perf_counter() - start) / (epochs * n / 200) * 1e6)
    program.DENSITIES = CHOSEN
    return best


def main() -> None:
    """Print a table, and draw it."""
    import warnings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--picture", help="PNG file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| network | stored | entries us | spread us | chosen us |\n|---|---|---|---|---|")
    found = {}
    for n_features, hidden in NETWORKS:
        for density in DENSITIES:
            row = found[n_features, hidden, density] = measure(n_features, hidden, density, options.turns)
            times = " | ".join(f"{row[way]:.0f}" for way in WAYS)
            print(f"| {n_features}-{hidden}-10 | {density:.0%} | {times} |", flush=True)
    if options.picture:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, len(NETWORKS), figsize=(3.4 * len(NETWORKS), 3.2), layout="constrained")
        for ax, (n_features, hidden) in zip(axes, NETWORKS):
            rows = [found[n_features, hidden, density] for density in DENSITIES]
            for way in ("entries", "chosen"):  # ratios: the ways took turns, the densities did not
                ax.plot(DENSITIES, [row["spread"] / row[way] for row in rows], "o-", ms=3, label=way)
            ax.axhline(1, color="0.6", lw=1)
            ax.axvline(CHOSEN[0 if hidden <= 16 else 1], color="0.6", lw=1)
            ax.set(title=f"{n_features}-{hidden}-10", xscale="log", xlabel="share of cells stored")
        axes[0].set_ylabel("times as fast as spread over zeros")
        axes[0].legend()
        figure.savefig(options.picture, dpi=120)


if __name__ == "__main__":
    main()
