"""The functions that activations, losses and optimizers of your own are written in.

Beside arithmetic (``+ - * /``, whole powers) and comparisons. Each works on NumPy's numbers, so
that a formula can be tried out, and on the values that kernels are compiled from. There are no
branches, since many numbers are computed at once: ``where(condition, if_true, if_false)`` chooses.
Numbers that a formula refers to are those of the moment in which ``fit`` begins.

Examples
--------
>>> from jitmlp import formulas
>>> def snake(z):
...     return z + formulas.sin(z) ** 2
>>> snake(0.5).round(4)
np.float64(0.7298)
>>> formulas.derivative(snake)(0.5).round(4)
np.float64(1.8415)
"""

from jitmlp_kernels.trace.dual import derivative
from jitmlp_kernels.trace.elementary import (
    cos,
    erf,
    exp,
    expm1,
    log,
    log1p,
    log1p_exp,
    logistic,
    normal_cdf,
    normal_pdf,
    sin,
    tanh,
)
from jitmlp_kernels.trace.functions import (
    absolute,
    clamp,
    floor,
    maximum,
    minimum,
    sign,
    sqrt,
    where,
)

abs = absolute
softplus = log1p_exp
sigmoid = logistic

__all__ = [
    "abs",
    "absolute",
    "clamp",
    "cos",
    "derivative",
    "erf",
    "exp",
    "expm1",
    "floor",
    "log",
    "log1p",
    "log1p_exp",
    "logistic",
    "maximum",
    "minimum",
    "normal_cdf",
    "normal_pdf",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
    "where",
]
