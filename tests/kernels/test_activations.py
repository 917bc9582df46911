"""Every row of the table of activations against its formula and finite differences."""

import numpy as np
import pytest
from bench import MACHINES, call, mapped

import reference
from jitmlp_kernels.pieces import rows
from jitmlp_kernels.pieces.share import HALF_ROWS
from jitmlp_kernels.rules.activations import ACTIVATIONS, BY_NAME
from jitmlp_kernels.trace.target import VECTOR_BYTES

POINTS = np.concatenate([np.linspace(-6, 6, 97) + 0.01, [-30.0, 30.0, -0.5]])
ELEMENTWISE = [row for row in ACTIVATIONS if not row.coupled]
SMOOTH = [row for row in ELEMENTWISE if row.name != "step"]
ids = {"ids": lambda row: row.name}


def run(row, z, parameter, machine="compiled"):
    """The kernel's activations of ``z``, in their own dtype."""
    return mapped(row.function, z, machine, parameter)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-13), ("float32", 3e-6)])
@pytest.mark.parametrize("row", ELEMENTWISE, **ids)
def test_value(row, dtype, rtol, machine):
    z = POINTS.astype(dtype)
    expected = reference.ACTIVATIONS[row.name](z.astype(float), row.default)
    np.testing.assert_allclose(run(row, z, row.default, machine), expected, rtol=rtol, atol=rtol * 1e-1)


def slope(row, z):
    """The kernel's derivative at ``z``: what a delta of 1 becomes, in either of two rows that are taken together."""
    units, n = 112, len(z)
    source, deltas = np.zeros((2, units)), np.zeros((2, units))
    known = z if row.from_preactivation else run(row, z, row.default)
    source[:, :n], deltas[:, :n] = (known, known[::-1]), 1
    call(
        rows.activation_backward, "float64", {"source": source.ctypes.data, "target": deltas.ctypes.data, "row": units,
        "units": units, "parameter": row.default}, unit={"padded": 2, "count": 1}, activation=row,
    )  # fmt: skip
    np.testing.assert_array_equal(deltas[0, :n], deltas[1, :n][::-1])
    return deltas[0, :n]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ELEMENTWISE, **ids)
def test_rows_become_activations_of_their_own(row, dtype, machine):
    """Rows are taken by two: each gets what its numbers give alone, zeros behind its units, and no other row changes."""
    lanes = max(1, VECTOR_BYTES // np.dtype(dtype).itemsize)
    units, across, n_rows = 2 * lanes + 1, 4 * lanes, 2 * HALF_ROWS
    z = np.random.default_rng(0).normal(0, 3, (n_rows + 2, across)).astype(dtype)
    target = np.full_like(z, 7)
    call(
        rows.activation_forward, dtype, {"source": z.ctypes.data, "target": target.ctypes.data, "row": across,
        "units": units, "parameter": row.default}, machine, unit={"place": 1, "padded": n_rows, "count": n_rows}, activation=row,
    )  # fmt: skip
    alone = np.stack([run(row, numbers[:units], row.default, machine) for numbers in z[1:-1]])
    np.testing.assert_array_equal(target[1:-1, :units], alone)
    assert (target[1:-1, units : 3 * lanes] == 0).all()
    assert (target[[0, -1]] == 7).all() and (target[:, 3 * lanes :] == 7).all()


@pytest.mark.parametrize("row", SMOOTH, **ids)
def test_derivative(row):
    z, h, f = POINTS[:-3], 1e-6, reference.ACTIVATIONS[row.name]
    expected = (f(z + h, row.default) - f(z - h, row.default)) / (2 * h)
    np.testing.assert_allclose(slope(row, z), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row", [row for row in SMOOTH if not row.from_preactivation], **ids)
def test_given_derivatives_equal_the_automatic_ones(row):
    """Where a row gives its derivative in terms of the activation, it is that of its function."""
    from jitmlp_kernels.trace.dual import derivative

    z = POINTS[:-3]
    given = row.slope(row.function(z, row.default), row.default)
    np.testing.assert_allclose(given, derivative(row.function)(z, row.default), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("row", ELEMENTWISE, **ids)
def test_nan_passes_through(row, machine):
    out = run(row, np.array([np.nan, 1.0]), row.default, machine)
    assert np.isnan(out[0]) and np.isfinite(out[1])


def test_aliases():
    assert BY_NAME["sigmoid"] is BY_NAME["logistic"] and BY_NAME["silu"] is BY_NAME["swish"]


def test_parameters_change_the_function():
    z = np.array([-2.0, -0.5, 1.0])
    for row in ACTIVATIONS:
        if row.parameter:
            other = run(row, z, row.default * 3)
            np.testing.assert_allclose(other, reference.ACTIVATIONS[row.name](z, row.default * 3), rtol=1e-12)
            assert not np.allclose(other, run(row, z, row.default))
