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
from jitmlp_kernels.dense import backward_input, forward, normalization_sums
from jitmlp_kernels.gather import gather_rows, normalize_rows, scatter_row
from jitmlp_kernels.losses import loss_rows, softmax_derive
from jitmlp_kernels.microkernel import HALF_ROWS
from jitmlp_kernels.plan import CLASS_TARGET, CSR, DENSE_TARGET
from jitmlp_kernels.random import dropout, row_key
from jitmlp_kernels.subnormals import flush_subnormals, restore_subnormals
from jitmlp_kernels.team import CLAIMED, DONE, LINE, PRESENT, claim, store_release, wait_or_steal
from jitmlp_kernels.weights import limit_unit_norms, train_bias, train_normalization, train_strips

GROUP_ROWS = 64  # rows that go through all layers together; their activations stay in L2


@inlined
def gather_inputs(memory, plan, layers, source, x, x_indices, x_indptr, order, first, count, place, thread):
    """Rows ``order[first : first + count]`` of the user's array into the input buffer."""
    layer = layers[0]
    target = layer.inputs + place * layer.inputs_stride
    if source.kind == CSR:
        for i in range(count):
            scatter_row(
                memory, target + i * layer.inputs_stride, layer.fan_in, x, source.code, x_indices, x_indptr,
                source.index_bytes, order[first + i],
            )  # fmt: skip
    else:
        gather_rows(
            memory, target, layer.inputs_stride, x, source.start, source.row_stride, order, first, count,
            layer.fan_in, source.column_stride, source.code, plan.status + thread * plan.status_stride,
        )  # fmt: skip
    if plan.normalize:
        normalize_rows(memory, target, count, layer.inputs_stride, layer.fan_in, plan.shift, plan.scale)


@inlined
def gather_targets(memory, plan, n_outputs, source, y, classes, order, first, count, place, thread):
    """Rows of targets, or the one-hot rows of classes, into the target buffer."""
    target = plan.targets + place * plan.targets_stride
    if source.target_kind == CLASS_TARGET:
        rest = plan.smoothing / n_outputs
        for i in range(count):
            row = target + i * plan.targets_stride
            for j in range(n_outputs):
                memory[row + j] = rest
            memory[row + classes[order[first + i]]] = 1.0 - plan.smoothing + rest
    elif source.target_kind == DENSE_TARGET:
        gather_rows(
            memory, target, plan.targets_stride, y, source.target_start, source.target_row_stride, order, first,
            count, n_outputs, source.target_column_stride, source.target_code,
            plan.status + thread * plan.status_stride,
        )  # fmt: skip
        if plan.smoothing > 0.0:
            for i in range(count):
                row = target + i * plan.targets_stride
                for j in range(n_outputs):
                    memory[row + j] = memory[row + j] * (1.0 - plan.smoothing) + 0.5 * plan.smoothing


@inlined
def output_deltas(memory, plan, layer, first, count, before, row_weight, row_loss):
    """Losses of ``count`` rows; their deltas go to the output layer's buffer."""
    top = first * layer.stride
    loss_rows(
        memory, layer.outputs + top, plan.targets + top, layer.deltas + top, count, layer.stride,
        layer.fan_out, plan.loss, plan.canonical, plan.loss_parameter, row_weight, row_loss, before + first,
    )  # fmt: skip
    if plan.canonical == 0:
        if layer.activation == SOFTMAX:
            for i in range(count):
                row = top + i * layer.stride
                softmax_derive(memory, layer.deltas + row, layer.outputs + row, layer.fan_out)
        elif layer.activation != IDENTITY:
            derive(
                memory, layer.deltas + top, layer.slope_values + top, count, layer.stride, layer.fan_out,
                layer.activation, layer.parameter,
            )  # fmt: skip


@inlined
def share(n_rows, n_threads, thread):
    """First and last row of a thread's share, in whole half tiles."""
    halves = (n_rows + HALF_ROWS - 1) // HALF_ROWS
    return thread * halves // n_threads * HALF_ROWS, (thread + 1) * halves // n_threads * HALF_ROWS


@inlined
def normalized_layer(layers, number):
    """Index of the ``number``-th layer with batch normalization, -1 for none."""
    for l in range(layers.size):
        if layers[l].batch_norm:
            if number == 0:
                return l
            number -= 1
    return -1


@inlined
def rows_phase(
    memory, plan, layers, source, x, x_indices, x_indptr, y, classes, weights, order, before,
    thread, n_threads, run, step, row_loss, row_weight, out, part,
):  # fmt: skip
    """A thread's rows of the block: gather, forward, loss, deltas; or outputs in prediction.

    ``order`` holds the rows of the block, ``before`` counts those of the mini-batch that
    earlier blocks have done. In training row ``i`` of the block has place ``i`` of the
    buffers; in prediction a thread goes through all its rows in places of its own.

    Each of ``m`` batch normalizations cuts the way forward in two, and the way back:
    parts 0, 2, ... 2m go forward, the last of them with loss and deltas; parts 2m + 2, ...
    4m go on backward; those between are sums over the mini-batch.
    """
    m = 0 if run.predict else plan.n_normalized
    resume, top = -1, plan.n_layers - 1
    if part > 2 * m:
        top = normalized_layer(layers, (4 * m - part) // 2)
    elif part > 0:
        resume = normalized_layer(layers, part // 2 - 1)
    output = layers[plan.n_layers - 1]
    n_rows = order.size
    start, stop = share(n_rows, n_threads, thread)
    for first in range(start, stop, GROUP_ROWS):
        base = thread * GROUP_ROWS if run.predict else first
        count = min(GROUP_ROWS, min(stop, n_rows) - first)
        last = base + (count + HALF_ROWS - 1) // HALF_ROWS * HALF_ROWS
        if part == 0:
            gather_inputs(
                memory, plan, layers, source, x, x_indices, x_indptr, order, first, count, base, thread
            )
            if not run.predict:
                if plan.input_dropout > 0.0:
                    for i in range(count):
                        target = layers[0].inputs + (base + i) * layers[0].inputs_stride
                        key = row_key(run.seed, step, 0, before + first + i)
                        dropout(memory, target, target, layers[0].fan_in, key, plan.input_dropout)
                gather_targets(
                    memory, plan, output.fan_out, source, y, classes, order, first, count, base, thread
                )
        if part <= 2 * m:
            forward(memory, layers, base, last, run, step, before, resume)
        if run.predict:
            for i in range(count):
                row = output.outputs + (base + i) * output.stride
                for j in range(output.fan_out):
                    out[first + i, j] = memory[row + j]
        else:
            if part == 2 * m:
                for place in range(base, base + count):
                    row_weight[before + place] = weights[order[place]] if weights.size else 1.0
                output_deltas(memory, plan, output, base, count, before, row_weight, row_loss)
            if part >= 2 * m:
                backward_input(memory, plan, layers, base, last, run, step, before, top, n_rows)


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
def clip_factor(plan, n_layers, run, penalty):
    """What all gradients are multiplied by so that their norm is at most ``run.clip_norm``."""
    squares = 0.0
    for i in range(plan.n_strips, 2 * plan.n_strips + n_layers):
        squares += penalty[i]
    norm = np.sqrt(squares)
    return run.clip_norm / norm if norm > run.clip_norm else 1.0


@inlined
def run_unit(
    thread, n_threads, phase, memory, plan, layers, shares, source, x, x_indices, x_indptr, y, classes,
    weights, order, run, table, row_loss, row_weight, penalty, total, out,
):  # fmt: skip
    """One thread's unit of one phase: which step, block and part of it, and its work.

    A step's phases are, for every block, the rows in one part or, with batch normalization,
    in several with sums between them, and the weights; then, where asked for, the update
    with a clipped gradient norm, and the limit on the units' norms.
    """
    step, part = phase // run.phases, phase % run.phases
    m = plan.n_normalized
    block_parts = 4 * m + 2  # of which the last is the weights
    computed = part >= block_parts * run.blocks
    block = run.blocks - 1 if computed else part // block_parts
    n_batch = min(run.batch_size, order.size - step * run.batch_size)
    before = min(block * plan.block_rows, n_batch)
    n_rows = n_batch if run.predict else min(plan.block_rows, n_batch - before)
    deferred = run.clip_norm < np.inf
    if not computed and part % block_parts < 4 * m + 1:
        part = part % block_parts
        if part % 2 == 0:
            start = step * run.batch_size + before
            rows_phase(
                memory, plan, layers, source, x, x_indices, x_indptr, y, classes, weights,
                order[start : start + n_rows], before, thread, n_threads, run,
                run.first_step + step, row_loss, row_weight, out, part,
            )  # fmt: skip
        else:
            backward = part > 2 * m
            number = (4 * m - 1 - part) // 2 if backward else part // 2
            layer = layers[normalized_layer(layers, number)]
            normalization_sums(memory, layer, backward, n_rows, thread, n_threads)
        if thread == 0 and block == 0 and part == 0 and deferred:
            for i in range(plan.n_strips, 2 * plan.n_strips + plan.n_layers):
                penalty[i] = 0.0
        return
    if computed and not (deferred and part == block_parts * run.blocks):
        limit_unit_norms(memory, layers, run, thread, n_threads)
        return
    finish = block == run.blocks - 1
    scale = 1.0
    if finish:
        weight = total_weight(row_weight, n_batch, weights.size > 0)
        scale = 1.0 / weight if weight != 0.0 else 0.0
    if finish and not computed and thread == 0:
        loss = 0.0
        for i in range(n_batch):
            loss += row_loss[i]
        total[0] += loss * scale * n_batch
    factor = 1.0
    if computed:
        factor = clip_factor(plan, plan.n_layers, run, penalty)
    scratch = plan.scratch + thread * plan.scratch_stride
    # the first layer's strips ask for this thread's rows of the next mini-batch
    next_start = order.size if n_batch > plan.block_rows else (step + 1) * run.batch_size
    n_next = max(0, min(run.batch_size, order.size - next_start))
    next_first, next_last = share(n_next, n_threads, thread)
    n_asked = min(n_next, next_last) - next_first
    for l in range(plan.n_layers):
        if l > 0 or source.row_bytes == 0:
            n_asked = 0
        next_rows = (
            x.ctypes.data + source.start, source.row_stride, source.row_bytes, next_start + next_first, n_asked,
        )  # fmt: skip
        first, last = shares[thread, l, 0], shares[thread, l, 1]
        if first < last:
            layer = layers[l]
            if first == 0:
                train_bias(
                    memory, plan, layer, l, n_rows, block == 0, finish, deferred, computed, scratch, run,
                    table, step, scale, factor, penalty,
                )  # fmt: skip
                if layer.batch_norm:
                    train_normalization(
                        memory, plan, layer, l, deferred, computed, run, table, step, scale, factor, penalty
                    )
            train_strips(
                memory, plan, layer, first, last, n_rows, block == 0, finish, deferred, computed, scratch,
                run, table, step, scale, factor, n_batch, penalty, order, next_rows,
            )  # fmt: skip


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
    mode = flush_subnormals()
    for phase in range(first_phase, last_phase):
        run_unit(
            thread, n_threads, phase, memory, plan[0], layers, shares, source[0], x, x_indices, x_indptr, y,
            classes, weights, order, run[0], table, row_loss, row_weight, penalty, total, out,
        )  # fmt: skip
    restore_subnormals(mode)


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
