"""Ctrl-C, heard at a moment when nothing is half done.

While a fit runs in the main thread its SIGINT is noted and answered between two calls into the
kernels, so that locks, Numba's thread mask, files and the estimator are never left in between.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """The signals that have arrived and wait for :meth:`answer`."""

    def __init__(self) -> None:
        self.pending: tuple[int, Any] | None = None
        self.handler: Callable[[int, Any], Any] = signal.default_int_handler
        self._open = False

    def _note(self, number: int, frame: Any) -> None:
        if self._open:
            self.handler(number, frame)
        else:
            self.pending = number, frame

    def answer(self) -> None:
        """Let what was there before handle a signal that has arrived: usually KeyboardInterrupt is raised."""
        if self.pending is not None:
            arrived, self.pending = self.pending, None
            self.handler(*arrived)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Answer at once inside, as for the user's own code."""
        self.answer()
        before, self._open = self._open, True
        try:
            yield
        finally:
            self._open = before


_current: Interrupts | None = None


@contextmanager
def deferred() -> Iterator[Interrupts]:
    """Note SIGINT instead of raising KeyboardInterrupt anywhere; yields the :class:`Interrupts`.

    Inside another such block, and in threads that signals do not reach, the outer or an idle one.
    What still waits at the end is answered there.
    """
    global _current
    if _current is not None and threading.current_thread() is threading.main_thread():
        yield _current
        return
    interrupts = Interrupts()
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if in_main else None
    if not callable(handler):  # another thread, ignored, or not Python's
        yield interrupts
        return
    interrupts.handler = handler
    try:
        signal.signal(signal.SIGINT, interrupts._note)
        _current = interrupts
        yield interrupts
    finally:
        _current = None
        signal.signal(signal.SIGINT, handler)
    interrupts.answer()


def answer_pending() -> None:
    """Answer a noted signal, where one waits; called between pieces of work that must be whole."""
    if _current is not None and threading.current_thread() is threading.main_thread():
        _current.answer()
