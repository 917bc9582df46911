"""How fast is training on a table that does not fit into memory, shuffled by blocks?

    python benchmarks/lab/larger_than_memory.py [GIGABYTES] [FOLDER]

Writes rows of float32 to a file of half as much again as the machine's memory (or so many gigabytes), drops it from the
page cache before every epoch (Linux), and compares epochs over the file, mapped and as chunks, with the kernels' speed on
rows in memory and with the disk's, each measured just before and just after: no epoch is faster than the slower of the two.
Memory is the most that was not the file's.
"""

import mmap
import os
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.engine.memory import memory_limit

warnings.filterwarnings("ignore")
FEATURES, CLASSES, PIECE, BLOCK = 784, 10, 2**24, 20_000
EPOCHS, SAMPLE_EPOCHS = 3, 7
SAMPLE = 2 * 10**9  # bytes read to find out how fast the disk is now


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


def disk_speed(path):
    """Bytes a second of a disk now, read in order past the page cache from a random place of a file."""
    size = os.path.getsize(path) // PIECE * PIECE
    room = mmap.mmap(-1, PIECE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    n_bytes = min(SAMPLE, size) // PIECE * PIECE
    place = np.random.default_rng().integers((size - n_bytes) // PIECE + 1) * PIECE
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    os.preadv(descriptor, [room], place)  # its memory exists
    start = time.perf_counter()
    for first in range(place, place + n_bytes, PIECE):
        os.preadv(descriptor, [room], first)
    seconds = time.perf_counter() - start
    os.close(descriptor)
    return n_bytes / seconds


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


@contextmanager
def watched():
    """The most memory that this process has meanwhile."""
    done, most = threading.Event(), [0]

    def watch():
        while not done.wait(0.1):
            most[0] = max(most[0], own_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def measured(path, turns, alone):
    """Times of turns, and what the kernels and the disk alone would take, before and after each.

    ``turns(between)`` calls ``between()`` when one is done and gives their seconds.
    """
    forget(path)
    bounds = [alone()]

    def between():
        bounds.append(alone())
        forget(path)

    with watched() as most:
        seconds, score = turns(between)
    # no epoch is faster than the slower of the two
    limits = [max((a + b) / 2 for a, b in zip(before, after)) for before, after in zip(bounds, bounds[1:])]
    return seconds, limits, np.array(bounds), most[0], score


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
            parameters = {"hidden_layer_sizes": (128, 64), "random_state": 0, "tol": 0.0, **parameters}
            return MLPClassifier(n_iter_no_change=10**6, **parameters).fit(*given)

        def alone():
            """Seconds that all rows take the kernels, from memory, and the disk."""
            model = fit(some, own, max_iter=SAMPLE_EPOCHS)
            return rows / len(own) * np.mean(model.history_["seconds"][1:]), os.path.getsize(path) / disk_speed(path)

        def epochs(*given, **parameters):
            def turns(between):
                def after(model):
                    if model.n_iter_ < EPOCHS:
                        between()

                model = fit(*given, max_iter=EPOCHS, callback=after, **parameters)
                between()
                return model.history_["seconds"], f"{model.score(some, own):.4f}"

            return turns

        def reading(between):
            start = time.perf_counter()
            read(path)
            seconds = time.perf_counter() - start
            between()
            return [seconds], ""

        alone()  # compiles
        size = os.path.getsize(path)
        print(
            f"{size / 1e9:.1f} GB, {rows:,} rows; memory {memory_limit() / 1e9:.1f} GB; seconds of {EPOCHS} epochs each"
        )
        print("| | s | the kernels alone | the disk alone | of the slower one's speed | memory, GB | accuracy |")
        print("|---|---|---|---|---|---|---|")
        for name, turns in {
            "reading the file": reading,
            "mapped, by blocks": epochs(X, y, shuffle="blocks"),
            "mapped, in order": epochs(X, y, shuffle=False),
            "chunks": epochs(chunks),
        }.items():
            seconds, limits, bounds, most, score = measured(path, turns, alone)
            shares = np.divide(limits, seconds)
            kernels, disk = (", ".join(f"{s:.0f}" for s in column) for column in bounds.T)
            times, each = ", ".join(f"{s:.1f}" for s in seconds), ", ".join(f"{s:.2f}" for s in shares)
            print(
                f"| {name} | {times} | {kernels} | {disk} | {each}: median {np.median(shares):.2f} "
                f"| {most / 1e9:.1f} | {score} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
