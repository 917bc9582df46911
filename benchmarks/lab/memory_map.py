"""Does training from a memory map go at the speed of its disk?

    python benchmarks/lab/memory_map.py [GIGABYTES] [FOLDER]

Writes a file, drops it from the page cache before every pass (Linux), and compares reading
it with one epoch of training from it, in order and shuffled.
"""

import os
import sys
import tempfile
import time
import warnings

import numpy as np

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore")
FEATURES, CHUNK = 784, 2**24


def forget(path):
    """Drop a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read(path):
    """Read a file once."""
    with open(path, "rb", buffering=0) as file:
        while file.read(CHUNK):
            pass


def timed(path, function):
    """Gigabytes a second of one pass over a forgotten file."""
    forget(path)
    start = time.perf_counter()
    function()
    return os.path.getsize(path) / (time.perf_counter() - start) / 1e9


def main():
    """Write, read, train."""
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    folder = sys.argv[2] if len(sys.argv) > 2 else None
    rows = int(gigabytes * 1e9 / 4 / FEATURES)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = os.path.join(place, "x.f32")
        block = np.random.default_rng(0).random((10_000, FEATURES), np.float32)
        with open(path, "wb") as file:
            for first in range(0, rows, len(block)):
                block[: min(len(block), rows - first)].tofile(file)
        X = np.memmap(path, np.float32, "r", shape=(rows, FEATURES))
        y = np.arange(rows) % 10
        model = MLPClassifier((128, 64), max_iter=1, random_state=0, shuffle=False)
        model.fit(X[:1000], y[:1000])
        print(f"{os.path.getsize(path) / 1e9:.1f} GB, GB/s of one pass:")
        for name, function in {
            "reading the file": lambda: read(path),
            "an epoch in order": lambda: model.fit(X, y),
            "an epoch, shuffled": lambda: model.set_params(shuffle=True).fit(X, y),
        }.items():
            print(f"  {name:20s}{timed(path, function):6.2f}")


if __name__ == "__main__":
    main()
