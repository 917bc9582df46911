"""Backward to the parameters and their update, over tiles."""

from jitmlp_kernels.batchnorm import D_GAMMA
from jitmlp_kernels.cache import inlined
from jitmlp_kernels.host import TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.microkernel import (
    sum_columns,
    sum_columns_narrow,
    tile_columns,
    tile_columns_narrow,
)
from jitmlp_kernels.optimizers import RATE
from jitmlp_kernels.prefetch import parts_of_rows, prefetch_parameters
from jitmlp_kernels.transpose import transpose_tile
from jitmlp_kernels.updates import gradient_squares, limit_norms, shrink, update_parameters


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
