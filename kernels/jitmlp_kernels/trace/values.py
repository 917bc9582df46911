"""The values of a kernel under construction: floats, whole numbers and truths.

Called with NumPy's numbers a formula computes; called with these it emits LLVM
instructions, so that every formula is vectorised on every target without relying on an
auto-vectoriser. A value is a scalar or a vector of one lane an element.
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


def constant(type_: ir.Type, number) -> ir.Constant:
    """``number`` as a constant of a scalar or vector type, the same in every lane."""
    if isinstance(type_, ir.VectorType):
        return ir.Constant(type_, [ir.Constant(type_.element, number)] * type_.count)
    return ir.Constant(type_, number)


class Traced:
    """A value of the kernel under construction.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where instructions are emitted.
    value : llvmlite.ir.Value
    """

    __slots__ = ("builder", "value")
    __array_priority__ = 1000
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder, value):
        self.builder = builder
        self.value = value

    @property
    def type(self):
        """LLVM's type of the value."""
        return self.value.type

    @property
    def element(self):
        """LLVM's type of one lane."""
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    def same(self, value):
        """A value of this kind from an LLVM value."""
        return type(self)(self.builder, value)

    def lift(self, other):
        """Turn a Python number into a constant of the same type."""
        if isinstance(other, Traced):
            return other
        if isinstance(other, NUMBERS):
            return self.same(constant(self.type, self._plain(other)))
        raise TypeError(f"a formula takes numbers, got {type(other).__name__}")

    def _plain(self, number):
        return number

    def lane(self, number):
        """The value in one lane."""
        return self.same(self.builder.extract_element(self.value, ir.Constant(INT32, number)))

    def __bool__(self):
        raise TypeError(
            "a formula cannot branch on a value, since it computes many at once; "
            "use where(condition, if_true, if_false)"
        )

    def __array__(self, *arguments, **options):
        raise TypeError("a formula cannot call NumPy; use the functions of jitmlp.formulas")

    def __float__(self):
        raise TypeError("a formula cannot use a value as a Python number; use the functions of jitmlp.formulas")

    __int__ = __index__ = __float__


NUMBERS = (Traced, bool, int, float, np.integer, np.floating)


class Mask(Traced):
    """A truth a lane; ``like`` is the type of the floats that were compared, if any were."""

    __slots__ = ("like",)

    def __init__(self, builder, value, like=None):
        super().__init__(builder, value)
        self.like = like

    def __and__(self, other):
        return Mask(self.builder, self.builder.and_(self.value, other.value), self.like or other.like)

    def __or__(self, other):
        return Mask(self.builder, self.builder.or_(self.value, other.value), self.like or other.like)

    def __invert__(self):
        return Mask(self.builder, self.builder.not_(self.value), self.like)


class Number(Traced):
    """What whole numbers and floats have in common: arithmetic and comparisons."""

    __slots__ = ()
    _kind = ""  # what LLVM puts before the name of an operation on such numbers
    _options: dict = {}

    def _emit(self, name, left, right):
        if not (isinstance(left, NUMBERS) and isinstance(right, NUMBERS)):
            return NotImplemented  # a dual number knows what to do
        left, right = self.lift(left), self.lift(right)
        return self.same(getattr(self.builder, name)(left.value, right.value, **self._options))

    def _compare(self, operator, other):
        raise NotImplementedError

    def __add__(self, other):
        return self._emit(f"{self._kind}add", self, other)

    def __radd__(self, other):
        return self._emit(f"{self._kind}add", other, self)

    def __sub__(self, other):
        return self._emit(f"{self._kind}sub", self, other)

    def __rsub__(self, other):
        return self._emit(f"{self._kind}sub", other, self)

    def __mul__(self, other):
        return self._emit(f"{self._kind}mul", self, other)

    def __rmul__(self, other):
        return self._emit(f"{self._kind}mul", other, self)

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

    __hash__ = None  # type: ignore[assignment]


class Lanes(Number):
    """Floating-point numbers."""

    __slots__ = ()
    _kind = "f"
    _options = {"flags": FASTMATH}

    @property
    def single(self) -> bool:
        """Whether these are float32."""
        return isinstance(self.element, ir.FloatType)

    def _plain(self, number):
        return float(number)

    def _compare(self, operator, other):
        if not isinstance(other, NUMBERS):
            return NotImplemented
        other = self.lift(other)
        emit = self.builder.fcmp_unordered if operator == "!=" else self.builder.fcmp_ordered
        return Mask(self.builder, emit(operator, self.value, other.value), self.type)

    def __truediv__(self, other):
        return self._emit("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._emit("fdiv", other, self)

    def __pow__(self, exponent):
        if not isinstance(exponent, int) or exponent < 1:
            raise TypeError("a formula raises to whole powers from 1 on; use exp and log for others")
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    def __neg__(self):
        return self.same(self.builder.fneg(self.value))

    def __pos__(self):
        return self

    def __abs__(self):
        return call_intrinsic("fabs", self)


class Whole(Number):
    """Whole numbers: offsets and counts (64 bits, never negative where divided), hashes."""

    __slots__ = ()

    def _plain(self, number):
        width = self.element.width
        return (int(number) + (1 << (width - 1))) % (1 << width) - (1 << (width - 1))

    def _compare(self, operator, other):
        return Mask(self.builder, self.builder.icmp_signed(operator, self.value, self.lift(other).value))

    def __floordiv__(self, other):
        return self._emit("sdiv", self, other)

    def __mod__(self, other):
        return self._emit("srem", self, other)

    def __and__(self, other):
        return self._emit("and_", self, other)

    def __or__(self, other):
        return self._emit("or_", self, other)

    def __xor__(self, other):
        return self._emit("xor", self, other)

    def __rshift__(self, other):
        return self._emit("lshr", self, other)


def type_name(type_) -> str:
    """LLVM's suffix of an intrinsic over this type, such as ``v16f32``."""
    if isinstance(type_, ir.VectorType):
        return f"v{type_.count}{type_name(type_.element)}"
    if isinstance(type_, ir.IntType):
        return f"i{type_.width}"
    return "f32" if isinstance(type_, ir.FloatType) else "f64"


def call_intrinsic(name, *operands):
    """Call ``llvm.<name>`` lane by lane on values of one type."""
    first = operands[0]
    function = first.builder.module.declare_intrinsic(
        f"llvm.{name}.{type_name(first.type)}",
        (),
        ir.FunctionType(first.type, [first.type] * len(operands)),
    )
    return first.same(first.builder.call(function, [operand.value for operand in operands]))
