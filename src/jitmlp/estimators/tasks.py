"""What is learned: how targets become numbers, and outputs become answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer

from jitmlp.engine.data import is_readable


class Task(ABC):
    """What is learned.

    Attributes
    ----------
    output_activation : str
        The one that fits by default.
    """

    output_activation: str = "identity"

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as :class:`~jitmlp.engine.data.Data` takes them."""

    @abstractmethod
    def truth(self, encoded: np.ndarray) -> np.ndarray:
        """Targets as the user has them, from encoded ones."""

    @abstractmethod
    def n_outputs(self, encoded: np.ndarray) -> int:
        """Output units that encoded targets need."""

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions from the network's outputs."""

    @abstractmethod
    def score(self, encoded: np.ndarray, outputs: np.ndarray, sample_weight: Any = None) -> float:
        """Score of outputs against encoded targets, as scikit-learn's early stopping has it."""

    def stratify(self, encoded: np.ndarray) -> np.ndarray | None:
        """Labels by which a validation split is stratified."""
        return None

    def loss(self, name: str, out_activation: str) -> str:
        """The row of the table of losses for the parameter ``loss``."""
        return name


class _Classification(Task):
    """Classes told apart.

    Parameters
    ----------
    classes : ndarray
    binarizer : LabelBinarizer
    """

    def __init__(self, classes: Any, binarizer: LabelBinarizer) -> None:
        self.classes, self.binarizer = classes, binarizer

    def score(self, encoded: np.ndarray, outputs: np.ndarray, sample_weight: Any = None) -> float:
        """Accuracy."""
        return accuracy_score(self.truth(encoded), self.decode(outputs), sample_weight=sample_weight)

    def truth(self, encoded: np.ndarray) -> np.ndarray:
        """Labels."""
        return self.binarizer.inverse_transform(encoded)

    def loss(self, name: str, out_activation: Any) -> str:
        """``log_loss`` is that of each output for itself unless they are shares of one."""
        return "binary_log_loss" if name == "log_loss" and out_activation != "softmax" else name


class Multiclass(_Classification):
    """One of several classes: an output for each."""

    output_activation = "softmax"

    def encode(self, y: Any) -> np.ndarray:
        """Class numbers."""
        return np.searchsorted(self.classes, y)

    def knows(self, y: np.ndarray) -> bool:
        """Whether all labels are classes."""
        places = np.searchsorted(self.classes, y)
        return bool((places < len(self.classes)).all() and (self.classes.take(places) == y).all())

    def n_outputs(self, encoded: np.ndarray) -> int:
        """One a class."""
        return len(self.classes)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """The class of the largest output."""
        return self.classes.take(outputs.argmax(axis=1))

    def truth(self, encoded: np.ndarray) -> np.ndarray:
        """Labels."""
        return self.classes[encoded]


class Independent(_Classification):
    """Two classes, or several labels of which any number may hold: an output for each."""

    output_activation = "logistic"

    def encode(self, y: Any) -> np.ndarray:
        """0 or 1 an output."""
        encoded = self.binarizer.transform(y)
        return np.asarray(encoded.toarray() if hasattr(encoded, "toarray") else encoded).astype(bool)

    def n_outputs(self, encoded: np.ndarray) -> int:
        """One for two classes, else one a label."""
        return encoded.shape[1]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Labels whose output is above one half; what the label binarizer does, without its checks."""
        if outputs.shape[1] == 1:
            outputs = outputs.ravel()
            if len(self.classes) == 2:
                return self.classes.take(outputs > 0.5)
        return self.binarizer.inverse_transform(outputs)

    def stratify(self, encoded: np.ndarray) -> np.ndarray | None:
        """By class where there are two: scikit-learn's rule, kept for the same split."""
        return encoded if encoded.shape[1] == 1 else None


@dataclass(frozen=True)
class Regression(Task):
    """Numbers."""

    def encode(self, y: Any) -> np.ndarray:
        """One column an output."""
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        return y if is_readable(y.dtype) else y.astype(np.float64)

    def truth(self, encoded: np.ndarray) -> np.ndarray:
        """A vector where there is one output."""
        return self.decode(encoded)

    def n_outputs(self, encoded: np.ndarray) -> int:
        """One a column."""
        return encoded.shape[1]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """A vector where there is one output."""
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def score(self, encoded: np.ndarray, outputs: np.ndarray, sample_weight: Any = None) -> float:
        """R squared."""
        return r2_score(encoded, self.decode(outputs), sample_weight=sample_weight)


def fitted_binarizer(labels: Any) -> LabelBinarizer:
    """What ``LabelBinarizer().fit(labels)`` gives, at once where they are whole numbers: its checks take a sixth of a tiny fit."""
    binarizer = LabelBinarizer()
    if type(labels) is not np.ndarray or labels.ndim != 1 or labels.dtype.kind not in "iu":
        return binarizer.fit(labels)
    classes = np.unique(labels)
    if not 0 < 2 * len(classes) <= len(labels):  # of which scikit-learn warns
        return binarizer.fit(labels)
    binarizer.y_type_ = "binary" if len(classes) <= 2 else "multiclass"
    binarizer.sparse_input_, binarizer.classes_ = False, classes
    return binarizer


def classification(binarizer: LabelBinarizer) -> _Classification:
    """The task of the classes that a fitted label binarizer knows."""
    kind = Multiclass if binarizer.y_type_ == "multiclass" else Independent
    return kind(binarizer.classes_, binarizer)


def classification_of(classes: Any, n_outputs: int, out_activation: str) -> _Classification:
    """The task of a classifier that was put together by hand: classes, outputs, output activation."""
    classes = np.asarray(classes)
    binarizer = LabelBinarizer()
    if n_outputs == 1 or out_activation == "softmax":
        return classification(binarizer.fit(classes))
    labels = np.eye(len(classes), dtype=int)
    labels[:, 0] = 1  # several labels in a row: multilabel
    return Independent(classes, binarizer.fit(labels))
