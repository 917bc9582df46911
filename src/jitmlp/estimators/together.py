"""What a fit of several processes asks of the estimators: one set of classes, one problem, one word on when to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jitmlp.engine.group import Group, current
from jitmlp.estimators.held_out import HeldOut

OWN = ("callback", "verbose", "n_threads", "random_state")  # parameters in which processes may differ


def all_labels(y: np.ndarray) -> np.ndarray:
    """Class labels: those of all processes, each once; rows of labels, and those of a fit of its own, as they are."""
    group = current()
    return y if group.is_alone or y.ndim > 1 else np.unique(group.join(np.unique(y)))


def balanced_weights(group: Group, own: Counter) -> dict:
    """``class_weight='balanced'`` over the rows of all processes, from how many of this one's each class has."""
    counts: Counter = sum(group.gather(own), Counter())
    return {label: counts.total() / (len(counts) * count) for label, count in counts.items()}


def one_problem(group: Group, estimator: Any, problem: Any) -> Any:
    """The problem with the parameters of rank 0, once all are found to have the same one.

    Raises
    ------
    ValueError
        On all processes, with what differs.
    """
    if group.is_alone:
        return problem
    model = problem.model
    facts = {
        "features": model.n_features, "outputs": model.n_outputs, "the dtype": model.dtype.name,
        "precision": model.bfloat16,
        "features' names": tuple(problem.attributes.get("feature_names_in_", ())),
        "the categories": getattr(problem.attributes.get("encoder_"), "description", list)(),
        "whether there are X_val and y_val": problem.held_out is not None,
        "every, of data_parallel": group.every,
        "the parameters": {k: repr(v) for k, v in estimator.get_params(deep=False).items() if k not in OWN},
    }  # fmt: skip
    everywhere = group.gather(facts)
    for what, value in facts.items():
        values = [other[what] for other in everywhere]
        if any(other != value for other in values):
            if isinstance(value, dict):
                names = [name for name in value if any(other[name] != value[name] for other in values)]
                values = [{name: other[name] for name in names} for other in values]
            raise ValueError(f"all processes must agree in {what}, got {values}")
    start = replace(
        problem.start, **group.first({"parameters": problem.start.parameters, "state": problem.start.state})
    )
    return replace(problem, start=start)


def everywhere(group: Group, held_out: HeldOut) -> HeldOut:
    """Targets and weights of the held-out rows of all processes, to which gathered outputs belong."""
    weights = held_out.sample_weight
    if group.total(weights is not None)[0]:
        weights = group.join(np.ones(len(held_out.encoded)) if weights is None else weights)
    return replace(held_out, encoded=group.join(held_out.encoded), sample_weight=weights)


def mean_score(group: Group, score: Callable, n_rows: int) -> Callable:
    """A score of this process's rows as the mean over all rows, for scorers that want the rows themselves."""
    if group.is_alone:
        return score

    def of_all(run: Any, outputs: Any) -> float:
        total, n = group.total(float(score(run, outputs)) * n_rows, n_rows)
        return float(total / n)

    return of_all
