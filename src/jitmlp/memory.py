"""Refusing a network that this machine's memory cannot hold, before anything is allocated."""

from __future__ import annotations

import os


def physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def check_memory(spec, batch_size: int) -> None:
    """Raise MemoryError if parameters and buffers of a network cannot fit.

    Counts the parameters three times (itself and two moments, the commonest state) and
    the buffers of one block of rows.
    """
    limit = physical_memory()
    units = spec.layer_units
    parameters = sum(a * b + b for a, b in zip(units, units[1:]))
    numbers = 3 * parameters + 2 * min(batch_size, 1024) * sum(units)
    needed = numbers * spec.dtype.itemsize
    if limit is not None and needed > limit:
        raise MemoryError(
            f"hidden_layer_sizes={units[1:-1]} with {units[0]} features and {units[-1]} outputs needs "
            f"{needed / 2**30:.1f} GiB, this machine has {limit / 2**30:.1f} GiB"
        )
