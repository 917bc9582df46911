"""Derivatives of formulas, found while they are traced.

A :class:`Dual` carries a value and its derivative through a formula (forward-mode
automatic differentiation, Griewank & Walther 2008, chapter 3). The value may be a number,
an array or a :class:`~jitmlp_kernels.trace.values.Lanes`, so that the derivative of a
user's formula becomes vector instructions as the formula itself does.
"""

from __future__ import annotations

from functools import wraps


class Dual:
    """A value ``x`` and the derivative ``dx`` of it."""

    __slots__ = ("x", "dx")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, x, dx):
        self.x = x
        self.dx = dx

    def __add__(self, other):
        if isinstance(other, Dual):
            return Dual(self.x + other.x, self.dx + other.dx)
        return Dual(self.x + other, self.dx)

    __radd__ = __add__

    def __sub__(self, other):
        if isinstance(other, Dual):
            return Dual(self.x - other.x, self.dx - other.dx)
        return Dual(self.x - other, self.dx)

    def __rsub__(self, other):
        return Dual(other - self.x, -self.dx)

    def __mul__(self, other):
        if isinstance(other, Dual):
            return Dual(self.x * other.x, self.dx * other.x + self.x * other.dx)
        return Dual(self.x * other, self.dx * other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, Dual):
            ratio = self.x / other.x
            return Dual(ratio, (self.dx - ratio * other.dx) / other.x)
        return Dual(self.x / other, self.dx / other)

    def __rtruediv__(self, other):
        ratio = other / self.x
        return Dual(ratio, -ratio * self.dx / self.x)

    def __pow__(self, exponent):
        power = self.x**exponent
        if exponent == 1:
            return self
        return Dual(power, exponent * self.x ** (exponent - 1) * self.dx)

    def __neg__(self):
        return Dual(-self.x, -self.dx)

    def __pos__(self):
        return self

    def __lt__(self, other):
        return self.x < value_of(other)

    def __le__(self, other):
        return self.x <= value_of(other)

    def __gt__(self, other):
        return self.x > value_of(other)

    def __ge__(self, other):
        return self.x >= value_of(other)

    def __eq__(self, other):
        return self.x == value_of(other)

    def __ne__(self, other):
        return self.x != value_of(other)

    def __bool__(self):
        return bool(self.x)  # raises what the value raises

    __float__ = __int__ = __index__ = __array__ = __bool__


def value_of(x):
    """The value of a dual number, and anything else itself."""
    return x.x if isinstance(x, Dual) else x


def differentiable(rule):
    """Decorate a function of one number; ``rule(x, y)`` is its derivative where ``y = f(x)``."""

    def decorate(function):
        @wraps(function)
        def apply(x):
            if not isinstance(x, Dual):
                return function(x)
            y = function(x.x)
            return Dual(y, rule(x.x, y) * x.dx)

        return apply

    return decorate


def derivative(function, argument: int = 0):
    """The function that computes the derivative of ``function`` in one argument.

    Examples
    --------
    >>> derivative(lambda x, p: p * x * x)(3.0, 2.0)
    12.0
    """

    def differentiate(*arguments):
        seeded = list(arguments)
        x = seeded[argument]
        seeded[argument] = Dual(x, 1.0)
        result = function(*seeded)
        slope = result.dx if isinstance(result, Dual) else 0.0
        return slope if not isinstance(slope, float) else x * 0.0 + slope

    return differentiate
