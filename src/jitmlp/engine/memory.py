"""Refusing a network that memory cannot hold, before anything is allocated."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitmlp.engine.layout import Layout

LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_limit() -> int | None:
    """Bytes that this process may use: of the machine, or of its container; None if unknown."""
    limits = []
    try:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        pass
    for name in LIMIT_FILES:
        try:
            limits.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(limits, default=None)


@cache
def memory_nodes() -> int:
    """Memories of the machine, each of which is near some of its cores (Linux; 1 elsewhere)."""
    return max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))))


def check_memory(layout: Layout, more: int = 0) -> None:
    """Raise MemoryError if a layout, and ``more`` bytes beside it, cannot fit."""
    units = layout.model.layer_units
    what = f"hidden_layer_sizes={units[1:-1]} with {layout.model.n_features} features and {units[-1]} outputs"
    check_bytes(layout.nbytes + more, what)


def check_bytes(needed: int, what: str) -> None:
    """Raise MemoryError if so many bytes for ``what`` cannot fit."""
    limit = memory_limit()
    if limit is not None and needed > limit:
        raise MemoryError(f"{what} needs {needed / 2**30:.1f} GiB, this process may use {limit / 2**30:.1f} GiB")
