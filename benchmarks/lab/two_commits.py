"""Two checkouts beside each other, in processes that take turns: epochs, predictions, start-up.

    python benchmarks/lab/two_commits.py OLD_CHECKOUT NEW_CHECKOUT [--turns 3] [--workloads W1 W5]

Through the public estimators, so that any two versions can be compared; medians of the turns, and where the
machine is shared the ratio of the best turns says more. Each checkout has a folder of its own for compiled
kernels; "cold" begins with an empty one. Images are MNIST's where MNIST_DIR names its folder, else random
numbers, none of them zero; T1 are bags of words, O1 one-hot columns, both CSR, F1 is a fit of 150 rows.
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
    from jitmlp import MLPRegressor
    import gzip, os
    from scipy import sparse
    images, digits = rng.random((12000, 784), dtype=np.float32), rng.integers(0, 10, 12000)
    if os.environ.get("MNIST_DIR"):
        with gzip.open(os.environ["MNIST_DIR"] + "/train-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(16 + 12000 * 784)[16:], np.uint8).reshape(-1, 784).astype("f4") / 255
    words = sparse.random(4000, 30000, 80 / 30000, format="csr", dtype=np.float32, random_state=0)
    topics, iris, kinds = rng.integers(0, 20, 4000), rng.normal(size=(150, 4)), np.arange(150) % 3
    places = rng.integers(0, 100, (8000, 50)) + 100 * np.arange(50)
    ones = sparse.csr_matrix((np.ones(places.size, "f4"), places.ravel(), np.arange(0, places.size + 1, 50)), (8000, 5000))
    table, target = rng.normal(size=(20000, 50)).astype("f4"), rng.normal(size=20000)
    few, matrix = rng.random((10000, 4), dtype=np.float32), rng.random((10000, 4))
    workloads = {
        "W1": (MLPClassifier, images, digits, (128, 64), 200, {}),
        "W1d": (MLPClassifier, images, digits, (128, 64), 200, {"dtype": "float64"}),
        "W2": (MLPClassifier, images, digits, (128, 64), 32, {}),
        "W3": (MLPClassifier, images, digits, (30,), 10, {}),
        "W4": (MLPClassifier, images[:6000], digits[:6000], (512, 512), 128, {}),
        "W5": (MLPClassifier, images[:6144], digits[:6144], (1024, 1024), 512, {}),
        "W6": (MLPRegressor, few, matrix, (32, 16), 10000, {"activation": "tanh"}),
        "W7": (MLPRegressor, table, target, (256, 256), 256, {}),
        "T1": (MLPClassifier, words, topics, (100,), 200, {}),
        "O1": (MLPClassifier, ones, rng.integers(0, 10, 8000), (128, 64), 256, {}),
        "F1": (MLPClassifier, iris, kinds, (100,), 150, {"dtype": "float64"}),
    }
    for name in sys.argv[2:] or workloads:
        kind, X, y, sizes, batch, options = workloads[name]
        def fit(epochs):
            start = time.perf_counter()
            kind(hidden_layer_sizes=sizes, batch_size=batch, max_iter=epochs, tol=0.0, n_iter_no_change=999,
                 random_state=0, **{"dtype": "float32", **options}).fit(X, y)
            return time.perf_counter() - start
        fit(1)
        epochs = max(2, round(0.4 / fit(1)))
        seconds = min(fit(epochs) for _ in range(3))
        found[f"{name} us a step"] = seconds / epochs / -(-X.shape[0] // batch) * 1e6
    model = MLPClassifier((128, 64), max_iter=1).fit(images[:600, :64], digits[:600])
    row = images[:1, :64].copy()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        for _ in range(1000):
            model.predict(row)
        times.append((time.perf_counter() - start) * 1e3)
    found["P1: predict a row us"] = min(times)
    model, rows = MLPClassifier((128, 64), max_iter=1).fit(images[:600], digits[:600]), images[:10000]
    times = []
    for _ in range(15):
        start = time.perf_counter()
        model.predict(rows)
        times.append((time.perf_counter() - start) * 1e6)
    found["P2: predict 10,000 rows us"] = min(times)
print(json.dumps(found))
"""


def run(checkout: Path, cache: str, *what: str) -> dict[str, float]:
    """One process on one checkout."""
    paths = os.pathsep.join(str(checkout / p) for p in ("src", "kernels"))
    environment = {**os.environ, "PYTHONPATH": paths, "JITMLP_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", WORK, *what], stdout=subprocess.PIPE, text=True, env=environment, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkouts", nargs=2, type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--workloads", nargs="*", default=[], metavar="NAME", help="W1, W1d, W2 ... T1, O1, F1 (default: all)"
    )
    options = parser.parse_args()
    checkouts = [path.resolve() for path in options.checkouts]
    cold, warm = [], {path: [] for path in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        caches = [f"{folder}/{i}" for i in range(2)]
        cold = [run(path, cache, "start") for path, cache in zip(checkouts, caches)]
        for _ in range(options.turns):
            for path, cache in zip(checkouts, caches):
                warm[path].append(run(path, cache, "all", *options.workloads))
        files = [sum(1 for p in Path(c).rglob("*") if p.suffix in (".piece", ".nbi", ".nbc")) for c in caches]
    print(f"| | {checkouts[0].name} | {checkouts[1].name} | ratio | of the best turns |\n|---|---|---|---|---|")
    for name, old in cold[0].items():
        print(f"| cold: {name} | {old:.3g} | {cold[1][name]:.3g} | {old / cold[1][name]:.2f} | |")
    for name in warm[checkouts[0]][0]:
        old, new = (np.array([turn[name] for turn in warm[path]]) for path in checkouts)
        print(
            f"| {'warm: ' if name.endswith(' s') else ''}{name} | {np.median(old):.3g} | {np.median(new):.3g} "
            f"| {np.median(old) / np.median(new):.2f} | {old.min() / new.min():.2f} |"
        )
    print(f"| files | {files[0]} | {files[1]} | | |")


if __name__ == "__main__":
    main()
