"""Forward, backward to the input and backward to the parameters, over tiles."""

from jitmlp_kernels.activations import IDENTITY, SOFTMAX, activate, derive
from jitmlp_kernels.batchnorm import (
    D_GAMMA,
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
    sum_columns,
    sum_columns_narrow,
    tile_columns,
    tile_columns_narrow,
    tile_rows,
    tile_rows_narrow,
)
from jitmlp_kernels.optimizers import RATE
from jitmlp_kernels.prefetch import parts_of_rows, prefetch_parameters
from jitmlp_kernels.random import dropout, row_key
from jitmlp_kernels.transpose import transpose_tile
from jitmlp_kernels.updates import gradient_squares, limit_norms, shrink, update_parameters


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


@inlined
def train_normalization(memory, plan, layer, l, deferred, computed, run, table, step, scale, factor, penalty):
    """Update of gamma and beta; see :func:`train_strips`."""
    lanes = VECTOR_BYTES // memory.itemsize
    width = layer.panels * lanes
    for k in range(2):
        parameters = layer.gamma if k == 0 else layer.beta
        gradients = layer.statistics + (D_GAMMA + k) * width
        if deferred and not computed:
            penalty[2 * plan.n_strips + l] += gradient_squares(
                memory, gradients, parameters, 1, layer.panels, lanes, 0.0, scale
            )
        else:
            update_parameters(
                memory, gradients, lanes, parameters, 1, layer.panels, lanes, plan.state_stride,
                run.optimizer, table, step, 0.0, scale * factor, run.clip_value,
            )  # fmt: skip


@inlined
def update_tile(
    memory, plan, layer, i, j, width, gradients, gradient_panel, run, table, step, scale, factor, n_batch,
    penalty,
):  # fmt: skip
    """Optimizer step, penalties and transposed copy for one tile of weights."""
    lanes = VECTOR_BYTES // memory.itemsize
    panel = layer.fan_in_padded * lanes
    weights = layer.weights + j * panel + i * lanes
    squares = update_parameters(
        memory, gradients, gradient_panel, weights, TILE_ROWS, width, panel, plan.state_stride,
        run.optimizer, table, step, run.alpha, scale * factor, run.clip_value,
    )  # fmt: skip
    strip = layer.first_strip + i // TILE_ROWS
    penalty[strip] += 0.5 * run.alpha * squares * scale * n_batch
    if run.l1 > 0.0:
        sizes = shrink(memory, weights, TILE_ROWS, width, panel, table[step, RATE] * run.l1 * scale)
        penalty[strip] += run.l1 * sizes * scale * n_batch
    if layer.transposed >= 0:
        across = layer.panels * lanes * lanes
        target = layer.transposed + i // lanes * across + j * lanes * lanes + i % lanes
        transpose_tile(memory, weights, width, panel, target, across)


@inlined
def train_strips(
    memory, plan, layer, first, last, rows, start, finish, deferred, computed, scratch, run, table, step,
    scale, factor, n_batch, penalty, order, next_rows,
):  # fmt: skip
    """Gradient and update of the weight rows ``first`` to ``last`` of a layer.

    ``start`` and ``finish`` tell whether these are the first and the last rows of the
    mini-batch: between blocks the gradient waits in the accumulators. With ``deferred``
    it stays there and its sum of squares is noted, until a later phase, in which it is
    ``computed`` already, updates with the norm of all gradients known. Meanwhile the
    ``next_rows`` of the user's array are asked for: their base address, stride and length in
    bytes, and the first and the number of them in ``order``.
    """
    lanes = VECTOR_BYTES // memory.itemsize
    panel = layer.fan_in_padded * lanes
    far, far_stride, far_bytes, far_first, far_count = next_rows
    tiles = (last - first) // TILE_ROWS * ((layer.panels + 1) // 2)
    parts, part_bytes = parts_of_rows(far_bytes, far_count, tiles)
    far_step = part_bytes // rows + 1
    far_row, part = 0, 0
    for j in range(0, layer.panels, 2):
        width = min(2, layer.panels - j)
        deltas = layer.deltas + j * lanes
        for i in range(first, last, TILE_ROWS):
            weights = layer.weights + j * panel + i * lanes
            init, init_row, init_panel = plan.zeros, 0, 0
            if not start:
                init, init_row, init_panel = weights + plan.accumulators, lanes, panel
            c, c_panel = scratch, TILE_ROWS * lanes
            if deferred or not finish:
                c, c_panel = weights + plan.accumulators, panel
            if finish and not deferred:
                prefetch_parameters(memory, weights, width, panel, 1 + run.slots, plan.state_stride)
            if not computed:
                ahead, ahead_step = far, 0
                if parts > 0 and far_row < far_count:
                    ahead += order[far_first + far_row] * far_stride + part * part_bytes
                    ahead_step = far_step
                    part += 1
                    if part == parts:
                        far_row, part = far_row + 1, 0
                if width == 2:
                    tile_columns(
                        memory, layer.inputs + i, layer.inputs_stride, deltas, layer.stride, lanes,
                        init, init_row, init_panel, c, lanes, c_panel, rows, ahead, ahead_step,
                    )  # fmt: skip
                else:
                    tile_columns_narrow(
                        memory, layer.inputs + i, layer.inputs_stride, deltas, layer.stride, lanes,
                        init, init_row, init_panel, c, lanes, c_panel, rows, ahead, ahead_step,
                    )  # fmt: skip
                if deferred and finish:
                    penalty[plan.n_strips + layer.first_strip + i // TILE_ROWS] += gradient_squares(
                        memory, c, weights, TILE_ROWS, width, panel, run.alpha, scale
                    )
            if finish and (computed or not deferred):
                update_tile(
                    memory, plan, layer, i, j, width, c, c_panel, run, table, step, scale, factor, n_batch,
                    penalty,
                )  # fmt: skip


@inlined
def train_bias(
    memory, plan, layer, l, rows, start, finish, deferred, computed, scratch, run, table, step, scale, factor,
    penalty,
):  # fmt: skip
    """Gradient and update of the biases of a layer; see :func:`train_strips`."""
    lanes = VECTOR_BYTES // memory.itemsize
    for j in range(0, layer.panels, 2):
        width = min(2, layer.panels - j)
        bias = layer.bias + j * lanes
        init, init_panel = plan.zeros, 0
        if not start:
            init, init_panel = bias + plan.accumulators, lanes
        c = bias + plan.accumulators if deferred or not finish else scratch
        deltas = layer.deltas + j * lanes
        if not computed:
            if width == 2:
                sum_columns(
                    memory, plan.ones, 0, deltas, layer.stride, lanes, init, 0, init_panel, c, 0, lanes, rows
                )
            else:
                sum_columns_narrow(
                    memory, plan.ones, 0, deltas, layer.stride, lanes, init, 0, init_panel, c, 0, lanes, rows
                )
            if deferred and finish:
                penalty[2 * plan.n_strips + l] += gradient_squares(memory, c, bias, 1, width, lanes, 0.0, scale)
        if finish and (computed or not deferred):
            update_parameters(
                memory, c, lanes, bias, 1, width, lanes, plan.state_stride,
                run.optimizer, table, step, 0.0, scale * factor, run.clip_value,
            )  # fmt: skip


@inlined
def limit_unit_norms(memory, layers, run, thread, n_threads):
    """Scale down units whose incoming weights exceed ``run.max_norm`` (Srivastava et al. 2014)."""
    lanes = VECTOR_BYTES // memory.itemsize
    for l in range(layers.size):
        layer = layers[l]
        panel = layer.fan_in_padded * lanes
        for j in range(thread * layer.panels // n_threads, (thread + 1) * layer.panels // n_threads):
            transposed = -1
            if layer.transposed >= 0:
                transposed = layer.transposed + j * lanes * lanes
            limit_norms(
                memory, layer.weights + j * panel, layer.fan_in_padded, run.max_norm, transposed,
                layer.panels * lanes * lanes, (layer.fan_in_padded + lanes - 1) // lanes,
            )  # fmt: skip
