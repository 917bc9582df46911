"""How many bins the numbers of each member have: what the parameter ``numeric_bins`` says."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_parameter_constraints

from jitmlp.engine.bins import learn_bins
from jitmlp.estimators.parameters import table_of

# 'auto': more bins are better where columns are few, and cost as much as columns are many (docs/performance.md, Tables)
AUTO_INPUTS, AUTO_LEAST, AUTO_MOST = 512, 8, 96
OF_A_MEMBER = [*table_of("MLPClassifier")["numeric_bins"].allowed, StrOptions({"auto"})]
ALLOWED = [*OF_A_MEMBER, tuple, list]


def bins_of_members(given: Any, n_members: int, n_columns: int) -> list[int | None]:
    """Bins of each member for a table of so many columns of numbers.

    Raises
    ------
    ValueError
        For a tuple of nothing, or of something that no member can have.
    """
    in_turn = list(given) if isinstance(given, (tuple, list)) else [given]
    if not in_turn:
        raise ValueError(f"numeric_bins must have an entry for one member at least, got {given!r}")
    for one in in_turn:
        validate_parameter_constraints({"numeric_bins": OF_A_MEMBER}, {"numeric_bins": one}, "every member")
    auto = min(max(AUTO_INPUTS // max(n_columns, 1), AUTO_LEAST), AUTO_MOST)
    found = [auto if isinstance(one, str) else one if one is None else int(one) for one in in_turn]
    return [found[number % len(found)] for number in range(n_members)]


def n_inputs(rows: Any, n_bins: int | None) -> int:
    """Inputs of a member, as many as all rows give: what its own fold has may differ by an edge."""
    n = int(rows.shape[1])
    return n if n_bins is None else n + learn_bins(rows, n_bins, None, n, np.dtype(np.float32)).n_added
