"""The order in which an epoch takes the rows: all shuffled, or by blocks of neighbours, for data larger than memory.

Random rows of a file are random reads. By blocks, a window of neighbouring rows from random places of the file is read at
the speed of the disk, shuffled in memory, and read ahead by a thread while the window before it trains.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jitmlp.engine.memory import memory_limit

BLOCK_BYTES = 2**22  # from where on a disk reads as fast at random places as in order
# Of the memory. One window trains while another is read; the system drops what has been read once when it is half of the
# memory: with a quarter 30 GB were read three times, with an eighth 1.2 times (benchmarks/lab/larger_than_memory.py)
WINDOW_SHARE = 0.125
PAGE = 4096
POPULATE = 22  # MADV_POPULATE_READ of Linux 5.14: pages for a call each 4 MB, not for a fault each 64 KB


class Blocks(NamedTuple):
    """Shuffling by blocks.

    Attributes
    ----------
    window : int
        Rows that are shuffled together; 0 for as many as fit in an eighth of the memory.
    """

    window: int = 0

    def sizes(self, row_bytes: int, n_rows: int) -> tuple[int, int]:
        """Rows of a window, and of each of its blocks."""
        limit = memory_limit() or 2**32
        window = self.window or int(WINDOW_SHARE * limit / max(1, row_bytes))
        window = max(1, min(window, n_rows))
        return window, max(1, min(BLOCK_BYTES // max(1, row_bytes), -(-window // 8)))

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
        starts = [0]
        while starts[-1] < len(rows):
            last = np.searchsorted(ends, starts[-1] + window, side="right")
            starts.append(int(ends[last - 1]) if last and ends[last - 1] > starts[-1] else int(ends[last]))
        for start, stop in zip(starts, starts[1:]):
            random_state.shuffle(order[start:stop])
        return order, np.array(starts)


def is_mapped(X: Any) -> bool:
    """Whether an array lies in a file."""
    while X is not None:
        if isinstance(X, (np.memmap, mmap.mmap)):
            return True
        X = getattr(X, "base", None) if not isinstance(X, memoryview) else X.obj
    return False


@contextmanager
def read_ahead(X: Any, order: np.ndarray, starts: np.ndarray, position: Callable) -> Iterator[None]:
    """Read each window while the one before it trains; ``position()`` is how many rows have been trained on."""
    if not isinstance(X, np.ndarray) or not is_mapped(X) or len(starts) < 3:
        yield
        return
    done = threading.Event()

    def read() -> None:
        for before, start, stop in zip(starts, starts[1:], starts[2:]):
            while position() < before:
                if done.wait(0.005):
                    return
            for piece in np.array_split(np.sort(order[start:stop]), max(1, (stop - start) // 1024)):
                if done.is_set():
                    return
                _touch(X, piece)

    thread = threading.Thread(target=read, name="jitmlp-read-ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _touch(X: np.ndarray, rows: np.ndarray) -> None:
    """Read a number of every page of some rows."""
    if not len(rows):
        return
    first, last = int(rows[0]), int(rows[-1]) + 1
    if X.flags.c_contiguous and last - first < 2 * len(rows) and _populate(X[first:last]):
        return
    step = max(1, PAGE // X.itemsize)
    if X.flags.c_contiguous and X.size and last - first == len(rows):
        X[first:last].reshape(-1)[::step].max()
    else:
        X[rows, ::step].max(initial=0)


def _populate(X: np.ndarray) -> bool:
    """Have the system read the pages of an array, without a fault for each; whether it can."""
    if not sys.platform.startswith("linux") or not X.nbytes:
        return False
    start = X.ctypes.data // PAGE * PAGE
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise(start, X.ctypes.data + X.nbytes - start, POPULATE) == 0
