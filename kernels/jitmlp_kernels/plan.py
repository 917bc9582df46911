"""The records that describe a network and a run of steps to the kernels.

Offsets and strides count elements of the network's one flat array. They are laid out
once by :mod:`jitmlp.network`; the kernels only follow them.
"""

import numba
import numpy as np

LAYER = np.dtype(
    [
        ("fan_in", np.int64),
        ("fan_in_padded", np.int64),  # rows of a weight panel, a multiple of TILE_ROWS
        ("fan_out", np.int64),
        ("panels", np.int64),  # vectors that hold fan_out units
        ("weights", np.int64),  # [panels][fan_in_padded][lanes]
        ("transposed", np.int64),  # [panels of fan_in][panels * lanes][lanes]
        ("bias", np.int64),
        ("inputs", np.int64),  # [rows][inputs_stride]
        ("inputs_stride", np.int64),
        ("batch_norm", np.int64),  # whether the layer is normalized
        ("linear", np.int64),  # what is normalized; the same place as preactivations else
        ("gamma", np.int64),
        ("beta", np.int64),
        ("statistics", np.int64),  # see jitmlp_kernels.batchnorm
        ("preactivations", np.int64),  # the same place as outputs unless needed later
        ("outputs", np.int64),
        ("deltas", np.int64),
        ("stride", np.int64),  # of preactivations, outputs and deltas
        ("activation", np.int64),
        ("parameter", np.float64),
        ("dropout", np.float64),  # share of the outputs dropped in training
        ("dropped", np.int64),  # what is left of them: the next layer's inputs
        ("slope_values", np.int64),  # what the activation's derivative reads
        ("first_strip", np.int64),  # index of this layer's first strip of weights
    ],
    align=True,
)

PLAN = np.dtype(
    [
        ("n_layers", np.int64),
        ("block_rows", np.int64),  # rows of a mini-batch worked on at a time
        ("targets", np.int64),
        ("targets_stride", np.int64),
        ("zeros", np.int64),
        ("ones", np.int64),
        ("scratch", np.int64),
        ("scratch_stride", np.int64),
        ("status", np.int64),  # a cache line or vector a thread: NaN once an input was not finite
        ("status_stride", np.int64),
        ("accumulators", np.int64),  # distance from a parameter to its gradient so far
        ("state_stride", np.int64),  # distance from a parameter to its first state slot
        ("loss", np.int64),
        ("loss_parameter", np.float64),
        ("canonical", np.int64),
        ("smoothing", np.float64),  # share of a class target spread over all classes
        ("input_dropout", np.float64),
        ("normalize", np.int64),  # whether inputs become (x - shift) * scale
        ("shift", np.int64),
        ("scale", np.int64),
        ("n_normalized", np.int64),  # layers with batch normalization
        ("n_strips", np.int64),  # of the weights of all layers, each TILE_ROWS rows
    ],
    align=True,
)

RUN = np.dtype(
    [
        ("predict", np.int64),
        ("batch_size", np.int64),
        ("blocks", np.int64),  # of rows in a mini-batch
        ("phases", np.int64),  # of a step
        ("first_step", np.int64),  # how many steps came before
        ("seed", np.int64),
        ("optimizer", np.int64),
        ("slots", np.int64),  # of the optimizer's state
        ("alpha", np.float64),
        ("l1", np.float64),
        ("clip_value", np.float64),  # infinity for none
        ("clip_norm", np.float64),  # infinity for none
        ("max_norm", np.float64),  # infinity for none
    ],
    align=True,
)

DENSE, CSR = 0, 1
NO_TARGET, DENSE_TARGET, CLASS_TARGET = 0, 1, 2

SOURCE = np.dtype(
    [
        ("kind", np.int64),
        ("code", np.int64),
        ("start", np.int64),  # bytes from the memory's lowest address to row 0, column 0
        ("row_stride", np.int64),
        ("column_stride", np.int64),
        ("row_bytes", np.int64),  # of a row in one piece, else 0
        ("index_bytes", np.int64),
        ("target_kind", np.int64),
        ("target_code", np.int64),
        ("target_start", np.int64),
        ("target_row_stride", np.int64),
        ("target_column_stride", np.int64),
    ],
    align=True,
)


def records(count, dtype):
    """Zeroed records of one of the types above.

    Compiled code reads their fields as attributes; so can Python, where the kernels run
    uncompiled for a debugger.
    """
    array = np.zeros(count, dtype)
    return array.view(np.recarray) if numba.config.DISABLE_JIT else array
