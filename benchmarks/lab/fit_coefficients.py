"""Derive the polynomial coefficients of ``jitmlp_kernels/trace/elementary.py``.

Interpolation at Chebyshev nodes in 50 digits (needs ``mpmath``); prints each
polynomial, lowest power first, with its largest relative error on the interval.

    python benchmarks/lab/fit_coefficients.py
"""

import mpmath as mp

mp.mp.dps = 50


def fit(function, low, high, degree):
    """Power-basis coefficients of the Chebyshev interpolant, and its relative error."""
    nodes = [
        (low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * degree + 2)) for i in range(degree + 1)
    ]
    powers = mp.matrix(degree + 1, degree + 1)
    for i, node in enumerate(nodes):
        for j in range(degree + 1):
            powers[i, j] = node**j
    coefficients = list(mp.lu_solve(powers, mp.matrix([function(node) for node in nodes])))
    error = max(abs(mp.polyval(coefficients[::-1], x) / function(x) - 1) for x in mp.linspace(low, high, 500))
    return coefficients, error


def over_root(function, limit):
    """``z -> function(sqrt z) / sqrt z``: the even part left when an odd factor is split off."""
    return lambda z: function(mp.sqrt(z)) / mp.sqrt(z) if z > 0 else limit


def scaled_erfcx(t, centre=3):
    """``(1 + 2 x) exp(x^2) erfc(x)`` at ``x = centre (1 + t) / (1 - t)``."""
    x = centre * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def expm1_tail(r):
    """``(exp(r) - 1 - r) / r**2``."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > 1e-15 else mp.mpf(1) / 2 + r / 6


HALF_LOG2 = mp.log(2) / 2
LOG_LIMIT = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
JOBS = {
    "EXP": (mp.exp, -HALF_LOG2, HALF_LOG2, 6, 11),
    "EXPM1": (expm1_tail, -HALF_LOG2, HALF_LOG2, 4, 9),
    "LOG": (over_root(lambda f: 2 * mp.atanh(f), mp.mpf(2)), mp.mpf(0), LOG_LIMIT, 3, 8),
    "ERF": (over_root(mp.erf, 2 / mp.sqrt(mp.pi)), mp.mpf(0), mp.mpf(1), 6, 11),
    "ERFCX32": (scaled_erfcx, mp.mpf(-1), mp.mpf(8) / 14, 9, None),
    "ERFCX64": (scaled_erfcx, mp.mpf(-1), mp.mpf(25) / 31, None, 22),
}

if __name__ == "__main__":
    for name, (function, low, high, *degrees) in JOBS.items():
        for bits, degree in zip((32, 64), degrees):
            if degree is not None:
                coefficients, error = fit(function, low, high, degree)
                print(f"# {name} float{bits}: relative error {mp.nstr(error, 2)}")
                for coefficient in coefficients:
                    print(f"    {mp.nstr(coefficient, 10 if bits == 32 else 18)},")
