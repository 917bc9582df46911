"""The table of activations, and the kernels that apply them to rows of units.

To add an activation, write its function and its derivative and add one row to
``ACTIVATIONS``: validation, kernels, tests and documentation read the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import types

from jitmlp_kernels.elementary import (
    erf,
    exp,
    log1p_exp,
    logistic,
    normal_cdf,
    normal_pdf,
    tanh,
)
from jitmlp_kernels.emit import Memory, int64, integers, lane_mask, loop, switch, vector_kernel
from jitmlp_kernels.lanes import where


class Activation(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    function : callable
        ``function(z, p)`` of the preactivation ``z`` and the parameter ``p``.
    derivative : callable
        ``derivative(x, p)``, where ``x`` is the activation itself, or the
        preactivation if ``from_preactivation``.
    parameter : str
        Name of the parameter, empty for none.
    default : float
        The parameter's default.
    hidden : bool
        Whether hidden layers may use it when training.
    """

    name: str
    function: Callable
    derivative: Callable
    formula: str
    source: str
    aliases: tuple[str, ...] = ()
    parameter: str = ""
    default: float = 0.0
    from_preactivation: bool = False
    hidden: bool = True


def _one(x):
    return x * 0.0 + 1.0


def _swish_derivative(z, beta):
    s = logistic(beta * z)
    return s + beta * z * s * (1.0 - s)


def _gelu_tanh(z, p):
    return 0.5 * z * (1.0 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)))


def _gelu_tanh_derivative(z, p):
    t = tanh(0.7978845608028654 * (z + 0.044715 * z * z * z))
    slope = 0.7978845608028654 * (1.0 + 0.134145 * z * z)
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope


def _mish_derivative(z, p):
    t = tanh(log1p_exp(z))
    return t + z * (1.0 - t * t) * logistic(z)


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

ACTIVATIONS = (
    Activation("identity", lambda z, p: z, lambda a, p: _one(a), "z", "linear unit"),
    Activation(
        "logistic",
        lambda z, p: logistic(z),
        lambda a, p: a * (1.0 - a),
        "1 / (1 + exp(-z))",
        "Rumelhart, Hinton & Williams 1986",
        aliases=("sigmoid",),
    ),
    Activation("tanh", lambda z, p: tanh(z), lambda a, p: 1.0 - a * a, "tanh z", "LeCun et al. 1998"),
    Activation(
        "relu",
        lambda z, p: where(z < 0.0, 0.0, z),
        lambda a, p: where(a == 0.0, 0.0, _one(a)),
        "max(0, z)",
        "Nair & Hinton 2010",
    ),
    Activation(
        "leaky_relu",
        lambda z, alpha: where(z < 0.0, alpha * z, z),
        lambda z, alpha: where(z > 0.0, _one(z), alpha),
        "z if z > 0 else alpha z",
        "Maas, Hannun & Ng 2013",
        parameter="alpha",
        default=0.01,
        from_preactivation=True,
    ),
    Activation(
        "elu",
        lambda z, alpha: where(z > 0.0, z, alpha * (exp(where(z > 0.0, 0.0, z)) - 1.0)),
        lambda a, alpha: where(a > 0.0, _one(a), a + alpha),
        "z if z > 0 else alpha (exp(z) - 1)",
        "Clevert, Unterthiner & Hochreiter 2016",
        parameter="alpha",
        default=1.0,
    ),
    Activation(
        "selu",
        lambda z, p: SELU_SCALE * where(z > 0.0, z, SELU_ALPHA * (exp(where(z > 0.0, 0.0, z)) - 1.0)),
        lambda a, p: where(a > 0.0, _one(a) * SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
        "1.0507 (z if z > 0 else 1.6733 (exp(z) - 1))",
        "Klambauer et al. 2017",
    ),
    Activation(
        "swish",
        lambda z, beta: z * logistic(beta * z),
        _swish_derivative,
        "z / (1 + exp(-beta z))",
        "Ramachandran, Zoph & Le 2017",
        aliases=("silu",),
        parameter="beta",
        default=1.0,
        from_preactivation=True,
    ),
    Activation(
        "gelu",
        lambda z, p: z * normal_cdf(z),
        lambda z, p: normal_cdf(z) + z * normal_pdf(z),
        "z Phi(z)",
        "Hendrycks & Gimpel 2016",
        from_preactivation=True,
    ),
    Activation(
        "gelu_tanh",
        _gelu_tanh,
        _gelu_tanh_derivative,
        "z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2",
        "Hendrycks & Gimpel 2016, section 2",
        from_preactivation=True,
    ),
    Activation(
        "softplus",
        lambda z, p: log1p_exp(z),
        lambda z, p: logistic(z),
        "log(1 + exp(z))",
        "Dugas et al. 2001",
        from_preactivation=True,
    ),
    Activation(
        "mish",
        lambda z, p: z * tanh(log1p_exp(z)),
        _mish_derivative,
        "z tanh(log(1 + exp(z)))",
        "Misra 2019",
        from_preactivation=True,
    ),
    Activation("exp", lambda z, p: exp(z), lambda a, p: a, "exp z", "log link of the Poisson loss"),
    Activation(
        "erf",
        lambda z, p: erf(z),
        lambda z, p: 2.0 * 0.5641895835477563 * exp(-z * z),
        "erf z",
        "Abramowitz & Stegun 7.1.1",
        from_preactivation=True,
    ),
    Activation(
        "step",
        lambda z, p: where(z > 0.0, _one(z), 0.0),
        lambda a, p: a * 0.0,
        "1 if z > 0 else 0",
        "Rosenblatt 1958",
        hidden=False,
    ),
)

CODES = {name: code for code, row in enumerate(ACTIVATIONS) for name in (row.name, *row.aliases)}
IDENTITY = CODES["identity"]
SOFTMAX = len(ACTIVATIONS)  # couples the units of a row, so it has a kernel of its own


def _activate_twin(memory, source, target, rows, stride, units, code, parameter):
    cells = np.arange(rows)[:, None] * stride + np.arange(units)
    memory[target + cells] = ACTIVATIONS[code].function(memory[source + cells], memory.dtype.type(parameter))


def _derive_twin(memory, deltas, values, rows, stride, units, code, parameter):
    cells = np.arange(rows)[:, None] * stride + np.arange(units)
    slopes = ACTIVATIONS[code].derivative(memory[values + cells], memory.dtype.type(parameter))
    memory[deltas + cells] *= slopes


@vector_kernel(_activate_twin)
def activate(typing, memory, source, target, rows, stride, units, code, parameter):
    """Activations of rows of preactivations; the padding of the target becomes 0."""
    if not integers(source, target, rows, stride, units, code):
        return None
    signature = types.void(memory, *[types.intp] * 6, types.float64)

    def generate(context, builder, signature, arguments):
        array, source, target, rows, stride, units, code, parameter = arguments
        memory = Memory(context, builder, signature.args[0], array)
        source_start, target_start = memory.at(source), memory.at(target)
        p = memory.splat(memory.narrow(parameter))

        def case(row):
            def emit():
                with loop(builder, rows) as r:
                    down = builder.mul(r, stride)
                    with loop(builder, memory.vectors(units)) as i:
                        first = builder.mul(i, int64(memory.lanes))
                        cell = builder.add(down, first)
                        value = row.function(memory.load(memory.at(cell, source_start)), p)
                        inside = lane_mask(memory, first, units)
                        memory.store(where(inside, value, 0.0), memory.at(cell, target_start))

            return emit

        switch(builder, code, {number: case(row) for number, row in enumerate(ACTIVATIONS)})
        return context.get_dummy_value()

    return signature, generate


@vector_kernel(_derive_twin)
def derive(typing, memory, deltas, values, rows, stride, units, code, parameter):
    """Multiply rows of deltas by the activation's derivative.

    ``values`` is where the activations lie, or the preactivations for the rows of the
    table whose derivative needs them.
    """
    if not integers(deltas, values, rows, stride, units, code):
        return None
    signature = types.void(memory, *[types.intp] * 6, types.float64)

    def generate(context, builder, signature, arguments):
        array, deltas, values, rows, stride, units, code, parameter = arguments
        memory = Memory(context, builder, signature.args[0], array)
        delta_start, value_start = memory.at(deltas), memory.at(values)
        p = memory.splat(memory.narrow(parameter))

        def case(row):
            def emit():
                with loop(builder, rows) as r:
                    down = builder.mul(r, stride)
                    with loop(builder, memory.vectors(units)) as i:
                        cell = builder.add(down, builder.mul(i, int64(memory.lanes)))
                        pointer = memory.at(cell, delta_start)
                        slope = row.derivative(memory.load(memory.at(cell, value_start)), p)
                        memory.store(memory.load(pointer) * slope, pointer)

            return emit

        switch(
            builder,
            code,
            {number: case(row) for number, row in enumerate(ACTIVATIONS) if row.name != "identity"},
        )
        return context.get_dummy_value()

    return signature, generate
