"""exp, log and their kin in vector-friendly form.

No calls, no branches: argument reduction, a polynomial, a choice. NaN gives NaN. Largest
errors in units in the last place, measured against 50-digit values over the whole range
and held by ``tests/kernels/test_elementary.py``:

==============  =======  =======
function        float32  float64
==============  =======  =======
exp             1        1
expm1           2        2
log             1.5      1.5
log1p           2.5      3
tanh            2.5      2.5
logistic        2.5      2.5
erf             2.5      1.5
log1p_exp       3.5      3.5
tanh_log1p_exp  3.5      3.5
sin, cos        2        2
==============  =======  =======

``sin`` and ``cos`` hold to it for ``abs(x)`` up to 1e4 (float32) or 1e6 (float64); beyond, their
values stay in [-1, 1] and lose their digits. The coefficients (lowest power first) come from ``benchmarks/lab/fit_coefficients.py``.
"""

from jitmlp_kernels.trace.dual import differentiable
from jitmlp_kernels.trace.functions import (
    clamp,
    copysign,
    fma,
    is_single,
    power_of_two,
    rint,
    split_exponent,
    where,
)

INFINITY, NAN = float("inf"), float("nan")
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
SIN_32 = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
SIN_64 = (
    -1.66666666666666307295e-1,
    8.33333333332211858878e-3,
    -1.98412698295895385996e-4,
    2.75573136213857245213e-6,
    -2.50507477628578072866e-8,
    1.58962301576546568060e-10,
)
COS_32 = (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)
COS_64 = (
    4.16666666666665929218e-2,
    -1.38888888888730564116e-3,
    2.48015872888517045348e-5,
    -2.75573141792967388112e-7,
    2.08757008419747316778e-9,
    -1.13585365213876817300e-11,
)


def _polynomial(x, single, double):
    """Horner's rule with the coefficients of the dtype of ``x``."""
    coefficients = single if is_single(x) else double
    total = fma(x, coefficients[-1], coefficients[-2])
    for coefficient in coefficients[-3::-1]:
        total = fma(total, x, coefficient)
    return total


def _reduce(x):
    """``n`` and ``r`` with ``x = n log 2 + r``, ``n`` whole and ``abs(r)`` at most half of log 2."""
    n = rint(x * 1.4426950408889634)
    # log 2 in two parts, the first short enough that n times it is exact
    high, low = LOG2_32 if is_single(x) else LOG2_64
    return n, fma(n, -low, fma(n, -high, x))


# log 2 = high + low, with trailing zeros in the high part
LOG2_32 = (0.693359375, -2.12194440e-4)
LOG2_64 = (6.93145751953125e-1, 1.42860682030941723212e-6)


@differentiable(lambda x, y: y)
def exp(x):
    """Exponential; overflows to infinity, underflows through the subnormals to 0."""
    n, r = _reduce(clamp(x, -104.0, 89.0) if is_single(x) else clamp(x, -746.0, 710.0))
    half = rint(n * 0.5)  # in two factors, since 2**n alone leaves the normal range
    return _polynomial(r, EXP_32, EXP_64) * power_of_two(half) * power_of_two(n - half)


def _expm1_parts(x):
    """``s`` and ``n`` with ``exp(x) - 1 = 2**n s + (2**n - 1)``, for ``x`` of the normal range."""
    n, r = _reduce(x)
    return fma(r * r, _polynomial(r, EXPM1_32, EXPM1_64), r), n


@differentiable(lambda x, y: y + 1.0)
def expm1(x):
    """``exp(x) - 1`` without cancellation."""
    # the largest power of two is one short of overflow, so half of it is taken twice
    s, n = _expm1_parts(clamp(x, -20.0, 89.0) if is_single(x) else clamp(x, -40.0, 710.0))
    scale = power_of_two(n - 1.0)
    value = 2.0 * fma(scale, s, scale - 0.5)
    return where(x == 0.0, x, value)


@differentiable(lambda x, y: 1.0 / x)
def log(x):
    """Natural logarithm; subnormal numbers count as 0, as in all kernels."""
    smallest, largest = (
        (1.1754944e-38, 3.4028235e38) if is_single(x) else (2.2250738585072014e-308, 1.7976931348623157e308)
    )
    mantissa, exponent = split_exponent(clamp(x, smallest, largest))
    low = mantissa < 0.7071067811865476
    mantissa = where(low, mantissa + mantissa, mantissa)
    exponent = where(low, exponent - 1.0, exponent)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    high, rest = LOG2_32 if is_single(x) else LOG2_64
    value = fma(exponent, high, fma(f, _polynomial(f * f, LOG_32, LOG_64), exponent * rest))
    special = where(x == INFINITY, INFINITY, where(x < 0.0, NAN, where(x < smallest, -INFINITY, x)))
    return where((x >= smallest) & (x <= largest), value, special)


@differentiable(lambda x, y: 1.0 / (1.0 + x))
def log1p(x):
    """``log(1 + x)`` without cancellation."""
    total = 1.0 + x
    # Kahan: the rounding of 1 + x is known and put back
    finite = (total > 0.0) & (total < INFINITY)
    correction = where(finite, (x - (total - 1.0)) / where(finite, total, 1.0), 0.0)
    return where(x == 0.0, x, log(total) + correction)


@differentiable(lambda x, y: 1.0 - y * y)
def tanh(x):
    """Hyperbolic tangent, ``e / (e + 2)`` with ``e = exp(2 abs(x)) - 1``."""
    size = abs(x)
    limit = 10.0 if is_single(x) else 20.0  # where it has been 1 for long
    s, n = _expm1_parts(where(size > limit, limit, size) * 2.0)
    scale = power_of_two(n)
    e = fma(scale, s, scale - 1.0)
    return copysign(e / (e + 2.0), x)


@differentiable(lambda x, y: y * (1.0 - y))
def logistic(x):
    """The logistic sigmoid ``1 / (1 + exp(-x))``."""
    return 1.0 / (1.0 + exp(-x))


@differentiable(lambda x, y: logistic(x))
def log1p_exp(x):
    """``log(1 + exp(x))`` without overflow or cancellation."""
    small = exp(-abs(x))
    total = 1.0 + small
    correction = (small - (total - 1.0)) / total
    return where(x > 0.0, x, where(x == x, 0.0, x)) + (log(total) + correction)


def _exp_where_below_1(x):
    """``exp(x)`` up to where ``tanh(log(1 + exp(x)))`` has been 1 for long."""
    limit = 20.0
    return exp(where(x > limit, limit, x))


def _tanh_log1p_exp_slope(x, y):
    e = _exp_where_below_1(x)
    root = fma(e, e + 2.0, 2.0)
    return 4.0 * (e / root) * ((e + 1.0) / root)


@differentiable(_tanh_log1p_exp_slope)
def tanh_log1p_exp(x):
    """``tanh(log(1 + exp(x)))``, which is ``n / (n + 2)`` with ``n = exp(x) (exp(x) + 2)``."""
    e = _exp_where_below_1(x)
    n = e * (e + 2.0)
    return n / (n + 2.0)


def _quadrant(x):
    """``q`` and ``r`` with ``x = q pi / 2 + r``, ``q`` whole and ``abs(r)`` at most pi / 4."""
    q = rint(x * 0.6366197723675814)
    parts = HALF_PI_32 if is_single(x) else HALF_PI_64
    r = x
    for part in parts:
        r = fma(q, -part, r)
    return q, clamp(r, -0.8, 0.8)  # so that a number too large for the parts gives a sine at least


# pi / 2 in parts (Cody & Waite 1980), each but the last with zeros at its end
HALF_PI_32 = (1.5703125, 4.837512969970703125e-4, 7.54953362047672271728515625e-8, 2.5633434068e-12)
HALF_PI_64 = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)


def _sine(x, shift):
    """``sin(x + shift pi / 2)``."""
    q, r = _quadrant(x)
    z = r * r
    sine = fma(z * r, _polynomial(z, SIN_32, SIN_64), r)
    cosine = fma(z * z, _polynomial(z, COS_32, COS_64), fma(z, -0.5, 1.0))
    q = q + shift
    quarter = q - 4.0 * rint(q * 0.25)  # -2, -1, 0, 1 or 2
    odd = abs(quarter) == 1.0
    value = where(odd, cosine, sine)
    negative = (quarter == -1.0) | (abs(quarter) == 2.0)
    return where(negative, -value, value)


@differentiable(lambda x, y: cos(x))
def sin(x):
    """Sine."""
    return _sine(x, 0.0)


@differentiable(lambda x, y: -sin(x))
def cos(x):
    """Cosine."""
    return _sine(x, 1.0)


def _erfcx(x):
    """``exp(x**2) erfc(x)`` for ``x`` >= 0."""
    t = (x - 3.0) / (x + 3.0)
    return _polynomial(t, ERFCX_32, ERFCX_64) / (1.0 + 2.0 * x)


@differentiable(lambda x, y: 1.1283791670955126 * exp(-x * x))
def erf(x):
    """Error function."""
    size = abs(x)
    z = where(size < 1.0, x * x, 0.0)
    near_zero = x * _polynomial(z, ERF_32, ERF_64)
    far = clamp(size, 0.0, 6.5)
    return where(size < 1.0, near_zero, copysign(1.0 - exp(-far * far) * _erfcx(far), x))


@differentiable(lambda x, y: normal_pdf(x))
def normal_cdf(x):
    """Standard normal distribution function, accurate in the lower tail too."""
    y = clamp(abs(x) * 0.7071067811865476, 0.0, 10.0 if is_single(x) else 27.0)
    tail = 0.5 * exp(-y * y) * _erfcx(y)
    return where(x < 0.0, tail, 1.0 - tail)


@differentiable(lambda x, y: -x * y)
def normal_pdf(x):
    """Standard normal density."""
    return 0.3989422804014327 * exp(-0.5 * x * x)
