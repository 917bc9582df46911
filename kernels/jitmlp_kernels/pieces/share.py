"""How the rows of a mini-batch are divided among threads."""

from __future__ import annotations

from jitmlp_kernels.trace.target import TILE_ROWS

HALF_ROWS = TILE_ROWS // 2


def share(m, n_rows, n_threads, thread):
    """First and last row of a thread's share, in whole half tiles; the last may lie behind the rows."""
    halves = (n_rows + (HALF_ROWS - 1)) // HALF_ROWS
    return thread * halves // n_threads * HALF_ROWS, (thread + 1) * halves // n_threads * HALF_ROWS
