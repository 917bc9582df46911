"""The register tile and the transposition against NumPy."""

import numpy as np
import pytest
from bench import MACHINES, call

from jitmlp_kernels.pieces.product import PRODUCT, Block, product, tile
from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.pieces.transpose import transpose_tile
from jitmlp_kernels.trace.target import TILE_ROWS, VECTOR_BYTES

ONE_TILE = record(a=ADDRESS, a_row=INT, a_step=INT, b=ADDRESS, init=ADDRESS, c=ADDRESS, width=INT, depth=INT)
TRANSPOSE = record(source=ADDRESS, panels=INT, panel_stride=INT, target=ADDRESS, target_panel=INT)


@kernel(ONE_TILE)
def one_tile(m, job, unit, op, rows, panels):
    a, b, init, c = (address.cast(m.dtype) for address in (op.a, op.b, op.init, op.c))
    a_rows = [a.at(r * op.a_row) for r in range(rows)]
    blocks = Block(b, op.width, m.lanes), Block(init, 0, m.lanes), Block(c, op.width, m.lanes)
    tile(m, rows, panels, a_rows, op.a_step, *blocks, op.depth)


@kernel(TRANSPOSE)
def one_transposition(m, job, unit, op):
    transpose_tile(m, op.source.cast(m.dtype), op.panels, op.panel_stride, op.target.cast(m.dtype), op.target_panel)


def lanes_of(dtype):
    return max(1, VECTOR_BYTES // np.dtype(dtype).itemsize)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-4), ("float64", 1e-12)])
@pytest.mark.parametrize("unit_rows", [False, True])
@pytest.mark.parametrize("rows, panels", [(8, 2), (4, 1), (1, 2), (6, 3)])
@pytest.mark.parametrize("depth", [0, 1, 37])
def test_tile(rows, panels, unit_rows, depth, dtype, rtol, machine):
    width, rng = panels * lanes_of(dtype), np.random.default_rng(0)
    A, B, start = (rng.normal(size=s).astype(dtype) for s in ((rows, depth), (depth, width), width))
    stored, c = np.ascontiguousarray(A.T if unit_rows else A), np.full((rows, width), np.nan, dtype)
    operands = {"a": stored.ctypes.data, "b": B.ctypes.data, "init": start.ctypes.data, "c": c.ctypes.data}
    steps = {"a_row": 1, "a_step": rows} if unit_rows else {"a_row": depth, "a_step": 1}
    call(one_tile, dtype, {**operands, **steps, "width": width, "depth": depth}, machine, rows=rows, panels=panels)
    np.testing.assert_allclose(c, A @ B + start, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-4), ("float64", 1e-12)])
@pytest.mark.parametrize("count", [1, TILE_ROWS // 2, TILE_ROWS, 3 * TILE_ROWS + 1])
@pytest.mark.parametrize("panels", [1, 2, 3])
def test_product_of_a_group(count, panels, dtype, rtol, machine):
    """Any number of rows and panels, in place and with nothing written behind."""
    half, lanes, depth, rng = TILE_ROWS // 2, lanes_of(dtype), 11, np.random.default_rng(0)
    padded = -(-count // half) * half
    A, B = (rng.normal(size=s).astype(dtype) for s in ((padded + 2, depth), (panels, depth, lanes)))
    bias, c = rng.normal(size=(panels, lanes)).astype(dtype), np.full((padded + 3, panels * lanes), 7, dtype)
    operands = {
        "a": A.ctypes.data, "a_row": depth, "b": B.ctypes.data, "b_panel": depth * lanes, "panels": panels,
        "init": bias.ctypes.data, "init_panel": lanes, "c": c.ctypes.data, "c_row": panels * lanes, "depth": depth,
    }  # fmt: skip
    assert set(operands) == set(PRODUCT.names)
    call(product, dtype, operands, machine, unit={"place": 1, "count": count, "padded": padded})
    wide = B.transpose(1, 0, 2).reshape(depth, -1)
    np.testing.assert_allclose(c[1 : padded + 1], A[1 : padded + 1] @ wide + bias.ravel(), rtol=rtol, atol=rtol)
    assert (c[0] == 7).all() and (c[padded + 1 :] == 7).all()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transpose(dtype, machine):
    lanes, panels = lanes_of(dtype), 2
    block = np.random.default_rng(0).normal(size=(panels, TILE_ROWS, lanes)).astype(dtype)
    n_targets, target_panel = -(-TILE_ROWS // lanes), panels * lanes * lanes
    result = np.zeros(n_targets * target_panel, dtype)
    operands = {"source": block.ctypes.data, "panels": panels, "panel_stride": TILE_ROWS * lanes}
    call(one_transposition, dtype, {**operands, "target": result.ctypes.data, "target_panel": target_panel}, machine)
    result = result.reshape(n_targets, panels * lanes, lanes)
    wide = block.transpose(1, 0, 2).reshape(TILE_ROWS, panels * lanes)
    for r in range(TILE_ROWS):
        np.testing.assert_array_equal(result[r // lanes, :, r % lanes], wide[r])
