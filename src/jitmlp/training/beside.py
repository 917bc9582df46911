"""Work that a thread does beside the one that trains."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitmlp.engine import interrupts

WAIT = 0.02  # seconds after which one who waits looks for what else there is to do


@contextmanager
def beside(work: Callable[[], None], name: str, done: threading.Event, timeout: float | None = None) -> Iterator[None]:
    """Do work in a thread of its own, which is told when it is no longer wanted, and waited for so many seconds."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout)


def made_by(made: queue.Queue[Any]) -> Any:
    """What the thread beside has made next; an error that it met is raised."""
    while True:
        try:
            thing = made.get(timeout=WAIT)
        except queue.Empty:
            interrupts.answer_pending()
            continue
        if isinstance(thing, BaseException):
            raise thing
        return thing
