"""Time of a step of several processes, the share of the exchange in it, and what a model makes of that for many nodes.

``mpiexec -n 2 python -m benchmarks.lab.data_parallel`` measures steps; ``--precision bfloat16`` and ``--every 8`` with less
traffic, ``--accuracy`` what that costs in accuracy. ``--link`` fits latency and bandwidth to exchanges of many sizes, and
sets the model beside steps that are measured; ``--overlap`` asks whether an exchange goes on while kernels run. Without mpiexec it measures one process, and prints and draws (``--draw
FILE``) the model for 10, 100 and 400 Gbit/s.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.distributed import data_parallel
from jitmlp.engine.group import MPIGroup

NETWORKS = {"W1": ((784, 128, 64, 10), 200), "W4": ((784, 512, 512, 10), 256), "W5": ((784, 2048, 2048, 10), 1024)}
MODELLED = {**NETWORKS, "100 M": ((4096, 8192, 7168, 1000), 4096)}
LATENCY = 20e-6  # seconds of a small message between nodes, there and back through Python
NODES = (2, 8, 32, 128, 1000)
GBITS = (10, 100, 400)


def parameters(layers: tuple) -> int:
    """Weights and intercepts."""
    return sum((a + 1) * b for a, b in zip(layers, layers[1:]))


def measure(layers: tuple, batch: int, n_rows: int, how: dict) -> tuple[float, float, float]:
    """Seconds of a step, of its exchange, and bytes, the median of epochs."""
    rng = np.random.default_rng(0)
    with data_parallel(**how) as group:
        X = rng.random((n_rows, layers[0]), np.float32)
        y = rng.integers(layers[-1], size=n_rows)
        spent = [0.0]
        for name in ("total", "add_gradients"):
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
            return 0.0, 0.0, 0.0
    step, exchange = np.median(found[1:], axis=0)
    return float(step), float(exchange), group.bytes / 6 / steps


def _timed(function, spent: list):
    def call(*given):
        start = time.perf_counter()
        found = function(*given)
        spent[0] += time.perf_counter() - start
        return found

    return call


def accuracy(how: dict, seeds: int = 3) -> tuple[float, float]:
    """Accuracy on MNIST's test images after three epochs, mean and deviation over seeds; each process has its share."""
    from benchmarks.peers.workloads import mnist

    X, y, X_test, y_test = mnist()
    found = []
    for seed in range(seeds):
        with data_parallel(**how) as group, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MLPClassifier((128, 64), batch_size=64, max_iter=3, random_state=seed, dtype="float32")
            model.fit(X[group.rank :: group.size], y[group.rank :: group.size])
        found.append(model.score(X_test, y_test))
    return float(np.mean(found)), float(np.std(found))


def model_of_step(
    layers: tuple, batch: int, nodes: int, rate: float, gbit: float, latency: float = LATENCY, itemsize: int = 4
) -> float:
    """Seconds: arithmetic of the node's rows + latency of a tree + bytes of a ring (Thakur et al. 2005)."""
    arithmetic = 6 * parameters(layers) * batch / nodes / rate
    traffic = 2 * itemsize * parameters(layers) * (nodes - 1) / nodes / (gbit * 1e9 / 8)
    return arithmetic + 2 * latency * np.log2(nodes) + traffic


def batch_for(layers: tuple, nodes: int, rate: float, gbit: float, share: float = 0.8) -> int:
    """Rows of a mini-batch from which ``share`` of a step is arithmetic."""
    apart = model_of_step(layers, 0, nodes, rate, gbit)
    return int(np.ceil(share / (1 - share) * apart * nodes * rate / (6 * parameters(layers))))


def fit_link(sizes: tuple = (0, 1e3, 1e4, 1e5, 3e5, 1e6, 3e6, 6e6), turns: int = 9) -> tuple[float, float]:
    """Latency in seconds and bandwidth in Gbit/s of two processes, fitted to exchanges of so many float32.

    Least squares of relative errors: a step has two exchanges, of four numbers and of the gradients.
    """
    from mpi4py import MPI

    group, seconds = MPIGroup(MPI.COMM_WORLD), []
    for size in sizes:
        array, taken = np.ones(int(size), np.float32), []
        for _ in range(turns):
            group.comm.Barrier()
            start = time.perf_counter()
            group.total(1.0)
            group.add(array)
            taken.append(time.perf_counter() - start)
        seconds.append(np.median(taken))
    measured = np.array(seconds)
    # two nodes: 2 latencies of the model, and each number once there and back
    known = np.stack([np.full(len(sizes), 2.0), 4 * np.array(sizes) * 8], axis=1) / measured[:, None]
    latency, per_bit = np.linalg.lstsq(known, np.ones(len(sizes)), rcond=None)[0]
    return float(latency), 1e-9 / float(per_bit)


def print_overlap(n_numbers: int = 3_000_000, turns: int = 9) -> None:
    """Whether an exchange goes on while kernels run: milliseconds of both one after the other, and at once."""
    from mpi4py import MPI

    comm, gradients = MPI.COMM_WORLD, np.ones(n_numbers, np.float32)
    X, y = np.random.default_rng(0).random((2560, 784), np.float32), np.arange(2560) % 10
    model = MLPClassifier((512, 512), batch_size=256, n_threads=1).partial_fit(X, y, classes=np.arange(10))

    def at_once() -> None:
        request = comm.Iallreduce(MPI.IN_PLACE, gradients)
        model.partial_fit(X, y)
        request.Wait()

    kinds = {
        "the kernels": lambda: model.partial_fit(X, y),
        "the exchange": lambda: comm.Allreduce(MPI.IN_PLACE, gradients),
        "both, one after the other": lambda: (model.partial_fit(X, y), comm.Allreduce(MPI.IN_PLACE, gradients)),
        "both at once, by Iallreduce": at_once,
    }
    for name, run in kinds.items():
        taken = []
        for _ in range(turns):
            comm.Barrier()
            start = time.perf_counter()
            run()
            comm.Barrier()
            taken.append(time.perf_counter() - start)
        if comm.rank == 0:
            print(f"| {name} | {1e3 * np.median(taken):.0f} |", flush=True)


def print_link(alone: dict[str, float]) -> None:
    """The fitted link, and the model beside measured steps."""
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.rank
    latency, gbit = fit_link()
    if rank == 0:
        print(f"{1e6 * latency:.0f} us a message, {gbit:.2f} Gbit/s, fitted\n")
        print("| | measured, us a step | model | exchange measured | model |\n|---|---|---|---|---|")
    for name, (layers, batch) in NETWORKS.items():
        for label, how in (("", {}), (", bfloat16", dict(precision="bfloat16")), (", every 8 steps", dict(every=8))):
            step, exchange, _ = measure(layers, batch, 16 * batch // 2, how)
            if rank:
                continue
            # what is averaged are the weights and Adam's two slots
            itemsize = 2 if how.get("precision") else 3 * 4 if how.get("every") else 4
            expected = model_of_step(layers, 0, 2, 1.0, gbit, latency, itemsize) / how.get("every", 1)
            print(
                f"| {name}{label} | {1e6 * step:.0f} | {1e6 * (alone[name] + expected):.0f} | {1e6 * exchange:.0f} "
                f"| {1e6 * expected:.0f} |",
                flush=True,
            )


def time_alone(rows_of: int = 2) -> dict[str, float]:
    """Seconds of one process's part of a step, measured on rank 0's core while the others wait."""
    found = {}
    for name, (layers, batch) in NETWORKS.items():
        rng = np.random.default_rng(0)
        X = rng.random((10 * batch, layers[0]), np.float32)
        y = rng.integers(layers[-1], size=len(X))
        model = MLPClassifier(
            layers[1:-1], batch_size=batch // rows_of, max_iter=5, tol=0, n_iter_no_change=99, n_threads=1
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y)
        found[name] = float(np.median(model.history_["seconds"][1:])) / (10 * rows_of)
    return found


def draw(path: str, rate: float):
    """Efficiency over nodes, a network and its mini-batch a panel, a link a line; returns the figure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(MODELLED), figsize=(12, 3.2), sharey=True, layout="constrained")
    nodes = np.unique(np.geomspace(1, 1000, 60).astype(int))
    for axes, (name, (layers, batch)) in zip(panels, MODELLED.items()):
        for gbit in GBITS:
            arithmetic = [6 * parameters(layers) * batch / n / rate for n in nodes]
            steps = [model_of_step(layers, batch, n, rate, gbit) for n in nodes]
            axes.plot(nodes, np.divide(arithmetic, steps), label=f"{gbit} Gbit/s")
        axes.axhline(0.8, color="0.6", linewidth=0.8)
        axes.set(xscale="log", xlabel="nodes", ylim=(0, 1.02), title=f"{name}, {batch} rows a step")
    panels[0].set_ylabel("share of a step that is arithmetic")
    panels[-1].legend()
    figure.savefig(path)
    return figure


def print_model(rate: float) -> None:
    """Rows of a mini-batch for 80 % efficiency."""
    print(
        f"\nRows of a mini-batch for 80 % efficiency, nodes of {rate / 1e9:.0f} GFLOP/s, {1e6 * LATENCY:.0f} us a message:\n"
    )
    print(f"| network, Gbit/s | {' | '.join(f'{n} nodes' for n in NODES)} |\n|---|{'---|' * len(NODES)}")
    for name, (layers, _) in MODELLED.items():
        for gbit in GBITS:
            cells = [f"{batch_for(layers, nodes, rate, gbit):,}" for nodes in NODES]
            print(f"| {name}, {gbit} | {' | '.join(cells)} |")


def main() -> None:
    """Measure, and print the model."""
    from mpi4py import MPI

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=("bfloat16",))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--link", action="store_true")
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--draw", metavar="FILE")
    parser.add_argument("--rate", type=float, metavar="GFLOPS", help="of a node of the model, instead of measuring one")
    given = parser.parse_args()
    size, rank = MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank
    how = {"precision": given.precision, "every": given.every}
    if given.overlap:
        return print_overlap()
    if given.link:
        return print_link(time_alone(size))
    if given.accuracy:
        for name, way in (
            ("every step", {}), ("bfloat16", dict(precision="bfloat16")), *((f"every {k}", dict(every=k)) for k in (4, 16, 64)),
        ):  # fmt: skip
            mean, deviation = accuracy(way)
            if rank == 0:
                print(f"| {name} | {mean:.4f} | {deviation:.4f} |", flush=True)
        return
    if given.rate:
        print_model(1e9 * given.rate)
        if given.draw:
            draw(given.draw, 1e9 * given.rate)
        return
    rates = []
    if rank == 0:
        print(
            f"| {size} process(es) | rows a step | us a step | exchange | KB a step | GFLOP/s |\n|---|---|---|---|---|---|"
        )
    for name, (layers, batch) in NETWORKS.items():
        for kind, rows in (("strong", batch), ("weak", batch * size)):
            step, exchange, sent = measure(layers, rows, 20 * rows // size, how)
            if rank == 0:
                rates.append(6 * parameters(layers) * rows / step)
                print(
                    f"| {name}, {kind} | {rows} | {1e6 * step:.0f} | {exchange / step:.0%} | {sent / 1e3:.0f} "
                    f"| {rates[-1] / 1e9:.0f} |",
                    flush=True,
                )
            if size == 1:
                break
    if size == 1:
        rate = float(np.median(rates))
        print_model(rate)
        if given.draw:
            draw(given.draw, rate)


if __name__ == "__main__":
    main()
