"""Accuracy of exp, log, tanh, the logistic function and erf in units in the last place."""

import math

import mpmath
import numpy as np
import pytest
from numba import njit
from numba.core import types

from jitmlp_kernels import elementary
from jitmlp_kernels.emit import Memory, int64, loop, vector_kernel

# The table in the docstring of jitmlp_kernels.elementary: function, 50-digit twin,
# interval, largest error in float32 and in float64.
CASES = {
    "exp": (elementary.exp, mpmath.exp, (-87.0, 88.0), (-700.0, 709.0), 1.0, 1.0),
    "log": (elementary.log, mpmath.log, (1e-37, 1e37), (1e-300, 1e300), 1.5, 1.5),
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
}


def compiled(function):
    """``function`` as a kernel that maps a whole array in place."""

    def twin(memory, count):
        memory[:] = function(memory.copy())

    @vector_kernel(twin)
    def apply(typing, memory, count):
        def generate(context, builder, signature, arguments):
            memory = Memory(context, builder, signature.args[0], arguments[0])
            with loop(builder, memory.vectors(arguments[1])) as i:
                pointer = memory.at(builder.mul(i, int64(memory.lanes)))
                memory.store(function(memory.load(pointer)), pointer)
            return context.get_dummy_value()

        return types.void(memory, types.intp), generate

    @njit
    def run(memory):
        apply(memory, memory.size)

    return run


def points(low, high, dtype):
    """Uniform, log-uniform and special points of an interval; a multiple of 16."""
    rng = np.random.default_rng(0)
    uniform = rng.uniform(low, high, 1000)
    scale = 10.0 ** rng.uniform(-6, 0, 1000)
    near = scale * (high if low < 0 else 1.0) * rng.choice([-1, 1], 1000)
    x = np.concatenate(
        [uniform, near if low < 0 else 10.0 ** rng.uniform(math.log10(low), math.log10(high), 1000)]
    )
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
    result = x.copy()
    compiled(function)(result)
    assert ulp_error(result, x, exact) <= (bound32 if dtype == "float32" else bound64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_limits_and_nan(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30] + [0.0] * 9, dtype)
    for name, expected in {
        "exp": [np.nan, np.inf, 0, 1, 1, np.inf, 0],
        "tanh": [np.nan, 1, -1, 0, 0, 1, -1],
        "logistic": [np.nan, 1, 0, 0.5, 0.5, 1, 0],
        "erf": [np.nan, 1, -1, 0, 0, 1, -1],
    }.items():
        result = x.copy()
        compiled(CASES[name][0])(result)
        np.testing.assert_array_equal(result[:7], np.array(expected, dtype), err_msg=name)


def test_exp_underflows_gradually():
    x = np.resize(np.linspace(-744, -709, 64), 64)
    result = x.copy()
    compiled(elementary.exp)(result)
    np.testing.assert_allclose(result, np.exp(x), rtol=1e-2, atol=1e-323)
