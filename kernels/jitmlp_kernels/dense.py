"""Forward, backward to the input and backward to the parameters, over tiles."""

from jitmlp_kernels.activations import IDENTITY, SOFTMAX, activate, derive
from jitmlp_kernels.cache import inlined
from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.losses import softmax
from jitmlp_kernels.microkernel import (
    HALF_ROWS,
    half_rows,
    half_rows_narrow,
    sum_columns,
    sum_columns_narrow,
    tile_columns,
    tile_columns_narrow,
    tile_rows,
    tile_rows_narrow,
)
from jitmlp_kernels.optimizers import update_parameters
from jitmlp_kernels.transpose import transpose_tile


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
def forward(memory, layers, first, last):
    """Activations of every layer for the rows ``first`` to ``last`` of the buffers."""
    lanes = VECTOR_BYTES // memory.itemsize
    for l in range(layers.size):
        layer = layers[l]
        panel = layer.fan_in_padded * lanes
        multiply_rows(
            memory, first, last, layer.inputs, layer.inputs_stride, layer.weights, panel, layer.panels,
            lanes, layer.bias, lanes, layer.preactivations, layer.stride, layer.fan_in,
        )  # fmt: skip
        copied = layer.preactivations != layer.outputs
        if layer.activation != IDENTITY or copied:
            for i in range(first, last):
                row = i * layer.stride
                if layer.activation == SOFTMAX:
                    softmax(memory, layer.preactivations + row, layer.outputs + row, layer.fan_out)
                else:
                    activate(
                        memory, layer.preactivations + row, layer.outputs + row, layer.fan_out,
                        layer.activation, layer.parameter,
                    )  # fmt: skip


@inlined
def backward_input(memory, plan, layers, first, last):
    """Deltas of every hidden layer from those of the output layer."""
    lanes = VECTOR_BYTES // memory.itemsize
    for l in range(layers.size - 1, 0, -1):
        layer, below = layers[l], layers[l - 1]
        panel = layer.panels * lanes * lanes
        multiply_rows(
            memory, first, last, layer.deltas, layer.stride, layer.transposed, panel, below.panels,
            lanes, plan.zeros, 0, below.deltas, below.stride, layer.fan_out,
        )  # fmt: skip
        if below.activation != IDENTITY:
            for i in range(first, last):
                row = i * below.stride
                derive(
                    memory, below.deltas + row, below.slope_values + row, below.fan_out,
                    below.activation, below.parameter,
                )  # fmt: skip


@inlined
def update_strips(
    memory, plan, layer, first, last, rows, start, finish, scratch, run, table, step, scale, n_batch, penalty
):
    """Gradient and optimizer step for the weight rows ``first`` to ``last`` of a layer.

    ``start`` and ``finish`` tell whether these are the first and the last rows of the
    mini-batch: between blocks the gradient waits in the accumulators.
    """
    lanes = VECTOR_BYTES // memory.itemsize
    panel = layer.fan_in_padded * lanes
    for j in range(0, layer.panels, 2):
        width = min(2, layer.panels - j)
        deltas = layer.deltas + j * lanes
        for i in range(first, last, TILE_ROWS):
            weights = layer.weights + j * panel + i * lanes
            init, init_row, init_panel = plan.zeros, 0, 0
            if not start:
                init, init_row, init_panel = weights + plan.accumulators, lanes, panel
            c, c_panel = scratch, TILE_ROWS * lanes
            if not finish:
                c, c_panel = weights + plan.accumulators, panel
            if width == 2:
                tile_columns(
                    memory, layer.inputs + i, layer.inputs_stride, deltas, layer.stride, lanes,
                    init, init_row, init_panel, c, lanes, c_panel, rows,
                )  # fmt: skip
            else:
                tile_columns_narrow(
                    memory, layer.inputs + i, layer.inputs_stride, deltas, layer.stride, lanes,
                    init, init_row, init_panel, c, lanes, c_panel, rows,
                )  # fmt: skip
            if finish:
                squares = update_parameters(
                    memory, scratch, weights, TILE_ROWS, width, panel, plan.state_stride,
                    run.optimizer, table, step, run.alpha, scale,
                )  # fmt: skip
                penalty[layer.first_strip + i // TILE_ROWS] += squares * scale * n_batch
                if layer.transposed >= 0:
                    across = layer.panels * lanes * lanes
                    target = layer.transposed + i // lanes * across + j * lanes * lanes + i % lanes
                    transpose_tile(memory, weights, width, panel, target, across)


@inlined
def update_bias(memory, plan, layer, rows, start, finish, scratch, run, table, step, scale):
    """Gradient and optimizer step for the biases of a layer."""
    lanes = VECTOR_BYTES // memory.itemsize
    for j in range(0, layer.panels, 2):
        width = min(2, layer.panels - j)
        bias = layer.bias + j * lanes
        init, init_panel = plan.zeros, 0
        if not start:
            init, init_panel = bias + plan.accumulators, lanes
        c = scratch if finish else bias + plan.accumulators
        deltas = layer.deltas + j * lanes
        if width == 2:
            sum_columns(
                memory, plan.ones, 0, deltas, layer.stride, lanes, init, 0, init_panel, c, 0, lanes, rows
            )
        else:
            sum_columns_narrow(
                memory, plan.ones, 0, deltas, layer.stride, lanes, init, 0, init_panel, c, 0, lanes, rows
            )
        if finish:
            update_parameters(
                memory, scratch, bias, 1, width, lanes, plan.state_stride,
                run.optimizer, table, step, 0.0, scale,
            )  # fmt: skip
