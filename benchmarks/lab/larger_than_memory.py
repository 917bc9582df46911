"""How fast is training on a table that does not fit into memory, shuffled by blocks?

    python benchmarks/lab/larger_than_memory.py [GIGABYTES] [FOLDER]

Writes rows of float32 to a file of half as much again as the machine's memory (or so many gigabytes), drops it from the
page cache before every pass (Linux), and compares an epoch over the file, mapped and as chunks, with reading it once and
with the kernels' speed on rows in memory just before and just after. Memory is the most that was not the file's.
"""

import os
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.engine.memory import memory_limit

warnings.filterwarnings("ignore")
FEATURES, CLASSES, PIECE, BLOCK, EPOCHS = 784, 10, 2**24, 20_000, 5


def forget(path):
    """Drop a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read(path):
    """Read a file once."""
    with open(path, "rb", buffering=0) as file:
        while file.read(PIECE):
            pass


def write(path, rows):
    """Rows of ten clusters that overlap, in random order; returns their classes."""
    rng = np.random.default_rng(0)
    centres, noise = rng.random((CLASSES, FEATURES), np.float32), rng.random((BLOCK + CLASSES, FEATURES), np.float32)
    y = rng.integers(CLASSES, size=rows)
    with open(path, "wb") as file:
        for first in range(0, rows, BLOCK):
            part = y[first : first + BLOCK]
            shift = rng.integers(CLASSES)
            (0.2 * centres[part] + noise[shift : shift + len(part)]).tofile(file)
    return y


def own_memory():
    """Bytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def timed(path, function):
    """Seconds of one pass over a forgotten file, the most memory meanwhile, and what it gives."""
    forget(path)
    done, most = threading.Event(), [0]

    def watch():
        while not done.wait(0.1):
            most[0] = max(most[0], own_memory())

    thread = threading.Thread(target=watch)
    start = time.perf_counter()
    thread.start()
    model = function()
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    return seconds, most[0], model


def main():
    """Write, read, train."""
    size = float(sys.argv[1]) * 1e9 if len(sys.argv) > 1 else 1.5 * memory_limit()
    folder = sys.argv[2] if len(sys.argv) > 2 else None
    rows = int(size / 4 / FEATURES)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = os.path.join(place, "x.f32")
        y = write(path, rows)
        X = np.memmap(path, np.float32, "r", shape=(rows, FEATURES))

        def chunks():
            with open(path, "rb") as file:
                for first in range(0, rows, BLOCK):
                    part = np.fromfile(file, np.float32, FEATURES * min(BLOCK, rows - first)).reshape(-1, FEATURES)
                    yield part, y[first : first + BLOCK]

        chunks.n_rows, chunks.classes = rows, np.arange(CLASSES)
        some, own = np.array(X[: 5 * BLOCK]), y[: 5 * BLOCK]

        def fit(*given, **parameters):
            parameters = {"hidden_layer_sizes": (128, 64), "max_iter": 1, "random_state": 0, **parameters}
            return MLPClassifier(**parameters).fit(*given)

        fit(some, own)  # compiles

        def kernels():
            start = time.perf_counter()
            fit(some, own, max_iter=EPOCHS, tol=0.0)
            return rows / EPOCHS / len(own) * (time.perf_counter() - start)

        GB = os.path.getsize(path) / 1e9
        print(f"{GB:.1f} GB, {rows:,} rows; memory {memory_limit() / 1e9:.1f} GB")
        print("| | s | GB/s | of the kernels' speed | memory, GB | accuracy |\n|---|---|---|---|---|---|")
        for name, function in {
            "reading the file": lambda: read(path),
            "an epoch, mapped, by blocks": lambda: fit(X, y, shuffle="blocks"),
            "an epoch, mapped, in order": lambda: fit(X, y, shuffle=False),
            "an epoch, chunks": lambda: fit(chunks),
        }.items():
            before = kernels()
            seconds, most, model = timed(path, function)
            speed = (before + kernels()) / 2 / seconds
            score = "" if model is None else f"{model.score(some, own):.4f}"
            print(
                f"| {name} | {seconds:.1f} | {GB / seconds:.2f} | {speed:.2f} | {most / 1e9:.1f} | {score} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
