"""The functions that formulas are written in, beside arithmetic and comparisons.

Each takes NumPy's numbers (and computes), traced values (and emits), or dual numbers of
either (and carries the derivative along).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from jitmlp_kernels.trace.dual import Dual, differentiable, value_of
from jitmlp_kernels.trace.values import (
    INT32,
    INT64,
    Lanes,
    Mask,
    Traced,
    call_intrinsic,
    constant,
)


def is_single(x) -> bool:
    """Whether ``x`` is float32."""
    return x.single if isinstance(x, Lanes) else np.asarray(x).dtype == np.float32


def where(condition, if_true, if_false):
    """Lane-wise choice."""
    if isinstance(if_true, Dual) or isinstance(if_false, Dual):
        slopes = [v.dx if isinstance(v, Dual) else 0.0 for v in (if_true, if_false)]
        same = all(isinstance(slope, float) for slope in slopes) and slopes[0] == slopes[1]
        slope = slopes[0] if same else where(condition, *slopes)
        return Dual(where(condition, value_of(if_true), value_of(if_false)), slope)
    if not isinstance(condition, Mask):
        if isinstance(if_true, Traced) or isinstance(if_false, Traced):
            raise TypeError("where takes a comparison as its first argument")
        return np.where(condition, if_true, if_false)
    like = next((v for v in (if_true, if_false) if isinstance(v, Traced)), None)
    if like is None:
        if condition.like is None:
            raise TypeError("where needs a value among its choices")
        like = Lanes(condition.builder, constant(condition.like, 0.0))
    chosen = like.builder.select(condition.value, like.lift(if_true).value, like.lift(if_false).value)
    return like.same(chosen)


def _chosen(x, y, y_wins):
    """``y`` where it wins or is NaN, else ``x``."""
    a, b = value_of(x), value_of(y)
    if isinstance(b, Traced) and not isinstance(a, Traced):
        a = b.lift(a)
    elif isinstance(a, Traced):
        b = a.lift(b)
    else:
        a, b = np.asarray(a), np.asarray(b)
    return where(y_wins(b, a) | (b != b), y if isinstance(y, Dual) else b, x if isinstance(x, Dual) else a)


def minimum(x, y):
    """The smaller of two numbers; NaN where one is NaN."""
    return _chosen(x, y, lambda b, a: b < a)


def maximum(x, y):
    """The larger of two numbers; NaN where one is NaN."""
    return _chosen(x, y, lambda b, a: b > a)


def fma(a, b, c):
    """``a * b + c`` in one rounding where the target can."""
    if not isinstance(a, Lanes):
        return a * b + c
    return call_intrinsic("fma", a, a.lift(b), a.lift(c))


@differentiable(lambda x, y: 0.5 / y)
def sqrt(x):
    """Square root; correctly rounded."""
    return call_intrinsic("sqrt", x) if isinstance(x, Lanes) else np.sqrt(x)


@differentiable(lambda x, y: where(x > 0.0, x * 0.0 + 1.0, where(x < 0.0, x * 0.0 - 1.0, x * 0.0)))
def absolute(x):
    """Size of a number; its derivative at 0 is taken as 0."""
    return abs(x)


@differentiable(lambda x, y: x * 0.0)
def sign(x):
    """-1, 0 or 1; NaN of NaN."""
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, x))


Dual.__abs__ = lambda self: absolute(self)  # type: ignore[attr-defined]


@differentiable(lambda x, y: x * 0.0)
def rint(x):
    """Nearest integer, as a float."""
    return call_intrinsic("rint", x) if isinstance(x, Lanes) else np.rint(x)


@differentiable(lambda x, y: x * 0.0)
def floor(x):
    """Largest integer not above ``x``, as a float."""
    return call_intrinsic("floor", x) if isinstance(x, Lanes) else np.floor(x)


def copysign(magnitude, sign_of):
    """``magnitude`` with the sign of ``sign_of``."""
    if not isinstance(magnitude, Lanes):
        return np.copysign(magnitude, sign_of)
    return call_intrinsic("copysign", magnitude, sign_of)


def clamp(x, low, high):
    """``x`` limited to [low, high]; a NaN stays a NaN."""
    x = where(x > high, high, x)  # in this order the CPU has an instruction for each
    return where(x < low, low, x)


def _layout(x):
    """Integer type, mantissa bits and exponent bias of the lanes of ``x``."""
    element, bits, bias = (INT32, 23, 127) if x.single else (INT64, 52, 1023)
    return (ir.VectorType(element, x.type.count) if isinstance(x.type, ir.VectorType) else element), bits, bias


def power_of_two(n):
    """``2 ** n`` for integral ``n`` within the exponent range of normal numbers."""
    if not isinstance(n, Lanes):
        return np.ldexp(np.ones_like(n), np.where(np.isfinite(n), n, 0).astype(np.int32))
    builder = n.builder
    ints, mantissa_bits, bias = _layout(n)
    known = where(n == n, n, 0.0)  # a NaN may not be converted to an integer
    exponent = builder.fptosi(known.value, ints)
    bits = builder.shl(builder.add(exponent, constant(ints, bias)), constant(ints, mantissa_bits))
    return n.same(builder.bitcast(bits, n.type))


def split_exponent(x):
    """``(m, e)`` with ``x == m * 2**e`` and ``m`` in [0.5, 1), for normal ``x`` > 0."""
    if not isinstance(x, Lanes):
        mantissa, exponent = np.frexp(x)
        return mantissa, exponent.astype(mantissa.dtype)
    builder = x.builder
    ints, mantissa_bits, bias = _layout(x)
    bits = builder.bitcast(x.value, ints)
    raw = builder.lshr(bits, constant(ints, mantissa_bits))
    exponent = builder.sitofp(builder.sub(raw, constant(ints, bias - 1)), x.type)
    kept = builder.and_(bits, constant(ints, (1 << mantissa_bits) - 1))
    mantissa = builder.or_(kept, constant(ints, (bias - 1) << mantissa_bits))
    return x.same(builder.bitcast(mantissa, x.type)), x.same(exponent)
