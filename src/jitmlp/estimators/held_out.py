"""Rows that are not trained on: the user's own, or a share of the training rows; their loss and their score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jitmlp.engine.data import Data
from jitmlp.estimators.validation import checked_weights, explain
from jitmlp.model.model import Model


@dataclass(frozen=True)
class HeldOut:
    """Rows that are not trained on.

    Attributes
    ----------
    data : Data
        Where they are.
    rows : ndarray of int64 or None
        Which of them; None for all.
    encoded : ndarray
        Their targets.
    sample_weight : ndarray or None
    """

    data: Data
    rows: np.ndarray | None
    encoded: np.ndarray
    sample_weight: np.ndarray | None

    @classmethod
    def among(cls, data: Data, encoded: np.ndarray, rows: np.ndarray, weights: np.ndarray | None) -> HeldOut:
        """Some of the rows that are trained on otherwise, and of their weights."""
        return cls(data, rows, encoded[rows], None if weights is None else weights[rows])

    @property
    def X(self) -> Any:
        """The rows themselves, for a scorer."""
        return self.data.X if self.rows is None else self.data.X[self.rows]

    def loss(self, model: Model, outputs: np.ndarray) -> float:
        """Mean loss of a network's outputs, without penalties and label smoothing."""
        targets = self.encoded
        if targets.ndim == 1:
            targets = targets[:, None] == np.arange(outputs.shape[1])
        with np.errstate(all="ignore"):
            losses = model.loss.value(outputs, targets.astype(outputs.dtype), model.loss_parameter)
            rows = np.asarray(losses, np.float64).sum(axis=1)
            share = 1 / outputs.shape[1] if model.loss.mean_outputs else 1.0
            return float(np.average(rows, weights=self.sample_weight) * share)


def given_rows(estimator: Any, trained: np.ndarray, encoded: np.ndarray, dtype: Any, given: tuple) -> HeldOut | None:
    """The user's ``X_val, y_val, sample_weight_val``, validated against a fit's data.

    Parameters
    ----------
    estimator : object
        With the attributes that validation of the training rows has found.
    trained, encoded : ndarray
        The targets that are trained on, as they were given and as numbers.

    Raises
    ------
    ValueError
        If they are incomplete, invalid, or do not fit the training rows.
    """
    X, y, weights = given
    if X is None and y is None:
        if weights is not None:
            raise ValueError("sample_weight_val was given without X_val and y_val")
        return None
    if X is None or y is None:
        raise ValueError(f"X_val and y_val must be given together, got only {'y_val' if X is None else 'X_val'}")
    try:
        X, y, task = estimator._validate_input(estimator, X, y, True, False)
        if y.ndim != trained.ndim:
            raise ValueError(f"y_val must have {trained.ndim} dimensions like y, got {y.ndim}")
        if estimator.early_stopping and len(y) < 2:
            raise ValueError("the validation set is too small: a score needs two rows")
        explain(estimator, X)
        weights = checked_weights(weights, X, dtype)
        targets = task.encode(y)
    except ValueError as error:
        raise ValueError(f"X_val, y_val and sample_weight_val must be valid like X and y: {error}") from error
    if targets.shape[1:] != encoded.shape[1:]:
        raise ValueError(f"y_val must have targets of shape {encoded.shape[1:]} a row like y, got {targets.shape[1:]}")
    return HeldOut(Data(X), None, targets, weights)
