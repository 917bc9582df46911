"""Rows that come in chunks, anew in every epoch: put together to windows, shuffled, read ahead by a thread.

A window has room for a 64th of the memory at most; one trains while the next is read.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from jitmlp.engine.data import Data
from jitmlp.training.beside import WAIT, beside, made_by
from jitmlp.training.order import UNSHUFFLED_BYTES, Blocks, window_sizes

WINDOWS = 2  # that exist at a time


class Chunk(NamedTuple):
    """Some rows.

    Attributes
    ----------
    X : ndarray or CSR matrix
    y : ndarray
        Encoded targets.
    sample_weight : ndarray or None
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def kind(self) -> tuple:
        """What all chunks must have in common."""
        return (
            sparse.issparse(self.X), self.X.dtype, self.X.shape[1], self.y.dtype, self.y.shape[1:],
            self.sample_weight is not None,
        )  # fmt: skip

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of X."""
        return Data(self.X).row_bytes


class Window:
    """Room for rows of chunks like one that is given."""

    def __init__(self, like: Chunk, capacity: int) -> None:
        self.kind, self.capacity, self.n_rows, self.wanted = like.kind, capacity, 0, capacity
        self.parts: list[Any] = []  # of sparse rows
        is_dense = not sparse.issparse(like.X)
        self.X = np.empty((capacity, like.X.shape[1]), like.X.dtype) if is_dense else None
        self.y = np.empty((capacity, *like.y.shape[1:]), like.y.dtype)
        self.weights = None if like.sample_weight is None else np.empty(capacity)
        self.order = np.arange(0)

    def add(self, chunk: Chunk, first: int) -> int:
        """Take rows from ``first`` on, as many as are wanted yet, and say how many."""
        n = min(len(chunk.y) - first, self.wanted - self.n_rows)
        taken, place = slice(first, first + n), slice(self.n_rows, self.n_rows + n)
        if self.X is None:
            self.parts.append(chunk.X[taken])
        else:
            self.X[place] = chunk.X[taken]
        self.y[place] = chunk.y[taken]
        if self.weights is not None:
            self.weights[place] = chunk.sample_weight[taken]  # type: ignore[index]
        self.n_rows += n
        return n

    def data(self) -> Data:
        """The rows, for the kernels."""
        n = self.n_rows
        X = sparse.vstack(self.parts, format="csr") if self.X is None else self.X[:n]
        return Data(X, self.y[:n], None if self.weights is None else self.weights[:n])

    def clear(self) -> None:
        """Make room."""
        self.n_rows, self.parts = 0, []


class Chunks:
    """Rows that come in chunks.

    Parameters
    ----------
    read : callable
        ``read(random_state)`` begins anew and gives an iterator of :class:`Chunk`; the generator, None for the chunks'
        own order, puts them in another order where that can be.
    n_samples : int
        Rows of an epoch.
    """

    def __init__(self, read: Callable[[Any], Iterator[Chunk]], n_samples: int) -> None:
        self.read, self.n_samples = read, n_samples
        self._rooms: list[Window | None] = [None] * WINDOWS  # kept from epoch to epoch: new memory is slow

    @contextmanager
    def windows(self, shuffle: Any, random_state: Any, multiple: int) -> Iterator[Iterator[tuple[Data, np.ndarray]]]:
        """Windows of an epoch, each with the order of its rows.

        Parameters
        ----------
        shuffle : bool or Blocks
        random_state : RandomState
        multiple : int
            All windows but the last have a multiple of so many rows.

        Raises
        ------
        ValueError
            In the iterator, for chunks that do not fit together, or other rows in number than ``n_samples``.
        """
        seeds = random_state.randint(2**31, size=2) if shuffle else None
        filled: queue.Queue[Any] = queue.Queue()
        empty: queue.Queue[Window | None] = queue.Queue()
        for room in self._rooms:
            empty.put(room)
        done = threading.Event()

        def fill() -> None:
            try:
                for window in self._filled(shuffle, seeds, multiple, empty, done):
                    filled.put(window)
                filled.put(None)
            except BaseException as error:  # the thread that trains raises it
                filled.put(error)

        def windows() -> Iterator[tuple[Data, np.ndarray]]:
            while True:
                window = made_by(filled)
                if window is None:
                    self._rooms = [empty.get() for _ in range(WINDOWS)]
                    return
                yield window.data(), window.order
                window.clear()
                empty.put(window)

        with beside(fill, "jitmlp-chunks", done, timeout=1.0):  # one that waits for the user's iterator is left behind
            yield windows()

    def _filled(
        self, shuffle: Any, seeds: Any, multiple: int, empty: queue.Queue[Window | None], done: threading.Event
    ) -> Iterator[Window]:
        """Windows as they are full."""
        blocks, rows = (None, None) if seeds is None else (np.random.RandomState(seed) for seed in seeds)
        window, like, seen, capacity = None, None, 0, 0
        sizes: Iterator[int] = iter(())

        def ready(window: Window) -> Window:
            window.order = np.arange(window.n_rows) if rows is None else rows.permutation(window.n_rows)
            return window

        for chunk in self.read(blocks):
            if like is None:
                like = chunk
                capacity = self._capacity(shuffle, chunk, multiple)
                sizes = window_sizes(capacity, self.n_samples)
            elif chunk.kind != like.kind:
                raise ValueError(
                    f"all chunks must be of one kind: the first was {_words(like)}, one is {_words(chunk)}"
                )
            seen += len(chunk.y)
            if seen > self.n_samples:
                break
            first = 0
            while first < len(chunk.y):
                while window is None:
                    if done.is_set():
                        return
                    try:
                        window = empty.get(timeout=WAIT) or Window(like, capacity)
                    except queue.Empty:
                        continue
                    if (window.kind, window.capacity) != (like.kind, capacity):
                        window = Window(like, capacity)
                    window.wanted = -(-next(sizes) // multiple) * multiple
                first += window.add(chunk, first)
                if window.n_rows == window.wanted:
                    yield ready(window)
                    window = None
        if seen != self.n_samples:
            more = "more" if seen > self.n_samples else str(seen)
            raise ValueError(f"the chunks had {self.n_samples} rows when they were counted, in an epoch {more}")
        if window is not None:
            yield ready(window)

    def _capacity(self, shuffle: Any, like: Chunk, multiple: int) -> int:
        """Rows of a window."""
        if shuffle:
            rows = (shuffle if isinstance(shuffle, Blocks) else Blocks()).sizes(like.row_bytes, self.n_samples)[0]
        else:
            rows = min(self.n_samples, UNSHUFFLED_BYTES // max(1, like.row_bytes))
        return max(1, -(-rows // multiple)) * multiple


def _words(chunk: Chunk) -> str:
    """A chunk's kind in words."""
    is_sparse, dtype, n_features, target, shape, weighted = chunk.kind
    return (
        f"{'sparse' if is_sparse else 'dense'} {dtype} with {n_features} features, targets {target} of shape {shape} a row, "
        f"{'with' if weighted else 'without'} sample weights"
    )
