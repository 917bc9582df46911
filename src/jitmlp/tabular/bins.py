"""How many bins the numbers of each member have: what the parameter ``numeric_bins`` says."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from jitmlp.engine.bins import learn_bins

LEAST = 3  # that can be asked for
# 'auto': more bins are better where columns are few, and cost as much as columns are many (docs/performance.md, Tables)
AUTO_INPUTS, AUTO_LEAST, AUTO_MOST = 512, 8, 96
ALLOWED = [Interval(Integral, LEAST, None, closed="left"), StrOptions({"auto"}), None, tuple, list]


def _is_one(given: Any) -> bool:
    if isinstance(given, Integral):
        return int(given) >= LEAST
    return given is None or (isinstance(given, str) and given == "auto")


def bins_of_members(given: Any, n_members: int, n_columns: int) -> list[int | None]:
    """Bins of each member for a table of so many columns of numbers.

    Raises
    ------
    ValueError
        For what is none of the allowed, or a tuple of something else.
    """
    in_turn = list(given) if isinstance(given, (tuple, list)) else [given]
    if not in_turn or not all(map(_is_one, in_turn)):
        allowed = f"an int >= {LEAST}, 'auto' or None, or a tuple of these, which the members have in turn"
        raise ValueError(f"numeric_bins must be {allowed}, got {given!r}")
    auto = min(max(AUTO_INPUTS // max(n_columns, 1), AUTO_LEAST), AUTO_MOST)
    found = [auto if isinstance(one, str) else one if one is None else int(one) for one in in_turn]
    return [found[number % len(found)] for number in range(n_members)]


def n_inputs(rows: Any, n_bins: int | None) -> int:
    """Inputs of a member, as many as all rows give: what its own fold has may differ by an edge."""
    n = int(rows.shape[1])
    return n if n_bins is None else n + learn_bins(rows, n_bins, None, n, np.dtype(np.float32)).n_added
