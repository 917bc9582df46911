"""Softmax of few outputs, which goes across rows, beside that which goes along each of them."""

import numpy as np
import pytest

import reference
from helpers import make_network
from jitmlp.engine.job import Job
from jitmlp.engine.layout import aligned_zeros
from jitmlp.engine.program import Program
from jitmlp_kernels.link.pieces import INTERPRETED
from jitmlp_kernels.pieces.records import kernel
from jitmlp_kernels.pieces.rows import ROWS, _group, _softmax_along, softmax_forward


@kernel(ROWS)
def along(m, job, unit, op):
    """The way of rows of any length."""
    source, target, row, units, _ = _group(m, unit, op)
    _softmax_along(m, source, target, row, units, unit.padded)


@pytest.mark.skipif(INTERPRETED, reason="NumPy sums a vector's lanes in an order of its own")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_across_rows_has_the_bits_of_along_them(dtype):
    """For any number of rows and outputs that one vector holds; the padding is 0, and what lies behind the rows stays."""
    network, *_ = make_network((2, 3), dtype=dtype)
    lanes, rng = network.layout.lanes, np.random.default_rng(0)
    shares = network.layout.share_strips(1)
    for units in range(1, lanes + 1):
        for rows in (1, 2, 3, lanes, lanes + 1, 3 * lanes + 2):
            inputs, order = aligned_zeros(200 * lanes, dtype).reshape(200, lanes), np.arange(rows)
            inputs[:] = rng.normal(scale=5, size=inputs.shape)
            found = []
            for body in (softmax_forward, along):
                target = aligned_zeros(inputs.size, dtype).reshape(inputs.shape)
                target[:] = 7
                program = Program(np.dtype(dtype))
                program.phase(by_rows=True)
                places = dict(source=inputs.ctypes.data, target=target.ctypes.data)
                program.call(body, {**places, "row": lanes, "units": units, "parameter": 0.0})
                job = Job(network, program)
                job.set(
                    order=order.ctypes.data, n_order=rows, batch_size=rows, epoch_rows=rows, epoch_steps=1, prediction=1,
                    last_phase=1, n_threads=1, shares=shares.ctypes.data,
                )  # fmt: skip
                job.run_alone()
                found.append(target)
            across, by_row = found
            np.testing.assert_array_equal(across, by_row)
            expected = reference.softmax(inputs[:rows, :units].astype(np.float64))
            np.testing.assert_allclose(across[:rows, :units], expected, rtol=1e-5 if dtype == "float32" else 1e-13)
            assert not across[:rows, units:].any() and (across[-1] == 7).all()
