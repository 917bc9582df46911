"""The kernels that change parameters: the optimizer's step, and what constrains it."""

from __future__ import annotations

import numpy as np
from numba.core import types

from jitmlp_kernels.emit import (
    Accumulator,
    Memory,
    int64,
    integers,
    loop,
    reduce_lanes,
    switch,
    vector_kernel,
)
from jitmlp_kernels.host import VECTOR_BYTES
from jitmlp_kernels.lanes import fma, sqrt, where
from jitmlp_kernels.optimizers import MAX_COEFFICIENTS, OPTIMIZERS


def _update_twin(
    memory, gradients, gradient_panel, parameters, vectors, panels, panel_stride, stride, code, table, step,
    alpha, scale, limit,
):  # fmt: skip
    n = vectors * (VECTOR_BYTES // memory.itemsize)
    row, kind, total = OPTIMIZERS[code], memory.dtype.type, 0.0
    for panel in range(panels):
        start = parameters + panel * panel_stride
        w = memory[start : start + n]
        slots = [memory[start + (i + 1) * stride :][:n] for i in range(len(row.slots))]
        total += float(w @ w)
        g = (memory[gradients + panel * gradient_panel :][:n] + kind(alpha) * w) * kind(scale)
        g = where(g > kind(limit), kind(limit), where(g < -kind(limit), -kind(limit), g))
        old = tuple(slot.copy() for slot in slots)
        w[:], state = row.update(w.copy(), g, old, table[step].astype(kind))
        for slot, new in zip(slots, state):
            slot[:] = new
    return total


@vector_kernel(_update_twin)
def update_parameters(
    typing, memory, gradients, gradient_panel, parameters, vectors, panels, panel_stride, stride, code, table,
    step, alpha, scale, limit,
):  # fmt: skip
    """Apply one optimizer step to panels of consecutive vectors of parameters.

    The gradients of neighbouring panels are ``gradient_panel`` apart, their parameters
    ``panel_stride``. The gradient is ``(gradients + alpha * w) * scale``, each element
    clipped to ``limit``. Slot ``s`` of the state lies ``(s + 1) * stride`` elements past
    the parameter. Returns the sum of squares of the parameters before the step, for the
    L2 penalty.
    """
    if not integers(gradients, gradient_panel, parameters, vectors, panels, panel_stride, stride, code, step):
        return None
    signature = types.float64(memory, *[types.intp] * 8, table, types.intp, *[types.float64] * 3)

    def generate(context, builder, signature, arguments):
        (
            array, gradients, gradient_panel, parameters, vectors, panels, panel_stride, stride, code, table,
            step, alpha, scale, limit,
        ) = arguments  # fmt: skip
        memory = Memory(context, builder, signature.args[0], array)
        coefficients = Memory(context, builder, signature.args[9], table)
        row_start = coefficients.at(builder.mul(step, int64(MAX_COEFFICIENTS)))
        a, s, top = (memory.splat(memory.narrow(number)) for number in (alpha, scale, limit))
        squares = Accumulator(memory, memory.zero())

        def case(row):
            def emit():
                c = []  # unused coefficients are dropped by LLVM
                for i in range(MAX_COEFFICIENTS):
                    number = builder.load(coefficients.at(int64(i), row_start), typ=coefficients.element)
                    c.append(memory.splat(memory.narrow(number)))
                with loop(builder, panels) as panel:
                    parameter_start = memory.at(builder.add(parameters, builder.mul(panel, panel_stride)))
                    gradient_start = memory.at(builder.add(gradients, builder.mul(panel, gradient_panel)))
                    starts = [
                        memory.at(builder.mul(stride, int64(i + 1)), parameter_start)
                        for i in range(len(row.slots))
                    ]
                    with loop(builder, vectors) as i:
                        first = builder.mul(i, int64(memory.lanes))
                        pointer = memory.at(first, parameter_start)
                        slots = [memory.at(first, start) for start in starts]
                        w = memory.load(pointer)
                        squares.set(fma(w, w, squares.get()))
                        g = fma(a, w, memory.load(memory.at(first, gradient_start))) * s
                        g = where(g > top, top, where(g < -top, -top, g))
                        w, state = row.update(w, g, tuple(memory.load(slot) for slot in slots), c)
                        memory.store(w, pointer)
                        for slot, value in zip(slots, state):
                            memory.store(value, slot)

            return emit

        switch(builder, code, {number: case(row) for number, row in enumerate(OPTIMIZERS)})
        return memory.widen(reduce_lanes(memory, "fadd", squares.get()))

    return signature, generate


def _panels(memory, start, vectors, panels, panel_stride):
    """The twins' views of panels of consecutive vectors."""
    n = vectors * (VECTOR_BYTES // memory.itemsize)
    return [memory[start + panel * panel_stride :][:n] for panel in range(panels)]


def _squares_twin(memory, gradients, parameters, vectors, panels, panel_stride, alpha, scale):
    g = _panels(memory, gradients, vectors, panels, panel_stride)
    w = _panels(memory, parameters, vectors, panels, panel_stride)
    return float(sum((((a + alpha * b) * scale) ** 2).sum() for a, b in zip(g, w)))


@vector_kernel(_squares_twin)
def gradient_squares(typing, memory, gradients, parameters, vectors, panels, panel_stride, alpha, scale):
    """Sum of squares of the gradient ``(gradients + alpha * w) * scale``."""
    if not integers(gradients, parameters, vectors, panels, panel_stride):
        return None
    signature = types.float64(memory, *[types.intp] * 5, types.float64, types.float64)

    def generate(context, builder, signature, arguments):
        array, gradients, parameters, vectors, panels, panel_stride, alpha, scale = arguments
        memory = Memory(context, builder, signature.args[0], array)
        a, s = memory.splat(memory.narrow(alpha)), memory.splat(memory.narrow(scale))
        squares = Accumulator(memory, memory.zero())
        with loop(builder, panels) as panel:
            offset = builder.mul(panel, panel_stride)
            gradient_start = memory.at(builder.add(gradients, offset))
            parameter_start = memory.at(builder.add(parameters, offset))
            with loop(builder, vectors) as i:
                first = builder.mul(i, int64(memory.lanes))
                w = memory.load(memory.at(first, parameter_start))
                g = fma(a, w, memory.load(memory.at(first, gradient_start))) * s
                squares.set(fma(g, g, squares.get()))
        return memory.widen(reduce_lanes(memory, "fadd", squares.get()))

    return signature, generate


def _shrink_twin(memory, parameters, vectors, panels, panel_stride, amount):
    total = 0.0
    for w in _panels(memory, parameters, vectors, panels, panel_stride):
        total += float(np.abs(w).sum())
        w[:] = np.sign(w) * np.maximum(np.abs(w) - memory.dtype.type(amount), 0)
    return total


@vector_kernel(_shrink_twin)
def shrink(typing, memory, parameters, vectors, panels, panel_stride, amount):
    """Move parameters towards 0 by ``amount`` and no further; returns their sum of sizes before.

    The proximal operator of the L1 norm (Parikh & Boyd 2014, section 6.5.2).
    """
    if not integers(parameters, vectors, panels, panel_stride):
        return None
    signature = types.float64(memory, *[types.intp] * 4, types.float64)

    def generate(context, builder, signature, arguments):
        array, parameters, vectors, panels, panel_stride, amount = arguments
        memory = Memory(context, builder, signature.args[0], array)
        step = memory.splat(memory.narrow(amount))
        sizes = Accumulator(memory, memory.zero())
        with loop(builder, panels) as panel:
            start = memory.at(builder.add(parameters, builder.mul(panel, panel_stride)))
            with loop(builder, vectors) as i:
                pointer = memory.at(builder.mul(i, int64(memory.lanes)), start)
                w = memory.load(pointer)
                sizes.set(sizes.get() + abs(w))
                memory.store(where(w > step, w - step, where(w < -step, w + step, w * 0.0)), pointer)
        return memory.widen(reduce_lanes(memory, "fadd", sizes.get()))

    return signature, generate


def _limit_twin(memory, weights, rows, limit, transposed, across, panels):
    lanes = VECTOR_BYTES // memory.itemsize
    w = memory[weights : weights + rows * lanes].reshape(rows, lanes)
    norms = np.sqrt((w**2).sum(axis=0))
    factor = np.where(norms > limit, limit / np.where(norms > limit, norms, 1), 1).astype(memory.dtype)
    w *= factor
    if transposed >= 0:
        for panel in range(panels):
            start = transposed + panel * across
            memory[start : start + lanes * lanes].reshape(lanes, lanes)[:] *= factor[:, None]


@vector_kernel(_limit_twin)
def limit_norms(typing, memory, weights, rows, limit, transposed, across, panels):
    """Scale the units of one weight panel down to incoming weights of norm ``limit``.

    The transposed copy, where there is one, is scaled alike: its rows for these units lie
    at ``transposed``, ``across`` apart from panel to panel.
    """
    if not integers(weights, rows, transposed, across, panels):
        return None
    signature = types.void(memory, types.intp, types.intp, types.float64, *[types.intp] * 3)

    def generate(context, builder, signature, arguments):
        array, weights, rows, limit, transposed, across, panels = arguments
        memory = Memory(context, builder, signature.args[0], array)
        top, start = memory.splat(memory.narrow(limit)), memory.at(weights)
        squares = Accumulator(memory, memory.zero())
        with loop(builder, rows) as i:
            w = memory.load(memory.at(builder.mul(i, int64(memory.lanes)), start))
            squares.set(fma(w, w, squares.get()))
        norms = sqrt(squares.get())
        factor = where(norms > top, top / where(norms > top, norms, 1.0), 1.0)
        with loop(builder, rows) as i:
            pointer = memory.at(builder.mul(i, int64(memory.lanes)), start)
            memory.store(memory.load(pointer) * factor, pointer)
        copies = builder.select(builder.icmp_signed(">=", transposed, int64(0)), panels, int64(0))
        with loop(builder, copies) as panel:
            base = memory.at(builder.add(transposed, builder.mul(panel, across)))
            for lane in range(memory.lanes):
                pointer = memory.at(int64(lane * memory.lanes), base)
                memory.store(memory.load(pointer) * memory.splat(factor.lane(lane)), pointer)
        return context.get_dummy_value()

    return signature, generate
