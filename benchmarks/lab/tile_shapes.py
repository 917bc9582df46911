"""Register tiles of several shapes on the two products of a dense layer.

python benchmarks/lab/tile_shapes.py
"""

import time

import numpy as np
from numba import njit

from jitmlp_kernels.host import VECTOR_BYTES
from jitmlp_kernels.microkernel import make_tile

SHAPES = ((8, 2), (12, 2), (14, 2), (6, 4), (8, 3), (4, 4))
DEPTH, LANES = 784, VECTOR_BYTES // 4


def products(rows, panels):
    """The forward and the gradient product in tiles of one shape, compiled."""
    forward_tile, gradient_tile = make_tile(rows, panels, False), make_tile(rows, panels, True)

    @njit(nogil=True, error_model="numpy")
    def forward(memory, b, c, zeros, n_rows, n_panels, repeats):
        for _ in range(repeats):
            for j in range(0, n_panels, panels):
                for i in range(0, n_rows, rows):
                    forward_tile(
                        memory, i * DEPTH, DEPTH, b + j * DEPTH * LANES, LANES, DEPTH * LANES, zeros, 0, 0,
                        c + (i * n_panels + j) * LANES, n_panels * LANES, LANES, DEPTH,
                    )  # fmt: skip

    @njit(nogil=True, error_model="numpy")
    def gradient(memory, b, c, zeros, n_rows, n_panels, repeats):
        for _ in range(repeats):
            for j in range(0, n_panels, panels):
                for i in range(0, DEPTH - rows + 1, rows):
                    gradient_tile(
                        memory, i, DEPTH, b + j * LANES, n_panels * LANES, LANES, zeros, 0, 0,
                        c + (j * DEPTH + i) * LANES, LANES, DEPTH * LANES, n_rows,
                    )  # fmt: skip

    return forward, gradient


def measure(rows, panels):
    """GFLOP/s of both products after checking them against NumPy."""
    forward, gradient = products(rows, panels)
    n_rows, n_panels = 96 // rows * rows, 8 // panels * panels
    width = n_panels * LANES
    rng = np.random.default_rng(0)
    A, W, D = (rng.normal(size=s).astype("f4") for s in ((n_rows, DEPTH), (DEPTH, width), (n_rows, width)))
    panelled = W.reshape(DEPTH, n_panels, LANES).transpose(1, 0, 2)
    rates = []
    for function, second, size in ((forward, panelled, n_rows * width), (gradient, D, DEPTH * width)):
        memory = np.concatenate([A.ravel(), second.ravel(), np.zeros(size + 8 * LANES, "f4")])
        b, c = A.size, A.size + second.size
        arguments = memory, b, c, c + size, n_rows, n_panels
        function(*arguments, 1)
        if function is forward:
            np.testing.assert_allclose(memory[c : c + size].reshape(n_rows, width), A @ W, rtol=1e-3, atol=1e-3)
        else:
            result = (
                memory[c : c + size].reshape(n_panels, DEPTH, LANES).transpose(1, 0, 2).reshape(DEPTH, width)
            )
            done = DEPTH // rows * rows
            np.testing.assert_allclose(result[:done], (A.T @ D)[:done], rtol=1e-3, atol=1e-3)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            function(*arguments, 100)
            best = min(best, time.perf_counter() - start)
        rates.append(200 * n_rows * DEPTH * width / best / 1e9)
    return rates


if __name__ == "__main__":
    for shape in SHAPES:
        forward_rate, gradient_rate = measure(*shape)
        print(
            f"{shape[0]:2} rows x {shape[1]} vectors: forward {forward_rate:.0f}, gradient {gradient_rate:.0f} GFLOP/s"
        )
