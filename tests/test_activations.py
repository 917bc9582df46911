"""Every row of the table of activations against its formula and finite differences."""

import numpy as np
import pytest
from numba import njit

import reference
from jitmlp_kernels.activations import ACTIVATIONS, CODES, SOFTMAX, activate, derive

POINTS = np.concatenate([np.linspace(-6, 6, 97) + 0.01, [-30.0, 30.0, -0.5]])


@njit
def apply(memory, units, code, parameter):
    activate(memory, 0, units, 1, units, units, code, parameter)


@njit
def slope(memory, units, values, code, parameter):
    derive(memory, 0, values, 1, units, units, code, parameter)


def run(row, z, parameter):
    """The kernel's activations of ``z``, in their own dtype."""
    units = 112
    memory = np.zeros(2 * units, z.dtype)
    memory[: len(z)] = z
    apply(memory, units, CODES[row.name], parameter)
    return memory[units : units + len(z)]


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-13), ("float32", 3e-6)])
@pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)
def test_value(row, dtype, rtol):
    z = POINTS.astype(dtype)
    expected = reference.ACTIVATIONS[row.name](z.astype(float), row.default)
    np.testing.assert_allclose(run(row, z, row.default), expected, rtol=rtol, atol=rtol * 1e-1)


@pytest.mark.parametrize("row", [r for r in ACTIVATIONS if r.name != "step"], ids=lambda row: row.name)
def test_derivative(row):
    z = POINTS[:-3]
    h = 1e-6
    f = reference.ACTIVATIONS[row.name]
    expected = (f(z + h, row.default) - f(z - h, row.default)) / (2 * h)
    units = 112
    memory = np.zeros(2 * units)
    memory[: len(z)] = 1
    memory[units : units + len(z)] = z if row.from_preactivation else run(row, z, row.default)
    slope(memory, units, units, CODES[row.name], row.default)
    np.testing.assert_allclose(memory[: len(z)], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row", [r for r in ACTIVATIONS if r.name != "step"], ids=lambda row: row.name)
def test_nan_passes_through(row):
    """Check 22: a NaN is not turned into a number, in either direction."""
    out = run(row, np.array([np.nan, 1.0]), row.default)
    assert np.isnan(out[0]) and np.isfinite(out[1])


def test_aliases():
    assert CODES["sigmoid"] == CODES["logistic"] and CODES["silu"] == CODES["swish"]
    assert SOFTMAX not in CODES.values()


def test_parameters_change_the_function():
    z = np.array([-2.0, -0.5, 1.0])
    for row in ACTIVATIONS:
        if row.parameter:
            other = run(row, z, row.default * 3)
            np.testing.assert_allclose(other, reference.ACTIVATIONS[row.name](z, row.default * 3), rtol=1e-12)
            assert not np.allclose(other, run(row, z, row.default))
