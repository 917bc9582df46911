"""How many threads a call may use, and who may start them.

No threading setting is touched at import. A parallel region is entered by one Python
thread of the process at a time; whoever finds it taken, is a forked child, or has too
little work, runs alone and gets the same bits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import joblib
import numba

from jitmlp.engine import interrupts
from jitmlp.engine.group import cores, current

_region = threading.Lock()
_forked = False
# Numba's threading layer starts a pool of threads for each Python thread that asks for one, for as long as that
# lives: two may have one, so that many Python threads do not start many times as many
MAX_TEAMS = 2
_teams: list[threading.Thread] = []


def _may_have_team() -> bool:
    """Whether this Python thread has a pool, or may start one; called by the one that holds the region."""
    _teams[:] = [thread for thread in _teams if thread.is_alive()]
    me = threading.current_thread()
    if me not in _teams and len(_teams) < MAX_TEAMS:
        _teams.append(me)
    return me in _teams


def _after_fork() -> None:
    """A parallel region that the parent entered cannot be used again by a child."""
    global _forked, _region
    _forked, _region = True, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_counted: dict[tuple, int] = {}


def _cpus() -> int:
    """joblib's count of the CPUs that this process may use, counted anew where what it depends on has changed."""
    key = len(cores()), os.environ.get("LOKY_MAX_CPU_COUNT")
    if key not in _counted:
        _counted[key] = joblib.cpu_count()
    return _counted[key]


def _asked_for() -> int:
    """``OMP_NUM_THREADS``: what Dask and Ray tell a worker of its share of the cores, and scikit-learn goes by too; else 0."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(asked) if asked.isdigit() else 0


def available_threads(n_threads: int | None = None) -> int:
    """Threads that a call may use.

    Parameters
    ----------
    n_threads : int, optional
        The user's wish; -1 for all, None for all that other processes of the group leave. Never more than the CPUs that this
        process may use, than Numba's mask, than ``OMP_NUM_THREADS``, or than 1 in a
        joblib worker that is limited to 1.
    """
    if _forked or numba.config.DISABLE_JIT:
        return 1
    own = current().threads if n_threads is None else n_threads
    wishes = [wish for wish in (own, _asked_for()) if isinstance(wish, Integral) and wish > 0]
    return max(1, int(min(numba.config.NUMBA_NUM_THREADS, numba.get_num_threads(), _cpus(), *wishes)))


@contextmanager
def parallel_region(n_threads: int) -> Iterator[int]:
    """Enter with the threads to use now: ``n_threads``, or 1 if the region is taken.

    Numba's own thread mask is put back on the way out. An interrupt waits for that.
    """
    if n_threads <= 1 or _forked or numba.config.DISABLE_JIT:
        yield 1
        return
    with interrupts.deferred():
        if not _region.acquire(blocking=False):
            yield 1
            return
        try:
            if not _may_have_team():
                yield 1
                return
            mask = numba.get_num_threads()
            # a team may have more members than there are threads: they run each other's shares
            numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
            try:
                yield n_threads
            finally:
                numba.set_num_threads(mask)
        finally:
            _region.release()
