"""exp, log, tanh, the logistic function and erf in vector-friendly form.

No calls, no branches: argument reduction, a polynomial, a choice. Largest errors in
units in the last place, measured against 50-digit values over the whole range and
held by ``tests/test_elementary.py``:

=========  =======  =======
function   float32  float64
=========  =======  =======
exp        1        1
log        1.5      1.5
tanh       2.5      2.5
logistic   2.5      2.5
erf        2.5      1.5
log1p_exp  3.5      3.5
=========  =======  =======

The coefficients (lowest power first) come from
``benchmarks/lab/fit_coefficients.py``.
"""

from jitmlp_kernels.lanes import (
    copysign,
    fma,
    is_single,
    power_of_two,
    rint,
    split_exponent,
    where,
)

EXP_32 = (
    1.0,
    1.000000038,
    0.5000000047,
    0.1666641551,
    0.0416663529,
    0.008375126398,
    0.001394110843,
)
EXP_64 = (
    0.999999999999999997,
    1.0,
    0.500000000000001839,
    0.166666666666666808,
    0.0416666666664880955,
    0.00833333333331960061,
    0.00138888889523147747,
    0.000198412698900471137,
    0.0000248014854823284924,
    2.75572409185789698e-6,
    2.76326396390410297e-7,
    2.51100376059637777e-8,
)
EXPM1_32 = (
    0.5,
    0.1666657703,
    0.04166655466,
    0.008363173075,
    0.001392617612,
)
EXPM1_64 = (
    0.500000000000000102,
    0.166666666666666675,
    0.0416666666666241619,
    0.00833333333333006445,
    0.00138888889171967191,
    0.000198412698630405453,
    0.0000248015213223686933,
    2.75572684803100255e-6,
    2.76200758799833666e-7,
    2.51003758325612337e-8,
)
LOG_32 = (
    1.999999999,
    0.6666681534,
    0.3997485052,
    0.2992439048,
)
LOG_64 = (
    2.0,
    0.666666666666666584,
    0.400000000000074939,
    0.285714285688191269,
    0.222222226769295403,
    0.181817737380163058,
    0.153871609261340799,
    0.132487630834601159,
    0.132621036740218091,
)
ERF_32 = (
    1.128379166,
    -0.3761262667,
    0.1128359472,
    -0.02685421201,
    0.005189087423,
    -0.0008016864287,
    7.875875063e-5,
)
ERF_64 = (
    1.12837916709551257,
    -0.376126389031835404,
    0.112837916709450063,
    -0.0268661706432377704,
    0.00522397760711642273,
    -0.000854832597538969208,
    0.000120552949048397079,
    -0.0000149247369074196603,
    1.64474247033173624e-6,
    -1.62084838018717059e-7,
    1.37200645467776856e-8,
    -7.79589882700214224e-10,
)
ERFCX_32 = (
    1.253008101,
    -0.1356208896,
    -0.04756605593,
    0.1296380331,
    -0.1192232942,
    0.06838656076,
    -0.02398236064,
    0.002175755627,
    0.002137201498,
    -0.0002059181526,
)
ERFCX_64 = (
    1.25300805826972964,
    -0.135621106124580685,
    -0.0475622943534463728,
    0.129645158702705516,
    -0.119273663415528533,
    0.0683080273458045873,
    -0.0237705149142336714,
    0.00252939178827044538,
    0.0018886903120037819,
    -0.00077983203796111149,
    -0.000105159490337759744,
    0.000125098151748643215,
    4.94814787557653947e-6,
    -0.0000200966308759539524,
    -7.27587574666718295e-7,
    3.46399753235290422e-6,
    3.48991978897442946e-7,
    -6.05004862393350368e-7,
    -1.31116613753645882e-7,
    9.18624302614384661e-8,
    3.29163439676632021e-8,
    -8.50011950211530655e-9,
    -4.21010497511919487e-9,
)


def _polynomial(x, single, double):
    """Horner's rule with the coefficients of the dtype of ``x``."""
    coefficients = single if is_single(x) else double
    total = fma(x, coefficients[-1], coefficients[-2])
    for coefficient in coefficients[-3::-1]:
        total = fma(total, x, coefficient)
    return total


def _clamp(x, low, high):
    """``x`` limited to [low, high]; a NaN stays a NaN."""
    return where(x < low, low, where(x > high, high, x))


def _reduce(x):
    """``n`` and ``r`` with ``x = n log 2 + r``, ``n`` whole and ``abs(r)`` at most half of log 2."""
    n = rint(x * 1.4426950408889634)
    # log 2 in two parts, the first short enough that n times it is exact
    if is_single(x):
        return n, fma(n, 2.12194440e-4, fma(n, -0.693359375, x))
    return n, fma(n, -1.42860682030941723212e-6, fma(n, -6.93145751953125e-1, x))


def exp(x):
    """Exponential; overflows to infinity, underflows through the subnormals to 0."""
    single = is_single(x)
    n, r = _reduce(_clamp(x, -104.0, 89.0) if single else _clamp(x, -746.0, 710.0))
    half = rint(n * 0.5)  # in two factors, since 2**n alone leaves the normal range
    return _polynomial(r, EXP_32, EXP_64) * power_of_two(half) * power_of_two(n - half)


def log(x):
    """Natural logarithm of normal numbers > 0."""
    mantissa, exponent = split_exponent(x)
    low = mantissa < 0.7071067811865476
    mantissa = where(low, mantissa + mantissa, mantissa)
    exponent = where(low, exponent - 1.0, exponent)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    if is_single(x):
        tail = exponent * -2.12194440e-4
        head = 0.693359375
    else:
        tail = exponent * 1.42860682030941723212e-6
        head = 6.93145751953125e-1
    return fma(exponent, head, fma(f, _polynomial(f * f, LOG_32, LOG_64), tail))


def tanh(x):
    """Hyperbolic tangent, ``e / (e + 2)`` with ``e = exp(2 abs(x)) - 1``."""
    size = abs(x)
    limit = 10.0 if is_single(x) else 20.0  # where it has been 1 for long
    n, r = _reduce(where(size > limit, limit, size) * 2.0)
    small = fma(r * r, _polynomial(r, EXPM1_32, EXPM1_64), r)
    scale = power_of_two(n)
    e = fma(scale, small, scale - 1.0)
    return copysign(e / (e + 2.0), x)


def logistic(x):
    """The logistic sigmoid ``1 / (1 + exp(-x))``."""
    return 1.0 / (1.0 + exp(-x))


def log1p_exp(x):
    """``log(1 + exp(x))`` without overflow or cancellation."""
    small = exp(-abs(x))
    total = 1.0 + small
    # Kahan: the rounding of 1 + small is known and put back
    correction = (small - (total - 1.0)) / total
    return where(x > 0.0, x, x * 0.0) + (log(total) + correction)


def _erfcx(x):
    """``exp(x**2) erfc(x)`` for ``x`` >= 0."""
    t = (x - 3.0) / (x + 3.0)
    return _polynomial(t, ERFCX_32, ERFCX_64) / (1.0 + 2.0 * x)


def erf(x):
    """Error function."""
    size = abs(x)
    z = where(size < 1.0, x * x, 0.0)
    near_zero = x * _polynomial(z, ERF_32, ERF_64)
    far = _clamp(size, 0.0, 6.5)
    return where(size < 1.0, near_zero, copysign(1.0 - exp(-far * far) * _erfcx(far), x))


def normal_cdf(x):
    """Standard normal distribution function, accurate in the lower tail too."""
    y = _clamp(abs(x) * 0.7071067811865476, 0.0, 10.0 if is_single(x) else 27.0)
    tail = 0.5 * exp(-y * y) * _erfcx(y)
    return where(x < 0.0, tail, 1.0 - tail)


def normal_pdf(x):
    """Standard normal density."""
    return 0.3989422804014327 * exp(-0.5 * x * x)
