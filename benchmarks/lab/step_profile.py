"""Where the microseconds of a mini-batch step go.

    python benchmarks/lab/step_profile.py

Each part of a step is compiled into a loop of its own and timed on one thread's share of
the work; the whole step is timed beside it, on two threads and on one, with the data in
the cache and with more data than it holds.
"""

import sys
import time
from pathlib import Path

import numpy as np
from numba import njit

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.suites.common import Steps

from jitmlp.data import Source
from jitmlp.spec import Constraints
from jitmlp_kernels import plan as records
from jitmlp_kernels.dense import backward_input, forward
from jitmlp_kernels.optimizers import CODES
from jitmlp_kernels.step import GROUP_ROWS, gather_inputs, gather_targets, output_deltas
from jitmlp_kernels.weights import train_bias, train_strips

part = njit(nogil=True, error_model="numpy")


@part
def gather(memory, plan, layers, source, inputs, order, batch, rows, steps):
    """Rows of X and their classes into the buffers."""
    x, x_indices, x_indptr, y, classes = inputs
    for step in range(steps):
        for first in range(0, rows, GROUP_ROWS):
            count = min(GROUP_ROWS, rows - first)
            here = order[step * batch :]
            gather_inputs(
                memory, plan[0], layers, source[0], x, x_indices, x_indptr, here, first, count, first, 0
            )
            gather_targets(
                memory, plan[0], layers[-1].fan_out, source[0], y, classes, here, first, count, first, 0
            )


@part
def forward_all(memory, layers, run, rows, steps):
    """All layers forward, activations included."""
    for step in range(steps):
        for first in range(0, rows, GROUP_ROWS):
            forward(memory, layers, first, min(rows, first + GROUP_ROWS), run[0], step, 0, -1)


@part
def loss(memory, plan, layers, row_weight, row_loss, rows, steps):
    """Loss and its delta."""
    for _ in range(steps):
        output_deltas(memory, plan[0], layers[-1], 0, rows, 0, row_weight, row_loss)


@part
def backward(memory, plan, layers, run, rows, steps):
    """Deltas of the hidden layers, derivatives of the activations included."""
    for step in range(steps):
        for first in range(0, rows, GROUP_ROWS):
            last = min(rows, first + GROUP_ROWS)
            backward_input(memory, plan[0], layers, first, last, run[0], step, 0, len(layers) - 1, rows)


@part
def weights(memory, plan, layers, shares, batch, run, table, penalty, order, steps, computed, finish):
    """A thread's strips: the gradient, the update, or (as in the step) both at once."""
    for _ in range(steps):
        for l in range(len(layers)):
            first, last = shares[0, l, 0], shares[0, l, 1]
            if first < last:
                layer, scratch = layers[l], plan[0].scratch
                if first == 0:
                    train_bias(
                        memory, plan[0], layer, l, batch, True, finish, False, computed, scratch, run[0], table,
                        0, 1e-9, 1.0, penalty,
                    )  # fmt: skip
                train_strips(
                    memory, plan[0], layer, first, last, batch, True, finish, False, computed, scratch, run[0],
                    table, 0, 1e-9, 1.0, batch, penalty, order, (0, 0, 0, 0, 0),
                )  # fmt: skip


def microseconds(function, *arguments, steps):
    """Median time of a step in several runs, the first of which compiles."""
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    return np.median(seconds[1:]) / steps * 1e6


def profile(name, units, batch, n_rows, n_threads=2, steps=500):
    """Print the parts of a step for one of the threads, and the whole."""
    made = Steps(units, batch, "float32", n_threads, "adam", n_steps=steps)
    network = made.network
    rng = np.random.default_rng(0)
    large = Source(rng.random((n_rows, units[0]), np.float32), rng.integers(units[-1], size=n_rows))
    far = rng.integers(n_rows, size=steps * batch)
    run = records.records(1, records.RUN)
    run["batch_size"], run["optimizer"], run["alpha"] = batch, CODES["adam"], 1e-4
    run["slots"] = len(network.slots)
    run["clip_value"] = run["clip_norm"] = run["max_norm"] = np.inf
    memory, plan, layers = network.memory, network.plan, network.layers
    rows = -(-batch // 4 // n_threads) * 4
    shares = network._share_strips(n_threads)
    penalty = network.penalty.copy()
    table = made.table[:1] * 0.0 + made.table[:1]

    def inputs(source):
        return source.x, source.indices, source.indptr, source.y, source.classes

    def time_weights(computed, finish):
        return microseconds(
            weights, memory, plan, layers, shares, batch, run, table, penalty, far, steps, computed, finish,
            steps=steps,
        )  # fmt: skip

    near = made.source
    cached = microseconds(
        gather, memory, plan, layers, near.record, inputs(near), made.order, batch, rows, steps, steps=steps
    )
    distant = microseconds(
        gather, memory, plan, layers, large.record, inputs(large), far, batch, rows, steps, steps=steps
    )
    lines = {
        "gather, rows in the cache": cached,
        "gather, rows in memory: more": distant - cached,
        "forward": microseconds(forward_all, memory, layers, run, rows, steps, steps=steps),
        "loss": microseconds(
            loss, memory, plan, layers, network.row_weight, network.row_loss, rows, steps, steps=steps
        ),
        "backward": microseconds(backward, memory, plan, layers, run, rows, steps, steps=steps),
    }
    both, gradient = time_weights(False, True), time_weights(False, False)
    lines["gradient"], lines["update, beside it"] = gradient, both - gradient

    def whole(source, order, threads):
        call = network.train
        return microseconds(
            lambda: call(source, order, batch, made.table, Constraints(1e-4), 0, 0, threads), steps=steps
        )

    parts = sum(lines.values())
    step = whole(large, far, n_threads)
    macs = [a * b for a, b in zip(units, units[1:])]
    flops = 2 * batch * (2 * macs[0] + 3 * sum(macs[1:]))
    print(f"{name}: {units}, batch {batch}, share of one of {n_threads} threads, us a step")
    for label, value in lines.items():
        print(f"  {label:32s}{value:8.2f}")
    print(f"  {'sum of the parts':32s}{parts:8.2f}")
    print(f"  {'whole step, rows in memory':32s}{step:8.2f}   {flops / step / 1e3:.0f} GFLOP/s")
    print(f"  {'whole step, rows in the cache':32s}{whole(near, made.order, n_threads):8.2f}")
    print(f"  {'on one thread, rows in memory':32s}{whole(large, far, 1):8.2f}")


if __name__ == "__main__":
    profile("W1", (784, 128, 64, 10), 200, 60_000)
    profile("W2", (784, 128, 64, 10), 32, 60_000)
    profile("W3", (784, 30, 10), 10, 60_000, steps=2000)
    profile("W6", (4, 32, 16, 4), 10_000, 60_000, steps=20) if len(sys.argv) > 1 else None
