"""Forward and backward to the input, over tiles."""

from jitmlp_kernels.activations import IDENTITY, SOFTMAX, activate, derive
from jitmlp_kernels.batchnorm import (
    column_gradients,
    column_statistics,
    derive_batch,
    normalize_batch,
)
from jitmlp_kernels.cache import inlined
from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.losses import softmax
from jitmlp_kernels.microkernel import (
    HALF_ROWS,
    half_rows,
    half_rows_narrow,
    tile_rows,
    tile_rows_narrow,
)
from jitmlp_kernels.random import dropout, row_key


@inlined
def multiply_rows(
    memory, first, last, a, a_stride, b, b_panel, panels, lanes, init, init_panel, c, c_stride, depth
):
    """``c = init + a b`` for rows ``first`` to ``last``, ``b`` in panels.

    Panels outside, rows inside: a pair of panels is read from the second-level cache
    once and serves every row tile of the group.
    """
    for j in range(0, panels, 2):
        wide = panels - j >= 2
        b_j = b + j * b_panel
        init_j = init + j * init_panel
        i = first
        while i < last:
            a_i = a + i * a_stride
            c_i = c + i * c_stride + j * lanes
            if last - i > HALF_ROWS:
                if wide:
                    tile_rows(
                        memory,
                        a_i,
                        a_stride,
                        b_j,
                        lanes,
                        b_panel,
                        init_j,
                        0,
                        init_panel,
                        c_i,
                        c_stride,
                        lanes,
                        depth,
                    )
                else:
                    tile_rows_narrow(
                        memory,
                        a_i,
                        a_stride,
                        b_j,
                        lanes,
                        b_panel,
                        init_j,
                        0,
                        init_panel,
                        c_i,
                        c_stride,
                        lanes,
                        depth,
                    )
                i += TILE_ROWS
            else:
                if wide:
                    half_rows(
                        memory,
                        a_i,
                        a_stride,
                        b_j,
                        lanes,
                        b_panel,
                        init_j,
                        0,
                        init_panel,
                        c_i,
                        c_stride,
                        lanes,
                        depth,
                    )
                else:
                    half_rows_narrow(
                        memory,
                        a_i,
                        a_stride,
                        b_j,
                        lanes,
                        b_panel,
                        init_j,
                        0,
                        init_panel,
                        c_i,
                        c_stride,
                        lanes,
                        depth,
                    )
                i += HALF_ROWS


@inlined
def forward(memory, layers, first, last, run, step, before, resume):
    """Activations layer by layer for the rows ``first`` to ``last`` of the buffers.

    Training stops before a batch normalization, for its sums over the mini-batch, and
    resumes there with ``resume`` that layer; -1 is the start. ``step`` and ``before``, the
    rows of the mini-batch in earlier blocks, choose what dropout drops.
    """
    lanes = VECTOR_BYTES // memory.itemsize
    for l in range(max(resume, 0), layers.size):
        layer = layers[l]
        top = first * layer.stride
        if l != resume:
            panel = layer.fan_in_padded * lanes
            multiply_rows(
                memory, first, last, layer.inputs, layer.inputs_stride, layer.weights, panel, layer.panels,
                lanes, layer.bias, lanes, layer.linear, layer.stride, layer.fan_in,
            )  # fmt: skip
            if layer.batch_norm and not run.predict:
                break
        if layer.batch_norm:
            normalize_batch(
                memory, layer.linear + top, layer.preactivations + top, last - first, layer.stride,
                layer.statistics, layer.panels * lanes, layer.gamma, layer.beta, run.predict,
            )  # fmt: skip
        copied = layer.preactivations != layer.outputs
        if layer.activation == SOFTMAX:
            for i in range(first, last):
                row = i * layer.stride
                softmax(memory, layer.preactivations + row, layer.outputs + row, layer.fan_out)
        elif layer.activation != IDENTITY or copied:
            activate(
                memory, layer.preactivations + top, layer.outputs + top, last - first, layer.stride,
                layer.fan_out, layer.activation, layer.parameter,
            )  # fmt: skip
        if layer.dropped != layer.outputs:
            rate = 0.0 if run.predict else layer.dropout
            for i in range(first, last):
                row = i * layer.stride
                key = row_key(run.seed, step, l + 1, before + i)
                dropout(memory, layer.outputs + row, layer.dropped + row, layer.fan_out, key, rate)


@inlined
def backward_input(memory, plan, layers, first, last, run, step, before, top, count):
    """Deltas of the hidden layers below layer ``top``, down to a batch normalization.

    A normalized ``top`` first has its own deltas carried through the normalization, with
    the sums over the mini-batch of ``count`` rows.
    """
    lanes = VECTOR_BYTES // memory.itemsize
    if layers[top].batch_norm:
        layer = layers[top]
        start = first * layer.stride
        derive_batch(
            memory, layer.linear + start, layer.deltas + start, last - first, layer.stride, layer.statistics,
            layer.panels * lanes, layer.gamma, count,
        )  # fmt: skip
    for l in range(top, 0, -1):
        layer, below = layers[l], layers[l - 1]
        panel = layer.panels * lanes * lanes
        multiply_rows(
            memory, first, last, layer.deltas, layer.stride, layer.transposed, panel, below.panels,
            lanes, plan.zeros, 0, below.deltas, below.stride, layer.fan_out,
        )  # fmt: skip
        if below.dropped != below.outputs:
            for i in range(first, last):
                row = below.deltas + i * below.stride
                key = row_key(run.seed, step, l, before + i)
                dropout(memory, row, row, below.fan_out, key, below.dropout)
        if below.activation != IDENTITY:
            start = first * below.stride
            derive(
                memory, below.deltas + start, below.slope_values + start, last - first, below.stride,
                below.fan_out, below.activation, below.parameter,
            )  # fmt: skip
        if below.batch_norm:
            break


@inlined
def normalization_sums(memory, layer, backward, rows, thread, n_threads):
    """Sums over the mini-batch for a thread's columns of a normalized layer."""
    lanes = VECTOR_BYTES // memory.itemsize
    width = layer.panels * lanes
    for j in range(thread * layer.panels // n_threads, (thread + 1) * layer.panels // n_threads):
        values, statistics = layer.linear + j * lanes, layer.statistics + j * lanes
        if backward:
            deltas = layer.deltas + j * lanes
            column_gradients(memory, values, deltas, layer.stride, rows, statistics, width)
        else:
            column_statistics(memory, values, layer.stride, rows, statistics, width)
