"""Windows of a file that memory does not hold, read past the page cache.

For the page cache a core brings in every page, maps it and puts it out again, 13.5 s of its time for 14 GB. Past it the disk
writes straight into a window of huge pages, for 2 s of a core.
"""

from __future__ import annotations

import mmap
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import Any

import numpy as np

from jitmlp.engine.data import Data, MappedFile, address, map_of
from jitmlp.training.beside import WAIT, beside, made_by

SECTOR = 4096  # bytes: of what a disk reads at once, of a page
WINDOWS = 2  # that exist at a time: one trains, another is read
PIECE = 2**24  # bytes of one call


def whole_sectors(row_bytes: int) -> int:
    """The least number of rows that are whole sectors."""
    return SECTOR // gcd(row_bytes, SECTOR)


class DirectFile:
    """The rows of a file behind a map.

    Attributes
    ----------
    first : int
        Where in the file the first row begins.
    """

    def __init__(self, X: np.ndarray, watched: MappedFile, first: int) -> None:
        self.n_features, self.dtype, self.watched, self.first = X.shape[1], X.dtype, watched, first
        self.row_bytes = X.shape[1] * X.itemsize

    @classmethod
    def of(cls, data: Data) -> DirectFile | None:
        """The file of a map that is only read, row after row; None for other rows, and where a file cannot be read so."""
        X, found = data.X, map_of(data.X)
        if not (isinstance(found, np.memmap) and found.mode == "r" and data.file is not None):
            return None
        root: Any = found
        while isinstance(root, np.ndarray):
            root = root.base
        if not (isinstance(root, mmap.mmap) and X.flags.c_contiguous and X.size and hasattr(os, "O_DIRECT")):
            return None
        before = found.offset - found.offset % mmap.ALLOCATIONGRANULARITY
        first = before + address(X) - np.frombuffer(root, np.uint8).ctypes.data
        file = cls(X, data.file, first)
        try:
            with file.open() as (descriptor, _):
                return file if os.preadv(descriptor, [mmap.mmap(-1, SECTOR)], 0) > 0 else None
        except OSError:  # of a file system in memory, or over a network
            return None

    def holds(self, rows: np.ndarray) -> bool:
        """Whether rows, in order, can be read one behind the other: each run of neighbours so that sectors stay sectors."""
        places = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        return not ((rows[places] - places) % whole_sectors(self.row_bytes)).any()

    @contextmanager
    def open(self) -> Iterator[tuple[int, int]]:
        """Descriptors to read by sectors, and what is less than a sector."""
        direct = os.open(self.watched.path, os.O_RDONLY | os.O_DIRECT)
        try:
            plain = os.open(self.watched.path, os.O_RDONLY)
            try:
                os.posix_fadvise(plain, 0, 0, os.POSIX_FADV_RANDOM)
                yield direct, plain
            finally:
                os.close(plain)
        finally:
            os.close(direct)

    def read(self, descriptors: tuple[int, int], rows: np.ndarray, room: Room, done: threading.Event) -> None:
        """Read rows, in order, into a room."""
        places = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        for k, following in zip(places.tolist(), [*places[1:].tolist(), len(rows)]):
            start = self.first + int(rows[k]) * self.row_bytes
            stop, place = start + (following - k) * self.row_bytes, room.first + k * self.row_bytes
            low, high = -(-start // SECTOR) * SECTOR, stop // SECTOR * SECTOR
            if low >= high:
                low = high = stop
            self._read_plain(descriptors[1], start, low, room.memory, place)
            while low < high:
                if done.is_set():
                    return
                at = place + low - start
                target = memoryview(room.memory)[at : at + min(PIECE, high - low)]
                n = os.preadv(descriptors[0], [target], low)
                if n <= 0 or n % SECTOR:
                    break  # what is left is less than a sector, or not there
                low += n
            self._read_plain(descriptors[1], low, stop, room.memory, place + low - start)

    def _read_plain(self, descriptor: int, start: int, stop: int, memory: mmap.mmap, place: int) -> None:
        while start < stop:
            found = os.pread(descriptor, stop - start, start)
            if not found:
                self.watched.check()
                raise ValueError(f"X lies in the file {self.watched.path}, which ends before its last row")
            memory[place : place + len(found)] = found
            start, place = start + len(found), place + len(found)


class Room:
    """Memory for the rows of a window, with place for some before them.

    Attributes
    ----------
    first : int
        Where the window's first row begins.
    """

    def __init__(self, file: DirectFile, n_rows: int, n_before: int) -> None:
        self.first, self._n_rows = self._first(file, n_before), n_rows
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what is shared has small pages
        self.memory = mmap.mmap(-1, self.first + n_rows * file.row_bytes, flags=private)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self.memory.madvise(mmap.MADV_HUGEPAGE)

    def serves(self, file: DirectFile, n_rows: int, n_before: int) -> bool:
        """Whether there is place for so many rows of a file."""
        return self._n_rows >= n_rows and self.first == self._first(file, n_before)

    @staticmethod
    def _first(file: DirectFile, n_before: int) -> int:
        """Behind the rows before, as far into a sector as the first row in the file."""
        before = n_before * file.row_bytes
        return before + (file.first - before) % SECTOR

    def rows(self, file: DirectFile, n_before: int, n_rows: int) -> np.ndarray:
        """So many rows, some of them before the window's first."""
        start, count = self.first - n_before * file.row_bytes, (n_before + n_rows) * file.n_features
        return np.frombuffer(self.memory, file.dtype, count, start).reshape(-1, file.n_features)


@contextmanager
def direct_windows(
    file: DirectFile,
    data: Data,
    windows: list[np.ndarray],
    as_stored: list[np.ndarray],
    multiple: int,
    rooms: list[Room],
) -> Iterator[Iterator[tuple[Data, np.ndarray]]]:
    """The rows of each window in memory of its own, and their order; the next one is read while it trains.

    Parameters
    ----------
    file : DirectFile
    data : Data
    windows : list of ndarray of int64
        The rows of each, in the order in which they are taken.
    as_stored : list of ndarray of int64
        The same, sorted.
    multiple : int
        So many rows, or a multiple, are given at a time, but for the last.
    rooms : list of Room
        Memory of an earlier epoch, or nothing yet: what is new is cleared page by page.
    """
    filled: queue.Queue[Any] = queue.Queue()
    empty: queue.Queue[Room] = queue.Queue()
    done, capacity = threading.Event(), max(len(window) for window in windows)
    if not all(room.serves(file, capacity, multiple) for room in rooms) or not rooms:
        rooms[:] = [Room(file, capacity, multiple) for _ in range(min(WINDOWS, len(windows)))]
    for room in rooms:
        empty.put(room)

    def read() -> None:
        try:
            with file.open() as descriptors:
                for window in as_stored:
                    while True:
                        if done.is_set():
                            return
                        try:
                            room = empty.get(timeout=WAIT)
                            break
                        except queue.Empty:
                            continue
                    file.read(descriptors, window, room, done)
                    filled.put(room)
        except BaseException as error:  # the thread that trains raises it
            filled.put(error)

    def parts() -> Iterator[tuple[Data, np.ndarray]]:
        left, left_rows = np.empty((0, file.n_features), file.dtype), windows[0][:0]
        place = np.empty(data.n_samples, np.int64)  # of a row in its window
        for k, (window, rows) in enumerate(zip(windows, as_stored)):
            room = made_by(filled)
            file.watched.check()
            # what was too little for a mini-batch comes first
            X = room.rows(file, len(left), len(rows))
            X[: len(left)] = left
            numbers = np.concatenate([left_rows, rows])
            place[rows] = np.arange(len(left), len(numbers))
            own = np.concatenate([np.arange(len(left)), place[window]])
            n = len(own) if k == len(windows) - 1 else len(own) // multiple * multiple
            y, weights = (None if a is None else a[numbers] for a in (data.y, data.sample_weight))
            if n:
                yield Data(X, y, weights), own[:n]
            left, left_rows = X[own[n:]], numbers[own[n:]]
            del X
            empty.put(room)

    with beside(read, "jitmlp-read-ahead", done):
        yield parts()
