"""The table of losses.

To add one, write its value and add one row to ``LOSSES``: the derivative with respect to the
prediction is found automatically. Every loss works with every output activation; where the
pair is canonical the delta is ``a - y`` and the derivative is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jitmlp_kernels.rules.rule import Rule
from jitmlp_kernels.trace.dual import derivative, differentiable
from jitmlp_kernels.trace.elementary import log
from jitmlp_kernels.trace.functions import clamp, is_single, where


@dataclass(frozen=True)
class LossRule(Rule):
    """One row of the table, elementwise in the prediction ``a`` and the target ``y``.

    Attributes
    ----------
    value : callable
        ``value(a, y, p)``, with the parameter ``p``.
    slope : callable or None
        Its derivative in ``a``, None to find it.
    canonical : str
        The output activation for which the delta is ``a - y``, empty for none.
    mean_outputs : bool
        Whether the reported value is the mean over outputs (scikit-learn's
        ``squared_error``) instead of the sum. Gradients are of the sum.
    regression : bool
        Whether the regressor offers it.
    lowest_target : float
        The lowest target for which it is defined.
    """

    name: str
    value: Callable
    slope: Callable | None = None
    formula: str = ""
    source: str = ""
    canonical: str = ""
    parameter: str = ""
    default: float = 0.0
    mean_outputs: bool = False
    regression: bool = True
    lowest_target: float = float("-inf")
    built_in: bool = True

    def derivative(self, a, y, p):
        """The derivative in the prediction."""
        return derivative(self.value)(a, y, p) if self.slope is None else self.slope(a, y, p)


@differentiable(lambda a, clipped: 1.0)
def clip_probability(a):
    """Probabilities kept off 0 and 1 by the dtype's epsilon, as scikit-learn does.

    The derivative goes on as if nothing had been clipped, so that a unit can come back.
    """
    eps = 1.1920928955078125e-07 if is_single(a) else 2.220446049250313e-16
    return clamp(a, eps, 1.0 - eps)


def xlogy(y, a):
    """``y log(a)``, 0 where ``y`` is 0 and ``a`` a number."""
    return where((y == 0.0) & (a == a), 0.0, y * log(a))


def _poisson(a, y, p):
    known = where(y > 0.0, y, 1.0)
    return where(y > 0.0, y * (log(known) - log(a)), 0.0) - y + a


def _huber(a, y, delta):
    e = abs(a - y)
    return where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta))


LOSSES = (
    LossRule(
        "squared_error",
        lambda a, y, p: 0.5 * (a - y) * (a - y),
        lambda a, y, p: a - y,
        formula="(a - y)^2 / 2",
        source="Legendre 1805",
        canonical="identity",
        mean_outputs=True,
    ),
    LossRule(
        "log_loss",
        lambda a, y, p: -xlogy(y, clip_probability(a)),
        formula="-y log a",
        source="Good 1952",
        canonical="softmax",
        regression=False,
    ),
    LossRule(
        "binary_log_loss",
        lambda a, y, p: -(xlogy(y, clip_probability(a)) + xlogy(1.0 - y, 1.0 - clip_probability(a))),
        lambda a, y, p: (clip_probability(a) - y) / (clip_probability(a) * (1.0 - clip_probability(a))),
        formula="-y log a - (1 - y) log(1 - a)",
        source="Good 1952",
        canonical="logistic",
        regression=False,
    ),
    LossRule(
        "poisson",
        _poisson,
        lambda a, y, p: 1.0 - y / a,
        formula="y log(y / a) - y + a",
        source="McCullagh & Nelder 1989, half the deviance",
        canonical="exp",
        lowest_target=0.0,
    ),
    LossRule("absolute_error", lambda a, y, p: abs(a - y), formula="|a - y|", source="Laplace 1774"),
    LossRule(
        "huber",
        _huber,
        formula="(a - y)^2 / 2 if |a - y| <= delta else delta (|a - y| - delta / 2)",
        source="Huber 1964",
        parameter="delta",
        default=1.0,
    ),
    LossRule(
        "quantile",
        lambda a, y, q: where(y > a, q * (y - a), (1.0 - q) * (a - y)),
        # at the kink 0, not the one side's slope: a prediction that is right stays
        lambda a, y, q: where(y > a, -q, where(y < a, 1.0 - q, a * 0.0)),
        formula="q (y - a) if y > a else (1 - q) (a - y)",
        source="Koenker & Bassett 1978",
        parameter="q",
        default=0.5,
    ),
)

BY_NAME = {row.name: row for row in LOSSES}
