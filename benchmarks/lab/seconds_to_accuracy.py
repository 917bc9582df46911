"""How long from MNIST's files to an accuracy, beside PyTorch?

    MNIST_DIR=... python -m benchmarks.lab.seconds_to_accuracy [ACCURACY] [--turns 5] [--threads 2]

784-256-10, ReLU, Adam with a cosine schedule over five epochs, mini-batches of 128, float32. Each turn is a fresh process
with a seed of its own; the clock runs from before the files are read to the end of the first epoch with that accuracy on the
test set, which is looked at after every epoch. PyTorch is in eager mode, its Adam fused, its rows picked from one tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.files.idx import load_mnist

HIDDEN, BATCH, RATE, EPOCHS = 256, 128, 3e-3, 5


def images():
    """MNIST as float32 in [0, 1], and classes."""
    X, y, X_test, y_test = load_mnist(os.environ["MNIST_DIR"])
    return X.astype(np.float32) / 255, y.astype(np.int64), X_test.astype(np.float32) / 255, y_test.astype(np.int64)


def with_jitmlp(wanted: float, seed: int, threads: int) -> list[float]:
    """Accuracies after each epoch, up to the one wanted."""
    X, y, X_test, y_test = images()
    found: list[float] = []

    def look(model):
        found.append(model.score(X_test, y_test))
        return found[-1] >= wanted

    MLPClassifier(
        (HIDDEN,), batch_size=BATCH, learning_rate_init=RATE, learning_rate="cosine", alpha=0.0, max_iter=EPOCHS, tol=0.0,
        random_state=seed, n_threads=threads, callback=look,
    ).fit(X, y)  # fmt: skip
    return found


def with_torch(wanted: float, seed: int, threads: int) -> list[float]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    X, y, X_test, y_test = map(torch.from_numpy, images())
    model = torch.nn.Sequential(torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    n_steps = -(-len(X) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * n_steps)
    loss, found = torch.nn.CrossEntropyLoss(), []
    while len(found) < EPOCHS and (not found or found[-1] < wanted):
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            loss(model(X[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            found.append(float((model(X_test).argmax(1) == y_test).float().mean()))
    return found


PEERS = {"jitmlp": with_jitmlp, "torch": with_torch}


def main():
    """Measure in turn, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accuracy", nargs="?", type=float, default=0.98)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        warnings.filterwarnings("ignore")
        __import__(given.one[0])  # is no part of the time, nor are the modules above
        start = time.perf_counter()
        found = PEERS[given.one[0]](given.accuracy, int(given.one[1]), given.threads)
        print(json.dumps([time.perf_counter() - start, found]))
        return
    command = [sys.executable, "-m", "benchmarks.lab.seconds_to_accuracy", str(given.accuracy), "--threads", str(given.threads)]  # fmt: skip
    runs = {peer: [] for peer in PEERS}
    for seed in range(-1, given.turns):  # the first compiles, and reads the files into the page cache
        for peer, found in runs.items():
            made = subprocess.run(
                [*command, "--one", peer, str(max(seed, 0))], check=True, capture_output=True, text=True
            )
            found.append(json.loads(made.stdout))
    print("| | seconds | accuracy | epochs |\n|---|---|---|---|")
    times = {}
    for peer, found in runs.items():
        seconds, curves = zip(*found[1:])
        times[peer] = np.median(seconds)
        print(
            f"| {peer} | {times[peer]:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) "
            f"| {min(c[-1] for c in curves):.4f} to {max(c[-1] for c in curves):.4f} "
            f"| {', '.join(str(len(c)) for c in curves)} |"
        )
    print(f"torch / jitmlp: {times['torch'] / times['jitmlp']:.1f}")


if __name__ == "__main__":
    main()
