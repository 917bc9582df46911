"""Processes that train one network together, each on rows of its own.

All that they say to each other goes through :class:`Group`. Every exchange begins with one small sum that also says whether
a process has failed: then all of them raise, and none waits for one that does not come.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitmlp.engine.bfloat16 import bfloat16_of, float32_of

HEADER = 4  # numbers that are summed over the processes at a time, the last of which counts failures


class OtherProcessError(RuntimeError):
    """Another process of the group has failed; the message says which, and how."""


class Group:
    """The processes that train a network together; by itself, one that is alone and says nothing.

    Attributes
    ----------
    rank, size : int
        This process's number, and how many there are.
    is_alone : bool
        Whether nothing is communicated.
    threads : int or None
        Of this process: its share of the cores that others of the same machine may use too; None for all.
    bytes : int
        Of gradients, or of weights, that this process has handed over so far.
    every : int
        After how many steps weights are averaged; 1 for gradients that are added up in each.
    """

    rank, size, is_alone, bytes, every = 0, 1, True, 0, 1
    threads: int | None = None

    def total(self, *numbers: float) -> np.ndarray:
        """Sums over the processes, in float64; at most three.

        Raises
        ------
        OtherProcessError
            If a process has failed.
        """
        return np.array(numbers, np.float64)

    def gather(self, value: Any) -> list:
        """What each process gives, in the order of their ranks."""
        return [value]

    def first(self, value: Any) -> Any:
        """What the process of rank 0 gives."""
        return value

    def join(self, array: np.ndarray) -> np.ndarray:
        """The rows of all processes, in the order of their ranks."""
        return array

    def stack(self, array: np.ndarray) -> np.ndarray:
        """Arrays of one shape, one a process, in the order of their ranks."""
        return array[None]

    def add(self, array: np.ndarray) -> None:
        """Sum an array over the processes, in place; :meth:`total` comes before."""

    def add_gradients(self, gradients: np.ndarray) -> None:
        """The same of gradients, or of changes, rounded on the way where that was asked for."""

    def check_same(self, what: str, array: np.ndarray) -> None:
        """Raise on all processes unless they have the same bits."""

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Tell the others of an error inside; leave together."""
        yield


class MPIGroup(Group):
    """The processes of a communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    rounded : bool
        Whether gradients travel as bfloat16.
    every : int
    """

    is_alone = False

    def __init__(self, comm: Any, rounded: bool = False, every: int = 1) -> None:
        from mpi4py import MPI

        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self.rounded, self.every = rounded, every
        self._in_place = MPI.IN_PLACE
        # waiting threads spin: processes of one machine that share cores must share them fairly
        mine = cores()
        beside = comm.Split_type(MPI.COMM_TYPE_SHARED).allgather(mine)
        self.threads = max(1, len(mine) // sum(bool(mine & other) for other in beside))
        self._agreed = False  # whether all know of a failure

    def total(self, *numbers: float) -> np.ndarray:
        header = np.zeros(HEADER)
        header[: len(numbers)] = numbers
        self.comm.Allreduce(self._in_place, header)
        if header[-1]:
            self._tell(None)
        return header[: len(numbers)]

    def gather(self, value: Any) -> list:
        self.total()
        return self.comm.allgather(value)

    def first(self, value: Any) -> Any:
        self.total()
        return self.comm.bcast(value, root=0)

    def join(self, array: np.ndarray) -> np.ndarray:
        return np.concatenate(self.gather(array))

    def stack(self, array: np.ndarray) -> np.ndarray:
        self.total()
        found = np.empty((self.size, *array.shape), array.dtype)
        self.comm.Allgather(np.ascontiguousarray(array), found)
        return found

    def add(self, array: np.ndarray) -> None:
        self.comm.Allreduce(self._in_place, array)
        self.bytes += array.nbytes

    def add_gradients(self, gradients: np.ndarray) -> None:
        if not self.rounded:
            return self.add(gradients)
        # each process adds up a part of all gradients and gives the sums to all: what a ring sends, in half the bytes
        part = -(-len(gradients) // self.size)
        sent = np.zeros(part * self.size, np.uint16)
        sent[: len(gradients)] = bfloat16_of(gradients)
        parts = np.empty((self.size, part), np.uint16)
        self.comm.Alltoall(sent, parts)
        self.comm.Allgather(bfloat16_of(float32_of(parts).sum(axis=0)), sent)
        gradients[:] = float32_of(sent)[: len(gradients)]
        self.bytes += 2 * len(gradients)

    def check_same(self, what: str, array: np.ndarray) -> None:
        sums = self.gather(zlib.crc32(array.data.cast("B")))
        if any(other != sums[0] for other in sums):
            raise RuntimeError(f"the processes have different {what}: {sums}")

    @contextmanager
    def guard(self) -> Iterator[None]:
        self._agreed = False
        try:
            yield
            self.total()  # nobody leaves as long as another may fail
        except BaseException as error:
            if not self._agreed:
                header = np.zeros(HEADER)
                header[-1] = 1
                self.comm.Allreduce(self._in_place, header)
                try:
                    self._tell(f"{type(error).__name__}: {error}")
                except OtherProcessError:
                    pass
            raise

    def _tell(self, message: str | None) -> None:
        """Exchange the messages of those that have failed, and raise."""
        self._agreed = True
        messages = self.comm.allgather(message)
        failed = [f"process {rank} of {self.size}: {text}" for rank, text in enumerate(messages) if text is not None]
        raise OtherProcessError("; ".join(failed))


ALONE = Group()
_current: ContextVar[Group] = ContextVar("group", default=ALONE)


def cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def current() -> Group:
    """The group in which ``fit`` trains now."""
    return _current.get()


@contextmanager
def within(group: Group) -> Iterator[None]:
    """Train in a group inside of the context."""
    token = _current.set(group)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def data_parallel(comm: Any = None, *, precision: str | None = None, every: int = 1) -> Iterator[Group]:
    """Train on the rows of all processes of a communicator: every ``fit`` inside is one fit of them all.

    The same script runs on every process, each with rows of its own; all end with the same network, to the last bit. A
    mini-batch of ``batch_size`` rows is made of rows of all processes, by their shares of all rows. Each process sums the
    gradients of its rows, the sums are added up (``MPI_Allreduce``), and each makes the same update; losses, scores,
    classes and ``normalize`` are those of all rows. Initial weights are those of rank 0, which alone calls callbacks and
    prints. Processes of one machine share its cores, unless ``n_threads`` says otherwise. Without this context nothing is
    communicated.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, default=None
        ``MPI.COMM_WORLD`` by default.
    precision : {None, 'bfloat16'}, default=None
        As what gradients, or changes of weights, travel; None for the network's own dtype. 'bfloat16' halves the bytes of
        float32 and keeps 8 bits of each number; they are added up in float32. L-BFGS, whose line search would fail,
        exchanges them as they are.
    every : int, default=1
        With more than 1 no gradients are exchanged: each process trains on its part of each mini-batch alone, and after so
        many steps the changes of weights and of the optimizer's state are averaged by the processes' rows ("local SGD",
        Stich 2019). The network is not that of one process any more. For L-BFGS every evaluation is exchanged.

    Yields
    ------
    group : Group
        With ``rank``, ``size``, ``threads`` and ``bytes``, the bytes of gradients handed over so far.

    Raises
    ------
    OtherProcessError
        From ``fit``, where another process has failed. The error itself is raised where it was found.
    ValueError
        From ``fit``, where the processes have other columns or parameters than each other. For another ``precision``, and
        ``every`` below 1.

    Examples
    --------
    A script, started by ``mpiexec -n 4 python script.py``::

        from mpi4py import MPI
        from jitmlp import MLPClassifier
        from jitmlp.distributed import data_parallel

        with data_parallel(MPI.COMM_WORLD) as group:
            model = MLPClassifier((128,), random_state=0).fit(X[group.rank :: group.size], y[group.rank :: group.size])
    """
    if precision not in (None, "bfloat16"):
        raise ValueError(f"precision must be None or 'bfloat16', got {precision!r}")
    if not isinstance(every, (int, np.integer)) or every < 1:
        raise ValueError(f"every must be an int >= 1, got {every!r}")
    if comm is None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    group = MPIGroup(comm, precision == "bfloat16", int(every))
    with within(group):
        yield group


class Shares:
    """How many rows of each mini-batch are this process's.

    Parameters
    ----------
    group : Group
    n_rows : int
        Of this process.
    batch_size : int
        Rows of a mini-batch, over all processes.

    Attributes
    ----------
    n_all : int
        Rows of all processes.
    batch_size : int
        Rows of this process in a mini-batch; its last ones may be fewer, or none.
    n_steps : int
        Mini-batches of an epoch.
    """

    def __init__(self, group: Group, n_rows: int, batch_size: int) -> None:
        self.group = group
        rows = np.array(group.gather(n_rows))
        self.n_all = int(rows.sum())
        exact = rows * min(batch_size, self.n_all) / max(self.n_all, 1)
        shares = np.floor(exact).astype(int)
        left = min(batch_size, self.n_all) - shares.sum()
        shares[np.argsort(shares - exact, kind="stable")[:left]] += 1  # the largest remainders
        shares = np.maximum(shares, rows > 0)
        self.batch_size = max(1, int(shares[group.rank]))
        self.n_steps = int(max(-(-rows[rows > 0] // shares[rows > 0]), default=0))
