"""Products of numbers of 8 bits of precision (bfloat16), added up in float32.

Activations, deltas and weights stay float32; what is multiplied are words of 32 bits with two of them, rounded, side by side:
those that are multiplied one after the other. Of rows these are neighbouring columns on the way forward and back, and
neighbouring rows for the gradients; of weights they are neighbouring rows of a panel. AVX512_BF16 multiplies such words; on
other CPUs both halves are widened again (:meth:`~jitmlp_kernels.trace.emitter.Emitter.dot_pairs`).
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.product import PRODUCT, multiply_rows
from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.pieces.share import HALF_ROWS
from jitmlp_kernels.pieces.tiles import Product
from jitmlp_kernels.trace.functions import where

WORD, UPPER = np.uint32, 2**16
assert HALF_ROWS % 2 == 0, "the rows of a word must be one thread's"

# Rows from a buffer of floats to one of words
PACK = record(source=ADDRESS, row=INT, units=INT, target=ADDRESS, target_row=INT)
# Panels of weights, of so many vectors in all
PACK_WEIGHTS = record(source=ADDRESS, target=ADDRESS, vectors=INT)


def rounded(m, lanes):
    """The nearest numbers of 8 bits of precision, the even one of two, in the lower halves of words."""
    bits = m.bits(lanes)
    nearest = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16
    return where(lanes == lanes, nearest, 0x7FC0)  # the bits of NaN would run over into those of a number


def pair(m, first, second):
    """Words of two vectors, lane by lane."""
    return rounded(m, first) | rounded(m, second) * UPPER


@kernel(PACK)
def pack_columns(m, job, unit, op):
    """Words of neighbouring columns of the group's rows."""
    lanes, row, target_row, vectors = m.lanes, op.row, op.target_row, m.vectors(op.units)
    source = op.source.cast(m.dtype).at(unit.place * row)
    target = op.target.cast(WORD).at(unit.place * target_row)
    second = m.variable(m.zero())
    for r in m.loop(unit.padded):
        for i in m.loop((vectors + 1) // 2):
            cells = source.at(r * row).at(i * (2 * lanes))
            second.set(m.zero())
            for _ in m.when(i * 2 + 1 < vectors):
                second.set(m.load(cells.at(lanes)))
            both = m.load(cells), second.get()
            even, odd = (m.shuffle(*both, range(first, 2 * lanes, 2)) for first in (0, 1))
            m.store(pair(m, even, odd), target.at(r * target_row).at(i * lanes))


@kernel(PACK)
def pack_rows(m, job, unit, op):
    """Words of neighbouring rows of the group; behind the last one are zeros."""
    lanes, row, target_row, count = m.lanes, op.row, op.target_row, unit.count
    source = op.source.cast(m.dtype).at(unit.place * row)
    target = op.target.cast(WORD).at(unit.place // 2 * target_row)
    for r in m.loop(0, count, 2):
        exists = m.inside(0, (count - r - 1) * lanes)
        for i in m.loop(m.vectors(op.units)):
            cells = source.at(r * row).at(i * lanes)
            second = where(exists, m.load(cells.at(row)), 0.0)
            m.store(pair(m, m.load(cells), second), target.at(r // 2 * target_row).at(i * lanes))


@kernel(PACK_WEIGHTS)
def pack_weights(m, job, unit, op):
    """Words of neighbouring rows of panels; each thread takes a share of them."""
    source, target, words = op.source.cast(m.dtype), op.target.cast(WORD), op.vectors // 2
    thread, n_threads = unit.thread, job.n_threads
    for n in m.loop(thread * words // n_threads, (thread + 1) * words // n_threads):
        cells = source.at(n * (2 * m.lanes))
        m.store(pair(m, m.load(cells), m.load(cells.at(m.lanes))), target.at(n * m.lanes))


@kernel(PRODUCT)
def rounded_product(m, job, unit, op):
    """Forward through a layer, or its deltas back to the layer below; see :func:`~jitmlp_kernels.pieces.product.product`."""
    multiply_rows(m, unit, op, WORD)


class RoundedProduct(Product):
    """The gradients of tiles, two rows at a time; stands where ``tiles.Product`` does."""

    def __init__(self, m, job, unit, op, part):
        super().__init__(m, job, unit, op, part)
        self.inputs, self.deltas = op.inputs.cast(WORD), op.deltas.cast(WORD)
        self.rows = (unit.n_rows + 1) // 2

    def into(self, i, j, width, init, c, ahead=None):
        """Write the gradient of one tile, added to ``init``, to ``c``."""
        if ahead is not None:  # as much as one row at a time would ask for
            ahead = ahead[0], ahead[1] * 2
        super().into(i, j, width, init, c, ahead)
