"""Accuracy of the elementary functions in units in the last place, and their special values."""

import math

import mpmath
import numpy as np
import pytest
from bench import MACHINES, mapped

from jitmlp import formulas
from jitmlp_kernels.trace import elementary, functions

# The table in the docstring of jitmlp_kernels.trace.elementary: function, 50-digit twin,
# interval, largest error in float32 and in float64.
CASES = {
    "exp": (elementary.exp, mpmath.exp, (-87.0, 88.0), (-700.0, 709.0), 1.0, 1.0),
    "log": (elementary.log, mpmath.log, (1e-37, 1e37), (1e-300, 1e300), 1.5, 1.5),
    "expm1": (elementary.expm1, mpmath.expm1, (-17.0, 88.0), (-36.0, 709.0), 2.0, 2.0),
    "log1p": (elementary.log1p, mpmath.log1p, (-0.99, 0.99), (-0.99, 0.99), 2.5, 3.0),
    "sin": (elementary.sin, mpmath.sin, (-1e4, 1e4), (-1e6, 1e6), 2.0, 2.0),
    "cos": (elementary.cos, mpmath.cos, (-1e4, 1e4), (-1e6, 1e6), 2.0, 2.0),
    "tanh": (elementary.tanh, mpmath.tanh, (-10.0, 10.0), (-20.0, 20.0), 2.5, 2.5),
    "logistic": (
        elementary.logistic,
        lambda x: 1 / (1 + mpmath.exp(-x)),
        (-80.0, 80.0),
        (-600.0, 600.0),
        2.5,
        2.5,
    ),
    "erf": (elementary.erf, mpmath.erf, (-5.0, 5.0), (-6.5, 6.5), 2.5, 1.5),
    "log1p_exp": (
        elementary.log1p_exp,
        lambda x: mpmath.log1p(mpmath.exp(x)),
        (-80.0, 80.0),
        (-600.0, 600.0),
        3.5,
        3.5,
    ),
    "tanh_log1p_exp": (
        elementary.tanh_log1p_exp,
        lambda x: mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
        (-80.0, 80.0),
        (-600.0, 600.0),
        3.5,
        3.5,
    ),
}


def points(low, high, dtype):
    """Uniform, log-uniform and special points of an interval; a multiple of 16."""
    rng = np.random.default_rng(0)
    uniform = rng.uniform(low, high, 1000)
    scale = 10.0 ** rng.uniform(-6, 0, 1000)
    near = scale * (high if low < 0 else 1.0) * rng.choice([-1, 1], 1000)
    x = np.concatenate([uniform, near if low < 0 else 10.0 ** rng.uniform(math.log10(low), math.log10(high), 1000)])
    x = np.concatenate([x, [max(low, 0.5), 0.17, 0.35, 0.52, 1.0, min(high, 2.0)]]).astype(dtype)
    return np.resize(x, 2016)


def ulp_error(result, x, exact):
    """Largest distance from the exact value, in units in the last place."""
    worst = 0.0
    with mpmath.workdps(40):
        for r, v in zip(result, x):
            truth = exact(mpmath.mpf(float(v)))
            unit = np.spacing(np.abs(result.dtype.type(truth)))
            worst = max(worst, float(abs(mpmath.mpf(float(r)) - truth) / mpmath.mpf(float(unit))))
    return worst


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_error_is_within_the_stated_bound(name, dtype):
    function, exact, single, double, bound32, bound64 = CASES[name]
    low, high = single if dtype == "float32" else double
    x = points(low, high, dtype)
    result = mapped(lambda z, p: function(z), x)
    assert ulp_error(result, x, exact) <= (bound32 if dtype == "float32" else bound64)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, -1e-30, 87.0, -87.0])


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_are_numpys(dtype, machine):
    """NaN, infinities, zeros and numbers near the limits give what NumPy gives."""
    from scipy import special

    x = SPECIAL.astype(dtype)
    theirs = {
        "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
        "logistic": special.expit, "erf": special.erf, "log1p_exp": lambda z: np.logaddexp(z, z.dtype.type(0)),
        "normal_cdf": special.ndtr, "absolute": np.abs, "sign": np.sign, "floor": np.floor, "sqrt": np.sqrt,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        for name, function in theirs.items():
            mine = mapped(lambda z, p, name=name: getattr(formulas, name)(z), x, machine)
            expected = function(x).astype(dtype)
            np.testing.assert_allclose(
                mine, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-37, err_msg=name
            )


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_passes_through_every_function(dtype, machine):
    """Of one number and of two, at either place."""
    x = np.array([np.nan, 1.0], dtype)
    one = [n for n in formulas.__all__ if n not in ("clamp", "derivative", "maximum", "minimum", "where")]
    for name in one:
        out = mapped(lambda z, p, name=name: getattr(formulas, name)(z), x, machine)
        assert np.isnan(out[0]) and np.isfinite(out[1]), name
    for function in (formulas.maximum, formulas.minimum):
        for swapped in (lambda z, p, f=function: f(z, 2.0), lambda z, p, f=function: f(p * 0.0 + 2.0, z)):
            assert np.isnan(mapped(swapped, x, machine)[0])
    assert np.isnan(mapped(lambda z, p: formulas.clamp(z, -1.0, 1.0), x, machine)[0])


@pytest.mark.parametrize("name", sorted(set(formulas.__all__) - {"clamp", "derivative", "maximum", "minimum", "where"}))
def test_derivative_is_the_slope_of_the_function(name):
    function = getattr(formulas, name)
    x = np.linspace(0.15, 2.8, 40) if name in ("log", "log1p", "sqrt") else np.linspace(-2.8, 2.85, 40)
    h = 1e-6
    expected = (function(x + h) - function(x - h)) / (2 * h)
    np.testing.assert_allclose(formulas.derivative(function)(x), expected, rtol=1e-6, atol=1e-8)


def test_derivatives_of_compositions():
    x, h = np.linspace(0.2, 3.0, 51)[::-1] + 0.0071, 1e-6
    cases = [
        lambda z: formulas.where(z > 1.0, z * z, 3.0 * z),
        lambda z: formulas.maximum(z, 1.0) / (1.0 + z),
        lambda z: 2.0 / z - z**3 + formulas.minimum(2.0, z),
        lambda z: abs(z - 1.5) * formulas.exp(-z),
        lambda z: formulas.clamp(z, 0.5, 2.0) * formulas.log(z),
        lambda z: -(1.0 - z) / formulas.sqrt(z),
        lambda z: formulas.where(z > 1.0, 1.0, -1.0) * z,
    ]
    for i, f in enumerate(cases):
        expected = (f(x + h) - f(x - h)) / (2 * h)
        np.testing.assert_allclose(formulas.derivative(f)(x), expected, rtol=1e-6, atol=1e-8, err_msg=str(i))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sine_of_large_numbers_stays_one(dtype):
    x = np.array([1e5, -1e7, 1e12, 1e30], dtype)
    for function in (formulas.sin, formulas.cos):
        assert (np.abs(mapped(lambda z, p, f=function: f(z), x)) <= 1.0 + 1e-6).all()


def test_exp_underflows_gradually():
    x = np.linspace(-744, -709, 64)
    np.testing.assert_allclose(mapped(lambda z, p: elementary.exp(z), x), np.exp(x), rtol=1e-2, atol=1e-323)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_and_exponents(dtype):
    n = np.arange(-40, 41).astype(dtype)
    np.testing.assert_array_equal(mapped(lambda z, p: functions.power_of_two(z), n), 2.0**n)
    x = np.abs(np.random.default_rng(0).normal(size=64)).astype(dtype) * 1e3
    m, e = np.frexp(x)
    np.testing.assert_array_equal(mapped(lambda z, p: functions.split_exponent(z)[0], x), m)
    np.testing.assert_array_equal(mapped(lambda z, p: functions.split_exponent(z)[1], x), e)
