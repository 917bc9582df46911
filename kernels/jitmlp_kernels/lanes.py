"""Formulas traced straight into vector instructions.

A row of the tables (an activation, a loss, an optimizer) is an ordinary Python
function over arithmetic operators and the few primitives below. Called with NumPy
arrays it computes; called with :class:`Lanes` while a kernel is being compiled it
emits LLVM vector instructions, so every formula is vectorised on every target
without relying on the auto-vectoriser.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

# The project's one set of floating-point liberties. Without nnan and ninf, so that a
# NaN passes through and is found; without reassoc, since explicit vectors gain nothing
# from it and the split constants of exp and log would be lost.
FASTMATH = ("contract", "nsz", "arcp", "afn")

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


class Lanes:
    """One SIMD value of the kernel under construction.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where instructions are emitted.
    value : llvmlite.ir.Value
        A vector of float, double or i1.
    """

    __slots__ = ("builder", "value")
    __array_priority__ = 1000

    def __init__(self, builder, value):
        self.builder = builder
        self.value = value

    @property
    def element(self):
        return self.value.type.element

    @property
    def single(self):
        return isinstance(self.element, ir.FloatType)

    def lift(self, other):
        """Turn a Python number into a constant vector of the same type."""
        if isinstance(other, Lanes):
            return other
        count = self.value.type.count
        constant = ir.Constant(self.value.type, [ir.Constant(self.element, float(other))] * count)
        return Lanes(self.builder, constant)

    def lane(self, number):
        """The value in one lane, as an LLVM scalar."""
        return self.builder.extract_element(self.value, ir.Constant(INT32, number))

    def _binary(self, name, left, right):
        left, right = self.lift(left), self.lift(right)
        return Lanes(self.builder, getattr(self.builder, name)(left.value, right.value, flags=FASTMATH))

    def _compare(self, operator, other):
        other = self.lift(other)
        emit = self.builder.fcmp_unordered if operator == "!=" else self.builder.fcmp_ordered
        return Lanes(self.builder, emit(operator, self.value, other.value))

    def __add__(self, other):
        return self._binary("fadd", self, other)

    def __radd__(self, other):
        return self._binary("fadd", other, self)

    def __sub__(self, other):
        return self._binary("fsub", self, other)

    def __rsub__(self, other):
        return self._binary("fsub", other, self)

    def __mul__(self, other):
        return self._binary("fmul", self, other)

    def __rmul__(self, other):
        return self._binary("fmul", other, self)

    def __truediv__(self, other):
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._binary("fdiv", other, self)

    def __neg__(self):
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __abs__(self):
        return call_intrinsic("fabs", self)

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def __eq__(self, other):
        return self._compare("==", other)

    def __ne__(self, other):
        return self._compare("!=", other)

    def __and__(self, other):
        return Lanes(self.builder, self.builder.and_(self.value, other.value))

    __hash__ = None  # type: ignore[assignment]


def vector_name(type_):
    """LLVM's suffix of an intrinsic over this vector type, such as ``v16f32``."""
    element = "f32" if isinstance(type_.element, ir.FloatType) else "f64"
    return f"v{type_.count}{element}"


def call_intrinsic(name, *operands):
    """Call ``llvm.<name>`` lane by lane on :class:`Lanes` of one type."""
    first = operands[0]
    type_ = first.value.type
    function = first.builder.module.declare_intrinsic(
        f"llvm.{name}.{vector_name(type_)}", (), ir.FunctionType(type_, [type_] * len(operands))
    )
    return Lanes(first.builder, first.builder.call(function, [operand.value for operand in operands]))


def is_single(x) -> bool:
    """Whether ``x`` is float32."""
    return x.single if isinstance(x, Lanes) else np.asarray(x).dtype == np.float32


def where(condition, if_true, if_false):
    """Lane-wise choice."""
    if not isinstance(condition, Lanes):
        return np.where(condition, if_true, if_false)
    like = if_true if isinstance(if_true, Lanes) else if_false
    if_true, if_false = like.lift(if_true), like.lift(if_false)
    return Lanes(like.builder, like.builder.select(condition.value, if_true.value, if_false.value))


def fma(a, b, c):
    """``a * b + c`` in one rounding where the target can."""
    if not isinstance(a, Lanes):
        return a * b + c
    return call_intrinsic("fma", a, a.lift(b), a.lift(c))


def sqrt(x):
    """Square root."""
    if not isinstance(x, Lanes):
        return np.sqrt(x)
    return call_intrinsic("sqrt", x)


def rint(x):
    """Nearest integer, as a float."""
    if not isinstance(x, Lanes):
        return np.rint(x)
    return call_intrinsic("rint", x)


def copysign(magnitude, sign):
    """``magnitude`` with the sign of ``sign``."""
    if not isinstance(magnitude, Lanes):
        return np.copysign(magnitude, sign)
    return call_intrinsic("copysign", magnitude, sign)


def _layout(x):
    """Integer vector type, mantissa bits and exponent bias of the lanes of ``x``."""
    count = x.value.type.count
    if x.single:
        return ir.VectorType(INT32, count), 23, 127
    return ir.VectorType(INT64, count), 52, 1023


def _splat_int(type_, number):
    return ir.Constant(type_, [ir.Constant(type_.element, number)] * type_.count)


def power_of_two(n):
    """``2 ** n`` for integral ``n`` within the exponent range of normal numbers."""
    if not isinstance(n, Lanes):
        return np.ldexp(np.ones_like(n), np.where(np.isfinite(n), n, 0).astype(np.int32))
    builder = n.builder
    ints, mantissa_bits, bias = _layout(n)
    known = where(n == n, n, 0.0)  # a NaN may not be converted to an integer
    exponent = builder.fptosi(known.value, ints)
    bits = builder.shl(builder.add(exponent, _splat_int(ints, bias)), _splat_int(ints, mantissa_bits))
    return Lanes(builder, builder.bitcast(bits, n.value.type))


def split_exponent(x):
    """``(m, e)`` with ``x == m * 2**e`` and ``m`` in [0.5, 1), for normal ``x`` > 0."""
    if not isinstance(x, Lanes):
        mantissa, exponent = np.frexp(x)
        return mantissa, exponent.astype(mantissa.dtype)
    builder = x.builder
    ints, mantissa_bits, bias = _layout(x)
    bits = builder.bitcast(x.value, ints)
    raw = builder.lshr(bits, _splat_int(ints, mantissa_bits))
    exponent = builder.sitofp(builder.sub(raw, _splat_int(ints, bias - 1)), x.value.type)
    kept = builder.and_(bits, _splat_int(ints, (1 << mantissa_bits) - 1))
    mantissa = builder.or_(kept, _splat_int(ints, (bias - 1) << mantissa_bits))
    return Lanes(builder, builder.bitcast(mantissa, x.value.type)), Lanes(builder, exponent)
