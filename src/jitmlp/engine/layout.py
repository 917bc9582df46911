"""Where everything of a network lies in one flat array, laid out once.

Weights live in panels of one vector's width, ``[panel][fan_in][lane]``, with a transposed copy
for the backward pass, so nothing is packed in a step. Every size is padded to whole vectors and
tiles; the padding is zero and stays zero. Memory is booked first and allocated after, so that
what a network needs is known before any is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitmlp.model.model import Model
from jitmlp_kernels.pieces.batch_norm import VECTORS
from jitmlp_kernels.pieces.records import GROUP_ROWS, LINE
from jitmlp_kernels.pieces.share import QUARTERS
from jitmlp_kernels.trace.target import TILE_PANELS, TILE_ROWS, VECTOR_BYTES

MAX_BLOCK_ROWS = 1024  # larger mini-batches go through in blocks, whose buffers stay in the cache
FIRST_STRIP_COST = 1.5  # of a layer's first strip beside the others: the biases go with it
KNOT_STRIP_COST = 0.3  # of a strip of parts of bins
# Bytes of the parameters of a network whose mini-batches have gradients in quarters, and how many activations there are for each
MOST_QUARTERED, LEAST_ACTIVATIONS = 2**16, 6


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def gains_from_quarters(model: Model, rows: int) -> bool:
    """Whether quarters of a mini-batch should have gradients of their own, which are added up before the update.

    A team of two or four computes them where the rows are, and only these gradients cross from core to core. That pays where
    they are few beside the activations, which would cross else; one thread, too, finds more of a quarter's rows in its cache
    (benchmarks/lab/quarters.py).
    """
    if model.bfloat16 or model.has_batch_norm or model.bins is not None or model.embedding is not None:
        return False
    n_parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in model.shapes)
    widths = model.n_multiplied + sum(fan_out for _, fan_out in model.shapes)
    enough = min(rows, MAX_BLOCK_ROWS) * widths >= LEAST_ACTIVATIONS * n_parameters
    return enough and n_parameters * model.dtype.itemsize <= MOST_QUARTERED


class Arena:
    """Books stretches of the flat array, each starting on a cache line; counts elements."""

    def __init__(self, itemsize: int) -> None:
        self.line = LINE // itemsize
        self.size = 0

    def take(self, count: int) -> int:
        """Where a stretch of ``count`` elements begins."""
        start = self.size
        self.size = up(start + count, self.line)
        return start


def aligned_zeros(count: int, dtype: Any) -> np.ndarray:
    """Zeros that start on a cache line and are touched by nobody yet."""
    dtype = np.dtype(dtype)
    raw = np.zeros(count * dtype.itemsize + LINE, np.uint8)
    shift = -raw.ctypes.data % LINE
    return raw[shift : shift + count * dtype.itemsize].view(dtype)


@dataclass
class WordsPlace:
    """Where the words of one layer lie that are multiplied in bfloat16, each two numbers."""

    weights: int = 0  # [panel][fan_in_padded / 2][lane]
    transposed: int = 0
    input_columns: int = 0  # words of neighbouring columns, for the way forward
    input_columns_row: int = 0
    input_rows: int = 0  # words of neighbouring rows, for the gradients
    delta_columns: int = 0
    delta_columns_row: int = 0
    delta_rows: int = 0


@dataclass
class LookupPlace:
    """Where embeddings and what belongs to them lie."""

    embeddings: int  # [category][dim], in whole vectors of categories
    count: int  # elements, those behind the last category included
    gradients: int = 0
    input_deltas: int = 0
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # of each category among the inputs


@dataclass
class KnotsPlace:
    """Where it lies what numbers in bins add at their knots, and between which knots those of a mini-batch are."""

    values: int  # [panel][knot][lane]
    knots: int  # int32 [row][feature]
    fractions: int  # [row][feature]
    ends: int = 0  # int32 [slot][bin]
    entry_rows: int = 0  # int32 [slot][row]
    entry_fractions: int = 0


@dataclass
class LayerPlace:
    """Where the parts of one layer lie, in elements; later the operands of its calls."""

    fan_in: int
    fan_out: int
    fan_in_padded: int  # rows of a weight panel, a multiple of TILE_ROWS
    panels: int  # vectors that hold fan_out units
    weights: int
    bias: int
    gamma: int
    beta: int
    transposed: int = -1  # [panel of fan_in][panels * lanes][lane], but of a first layer whose inputs are the rows
    inputs: int = 0
    inputs_row: int = 0
    row: int = 0  # elements from row to row of what follows
    linear: int = 0  # what is normalized over the mini-batch; the same place as preactivations else
    statistics: int = 0
    preactivations: int = 0  # the same place as outputs unless needed later
    outputs: int = 0
    deltas: int = 0
    dropped: int = 0  # what dropout leaves of the outputs: the next layer's inputs
    first_strip: int = 0
    slope_values: int = 0  # what the activation's derivative reads
    words: WordsPlace = field(default_factory=WordsPlace)

    @property
    def copies(self) -> bool:
        """Whether the activation writes elsewhere than it reads."""
        return self.preactivations != self.outputs


@dataclass
class Layout:
    """The places of all parts of a network.

    Parameters
    ----------
    model : Model
    rows : int
        Rows of the largest mini-batch.
    n_threads : int
    slots : int
        Of the optimizer's state.
    accumulate : bool
        Whether gradients wait for something before the update.
    training : bool
        Whether deltas, targets and transposed weights are needed.
    keep_preactivations : bool
        Whether those of every layer are kept, not only where a derivative needs them.
    """

    model: Model
    rows: int = 1
    n_threads: int = 1
    slots: int = 0
    accumulate: bool = False
    training: bool = True
    keep_preactivations: bool = False
    layers: list[LayerPlace] = field(default_factory=list)
    lookup: LookupPlace | None = None
    knots: KnotsPlace | None = None
    in_quarters: bool = False

    def __post_init__(self) -> None:
        itemsize = self.model.dtype.itemsize
        self.lanes = max(1, VECTOR_BYTES // itemsize)
        self.arena = Arena(itemsize)
        # batch normalization needs the sums over all rows before it can go on with any
        self.blocks = 1 if self.model.has_batch_norm else max(1, -(-self.rows // MAX_BLOCK_ROWS))
        self.block_rows = up(-(-self.rows // self.blocks), TILE_ROWS)
        self.in_quarters = self.training and not self.accumulate and gains_from_quarters(self.model, self.rows)
        self._book_parameters()
        self._book_state()
        self._book_buffers()

    @property
    def accumulates(self) -> bool:
        """Whether there is room for gradients that wait."""
        return self.accumulate or self.blocks > 1

    @property
    def nbytes(self) -> int:
        """Bytes of the flat array and of what lies beside it."""
        return self.arena.size * self.model.dtype.itemsize + 16 * self.rows + 8 * (2 * self.n_strips + len(self.layers))

    def _book_parameters(self) -> None:
        strips = 0
        for (fan_in, fan_out), layer in zip(self.model.shapes, self.model.layers):
            panels, padded = -(-fan_out // self.lanes), up(fan_in, TILE_ROWS)
            width = panels * self.lanes
            weights, bias = self.arena.take(padded * width), self.arena.take(width)
            gamma, beta = (self.arena.take(width), self.arena.take(width)) if layer.batch_norm else (0, 0)
            self.layers.append(
                LayerPlace(fan_in, fan_out, padded, panels, weights, bias, gamma, beta, first_strip=strips)
            )
            strips += padded // TILE_ROWS
        self.n_strips = strips
        embedding = self.model.embedding
        if embedding is not None:
            starts = np.ascontiguousarray(embedding.places, np.int64)
            count = up(len(starts), self.lanes) * embedding.dim
            self.lookup = LookupPlace(self.arena.take(count), count, starts=starts)

    def _book_state(self) -> None:
        # An odd number of cache lines, so that a parameter and its state never fall
        # into the same set of the first-level cache.
        lines = self.arena.size // self.arena.line
        self.state_stride = (lines + 1 - lines % 2) * self.arena.line
        gradients = QUARTERS if self.in_quarters else int(self.accumulates)
        self.arena.size = (1 + self.slots + gradients) * self.state_stride
        self.gradients = (self.slots + min(gradients, 1)) * self.state_stride  # behind the last slot
        for place in self.layers[self.lookup is None :] if self.training else ():
            panels = -(-place.fan_in_padded // self.lanes)
            place.transposed = self.arena.take(panels * place.panels * self.lanes * self.lanes)

    def _row(self, units: int) -> int:
        """An odd number of cache lines: rows a power of two apart would collide in L1.

        Not of vectors, of which two are a line with AVX2: the pair that the gradient of weights takes from every row would
        lie in two lines where it could in one (benchmarks/lab/row_lengths.py).
        """
        units = up(units, TILE_ROWS)
        if units <= self.lanes:
            return self.lanes
        lines = -(-units // self.arena.line)
        return (lines + 1 - lines % 2) * self.arena.line

    def _book_buffers(self) -> None:
        take = self.arena.take
        count = max(self.block_rows if self.training else 0, self.n_threads * GROUP_ROWS)
        # the last embedding, and the last feature's bins, are written in whole vectors
        room = self.lanes if self.lookup or self.model.bins else 0
        row = self.inputs_row = self._row(self.model.n_multiplied + room)
        inputs = take(count * row)
        if self.model.interpolates:
            self._book_knots(count)
        if self.lookup is not None and self.training:
            self.lookup.input_deltas = take(count * row)
            waits = self.accumulates
            self.lookup.gradients = self.lookup.embeddings + self.gradients if waits else take(self.lookup.count)
        for place, layer in zip(self.layers, self.model.layers):
            place.inputs, place.inputs_row = inputs, row
            row = place.row = self._row(place.panels * self.lanes)
            inputs = place.outputs = take(count * row)
            place.deltas = take(count * row) if self.training else 0
            needed = self.training and layer.activation.from_preactivation
            apart = needed or self.keep_preactivations
            place.preactivations = take(count * row) if apart else place.outputs
            place.slope_values = place.preactivations if needed else place.outputs
            place.linear = place.preactivations
            if layer.batch_norm:
                place.linear = take(count * row)
                place.statistics = take(VECTORS * place.panels * self.lanes)
            place.dropped = take(count * row) if layer.dropout else place.outputs
            inputs = place.dropped
        self.targets = take(count * row) if self.training else 0
        if self.model.bfloat16:
            self._book_words(count)
        self.zeros, self.ones = take(2 * TILE_PANELS * self.lanes), take(1)
        self.scratch_stride = up(TILE_ROWS * TILE_PANELS * self.lanes, self.arena.line) + 2 * self.arena.line
        self.scratch = take(self.scratch_stride * self.n_threads)
        self.status = take(self.arena.line * self.n_threads)

    def _book_knots(self, count: int) -> None:
        take, bins = self.arena.take, self.model.bins
        assert bins is not None
        n = len(bins.features)
        self.knots = KnotsPlace(
            take(self.layers[0].panels * bins.n_added * self.lanes), take(count * n), take(count * n)
        )
        if self.training:  # two threads may own weights of one feature
            slots = n + self.n_threads
            self.knots.ends = take(slots * bins.most_parts)
            self.knots.entry_rows, self.knots.entry_fractions = (take(slots * self.block_rows) for _ in range(2))

    def _book_words(self, count: int) -> None:
        take, halves = self.arena.take, (count + 1) // 2
        for place in self.layers:
            words, width = place.words, place.panels * self.lanes
            words.weights = take(place.fan_in_padded // 2 * width)
            words.input_columns_row = self._row(-(-place.inputs_row // 2))
            words.input_columns = take(count * words.input_columns_row)
            if not self.training:
                continue
            words.input_rows, words.delta_rows = take(halves * place.inputs_row), take(halves * place.row)
            if place.transposed >= 0:
                words.transposed = take(-(-place.fan_in_padded // self.lanes) * self.lanes * width // 2)
                words.delta_columns_row = self._row(-(-place.row // 2))
                words.delta_columns = take(count * words.delta_columns_row)

    def share_strips(self, n_threads: int) -> np.ndarray:
        """Rows of each layer's weights that each thread owns, of nearly equal work.

        Strips of TILE_ROWS rows are dealt out in order along all layers, each thread
        getting a stretch of equal cost; the biases go with a layer's first strip.

        Returns
        -------
        ndarray of int64, shape (n_threads, n_layers, 2)
        """
        costs, places = [], []
        interpolated = self.model.n_multiplied if self.model.interpolates else self.layers[0].fan_in_padded
        for l, place in enumerate(self.layers):
            for i in range(0, place.fan_in_padded, TILE_ROWS):
                cost = FIRST_STRIP_COST if i == 0 else KNOT_STRIP_COST if l == 0 and i >= interpolated else 1.0
                costs.append(place.panels * cost)
                places.append((l, i))
        middle = np.cumsum(costs) - np.asarray(costs) / 2
        owner = np.minimum(middle * n_threads / sum(costs), n_threads - 1).astype(int)
        shares = np.zeros((n_threads, len(self.layers), 2), np.int64)
        for thread, (l, i) in zip(owner, places):
            if shares[thread, l, 1] == 0:
                shares[thread, l, 0] = i
            shares[thread, l, 1] = i + TILE_ROWS
        return shares
