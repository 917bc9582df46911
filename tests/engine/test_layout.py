"""Where the parts of a network lie: nothing overlaps, everything begins on a cache line."""

import numpy as np
import pytest

from helpers import make_network
from jitmlp.engine.layout import MAX_BLOCK_ROWS, Arena, Layout, aligned_zeros
from jitmlp.engine.memory import check_memory, memory_limit
from jitmlp_kernels.pieces.batch_norm import VECTORS
from jitmlp_kernels.pieces.records import LINE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [(1, 1), (3, 5, 2), (784, 30, 10), (33, 17, 65, 4)])
@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "dropout": True}])
def test_the_parts_do_not_overlap(units, dtype, options):
    drops = (0.1,) * (len(units) - 1) if options.get("dropout") else ()
    network, *_ = make_network(units, "swish", dtype=dtype, dropout=drops, batch_norm=options.get("batch_norm", False))
    layout = Layout(network.model, 10, 2, 2, True)
    rows, stretches = max(layout.block_rows, 2 * 64), [(layout.status, layout.arena.line * 2), (layout.ones, 1)]
    for place, layer in zip(layout.layers, network.model.layers):
        width = place.panels * layout.lanes
        for copy in range(4):
            base = copy * layout.state_stride
            stretches += [(base + place.weights, width * place.fan_in_padded), (base + place.bias, width)]
            if layer.batch_norm:
                stretches += [(base + place.gamma, width), (base + place.beta, width)]
        buffers = {place.outputs, place.deltas, place.preactivations, place.linear, place.dropped}
        stretches += [(start, rows * place.row) for start in buffers]
        if layer.batch_norm:
            stretches.append((place.statistics, VECTORS * width))
        if place.transposed >= 0:
            panels = -(-place.fan_in_padded // layout.lanes)
            stretches.append((place.transposed, panels * width * layout.lanes))
    stretches += [(layout.layers[0].inputs, rows * layout.inputs_row), (layout.targets, rows * layout.layers[-1].row)]
    ends = 0
    for start, count in sorted(stretches):
        assert start >= ends and start * np.dtype(dtype).itemsize % LINE == 0
        ends = start + count
    assert ends <= layout.arena.size
    for row in (layout.inputs_row, *(place.row for place in layout.layers)):  # one vector, or an odd number of lines
        assert row == layout.lanes or row % layout.arena.line == 0 and row // layout.arena.line % 2 == 1


def test_large_batches_are_cut_into_equal_blocks():
    network, *_ = make_network((3, 2))
    for rows in (1, 1000, MAX_BLOCK_ROWS, MAX_BLOCK_ROWS + 1, 5000):
        layout = Layout(network.model, rows)
        assert layout.blocks == -(-rows // MAX_BLOCK_ROWS) and layout.block_rows * layout.blocks >= rows


def test_memory_is_booked_before_it_is_taken():
    network, *_ = make_network((100, 50, 3), optimizer="adam", rows=32)
    assert network.layout.nbytes >= network.memory.nbytes
    check_memory(network.layout)
    with pytest.raises(MemoryError, match="hidden_layer_sizes"):
        check_memory(network.layout, more=memory_limit())


def test_aligned_zeros_and_arena():
    for count in (1, 7, 1000):
        assert aligned_zeros(count, "float32").ctypes.data % LINE == 0
    arena = Arena(8)
    assert [arena.take(n) for n in (1, 8, 9, 1)] == [0, 8, 16, 32]
