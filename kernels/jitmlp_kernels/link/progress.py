"""What a first fit waits for: a moving line in a terminal, one line of the logger ``jitmlp`` elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager

SILENT_VARIABLE = "JITMLP_SILENT"
silent = os.environ.get(SILENT_VARIABLE, "") not in ("", "0")
_told = False
logger = logging.getLogger("jitmlp")


@contextmanager
def waiting(count: int, find_folder=None):
    """Show that ``count`` pieces are compiled; yields a function to call with each one's label."""
    global _told
    if count == 0 or silent:
        yield lambda label: None
        return
    moving = sys.stderr is not None and sys.stderr.isatty()
    done = 0
    if not moving and not _told:
        _told = True
        place = find_folder() if find_folder else None
        kept = f"; they are kept in {place}" if place else ""
        _log(f"compiling kernels, once{kept}")

    def step(label: str) -> None:
        nonlocal done
        done += 1
        if moving:
            width = 20 * done // count
            bar = "#" * width + "." * (20 - width)
            _write(f"\r\x1b[Kjitmlp: compiling kernels, once [{bar}] {done}/{count} {label[:40]}")

    try:
        yield step
    finally:
        if moving:
            _write("\r\x1b[K")


class _StandardError(logging.Handler):
    """Writes to whatever standard error is now."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record) + "\n")


def _log(message: str) -> None:
    """Log it; where nobody has set up the logger, it goes to standard error."""
    if logger.level == logging.NOTSET and not logger.hasHandlers():
        handler = _StandardError()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    logger.info(message)


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
