"""How the rows of a mini-batch are divided among threads."""

from __future__ import annotations

from typing import NamedTuple

from jitmlp_kernels.trace.target import TILE_ROWS

HALF_ROWS = TILE_ROWS // 2
QUARTERS = 4


def share(m, n_rows, n_threads, thread):
    """First and last row of a thread's share, in whole half tiles; the last may lie behind the rows."""
    halves = (n_rows + (HALF_ROWS - 1)) // HALF_ROWS
    return thread * halves // n_threads * HALF_ROWS, (thread + 1) * halves // n_threads * HALF_ROWS


class Part(NamedTuple):
    """Rows of a block whose gradient is summed for itself: their number, the first and the last."""

    number: object
    first: object
    last: object
    is_whole: bool = False


def parts(m, job, unit, found_by):
    """Those whose gradients the thread finds, one by one: see ``found_by`` of :class:`jitmlp.engine.program.Plan`.

    A quarter is a thread's share in a team of four, and so part of its share in a team of two or one.
    """
    if not found_by:
        yield Part(m.whole(0), m.whole(0), unit.n_rows, is_whole=True)
        return
    n_threads, thread = (job.n_threads, unit.thread) if found_by == "rows" else (1, 0)
    for number in m.loop(thread * QUARTERS // n_threads, (thread + 1) * QUARTERS // n_threads):
        first, last = share(m, unit.n_rows, QUARTERS, number)
        yield Part(number, first, m.least(last, unit.n_rows))
