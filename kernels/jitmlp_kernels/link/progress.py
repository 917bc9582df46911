"""What a first fit waits for: a moving line in a terminal, one line elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

SILENT_VARIABLE = "JITMLP_SILENT"
silent = os.environ.get(SILENT_VARIABLE, "") not in ("", "0")
_told = False


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
        _write(f"jitmlp: compiling kernels, once{kept}\n")

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


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
