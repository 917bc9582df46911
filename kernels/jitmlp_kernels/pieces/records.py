"""The records that describe a network and a run of steps to the kernels.

Fields of unsigned type are addresses; strides of the network's own arrays count elements, of the
user's arrays bytes. They are filled in by :mod:`jitmlp.engine`; the kernels only follow them.
"""

from __future__ import annotations

from functools import wraps

import numpy as np

ADDRESS, INT, FLOAT = np.uint64, np.int64, np.float64


def record(**fields) -> np.dtype:
    """A record's dtype from its fields in order."""
    return np.dtype(list(fields.items()), align=True)


# What is the same for all threads in one call into the kernels
JOB = record(
    # the table of what to do
    phases=ADDRESS,  # PHASE records of one step
    n_phases=INT,
    calls=ADDRESS,  # CALL records
    first_phase=INT,  # counted over all steps
    last_phase=INT,
    n_threads=INT,
    team=ADDRESS,  # a cache line of counters a thread, then one a group of threads
    team_group=INT,  # threads of a group
    units=ADDRESS,  # a UNIT record a thread
    run_phase=ADDRESS,  # the piece that runs one thread's share of a phase
    shares=ADDRESS,  # [thread][layer][first, last] rows of the weights
    n_layers=INT,
    # the rows
    order=ADDRESS,  # int64: numbers of the rows in the order they are taken
    n_order=INT,
    epoch_rows=INT,  # of the order, for each of the epochs in it
    epoch_steps=INT,
    batch_size=INT,
    block_rows=INT,  # rows of a mini-batch worked on at a time
    prediction=INT,  # whether each thread goes through all its rows in places of its own
    # the user's arrays
    x=ADDRESS,
    x_row=INT,  # bytes from row to row
    x_column=INT,
    x_row_bytes=INT,  # of a row in one piece, else 0
    indices=ADDRESS,  # of sparse rows
    indptr=ADDRESS,
    n_entries=INT,
    entry_rows=ADDRESS,  # int64, of the mini-batch's entries in the order of their columns
    entry_values=ADDRESS,
    column_ends=ADDRESS,  # int64, a column
    room=INT,  # for entries
    columns=ADDRESS,  # int16 lists of the columns that are not zero: [thread][tile of a group's rows][block][number]
    strip_rows=ADDRESS,  # int16 lists of the rows that are not zero: [strip of the first layer][number]
    strip_rows_stride=INT,
    y=ADDRESS,
    y_row=INT,
    y_column=INT,
    classes=ADDRESS,  # int64
    weighted=INT,
    weights=ADDRESS,  # float64, where weighted
    out=ADDRESS,
    out_row=INT,
    # what the run asks for
    first_step=INT,  # how many steps came before
    seed=INT,
    coefficients=ADDRESS,  # [step][COEFFICIENTS], or [step][layer][weights, vectors][COEFFICIENTS], float64
    n_coefficients=INT,  # from step to step
    layer_coefficients=INT,  # from layer to layer, 0 where they share them
    vector_coefficients=INT,  # from a layer's weights to its vectors, likewise
    smoothing=FLOAT,
    layer_penalties=ADDRESS,  # [layer][alpha, l1], float64
    clip_value=FLOAT,  # infinity for none
    clip_norm=FLOAT,
    max_norm=FLOAT,
    all_weight=FLOAT,  # of the mini-batch, rows of other processes included
    all_rows=FLOAT,  # likewise
    # what is handed back
    row_loss=ADDRESS,  # float64, one a row of the mini-batch
    row_weight=ADDRESS,
    total=ADDRESS,  # float64: the sum of the losses, one an epoch
    penalties=ADDRESS,  # float64, [epoch][strip of weights]
    n_penalties=INT,  # of an epoch
    squares=ADDRESS,  # float64, one a strip and one a layer: of gradients
    n_squares=INT,
    status=ADDRESS,  # a cache line a thread: NaN once an input was not finite
    # places in the network's memory
    zeros=ADDRESS,
    ones=ADDRESS,
    scratch=ADDRESS,
    scratch_stride=INT,
    state_stride=INT,  # from a parameter to its first state slot
    gradients=INT,  # from a parameter to its gradient
)

# What one thread is at: its share of one phase
UNIT = record(
    thread=INT,
    step=INT,  # of this call
    epoch=INT,  # of those in this call
    block=INT,
    n_batch=INT,  # rows of the mini-batch
    before=INT,  # of which in earlier blocks
    n_rows=INT,  # rows of the block
    first=INT,  # place of the block's first row in the order
    row=INT,  # of the block, where the group begins
    place=INT,  # of the buffers, where the group lies
    count=INT,  # rows of the group
    padded=INT,  # the same in whole half tiles
    entries_before=INT,  # of the block, in columns before those that the thread owns
    scale=FLOAT,  # what gradients are multiplied by: 1 / total weight of the mini-batch
    factor=FLOAT,  # and by: what clips their norm
)
UNIT_BYTES = 128 * -(-UNIT.itemsize // 128)

# A part of a step that begins when all of the part before it is done
PHASE = record(
    by_rows=INT,  # whether the calls are made for every group of a thread's rows, or once a thread
    block=INT,  # of the mini-batch's rows
    first_call=INT,
    last_call=INT,
    end_call=INT,  # of those once a thread that follow the calls for its rows
)

CALL = record(piece=ADDRESS, operands=ADDRESS)

GROUP_ROWS = 64  # rows that go through all layers together; their activations stay in L2
LINE = 64  # bytes of a cache line


def kernel(operands: np.dtype):
    """Decorate the body of a piece: it gets its three records as fields.

    ``body(m, job, unit, operands, **arguments)`` with the machine, the JOB, the thread's UNIT and
    the piece's own operands, whose dtype stays at hand as ``body.operands``.
    """

    def decorate(body):
        @wraps(body)
        def run(m, job, unit, own, **arguments):
            body(m, m.fields(job, JOB), m.fields(unit, UNIT), m.fields(own, operands), **arguments)

        run.operands = operands
        return run

    return decorate


NOTHING = record(unused=INT)


def new(dtype: np.dtype, **values) -> np.ndarray:
    """One record of these values, the others 0."""
    array = np.zeros(1, dtype)
    for name, value in values.items():
        array[name] = value
    return array
