"""Time of a step of several processes, the share of the exchange in it, and what a model makes of that for many nodes.

``mpiexec -n 2 python -m benchmarks.lab.data_parallel`` measures; without mpiexec it measures one process and prints the
model for 10, 100 and 400 Gbit/s.
"""

from __future__ import annotations

import time
import warnings

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.distributed import data_parallel

NETWORKS = {"W1": ((784, 128, 64, 10), 200), "W4": ((784, 512, 512, 10), 256), "W5": ((784, 2048, 2048, 10), 1024)}
MODELLED = {**NETWORKS, "100 M": ((4096, 8192, 7168, 1000), 4096)}
LATENCY = 20e-6  # seconds of a small message between nodes, there and back through Python
NODES = (2, 8, 32, 128, 1000)


def parameters(layers: tuple) -> int:
    """Weights and intercepts."""
    return sum((a + 1) * b for a, b in zip(layers, layers[1:]))


def measure(layers: tuple, batch: int, n_rows: int) -> tuple[float, float]:
    """Seconds of a step, and of its exchange, the median of epochs."""
    rng = np.random.default_rng(0)
    with data_parallel() as group:
        X = rng.random((n_rows, layers[0]), np.float32)
        y = rng.integers(layers[-1], size=n_rows)
        spent = [0.0]
        for name in ("total", "add"):
            setattr(group, name, _timed(getattr(group, name), spent))
        steps, found = -(-n_rows * group.size // batch), []

        def note(model: MLPClassifier) -> None:
            found.append((model.history_["seconds"][-1] / steps, spent[0] / steps))
            spent[0] = 0.0

        model = MLPClassifier(layers[1:-1], batch_size=batch, max_iter=6, tol=0, n_iter_no_change=99, callback=note)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        if group.rank:
            return 0.0, 0.0
    step, exchange = np.median(found[1:], axis=0)
    return float(step), float(exchange)


def _timed(function, spent: list):
    def call(*given):
        start = time.perf_counter()
        found = function(*given)
        spent[0] += time.perf_counter() - start
        return found

    return call


def model_of_step(layers: tuple, batch: int, nodes: int, rate: float, gbit: float) -> float:
    """Seconds: arithmetic of the node's rows + latency of a tree + bytes of a ring (Thakur et al. 2005)."""
    arithmetic = 6 * parameters(layers) * batch / nodes / rate
    traffic = 2 * 4 * parameters(layers) * (nodes - 1) / nodes / (gbit * 1e9 / 8)
    return arithmetic + 2 * LATENCY * np.log2(nodes) + traffic


def batch_for(layers: tuple, nodes: int, rate: float, gbit: float, share: float = 0.8) -> int:
    """Rows of a mini-batch from which ``share`` of a step is arithmetic."""
    apart = model_of_step(layers, 0, nodes, rate, gbit)
    return int(np.ceil(share / (1 - share) * apart * nodes * rate / (6 * parameters(layers))))


def main() -> None:
    """Measure, and print the model."""
    from mpi4py import MPI

    size, rank = MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank
    rates = []
    if rank == 0:
        print(
            f"| {size} process(es) | rows a step | us a step | exchange | KB a step | GFLOP/s |\n|---|---|---|---|---|---|"
        )
    for name, (layers, batch) in NETWORKS.items():
        for kind, rows in (("strong", batch), ("weak", batch * size)):
            step, exchange = measure(layers, rows, 20 * rows // size)
            if rank == 0:
                rates.append(6 * parameters(layers) * rows / step)
                kb, share = 4 * parameters(layers) / 1e3, exchange / step
                print(
                    f"| {name}, {kind} | {rows} | {1e6 * step:.0f} | {share:.0%} | {kb:.0f} | {rates[-1] / 1e9:.0f} |"
                )
            if size == 1:
                break
    if size > 1 or rank:
        return
    rate = float(np.median(rates))
    print(
        f"\nRows of a mini-batch for 80 % efficiency, nodes of {rate / 1e9:.0f} GFLOP/s, {1e6 * LATENCY:.0f} us a message:\n"
    )
    print(f"| network, Gbit/s | {' | '.join(f'{n} nodes' for n in NODES)} |\n|---|{'---|' * len(NODES)}")
    for name, (layers, _) in MODELLED.items():
        for gbit in (10, 100, 400):
            cells = [f"{batch_for(layers, nodes, rate, gbit):,}" for nodes in NODES]
            print(f"| {name}, {gbit} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
