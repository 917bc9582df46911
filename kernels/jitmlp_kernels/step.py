"""The mini-batch step: one source, compiled as a serial and as a parallel twin.

A step is a sequence of blocks of rows (one, unless the mini-batch is large), each of
two phases: every thread first takes its own rows from the user's array to the deltas,
then its own strips of the weights from the gradient to the updated parameters. Each
number is summed in one fixed order, so any number of threads gives the same bits.
"""

import numpy as np
from numba import prange

from jitmlp_kernels.activations import IDENTITY, SOFTMAX, derive
from jitmlp_kernels.cache import inlined, kernel
from jitmlp_kernels.call import call_address
from jitmlp_kernels.dense import backward_input, forward, update_bias, update_strips
from jitmlp_kernels.gather import gather_row, scatter_row
from jitmlp_kernels.losses import loss_row, softmax_derive
from jitmlp_kernels.microkernel import HALF_ROWS
from jitmlp_kernels.plan import CLASS_TARGET, CSR, DENSE_TARGET
from jitmlp_kernels.team import CLAIMED, DONE, LINE, PRESENT, claim, store_release, wait_or_steal

GROUP_ROWS = 64  # rows that go through all layers together; their activations stay in L2


@inlined
def gather_inputs(memory, layers, source, x, x_indices, x_indptr, row, place):
    """One row of the user's array into place ``place`` of the input buffer."""
    layer = layers[0]
    target = layer.inputs + place * layer.inputs_stride
    if source.kind == CSR:
        scatter_row(memory, target, layer.fan_in, x, source.code, x_indices, x_indptr, source.index_bytes, row)
    else:
        start = source.start + row * source.row_stride
        gather_row(memory, target, x, start, layer.fan_in, source.column_stride, source.code)


@inlined
def gather_targets(memory, plan, n_outputs, source, y, classes, row, place):
    """One row of targets, or the one-hot row of a class, into the target buffer."""
    target = plan.targets + place * plan.targets_stride
    if source.target_kind == CLASS_TARGET:
        for j in range(n_outputs):
            memory[target + j] = 0.0
        memory[target + classes[row]] = 1.0
    elif source.target_kind == DENSE_TARGET:
        start = source.target_start + row * source.target_row_stride
        gather_row(memory, target, y, start, n_outputs, source.target_column_stride, source.target_code)


@inlined
def output_deltas(memory, plan, layer, place, weight):
    """Loss of one row; its delta goes to the output layer's buffer."""
    row = place * layer.stride
    targets = plan.targets + place * plan.targets_stride
    loss = loss_row(
        memory, layer.outputs + row, targets, layer.deltas + row, layer.fan_out,
        plan.loss, plan.canonical, plan.loss_parameter, weight,
    )  # fmt: skip
    if plan.canonical == 0:
        if layer.activation == SOFTMAX:
            softmax_derive(memory, layer.deltas + row, layer.outputs + row, layer.fan_out)
        elif layer.activation != IDENTITY:
            derive(
                memory, layer.deltas + row, layer.slope_values + row, layer.fan_out,
                layer.activation, layer.parameter,
            )  # fmt: skip
    return loss


@inlined
def share(n_rows, n_threads, thread):
    """First and last row of a thread's share, in whole half tiles."""
    halves = (n_rows + HALF_ROWS - 1) // HALF_ROWS
    return thread * halves // n_threads * HALF_ROWS, (thread + 1) * halves // n_threads * HALF_ROWS


@inlined
def rows_phase(
    memory, plan, layers, source, x, x_indices, x_indptr, y, classes, weights, order, before,
    n_rows, thread, n_threads, row_loss, row_weight,
):  # fmt: skip
    """Gather, forward, loss and deltas for a thread's rows of the block.

    ``before`` counts the rows of the mini-batch that earlier blocks have done;
    ``order`` holds the rows of the block.
    """
    output = layers[plan.n_layers - 1]
    start, stop = share(n_rows, n_threads, thread)
    for first in range(start, stop, GROUP_ROWS):
        last = min(first + GROUP_ROWS, stop)
        for place in range(first, min(last, n_rows)):
            row = order[place]
            gather_inputs(memory, layers, source, x, x_indices, x_indptr, row, place)
            gather_targets(memory, plan, output.fan_out, source, y, classes, row, place)
        forward(memory, layers, first, last)
        for place in range(first, min(last, n_rows)):
            weight = weights[order[place]] if weights.size else 1.0
            row_weight[before + place] = weight
            row_loss[before + place] = output_deltas(memory, plan, output, place, weight)
        backward_input(memory, plan, layers, first, last)


@inlined
def weights_phase(
    memory, plan, layers, shares, n_rows, start, finish, thread, run, table, step, scale, n_batch,
    penalty,
):  # fmt: skip
    """Gradient and update of a thread's strips of the weights."""
    scratch = plan.scratch + thread * plan.scratch_stride
    for l in range(plan.n_layers):
        first, last = shares[thread, l, 0], shares[thread, l, 1]
        if first < last:
            layer = layers[l]
            if first == 0:
                update_bias(memory, plan, layer, n_rows, start, finish, scratch, run, table, step, scale)
            update_strips(
                memory, plan, layer, first, last, n_rows, start, finish, scratch,
                run, table, step, scale, n_batch, penalty,
            )  # fmt: skip


@inlined
def total_weight(row_weight, n_rows, weighted):
    """Sum of the sample weights of a mini-batch."""
    if not weighted:
        return float(n_rows)
    total = 0.0
    for i in range(n_rows):
        total += row_weight[i]
    return total


@inlined
def run_unit(
    thread, n_threads, phase, memory, plan, layers, shares, source, x, x_indices, x_indptr, y, classes,
    weights, order, run, table, row_loss, row_weight, penalty, total,
):  # fmt: skip
    """One thread's unit of one phase: which step, block and half of it, and its work."""
    batch, size = run.batch_size, plan.block_rows
    blocks = (batch + size - 1) // size
    step = phase // (2 * blocks)
    block = phase % (2 * blocks) // 2
    n_batch = min(batch, order.size - step * batch)
    before = min(block * size, n_batch)
    n_rows = min(size, n_batch - before)
    if phase % 2 == 0:
        start = step * batch + before
        rows_phase(
            memory, plan, layers, source, x, x_indices, x_indptr, y, classes, weights,
            order[start : start + n_rows], before, n_rows, thread, n_threads, row_loss, row_weight,
        )  # fmt: skip
        return
    finish = block == blocks - 1
    scale = 1.0
    if finish:
        scale = 1.0 / total_weight(row_weight, n_batch, weights.size > 0)
        if thread == 0:
            loss = 0.0
            for i in range(n_batch):
                loss += row_loss[i]
            total[0] += loss * scale * n_batch
    weights_phase(
        memory, plan, layers, shares, n_rows, block == 0, finish, thread, run, table, step, scale,
        n_batch, penalty,
    )  # fmt: skip


@inlined
def predict_share(thread, n_threads, memory, plan, layers, source, x, x_indices, x_indptr, order, out):
    """Outputs of one thread's share of the rows ``order``, in its own rows of the buffers."""
    output = layers[plan.n_layers - 1]
    start, stop = share(order.size, n_threads, thread)
    base = thread * GROUP_ROWS
    for first in range(start, min(stop, order.size), GROUP_ROWS):
        n_rows = min(GROUP_ROWS, min(stop, order.size) - first)
        for i in range(n_rows):
            gather_inputs(memory, layers, source, x, x_indices, x_indptr, order[first + i], base + i)
        forward(memory, layers, base, base + (n_rows + HALF_ROWS - 1) // HALF_ROWS * HALF_ROWS)
        for i in range(n_rows):
            row = output.outputs + (base + i) * output.stride
            for j in range(output.fan_out):
                out[first + i, j] = memory[row + j]


@kernel
def run_units(
    first_phase, last_phase, thread, n_threads, memory, plan, layers, shares, source, x, x_indices,
    x_indptr, y, classes, weights, order, run, table, row_loss, row_weight, penalty, total, out,
):  # fmt: skip
    """One thread's units of consecutive phases: all the numerical work of the project.

    With ``run.predict`` the outputs for the rows ``order`` go to ``out``. Otherwise the
    weighted loss of the rows is added to ``total`` and the sums of squares of the
    weights, each weighted as the loss is, to ``penalty``.
    """
    if run[0].predict:
        predict_share(thread, n_threads, memory, plan[0], layers, source[0], x, x_indices, x_indptr, order, out)
        return
    for phase in range(first_phase, last_phase):
        run_unit(
            thread, n_threads, phase, memory, plan[0], layers, shares, source[0], x, x_indices, x_indptr, y,
            classes, weights, order, run[0], table, row_loss, row_weight, penalty, total,
        )  # fmt: skip


@kernel(parallel=True)
def run_team(
    address, n_phases, n_threads, team, memory, plan, layers, shares, source, x, x_indices, x_indptr, y,
    classes, weights, order, run, table, row_loss, row_weight, penalty, total, out,
):  # fmt: skip
    """The parallel twin of :func:`run_units`, which it calls by its address."""
    for member in prange(n_threads):
        thread = np.int64(member)
        store_release(team, thread * LINE + PRESENT, 1)
        for phase in range(n_phases):
            unit = thread
            if not claim(team, thread * LINE + CLAIMED, phase):
                unit = wait_or_steal(team, n_threads, phase)
            while unit >= 0:
                call_address(
                    address,
                    (
                        phase, phase + 1, unit, n_threads, memory, plan, layers, shares, source, x,
                        x_indices, x_indptr, y, classes, weights, order, run, table, row_loss,
                        row_weight, penalty, total, out,
                    ),
                )  # fmt: skip
                store_release(team, unit * LINE + DONE, phase + 1)
                unit = wait_or_steal(team, n_threads, phase)
