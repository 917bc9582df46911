"""The table of activations.

To add one, write its function and add one row to ``ACTIVATIONS``: its derivative is found
automatically, and validation, kernels, tests and documentation read the table. A derivative
is given where it is cheaper in terms of the activation itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jitmlp_kernels.rules.rule import Rule
from jitmlp_kernels.trace.dual import derivative
from jitmlp_kernels.trace.elementary import erf, exp, log1p_exp, logistic, normal_cdf, tanh, tanh_log1p_exp
from jitmlp_kernels.trace.functions import where


@dataclass(frozen=True)
class ActivationRule(Rule):
    """One row of the table.

    Attributes
    ----------
    function : callable
        ``function(z, p)`` of the preactivation ``z`` and the parameter ``p``.
    slope : callable or None
        The derivative as ``slope(a, p)`` of the activation ``a``; None to find it from the
        function, at the preactivation.
    parameter, default : str, float
        Name of the parameter, empty for none, and its default.
    hidden : bool
        Whether hidden layers may use it when training.
    coupled : bool
        Whether the units of a layer depend on each other (softmax), so that kernels of its own
        compute it.
    """

    name: str
    function: Callable
    slope: Callable | None = None
    formula: str = ""
    source: str = ""
    aliases: tuple[str, ...] = ()
    parameter: str = ""
    default: float = 0.0
    hidden: bool = True
    coupled: bool = False
    built_in: bool = True

    @property
    def from_preactivation(self) -> bool:
        """Whether the derivative is computed from the preactivation."""
        return self.slope is None and not self.coupled

    def derivative(self, x, p):
        """The derivative, of the preactivation or the activation ``x``."""
        return derivative(self.function)(x, p) if self.slope is None else self.slope(x, p)


def _one(x):
    return x * 0.0 + 1.0


def _gelu_tanh(z, p):
    return 0.5 * z * (1.0 + tanh(SQRT_2_OVER_PI * (z + 0.044715 * z * z * z)))


def _softmax(z, p):
    """Along the last axis; the kernels have their own."""
    shifted = exp(z - z.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


SQRT_2_OVER_PI = 0.7978845608028654
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

ACTIVATIONS = (
    ActivationRule("identity", lambda z, p: z, lambda a, p: _one(a), "z", "linear unit"),
    ActivationRule(
        "logistic",
        lambda z, p: logistic(z),
        lambda a, p: a * (1.0 - a),
        "1 / (1 + exp(-z))",
        "Rumelhart, Hinton & Williams 1986",
        aliases=("sigmoid",),
    ),
    ActivationRule("tanh", lambda z, p: tanh(z), lambda a, p: 1.0 - a * a, "tanh z", "LeCun et al. 1998"),
    ActivationRule(
        "relu",
        lambda z, p: where(z < 0.0, 0.0, z),
        lambda a, p: where(a == 0.0, 0.0, _one(a)),
        "max(0, z)",
        "Nair & Hinton 2010",
    ),
    ActivationRule(
        "leaky_relu",
        lambda z, alpha: where(z > 0.0, z, alpha * z),
        formula="z if z > 0 else alpha z",
        source="Maas, Hannun & Ng 2013",
        parameter="alpha",
        default=0.01,
    ),
    ActivationRule(
        "elu",
        lambda z, alpha: where(z > 0.0, z, alpha * (exp(where(z > 0.0, 0.0, z)) - 1.0)),
        lambda a, alpha: where(a > 0.0, _one(a), a + alpha),
        "z if z > 0 else alpha (exp(z) - 1)",
        "Clevert, Unterthiner & Hochreiter 2016",
        parameter="alpha",
        default=1.0,
    ),
    ActivationRule(
        "selu",
        lambda z, p: SELU_SCALE * where(z > 0.0, z, SELU_ALPHA * (exp(where(z > 0.0, 0.0, z)) - 1.0)),
        lambda a, p: where(a > 0.0, _one(a) * SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
        "1.0507 (z if z > 0 else 1.6733 (exp(z) - 1))",
        "Klambauer et al. 2017",
    ),
    ActivationRule(
        "swish",
        lambda z, beta: z * logistic(beta * z),
        formula="z / (1 + exp(-beta z))",
        source="Ramachandran, Zoph & Le 2017",
        aliases=("silu",),
        parameter="beta",
        default=1.0,
    ),
    ActivationRule("gelu", lambda z, p: z * normal_cdf(z), formula="z Phi(z)", source="Hendrycks & Gimpel 2016"),
    ActivationRule(
        "gelu_tanh",
        _gelu_tanh,
        formula="z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2",
        source="Hendrycks & Gimpel 2016, section 2",
    ),
    ActivationRule("softplus", lambda z, p: log1p_exp(z), formula="log(1 + exp(z))", source="Dugas et al. 2001"),
    ActivationRule("mish", lambda z, p: z * tanh_log1p_exp(z), formula="z tanh(log(1 + exp(z)))", source="Misra 2019"),
    ActivationRule("exp", lambda z, p: exp(z), lambda a, p: a, "exp z", "log link of the Poisson loss"),
    ActivationRule("erf", lambda z, p: erf(z), formula="erf z", source="Abramowitz & Stegun 7.1.1"),
    ActivationRule(
        "step",
        lambda z, p: where(z > 0.0, 1.0, where(z <= 0.0, 0.0, z)),
        lambda a, p: a * 0.0,
        "1 if z > 0 else 0",
        "Rosenblatt 1958",
        hidden=False,
    ),
    ActivationRule(
        "softmax",
        _softmax,
        formula="exp(z) / sum exp(z)",
        source="Bridle 1990",
        hidden=False,
        coupled=True,
    ),
)

BY_NAME = {name: row for row in ACTIVATIONS for name in (row.name, *row.aliases)}
