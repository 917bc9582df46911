"""The classifier for tables."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from jitmlp.estimators.classifier import MLPClassifier, weights_by_class
from jitmlp.tabular.ensemble import HELD_OUT, TableEnsemble, shared_constraints

SMALLEST = 1e-30  # probability, for its logarithm


class TabularClassifier(ClassifierMixin, TableEnsemble):
    """An ensemble of networks that takes a table as it comes: categories, missing values, columns of any scale.

    Each member is trained on all folds of the rows but one, which chooses its epoch; probabilities are averaged and
    brought to the right sharpness by one temperature, found on the rows that a member has not seen.

    Parameters
    ----------
    n_members : int, default=5
        Networks, as many folds. With one a fifth of the rows is held out, until its epoch is known: ``refit``.
    hidden_layer_sizes : tuple, default=(256, 256, 256)
    activation : name or Activation, default='selu'
    learning_rate_init : float, default=0.04
        The largest rate of the schedule ``cosine_log``; each layer's weights move at this over the root of the layer's
        inputs (neural-tangent parametrization), intercepts at a tenth.
    max_iter : int or None, default=None
        Epochs of a member; None for 240 of a single one and 80 of each where there are several. A member ends where its
        score has not become better in two fifths of them.
    batch_size : int, default=256
    dropout : float or tuple, default=0.0
    alpha : float or tuple, default=0.0
        L2 penalty.
    label_smoothing : float, default=0.1
    class_weight : dict or 'balanced', default=None
        Multiplies ``sample_weight``, in everything that is learned, chosen and scored.
    scoring : str or callable, default='loss'
        What chooses the epoch: the log loss, the name of one of scikit-learn's scorers, a scorer, or None for accuracy.
    numeric_bins : int, 'auto', None or tuple, default=(None, 'auto')
        Bins of each column of numbers, see :class:`MLPClassifier`; 'auto' for as many as give 512 inputs, from 8 to 96; of a
        tuple the members have one each, in turn. By default every second member has bins, a single one none: they help where
        classes begin at thresholds, and harm where they lie in directions of many columns together.
    categorical_features : 'from_dtype' or array-like, default='from_dtype'
        See :class:`TableEncoder`. Whole numbers are numbers unless they are named here.
    time_limit : float, default=None
        Seconds in which ``fit`` ends: epochs, then members, become fewer. Without it, or where the time is enough for all
        epochs, the same seed gives the same model.
    refit : bool, default=True
        Train a single member once more on all rows, to the epoch that was best with a fifth of them held out. What is said
        of rows that it has not seen, and ``history_``, is that of the first time.
    n_jobs : int, default=None
        Members trained at a time, and threads of the last one and of predictions; all cores by default. The model does
        not depend on it, to the last bit.
    verbose : bool, default=False
        Show a progress bar: member, epoch, best score, time left.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    members_ : list of MLPClassifier
        Fitted on the rows that ``encoder_`` gives.
    encoder_ : TableEncoder
    temperature_ : float
        What the logarithms of the probabilities are divided by; 1 where nothing is out of fold.
    oof_proba_ : ndarray of shape (n_samples, n_classes)
        Probabilities of every row by the member that has not seen it; NaN where there is none.
    oof_score_, oof_log_loss_ : float
        Accuracy and log loss of these; NaN without any.
    history_ : dict of list
        Of all members' epochs, as a data frame takes it; ``best_score`` is the best of the member so far.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        The columns' names, of a frame.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    NeurIPS 2024. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples
    --------
    >>> from jitmlp import TabularClassifier
    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True)
    >>> model = TabularClassifier(n_members=2, max_iter=30, random_state=0).fit(X, y)
    >>> bool(model.oof_score_ > 0.9)
    True
    """

    _member = MLPClassifier
    _output_initializer = "zeros"  # begins with equal shares (docs/performance.md, Tables)
    _default_epochs = {"alone": 240, "several": 80}
    _parameter_constraints = {
        **TableEnsemble._parameter_constraints,
        **shared_constraints("MLPClassifier", (
            "hidden_layer_sizes", "activation", "learning_rate_init", "dropout", "alpha", "label_smoothing",
            "class_weight", "scoring", "verbose", "random_state",
        )),
    }  # fmt: skip

    def __init__(
        self,
        n_members: int = 5,
        *,
        hidden_layer_sizes: Any = (256, 256, 256),
        activation: Any = "selu",
        learning_rate_init: float = 0.04,
        max_iter: int | None = None,
        batch_size: int = 256,
        dropout: Any = 0.0,
        alpha: Any = 0.0,
        label_smoothing: float = 0.1,
        class_weight: Any = None,
        scoring: Any = "loss",
        numeric_bins: Any = (None, "auto"),
        categorical_features: Any = "from_dtype",
        time_limit: float | None = None,
        refit: bool = True,
        n_jobs: int | None = None,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_members = n_members
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.dropout = dropout
        self.alpha = alpha
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.scoring = scoring
        self.numeric_bins = numeric_bins
        self.categorical_features = categorical_features
        self.time_limit = time_limit
        self.refit = refit
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def _learn_target(self, y: np.ndarray) -> np.ndarray:
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"Classifier can't train when only one class is present: {self.classes_}")
        return y

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        return y  # the members look for classes that are not there

    def _folds(self, target: np.ndarray, random: np.random.RandomState) -> list[tuple[np.ndarray, np.ndarray]]:
        """Every class is among the rows that a member trains on."""
        rows, numbers = np.arange(len(target)), np.searchsorted(self.classes_, target)
        counts = np.bincount(numbers)
        if self.n_members == 1:
            stratify = numbers if counts.min() > 1 and len(rows) * HELD_OUT >= len(counts) else None
            found = [train_test_split(rows, test_size=HELD_OUT, random_state=random, stratify=stratify)]
        else:
            n_folds = min(self.n_members, len(rows))
            stratified = counts.max() >= n_folds  # else every class is too small to be in all folds
            splitter: Any = StratifiedKFold if stratified else KFold
            with warnings.catch_warnings():  # of classes that have fewer rows than there are folds
                warnings.simplefilter("ignore", UserWarning)
                found = list(splitter(n_folds, shuffle=True, random_state=random).split(rows, numbers))
        whole = []
        for inside, outside in found:
            lost = ~np.isin(numbers[outside], numbers[inside])
            inside, left = np.concatenate([inside, outside[lost]]), outside[~lost]
            whole.append((inside, left if len(left) else outside))
        return whole

    def _weigh(self, target: np.ndarray, weights: Any) -> Any:
        if self.class_weight is None:
            return weights
        own = weights_by_class(self.class_weight, self.classes_, target)
        return own if weights is None else own * weights

    def _look_back(self, rows: Any, target: np.ndarray, weights: Any, seen: list) -> None:
        """Probabilities out of fold, and the temperature that makes their log loss least."""
        sums = np.zeros((len(target), len(self.classes_)))
        known, means = self._out_of_fold(sums, seen, lambda model, outside: model.predict_proba(rows[outside]))
        found = np.full_like(sums, np.nan)
        self.temperature_, self.oof_score_, self.oof_log_loss_ = 1.0, np.nan, np.nan
        if known.any():
            numbers = np.searchsorted(self.classes_, target)[known]
            logs = np.log(np.maximum(means, SMALLEST))
            own = None if weights is None else weights[known]

            def loss(log_temperature: float) -> float:
                shares = log_softmax(logs / np.exp(log_temperature), axis=1)
                return -float(np.average(shares[np.arange(len(numbers)), numbers], weights=own))

            self.temperature_ = float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))
            found[known] = softmax(logs / self.temperature_, axis=1)
            self.oof_score_ = float(accuracy_score(numbers, found[known].argmax(axis=1), sample_weight=own))
            classes = np.arange(len(self.classes_))
            self.oof_log_loss_ = float(log_loss(numbers, found[known], labels=classes, sample_weight=own))
        self.oof_proba_ = found

    def _proba(self, rows: Any) -> np.ndarray:
        logs = (np.log(np.maximum(model.predict_proba(rows), SMALLEST)) for model in self.members_)
        return np.mean([softmax(log.astype(np.float64) / self.temperature_, axis=1) for log in logs], axis=0)

    def _score_rows(self, rows: Any, y: np.ndarray) -> float:
        return float(np.mean(self.classes_[self._proba(rows).argmax(axis=1)] == y))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes: the mean of the members'.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return self._proba(self._rows(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of :meth:`predict_proba`.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest classes.

        Parameters
        ----------
        X : frame or array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]
