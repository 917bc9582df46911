"""Two checkouts beside each other, in processes that take turns: epochs, predictions, start-up.

    python benchmarks/lab/two_commits.py OLD_CHECKOUT NEW_CHECKOUT [--turns 3]

Through the public estimators, so that any two versions can be compared; medians of the turns. Each checkout
has a folder of its own for compiled kernels; "cold" begins with an empty one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

WORK = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
start = time.perf_counter()
from jitmlp import MLPClassifier
found = {"import s": time.perf_counter() - start}
rng = np.random.default_rng(0)
small, labels = rng.normal(size=(400, 20)), np.arange(400) % 3
start = time.perf_counter()
model = MLPClassifier(max_iter=3, random_state=0).fit(small, labels)
found["first fit s"] = time.perf_counter() - start
start = time.perf_counter()
MLPClassifier(max_iter=3, random_state=0).fit(small.astype("f4"), labels)
found["first fit, second dtype s"] = time.perf_counter() - start
start = time.perf_counter()
MLPClassifier(max_iter=3, random_state=0, activation="tanh").fit(small, labels)
found["first fit, second activation s"] = time.perf_counter() - start
if sys.argv[1] == "all":
    X, y = rng.random((12000, 784), dtype=np.float32), rng.integers(0, 10, 12000)
    for name, sizes, batch, dtype in (("W1", (128, 64), 200, "float32"), ("W1d", (128, 64), 200, "float64"),
            ("W2", (128, 64), 32, "float32"), ("W3", (30,), 10, "float32"), ("W4", (512, 512), 128, "float32")):
        def fit(epochs):
            start = time.perf_counter()
            MLPClassifier(sizes, batch_size=batch, dtype=dtype, max_iter=epochs, tol=0.0, n_iter_no_change=99,
                          random_state=0).fit(X, y)
            return time.perf_counter() - start
        fit(1)
        found[f"{name} us a step"] = (min(fit(5) for _ in range(3)) - min(fit(1) for _ in range(3))) / 4 * batch / 12000 * 1e6
    model = MLPClassifier((128, 64), max_iter=1).fit(X[:600, :64], y[:600])
    row = X[:1, :64].copy()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        for _ in range(1000):
            model.predict(row)
        times.append((time.perf_counter() - start) * 1e3)
    found["predict a row us"] = float(np.median(times))
print(json.dumps(found))
"""


def run(checkout: Path, cache: str, what: str) -> dict[str, float]:
    """One process on one checkout."""
    paths = os.pathsep.join(str(checkout / p) for p in ("src", "kernels"))
    environment = {**os.environ, "PYTHONPATH": paths, "JITMLP_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", WORK, what], capture_output=True, text=True, env=environment, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkouts", nargs=2, type=Path)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    checkouts = [path.resolve() for path in options.checkouts]
    cold, warm = [], {path: [] for path in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        caches = [f"{folder}/{i}" for i in range(2)]
        cold = [run(path, cache, "start") for path, cache in zip(checkouts, caches)]
        for _ in range(options.turns):
            for path, cache in zip(checkouts, caches):
                warm[path].append(run(path, cache, "all"))
        files = [sum(1 for p in Path(c).rglob("*") if p.suffix in (".piece", ".nbi", ".nbc")) for c in caches]
    print(f"| | {checkouts[0].name} | {checkouts[1].name} | ratio |\n|---|---|---|---|")
    rows = {f"cold: {name}": [c[name] for c in cold] for name in cold[0]}
    for name in warm[checkouts[0]][0]:
        rows[f"warm: {name}" if name.endswith(" s") else name] = [
            float(np.median([turn[name] for turn in warm[path]])) for path in checkouts
        ]
    for name, (old, new) in rows.items():
        print(f"| {name} | {old:.3g} | {new:.3g} | {old / new:.2f} |")
    print(f"| files | {files[0]} | {files[1]} | |")


if __name__ == "__main__":
    main()
