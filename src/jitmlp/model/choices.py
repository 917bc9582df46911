"""What users type, turned into what the kernels take: names and functions into rules."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATION_NAMES
from jitmlp_kernels.rules.activations import ActivationRule
from jitmlp_kernels.rules.losses import LossRule
from jitmlp_kernels.rules.optimizers import Hyperparameter, OptimizerRule
from jitmlp_kernels.trace.dual import Dual
from jitmlp_kernels.trace.values import Traced


def refuse(parameter: str, allowed: str, given: Any) -> InvalidParameterError:
    """The error for a parameter's value, in scikit-learn's words."""
    return InvalidParameterError(f"The {parameter!r} parameter must be {allowed}. Got {given!r} instead.")


def nearest(name: Any, names: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for a name that is nearly one of these, else nothing."""
    close = difflib.get_close_matches(str(name), list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _call(function: Any, *arguments: Any) -> Callable:
    """A function that takes as many of the arguments, of which the last is a parameter, as it names."""
    try:
        positional = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
    except (TypeError, ValueError):
        return lambda *given: function(*given[:-1])
    return function if len(positional) == len(arguments) else lambda *given: function(*given[:-1])


@dataclass(frozen=True)
class Activation:
    """An activation by name with a parameter, or one of your own.

    Parameters
    ----------
    function : str or callable
        A name of the table, such as ``"leaky_relu"``, ``"elu"`` or ``"swish"``, or a function
        ``f(z)`` or ``f(z, parameter)`` written with arithmetic, comparisons and the functions of
        :mod:`jitmlp.formulas`. It is compiled, and its derivative is found automatically.
    parameter : float, optional
        ``alpha`` of leaky_relu and elu, ``beta`` of swish; of a function of your own its second
        argument.
    derivative : callable, optional
        ``f'(z)`` or ``f'(z, parameter)``, where you know better.

    Examples
    --------
    >>> from jitmlp import Activation, MLPClassifier, formulas
    >>> MLPClassifier((32, 16), activation=(Activation("leaky_relu", 0.2), "tanh"))
    MLPClassifier(activation=(Activation('leaky_relu', 0.2), 'tanh'),
                  hidden_layer_sizes=(32, 16))
    >>> def snake(z):
    ...     return z + formulas.sin(z) ** 2
    >>> MLPClassifier((32,), activation=Activation(snake))
    MLPClassifier(activation=Activation(snake), hidden_layer_sizes=(32,))
    """

    function: str | Callable
    parameter: float | None = None
    derivative: Callable | None = None

    @property
    def name(self) -> str:
        """The name typed, or that of the function."""
        return self.function if isinstance(self.function, str) else _name(self.function)

    def __repr__(self) -> str:
        return _represent("Activation", self.function, self.parameter)

    @property
    def rule(self) -> ActivationRule:
        """The row of the table, or one made of the functions."""
        if isinstance(self.function, str):
            return ACTIVATION_NAMES[self.function]
        return _activation_rule(self.function, self.derivative)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__).strip("<>")


def _represent(kind: Any, function: Any, *rest: Any) -> str:
    given = [repr(function) if isinstance(function, str) else _name(function)]
    return f"{kind}({', '.join([*given, *(repr(r) for r in rest if r is not None)])})"


def _one_for_each(result: Any, like: Any) -> Any:
    """What a formula returned, if it is one number for each that it was given."""
    if isinstance(result, (Traced, Dual)) or (isinstance(result, np.ndarray) and result.shape == np.shape(like)):
        return result
    if np.ndim(result) == 0 and isinstance(result, (Real, np.ndarray)):
        return like * 0.0 + float(result)
    what = f"an array of shape {np.shape(result)}" if isinstance(result, np.ndarray) else type(result).__name__
    raise TypeError(f"a formula must return one number for each that it is given, got {what}")


@dataclass(frozen=True)
class _UserActivation(ActivationRule):
    """A user's activation; its derivative, automatic or given, is taken at the preactivation."""

    given: Callable | None = None
    built_in: bool = False

    def derivative(self, x: Any, p: Any) -> Any:
        """The derivative at the preactivation."""
        if self.given is not None:
            return _one_for_each(_call(self.given, x, p)(x, p), x)
        return super().derivative(x, p)


@dataclass(frozen=True)
class _Calls:
    """A function called with as many arguments as it names; equal where the function is."""

    function: Callable
    n_arguments: int

    def __call__(self, *arguments: Any) -> Any:
        return _one_for_each(_call(self.function, *[None] * self.n_arguments)(*arguments), arguments[0])


def _activation_rule(function: Any, derivative: Any) -> ActivationRule:
    return _UserActivation(_name(function), _Calls(function, 2), given=derivative)


@dataclass(frozen=True)
class Loss:
    """A loss of your own.

    Parameters
    ----------
    function : callable
        ``f(a, y)`` or ``f(a, y, parameter)`` of the prediction ``a`` and the target ``y``, element
        by element, written with arithmetic, comparisons and the functions of
        :mod:`jitmlp.formulas`. The value is enough: the derivative in ``a`` is found automatically.
        The loss of a row is the sum over its outputs.
    parameter : float, optional
        The function's third argument.
    derivative : callable, optional
        ``f'(a, y)`` or ``f'(a, y, parameter)``, the derivative in ``a``, where you know better.

    Examples
    --------
    >>> from jitmlp import Loss, MLPRegressor, formulas
    >>> def asymmetric(a, y):
    ...     return formulas.where(a < y, 3.0, 1.0) * (a - y) ** 2
    >>> MLPRegressor(Loss(asymmetric), hidden_layer_sizes=(8,))
    MLPRegressor(hidden_layer_sizes=(8,), loss=Loss(asymmetric))
    """

    function: Callable
    parameter: float | None = None
    derivative: Callable | None = None

    def __repr__(self) -> str:
        return _represent("Loss", self.function, self.parameter)

    @property
    def rule(self) -> LossRule:
        """A row made of the functions."""
        slope = None if self.derivative is None else _Calls(self.derivative, 3)
        return LossRule(_name(self.function), _Calls(self.function, 3), slope, built_in=False)


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of your own.

    Parameters
    ----------
    update : callable
        ``update(w, g, state, c) -> (w, state)`` of a parameter ``w``, its gradient ``g`` and its
        state, a tuple of one value a slot; ``c.learning_rate``, ``c.step`` (1 at the first) and
        the hyperparameters are attributes of ``c``. Written with arithmetic, comparisons and the
        functions of :mod:`jitmlp.formulas`; applied to every parameter.
    slots : sequence of str
        Names of the state's arrays, zero at first.
    hyperparameters : dict, optional
        Names and defaults; ``solver_params`` changes them.
    coefficients : callable, optional
        ``coefficients(learning_rate, step, hyperparameters) -> dict`` of NumPy arrays, for what
        depends on the step and not on the parameter: they are attributes of ``c`` too.

    Examples
    --------
    >>> from jitmlp import MLPClassifier, Optimizer, formulas
    >>> def sign_descent(w, g, state, c):
    ...     return w - c.learning_rate * formulas.sign(g), ()
    >>> MLPClassifier((16,), solver=Optimizer(sign_descent))
    MLPClassifier(hidden_layer_sizes=(16,), solver=Optimizer(sign_descent))
    """

    update: Callable
    slots: tuple[str, ...] = ()
    hyperparameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    coefficients: Callable | None = None

    def __post_init__(self) -> None:
        slots = (self.slots,) if isinstance(self.slots, str) else tuple(self.slots)
        object.__setattr__(self, "slots", slots)

    def __repr__(self) -> str:
        slots = f", slots={self.slots!r}" if self.slots else ""
        return f"Optimizer({_name(self.update)}{slots})"

    @property
    def rule(self) -> OptimizerRule:
        """A row made of the functions."""
        limits = {
            name: Hyperparameter(float(value), -np.inf) for name, value in sorted(dict(self.hyperparameters).items())
        }
        return OptimizerRule(
            _name(self.update), _Updates(self.update, len(self.slots)), _Coefficients(self.coefficients), self.slots,
            limits, built_in=False,
        )  # fmt: skip


@dataclass(frozen=True)
class _Updates:
    """A user's update, its result checked while it is traced."""

    function: Callable
    n_slots: int

    def __call__(self, w: Any, g: Any, state: Any, c: Any) -> Any:
        result = self.function(w, g, state, c)
        try:
            new, after = result
            after = tuple(after)
        except TypeError:
            raise TypeError(f"an optimizer's update must return (w, state), got {type(result).__name__}") from None
        if len(after) != self.n_slots:
            raise ValueError(
                f"an optimizer with {self.n_slots} slots must return as many state values, got {len(after)}"
            )
        return new, after


@dataclass(frozen=True)
class _Coefficients:
    """Step, hyperparameters, and what a user's function makes of them."""

    function: Callable | None

    def __call__(self, lr: Any, t: Any, h: Any) -> Any:
        own = {} if self.function is None else dict(self.function(lr, t, dict(h)))
        return {"step": np.asarray(t, float), **{name: float(value) for name, value in h.items()}, **own}


def checked_values(parameter: str, given: Any, allowed: Mapping[str, Hyperparameter], what: str) -> dict:
    """A dict of hyperparameters, each known and in its range.

    Raises
    ------
    InvalidParameterError
        Naming the key, its value and what is allowed.
    """
    given = {} if given is None else dict(given)
    for name, value in given.items():
        if name not in allowed:
            hint = nearest(name, allowed)
            raise refuse(parameter, f"a dict with keys among {sorted(allowed)}{hint} for {what}", given)
        limits = allowed[name]
        if isinstance(limits.default, bool):
            if not isinstance(value, (bool, np.bool_)):
                raise refuse(parameter, f"a dict whose {name!r} is True or False for {what}", given)
        elif isinstance(value, bool) or not isinstance(value, Real) or not limits.low <= float(value) < limits.high:
            allowed_range = f"in the range [{float(limits.low):g}, {float(limits.high):g})"
            raise refuse(parameter, f"a dict whose {name!r} is a number {allowed_range} for {what}", given)
    return given
