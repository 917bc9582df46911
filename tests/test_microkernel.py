"""The register tile and the transposition against NumPy."""

import numpy as np
import pytest
from numba import njit

from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.microkernel import make_tile
from jitmlp_kernels.transpose import transpose_tile


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-4), ("float64", 1e-12)])
@pytest.mark.parametrize("unit_rows", [False, True])
@pytest.mark.parametrize("rows, panels", [(8, 2), (4, 1), (1, 2), (6, 3)])
@pytest.mark.parametrize("depth", [0, 1, 37])
def test_tile(rows, panels, unit_rows, depth, dtype, rtol):
    tile = make_tile(rows, panels, unit_rows)

    @njit
    def run(memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth):
        tile(memory, a, a_stride, b, b_k, b_panel, init, init_row, init_panel, c, c_row, c_panel, depth)

    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    width, rng = panels * lanes, np.random.default_rng(0)
    A, B, start = rng.normal(size=(rows, depth)), rng.normal(size=(depth, width)), rng.normal(size=width)
    stored = A.T if unit_rows else A
    memory = np.concatenate([stored.ravel(), B.ravel(), start, np.zeros(rows * width)]).astype(dtype)
    a, b, init, c = np.cumsum([0, A.size, B.size, width])
    run(memory, a, rows if unit_rows else depth, b, width, lanes, init, 0, lanes, c, width, lanes, depth)
    np.testing.assert_allclose(memory[c:].reshape(rows, width), A @ B + start, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transpose(dtype):
    @njit
    def run(memory, panels, panel_stride, target, target_panel):
        transpose_tile(memory, 0, panels, panel_stride, target, target_panel)

    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    panels, size = 2, TILE_ROWS * lanes
    block = np.random.default_rng(0).normal(size=(panels, TILE_ROWS, lanes)).astype(dtype)
    n_targets = -(-TILE_ROWS // lanes)
    target_panel = panels * lanes * lanes
    memory = np.concatenate([block.ravel(), np.zeros(n_targets * target_panel, dtype)])
    run(memory, panels, size, panels * size, target_panel)
    result = memory[panels * size :].reshape(n_targets, panels * lanes, lanes)
    wide = block.transpose(1, 0, 2).reshape(TILE_ROWS, panels * lanes)
    for r in range(TILE_ROWS):
        np.testing.assert_array_equal(result[r // lanes, :, r % lanes], wide[r])
