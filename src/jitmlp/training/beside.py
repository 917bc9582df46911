"""Work that a thread does beside the one that trains."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
