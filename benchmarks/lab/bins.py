"""What numbers in bins cost: a network with bins, one without, and one on an array of all that bins say.

    python benchmarks/lab/bins.py [--turns 5] [--threads 1]

Milliseconds an epoch of each, taking turns in one process, the best of all turns; float32, Adam, 6,000 rows in mini-batches of
256. "multiplied" is the network with bins whose parts are inputs of a dense product, as they are where they are dropped or
rounded.
"""

from __future__ import annotations

import argparse
import time
import warnings
from contextlib import nullcontext
from unittest import mock

import numpy as np

from jitmlp import MLPRegressor
from jitmlp.engine.bins import learn_bins
from jitmlp.model.model import Model

N, EPOCHS = 6000, 4
# features, bins of each, hidden layers
NETWORKS = (
    (5, 96, (256, 256, 256)),
    (20, 25, (256, 256, 256)),
    (60, 8, (256, 256, 256)),
    (20, 25, (256, 64)),
    (20, 25, (16,)),
)
WAYS = ("no bins", "bins", "multiplied", "array")


def measure(n_features: int, n_bins: int, hidden: tuple[int, ...], turns: int, n_threads: int) -> dict[str, float]:
    """Milliseconds an epoch of each way."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, n_features)).astype(np.float32)
    y = X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2])
    wide = learn_bins(X, n_bins, None, n_features, X.dtype).apply(X)
    best = dict.fromkeys(WAYS, np.inf)
    for turn in range(turns + 1):
        for way in WAYS:
            model = MLPRegressor(
                hidden_layer_sizes=hidden, batch_size=256, max_iter=EPOCHS, tol=0.0, n_iter_no_change=99, n_threads=n_threads,
                numeric_bins=n_bins if way in ("bins", "multiplied") else None,
            )  # fmt: skip
            asked = mock.patch.object(Model, "interpolates", False) if way == "multiplied" else nullcontext()
            with asked:
                start = time.perf_counter()
                model.fit(wide if way == "array" else X, y)
            if turn:  # the first compiles
                best[way] = min(best[way], (time.perf_counter() - start) / EPOCHS * 1e3)
    return best


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"| features, bins, network | {' | '.join(f'{way}, ms' for way in WAYS)} |\n|---|---|---|---|---|")
    for network in NETWORKS:
        found = measure(*network, options.turns, options.threads)
        n_features, n_bins, hidden = network
        cells = " | ".join(f"{found[way]:.1f}" for way in WAYS)
        print(f"| {n_features}, {n_bins}, {'-'.join(map(str, hidden))} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
