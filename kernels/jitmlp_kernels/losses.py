"""The table of losses, and the kernels of the output layer.

To add a loss, write its value and its derivative with respect to the prediction and
add one row to ``LOSSES``. Every loss works with every output activation; where the
pair is canonical the delta is ``a - y`` and the derivative is not called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import types

from jitmlp_kernels.activations import CODES as ACTIVATION_CODES
from jitmlp_kernels.activations import SOFTMAX
from jitmlp_kernels.elementary import exp, log
from jitmlp_kernels.emit import (
    Accumulator,
    Memory,
    int64,
    integers,
    lane_mask,
    loop,
    reduce_lanes,
    switch,
    vector_kernel,
)
from jitmlp_kernels.lanes import Lanes, is_single, where


class Loss(NamedTuple):
    """One row of the table, elementwise in the prediction ``a`` and the target ``y``.

    Attributes
    ----------
    value, derivative : callable
        ``value(a, y, p)`` and its derivative with respect to ``a``.
    canonical : str
        The output activation for which the delta is ``a - y``, empty for none.
    mean_outputs : bool
        Whether the reported value is the mean over outputs (scikit-learn's
        ``squared_error``) instead of the sum. Gradients are of the sum.
    regression : bool
        Whether the regressor offers it.
    """

    name: str
    value: Callable
    derivative: Callable
    formula: str
    source: str
    canonical: str = ""
    parameter: str = ""
    default: float = 0.0
    mean_outputs: bool = False
    regression: bool = True


def _clip(a):
    """Probabilities kept off 0 and 1 by the dtype's epsilon, as scikit-learn does."""
    eps = 1.1920928955078125e-07 if is_single(a) else 2.220446049250313e-16
    return where(a < eps, eps, where(a > 1.0 - eps, 1.0 - eps, a))


def _xlogy(y, a):
    """``y log(a)``, 0 where ``y`` is 0."""
    return where(y == 0.0, y * 0.0, y * log(a))


def _poisson(a, y, p):
    known = where(y > 0.0, y, 1.0)
    return where(y > 0.0, y * (log(known) - log(a)), 0.0) - y + a


def _huber(a, y, delta):
    e = abs(a - y)
    return where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta))


def _huber_derivative(a, y, delta):
    e = a - y
    return where(e > delta, delta, where(e < -delta, -delta, e))


def _sign(e):
    return where(e > 0.0, e * 0.0 + 1.0, where(e < 0.0, e * 0.0 - 1.0, e * 0.0))


LOSSES = (
    Loss(
        "squared_error",
        lambda a, y, p: 0.5 * (a - y) * (a - y),
        lambda a, y, p: a - y,
        "(a - y)^2 / 2",
        "Legendre 1805",
        canonical="identity",
        mean_outputs=True,
    ),
    Loss(
        "log_loss",
        lambda a, y, p: -_xlogy(y, _clip(a)),
        lambda a, y, p: where(y == 0.0, y * 0.0, -y / _clip(a)),
        "-y log a",
        "Good 1952",
        canonical="softmax",
        regression=False,
    ),
    Loss(
        "binary_log_loss",
        lambda a, y, p: -(_xlogy(y, _clip(a)) + _xlogy(1.0 - y, 1.0 - _clip(a))),
        lambda a, y, p: (_clip(a) - y) / (_clip(a) * (1.0 - _clip(a))),
        "-y log a - (1 - y) log(1 - a)",
        "Good 1952",
        canonical="logistic",
        regression=False,
    ),
    Loss(
        "poisson",
        _poisson,
        lambda a, y, p: 1.0 - y / a,
        "y log(y / a) - y + a",
        "McCullagh & Nelder 1989, half the deviance",
        canonical="exp",
    ),
    Loss(
        "absolute_error",
        lambda a, y, p: abs(a - y),
        lambda a, y, p: _sign(a - y),
        "|a - y|",
        "Laplace 1774",
    ),
    Loss(
        "huber",
        _huber,
        _huber_derivative,
        "(a - y)^2 / 2 if |a - y| <= delta else delta (|a - y| - delta / 2)",
        "Huber 1964",
        parameter="delta",
        default=1.0,
    ),
    Loss(
        "quantile",
        lambda a, y, q: where(y > a, q * (y - a), (1.0 - q) * (a - y)),
        lambda a, y, q: where(y > a, -q, where(y < a, 1.0 - q, a * 0.0)),
        "q (y - a) if y > a else (1 - q) (a - y)",
        "Koenker & Bassett 1978",
        parameter="q",
        default=0.5,
    ),
)

CODES = {row.name: code for code, row in enumerate(LOSSES)}


def is_canonical(loss: str, out_activation: int) -> bool:
    """Whether the delta of this loss with this output activation code is ``a - y``."""
    canonical = LOSSES[CODES[loss]].canonical
    return (
        bool(canonical)
        and (SOFTMAX if canonical == "softmax" else ACTIVATION_CODES[canonical]) == out_activation
    )


def _softmax_twin(memory, source, target, units):
    z = memory[source : source + units]
    value = np.exp(z - z.max())
    memory[target : target + units] = value / value.sum()


@vector_kernel(_softmax_twin)
def softmax(typing, memory, source, target, units):
    """Softmax of a row of preactivations; the padding of the target becomes 0."""
    if not integers(source, target, units):
        return None
    signature = types.void(memory, types.intp, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        array, source, target, units = arguments
        memory = Memory(context, builder, signature.args[0], array)
        start, target_start = memory.at(source), memory.at(target)
        lowest = memory.zero().lift(-3.4e38 if memory.bytes == 4 else -1.7e308)
        largest = Accumulator(memory, lowest)
        total = Accumulator(memory, memory.zero())
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            z = memory.load(memory.at(first, start))
            seen = largest.get()
            bigger = where(lane_mask(memory, first, units), z, lowest)
            largest.set(where(bigger < seen, seen, bigger))
        peak = memory.splat(reduce_lanes(memory, "fmax", largest.get()))
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            value = exp(memory.load(memory.at(first, start)) - peak)
            value = where(lane_mask(memory, first, units), value, 0.0)
            memory.store(value, memory.at(first, target_start))
            total.set(total.get() + value)
        scale = 1.0 / memory.splat(reduce_lanes(memory, "fadd", total.get()))
        with loop(builder, memory.vectors(units)) as i:
            pointer = memory.at(builder.mul(i, int64(memory.lanes)), target_start)
            memory.store(memory.load(pointer) * scale, pointer)
        return context.get_dummy_value()

    return signature, generate


def _softmax_derive_twin(memory, deltas, values, units):
    d, a = memory[deltas : deltas + units], memory[values : values + units]
    d[:] = a * (d - d @ a)


@vector_kernel(_softmax_derive_twin)
def softmax_derive(typing, memory, deltas, values, units):
    """Multiply a row of deltas by the Jacobian of the softmax ``values``."""
    if not integers(deltas, values, units):
        return None
    signature = types.void(memory, types.intp, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        array, deltas, values, units = arguments
        memory = Memory(context, builder, signature.args[0], array)
        delta_start, value_start = memory.at(deltas), memory.at(values)
        total = Accumulator(memory, memory.zero())
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            product = memory.load(memory.at(first, delta_start)) * memory.load(memory.at(first, value_start))
            total.set(total.get() + product)
        mean = memory.splat(reduce_lanes(memory, "fadd", total.get()))
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            pointer = memory.at(first, delta_start)
            value = memory.load(memory.at(first, value_start))
            memory.store(value * (memory.load(pointer) - mean), pointer)
        return context.get_dummy_value()

    return signature, generate


def _loss_twin(
    memory, values, targets, deltas, rows, stride, units, code, canonical, parameter, weights, losses, first
):  # fmt: skip
    row, p = LOSSES[code], memory.dtype.type(parameter)
    cells = np.arange(rows)[:, None] * stride + np.arange(units)
    a, y = memory[values + cells], memory[targets + cells]
    w = weights[first : first + rows, None]
    slope = a - y if canonical else row.derivative(a, y, p)
    memory[deltas + cells] = w.astype(memory.dtype) * slope
    losses[first : first + rows] = (w * row.value(a, y, p)).sum(axis=1)


@vector_kernel(_loss_twin)
def loss_rows(
    typing, memory, values, targets, deltas, rows, stride, units, code, canonical, parameter, weights, losses,
    first,
):  # fmt: skip
    """Weighted losses of rows; writes their derivatives, or ``a - y`` if canonical.

    The rows' weights and losses are those from ``first`` on of two arrays of float64.
    """
    if not integers(values, targets, deltas, rows, stride, units, code, canonical, first):
        return None
    signature = types.void(memory, *[types.intp] * 8, types.float64, weights, losses, types.intp)

    def generate(context, builder, signature, arguments):
        (
            array, values, targets, deltas, rows, stride, units, code, canonical, parameter, weights, losses,
            first,
        ) = arguments  # fmt: skip
        memory = Memory(context, builder, signature.args[0], array)
        row_weights = Memory(context, builder, signature.args[10], weights)
        row_losses = Memory(context, builder, signature.args[11], losses)
        value_start, target_start, delta_start = (memory.at(x) for x in (values, targets, deltas))
        p = memory.splat(memory.narrow(parameter))
        short = builder.icmp_signed("!=", canonical, int64(0))

        def case(row):
            total = Accumulator(memory, memory.zero())

            def emit():
                with loop(builder, rows) as r:
                    place, down = builder.add(first, r), builder.mul(r, stride)
                    weight = builder.load(row_weights.at(place), typ=row_weights.element)
                    w = memory.splat(memory.narrow(weight))
                    total.set(memory.zero())
                    with loop(builder, memory.vectors(units)) as i:
                        across = builder.mul(i, int64(memory.lanes))
                        cell = builder.add(down, across)
                        a = memory.load(memory.at(cell, value_start))
                        y = memory.load(memory.at(cell, target_start))
                        inside = lane_mask(memory, across, units)
                        total.set(total.get() + where(inside, row.value(a, y, p), 0.0))
                        plain, full = a - y, row.derivative(a, y, p)
                        slope = Lanes(builder, builder.select(short, plain.value, full.value))
                        memory.store(where(inside, w * slope, 0.0), memory.at(cell, delta_start))
                    value = memory.widen(reduce_lanes(memory, "fadd", total.get()))
                    builder.store(builder.fmul(value, weight), row_losses.at(place))

            return emit

        switch(builder, code, {number: case(row) for number, row in enumerate(LOSSES)})
        return context.get_dummy_value()

    return signature, generate
