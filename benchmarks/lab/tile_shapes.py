"""Register tiles of several shapes on the two products of a dense layer.

python benchmarks/lab/tile_shapes.py
"""

import time

import numpy as np

from jitmlp_kernels.link.pieces import callable_of, piece
from jitmlp_kernels.pieces.product import Block, tile
from jitmlp_kernels.pieces.records import ADDRESS, INT, JOB, UNIT, kernel, new, record
from jitmlp_kernels.trace.target import VECTOR_BYTES

SHAPES = ((8, 2), (12, 2), (14, 2), (6, 4), (8, 3), (4, 4))
DEPTH, LANES = 784, VECTOR_BYTES // 4
PRODUCT = record(a=ADDRESS, b=ADDRESS, c=ADDRESS, zeros=ADDRESS, rows=INT, panels=INT, repeats=INT)


@kernel(PRODUCT)
def lab_forward(m, job, unit, op, rows, panels):
    """``rows x DEPTH`` times ``DEPTH x panels`` as the forward pass does it."""
    a, b, c, zeros = (address.cast(m.dtype) for address in (op.a, op.b, op.c, op.zeros))
    n_rows, n_panels, depth = op.rows, op.panels, m.whole(DEPTH)
    for _ in m.loop(op.repeats):
        for j in m.loop(0, n_panels, panels):
            for i in m.loop(0, n_rows, rows):
                place = Block(c.at((i * n_panels + j) * m.lanes), n_panels * m.lanes, m.lanes)
                columns = Block(b.at(j * (DEPTH * m.lanes)), m.lanes, DEPTH * m.lanes)
                a_rows = [a.at((i + r) * DEPTH) for r in range(rows)]
                tile(m, rows, panels, a_rows, 1, columns, Block(zeros, 0, 0), place, depth)


@kernel(PRODUCT)
def lab_gradient(m, job, unit, op, rows, panels):
    """``DEPTH x rows`` times ``rows x panels`` as the weight gradient does it."""
    a, b, c, zeros = (address.cast(m.dtype) for address in (op.a, op.b, op.c, op.zeros))
    n_rows, n_panels = op.rows, op.panels
    for _ in m.loop(op.repeats):
        for j in m.loop(0, n_panels, panels):
            for i in m.loop(0, DEPTH // rows * rows, rows):
                place = Block(c.at(j * (DEPTH * m.lanes) + i * m.lanes), m.lanes, DEPTH * m.lanes)
                columns = Block(b.at(j * m.lanes), n_panels * m.lanes, m.lanes)
                a_rows = [a.at(i + r) for r in range(rows)]
                tile(m, rows, panels, a_rows, DEPTH, columns, Block(zeros, 0, 0), place, n_rows)


def measure(rows, panels):
    """GFLOP/s of both products after checking them against NumPy."""
    n_rows, n_panels = 96 // rows * rows, 8 // panels * panels
    width, rng = n_panels * LANES, np.random.default_rng(0)
    A, W, D = (rng.normal(size=s).astype("f4") for s in ((n_rows, DEPTH), (DEPTH, width), (n_rows, width)))
    panelled = np.ascontiguousarray(W.reshape(DEPTH, n_panels, LANES).transpose(1, 0, 2))
    zeros, rates = np.zeros(8 * LANES, "f4"), []
    for body, second, size in ((lab_forward, panelled, n_rows * width), (lab_gradient, D, DEPTH * width)):
        c = np.zeros(size, "f4")
        run = callable_of(piece(body, "float32", rows=rows, panels=panels))
        places = {"a": A.ctypes.data, "b": second.ctypes.data, "c": c.ctypes.data, "zeros": zeros.ctypes.data}
        operands = new(PRODUCT, **places, rows=n_rows, panels=n_panels, repeats=1)
        records = [r.ctypes.data for r in (new(JOB), new(UNIT), operands)]
        run(*records)
        if body is lab_forward:
            np.testing.assert_allclose(c.reshape(n_rows, width), A @ W, rtol=1e-3, atol=1e-3)
        else:
            result = c.reshape(n_panels, DEPTH, LANES).transpose(1, 0, 2).reshape(DEPTH, width)
            done = DEPTH // rows * rows
            np.testing.assert_allclose(result[:done], (A.T @ D)[:done], rtol=1e-3, atol=1e-3)
        operands["repeats"], best = 100, float("inf")
        for _ in range(5):
            start = time.perf_counter()
            run(*records)
            best = min(best, time.perf_counter() - start)
        rates.append(200 * n_rows * DEPTH * width / best / 1e9)
    return rates


if __name__ == "__main__":
    for shape in SHAPES:
        forward, gradient = measure(*shape)
        print(f"{shape[0]:2} rows x {shape[1]} vectors: forward {forward:.0f}, gradient {gradient:.0f} GFLOP/s")
