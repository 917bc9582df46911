"""Transposition in registers: of a weight tile into the panels of the backward pass, of a square of vectors."""

from __future__ import annotations

from jitmlp_kernels.trace.target import TILE_ROWS


def transposed(m, vectors):
    """Vectors, a power of two of them and no more than they have lanes, column by column.

    Of as many as there are lanes, lane ``c`` of vector ``r`` goes to lane ``r`` of vector ``c``.
    """
    lanes, step = m.lanes, len(vectors) // 2
    low = [i // 2 + lanes * (i % 2) for i in range(lanes)]
    high = [lanes // 2 + i for i in low]
    while step:  # perfect shuffles of the two halves: after log2(len(vectors)) rounds the elements lie column by column
        half = len(vectors) // 2
        pairs = zip(vectors[:half], vectors[half:])
        vectors = [m.shuffle(a, b, indices) for a, b in pairs for indices in (low, high)]
        step //= 2
    return vectors


def transpose_tile(m, source, panels, panel_stride, target, target_panel):
    """Write TILE_ROWS rows of neighbouring weight panels transposed.

    Row ``r``, lane ``x`` of panel ``v`` goes to lane ``r`` of row ``v * lanes + x`` of the
    target panel; where a vector has fewer lanes than the tile has rows, later rows go to the
    panels that follow, ``target_panel`` apart.
    """
    lanes = m.lanes
    group = min(TILE_ROWS, lanes)

    def write_group(vectors, to):
        """``group`` vectors of ``lanes`` -> ``lanes`` rows of ``group`` elements."""
        vectors = transposed(m, vectors)
        for x in range(lanes):
            piece, first = vectors[x * group // lanes], x * group % lanes
            m.store(m.shuffle(piece, piece, range(first, first + group)), to.at(x * lanes))

    for panel in m.loop(panels):
        start = source.at(panel * panel_stride)
        rows = [m.load(start.at(r * lanes)) for r in range(TILE_ROWS)]
        to = target.at(panel * (lanes * lanes))
        for g in range(TILE_ROWS // group):
            write_group(rows[g * group : (g + 1) * group], to.at(g * target_panel))
