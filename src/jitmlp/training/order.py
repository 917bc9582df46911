"""The order in which an epoch takes the rows: all shuffled, or by blocks of neighbours, for data larger than memory.

Random rows of a file are random reads. By blocks, a window of neighbouring rows from random places of the file is read at
the speed of the disk, shuffled in memory, and read ahead by a thread while the window before it trains.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

from jitmlp.engine import interrupts
from jitmlp.engine.data import Data, map_of
from jitmlp.engine.memory import memory_limit
from jitmlp.training.beside import WAIT, beside
from jitmlp.training.direct import DirectFile, Room, direct_windows, whole_sectors

BLOCK_BYTES = 2**21  # from where on a disk reads as fast at random places as in order
WINDOW_SHARE = 1 / 64  # of the memory; one window trains, another is read, and what is touched first is slow
UNSHUFFLED_BYTES = 2**26  # of a window whose rows stay in their order
FIRST_WINDOWS = (8, 4, 2)  # parts of a window
PAGE, NEAR = mmap.PAGESIZE, 8  # bytes; rows
# Of Linux. MADV_WILLNEED reads what is named, where a fault reads as much around it as the disk's queue is set to, 8 MB on
# some: four times the file. MADV_POPULATE_READ maps pages in a call for a block, not in a fault for each 64 KB: 3 GB in
# 2.0 s of which 0.1 are a core's, instead of 3.0 and 1.4. MADV_PAGEOUT takes what is clean out of the page cache
WILL_NEED, POPULATE, PAGE_OUT = 3, 22, 21


class Blocks(NamedTuple):
    """Shuffling by blocks.

    Attributes
    ----------
    window : int
        Rows that are shuffled together, fewer at first; 0 for as many as fit in a 64th of the memory.
    """

    window: int = 0

    def sizes(self, row_bytes: int, n_rows: int) -> tuple[int, int]:
        """Rows of a window, and of each of its blocks."""
        limit = memory_limit() or 2**32
        window = self.window or int(WINDOW_SHARE * limit / max(1, row_bytes))
        window = max(1, min(window, n_rows))
        block, step = max(1, min(BLOCK_BYTES // max(1, row_bytes), -(-window // 8))), whole_sectors(max(1, row_bytes))
        return window, block // step * step or block

    def order(self, rows: np.ndarray, row_bytes: int, random_state: Any) -> tuple[np.ndarray, np.ndarray]:
        """The rows in the order of an epoch, and where its windows begin.

        Parameters
        ----------
        rows : ndarray of int64
            Which rows, in any order.
        row_bytes : int
        random_state : RandomState
        """
        rows = np.sort(rows)
        window, block = self.sizes(row_bytes, len(rows))
        firsts = np.arange(0, len(rows), block)
        random_state.shuffle(firsts)
        lengths = np.minimum(block, len(rows) - firsts)
        order = np.concatenate([rows[first : first + n] for first, n in zip(firsts, lengths)])
        ends = np.cumsum(lengths)
        # a window is of whole blocks
        starts, sizes = [0], window_sizes(window, len(rows))
        while starts[-1] < len(rows):
            last = np.searchsorted(ends, starts[-1] + next(sizes), side="right")
            starts.append(int(ends[last - 1]) if last and ends[last - 1] > starts[-1] else int(ends[last]))
        # of ten million rows the random state's own shuffle takes a second, in which nothing trains
        generator = np.random.Generator(np.random.SFC64(random_state.randint(2**31)))
        for start, stop in zip(starts, starts[1:]):
            generator.shuffle(order[start:stop])
        return order, np.array(starts)


def in_order(data: Data, rows: np.ndarray) -> np.ndarray | None:
    """Where windows begin of all rows of a file, in their order, that memory does not hold; None for others."""
    if not (is_large(data) and map_of(data.X) is not None and np.array_equal(rows, np.arange(data.n_samples))):
        return None
    step = whole_sectors(data.row_bytes)
    window = -(-UNSHUFFLED_BYTES // data.row_bytes // step) * step
    return np.append(np.arange(0, len(rows), window), len(rows))


def is_large(data: Data) -> bool:
    """Whether rows do not stay in memory with all else that is there."""
    return data.n_samples * data.row_bytes > (memory_limit() or 2**32) / 2


def window_sizes(window: int, n_rows: int) -> Iterator[int]:
    """Rows of one window after the other: nothing can train while the first is read, so the first of several are small."""
    first = (max(1, window // part) for part in FIRST_WINDOWS) if window < n_rows else ()
    return chain(first, repeat(window))


@contextmanager
def read_ahead(
    data: Data, order: np.ndarray, starts: np.ndarray, multiple: int, rooms: list[Room]
) -> Iterator[Iterator[tuple[Data, np.ndarray]]]:
    """The rows of each window once it has been read, and their order; the next one is read while it trains.

    Of a file that memory does not hold they are read past the page cache if they can be, and else given back to the system
    once they are trained on: it would drop others, read ahead and not used yet, before these.

    Parameters
    ----------
    data : Data
    order : ndarray of int64
        The rows of an epoch.
    starts : ndarray of int
        Where its windows begin, and the last ends.
    multiple : int
        So many rows, or a multiple, are given at a time, but for the last.
    rooms : list of Room
        Memory of an earlier epoch, or nothing yet.
    """
    X = data.X
    if not isinstance(X, np.ndarray) or map_of(X) is None:
        yield iter([(data, order)])
        return
    whole = np.diff(starts).max(initial=0) >= multiple  # mini-batches of more rows are not to be copied together
    file = DirectFile.of(data) if is_large(data) and whole else None
    windows = [order[first:last] for first, last in zip(starts, starts[1:])]
    as_stored = [np.sort(window) for window in windows] if file is not None else []
    if file is not None and all(map(file.holds, as_stored)):
        with direct_windows(file, data, windows, as_stored, multiple, rooms) as direct:
            yield direct
        return
    with _read_through_the_map(X, order, starts, multiple, is_large(data)) as parts:
        yield ((data, part) for part in parts)


@contextmanager
def _read_through_the_map(
    X: np.ndarray, order: np.ndarray, starts: np.ndarray, multiple: int, gives_back: bool
) -> Iterator[Iterator[np.ndarray]]:
    n_windows = len(starts) - 1
    windows = [order[first:last] for first, last in zip(starts, starts[1:])]
    is_read = [threading.Event() for _ in windows]
    wanted, done = threading.Semaphore(2), threading.Event()  # the first, and one ahead

    def read() -> None:
        try:
            for k in range(n_windows):
                while not wanted.acquire(timeout=WAIT):
                    if done.is_set():
                        return
                if k > 1 and gives_back:
                    for run in _runs(windows[k - 2]):
                        _advise(X[run[0] : run[-1] + 1], PAGE_OUT)
                _read(X, windows[k], done)
                is_read[k].set()
        finally:
            for event in is_read:  # what was not read is read by those who use it
                event.set()

    def parts() -> Iterator[np.ndarray]:
        for k in range(n_windows):
            if k:
                wanted.release()
            while not is_read[k].wait(WAIT):
                interrupts.answer_pending()
            last = len(order) if k == n_windows - 1 else starts[k + 1] // multiple * multiple
            yield order[starts[k] // multiple * multiple : last]

    with beside(read, "jitmlp-read-ahead", done):
        yield parts()


def _read(X: np.ndarray, rows: np.ndarray, done: threading.Event) -> None:
    """Read the pages of rows, the disk always one run of neighbours ahead."""
    runs = _runs(rows)
    for run, following in zip(runs, [*runs[1:], None]):
        if done.is_set():
            return
        for wanted in (run, following):
            if wanted is not None:
                _advise(X[wanted[0] : wanted[-1] + 1], WILL_NEED)
        _touch(X, run)


def _runs(rows: np.ndarray) -> list[np.ndarray]:
    """Rows in order, those that are near each other together."""
    rows = np.sort(rows)
    ends = np.flatnonzero(np.diff(rows) > NEAR) + 1
    return np.split(rows, ends) if len(rows) else []


def _touch(X: np.ndarray, rows: np.ndarray) -> None:
    """Read a number of every page of some rows, or have the system read the pages."""
    if not len(rows):
        return
    first, last = int(rows[0]), int(rows[-1]) + 1
    if _advise(X[first:last], POPULATE):
        return
    step = max(1, PAGE // X.itemsize)
    if X.flags.c_contiguous and X.size and last - first == len(rows):
        X[first:last].reshape(-1)[::step].max()
    else:
        X[rows, ::step].max(initial=0)


def _advise(X: np.ndarray, what: int) -> bool:
    """Tell the system what shall become of the pages of an array; whether it knows how to."""
    if not sys.platform.startswith("linux") or not X.nbytes or not X.flags.c_contiguous:
        return False
    start = -(-X.ctypes.data // PAGE) * PAGE if what == PAGE_OUT else X.ctypes.data // PAGE * PAGE
    end = X.ctypes.data + X.nbytes
    if start >= end:
        return False
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # another error says that pages cannot be read, such as those that a file has lost: touching them would be the end
    return madvise(start, end - start, what) == 0 or ctypes.get_errno() != errno.EINVAL
