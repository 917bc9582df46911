"""``fit`` of rows that come in chunks: what must be known of all of them, found in a first look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from jitmlp.engine.group import current
from jitmlp.engine.normalization import Moments
from jitmlp.estimators.together import all_labels, balanced_weights
from jitmlp.estimators.validation import validated
from jitmlp.training.chunks import Chunk, Chunks


def are_chunks(X: Any) -> bool:
    """Whether ``X`` gives chunks of rows when it is called."""
    return callable(X) and not hasattr(X, "shape")


@dataclass(frozen=True)
class Survey:
    """What a first look at chunks has found.

    Attributes
    ----------
    first : tuple
        The first chunk ``(X, y, sample_weight)``, as the user gave it.
    n_rows : int
        Of this process.
    classes : ndarray or None
        Labels of all rows, of all processes; where a row has several, some rows.
    class_weight : dict or None
        Weights of "balanced" classes.
    scaling : tuple of ndarray or None
        Shift and scale that ``normalize`` asks for.
    """

    first: tuple
    n_rows: int
    classes: np.ndarray | None
    class_weight: dict | None
    scaling: tuple[np.ndarray, np.ndarray] | None


def read(chunks: Callable, random_state: Any = None) -> Iterator[tuple[Any, Any, Any]]:
    """``(X, y, sample_weight)`` of every chunk that has rows.

    Raises
    ------
    TypeError
        If the call gives no iterator, or that other things than chunks.
    """
    given = chunks.shuffled(random_state) if random_state is not None and hasattr(chunks, "shuffled") else chunks()
    if not hasattr(given, "__iter__"):
        raise TypeError(f"the function must give an iterator of chunks (X, y), or be a generator, got {type(given)}")
    try:
        for number, chunk in enumerate(given):
            if not isinstance(chunk, (tuple, list)) or len(chunk) not in (2, 3):
                what = f"{len(chunk)} entries" if isinstance(chunk, (tuple, list)) else type(chunk)
                raise TypeError(f"chunk {number} must be (X, y) or (X, y, sample_weight), got {what}")
            X, y, weights = (*chunk, None)[:3]
            check_consistent_length(X, y, weights)
            if len(y):
                yield X, y, weights
    finally:
        if hasattr(given, "close"):
            given.close()


def survey(estimator: Any, chunks: Callable, learns_scaling: bool) -> Survey:
    """Look at chunks: at the first alone, where all that must be known of the others is known.

    A function with the attributes ``n_rows`` and, for a classifier, ``classes`` is believed; ``normalize`` and
    ``class_weight="balanced"`` take a pass over all rows.
    """
    is_classifier = hasattr(estimator, "predict_proba")
    moments = Moments(estimator.normalize) if learns_scaling and estimator.normalize is not None else None
    balanced = getattr(estimator, "class_weight", None) == "balanced"
    n_rows = getattr(chunks, "n_rows", None)
    classes = getattr(chunks, "classes", None) if is_classifier else None  # which may have to be read
    known = n_rows is not None and (not is_classifier or classes is not None) and moments is None and not balanced
    first: tuple | None = None
    counts: Counter = Counter()
    counted, draft = 0, estimator._draft()
    for X, y, weights in read(chunks):
        fresh, first = first is None, first or (X, y, weights)
        if known:
            break
        options = {"multi_output": True, "dtype": "numeric", "y_numeric": not is_classifier, "reset": fresh}
        X, y = validated(draft, X, y, **options)
        counted += len(y)
        if is_classifier and y.ndim == 1:
            counts.update(dict(zip(*(values.tolist() for values in np.unique(y, return_counts=True)))))
        if moments is not None:
            moments.add(X)
    if first is None:
        raise ValueError("the chunks have no rows")
    group = current()
    if is_classifier and counts:
        classes = all_labels(np.unique(np.array(list(counts))))
    elif is_classifier:  # several labels a row, or given
        classes = first[1] if np.ndim(first[1]) > 1 else all_labels(np.asarray(classes))
    return Survey(
        first,
        int(n_rows) if known and n_rows is not None else counted,
        classes if is_classifier else None,
        balanced_weights(group, counts) if balanced else None,
        None if moments is None else moments.scaling(group),
    )


def prepare(
    estimator: Any,
    chunks: Callable,
    y: Any,
    sample_weight: Any,
    incremental: bool,
    held_out: tuple,
    initial: Any = (None, None),
    **validation: Any,
) -> Any:
    """The problem of a fit of chunks; what ``_prepare`` is to one of rows.

    Raises
    ------
    ValueError
        For what needs all rows at once: L-BFGS, and ``early_stopping`` without validation data; for ``y`` and weights
        beside the chunks.
    TypeError
        For ``partial_fit``.
    """
    if incremental:
        raise TypeError("partial_fit takes rows: call it for each chunk, or give the function to fit")
    given = [name for name, value in (("y", y), ("sample_weight", sample_weight)) if value is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} must come with the chunks, (X, y) or (X, y, sample_weight)")
    if estimator.solver == "lbfgs":
        raise ValueError("solver='lbfgs' needs all rows at once, which chunks are not; use a stochastic solver")
    if estimator.categorical_features is not None:
        raise ValueError(
            "categorical_features needs whole columns, which chunks are not; ArrowFiles looks categories up"
        )
    if estimator.numeric_bins is not None:
        raise ValueError("numeric_bins needs whole columns, which chunks are not: edges of bins are quantiles")
    if estimator.early_stopping and held_out[0] is None:
        raise ValueError("early_stopping of chunks needs X_val and y_val")
    found = survey(estimator, chunks, not hasattr(estimator, "coefs_") or not estimator.warm_start)
    if found.classes is not None:
        validation["classes"] = found.classes
    problem = estimator._prepare(*found.first, False, held_out, initial, survey=found, **validation)
    reader, task = estimator._draft(), problem.task
    vars(reader).update(problem.attributes)
    if found.class_weight is not None:
        reader.class_weight = found.class_weight

    def encoded(random_state: Any) -> Iterator[Chunk]:
        for X, y, weights in read(chunks, random_state):
            X, y, _ = reader._validate_input(reader, X, y, True, False)
            if weights is not None:
                weights = np.asarray(_check_sample_weight(weights, X), np.float64)
            targets = task.encode(y)
            reader._refuse_targets(problem.model.loss, targets)
            yield Chunk(X, targets, reader._weigh_classes(weights, task, y, True))

    return replace(problem, data=Chunks(encoded, found.n_rows))
