"""The multilayer perceptron as a classifier."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from jitmlp.engine.group import current
from jitmlp.estimators.base import BaseMLP
from jitmlp.estimators.members import fit_members
from jitmlp.estimators.parameters import constraints_of, document
from jitmlp.estimators.tasks import Multiclass, classification, classification_of, fitted_binarizer
from jitmlp.estimators.together import all_labels, balanced_weights
from jitmlp.estimators.validation import is_plain_target, validated
from jitmlp.model.choices import refuse

if TYPE_CHECKING:
    from typing_extensions import Self


def _dense_labels(y: Any) -> Any:
    """Labels as an array: a sparse indicator matrix of labels is small enough."""
    return y.toarray() if sparse.issparse(y) else y


def _as_probability(outputs: np.ndarray, out_activation: Any) -> np.ndarray:
    """Outputs of units that are not bound to [0, 1], cut off there."""
    return outputs if out_activation in ("softmax", "logistic") else outputs.clip(0, 1)


def _shares(outputs: np.ndarray) -> np.ndarray:
    """Rows of numbers >= 0 as probabilities of sum 1; equal ones where all are 0."""
    total = outputs.sum(axis=1, keepdims=True)
    equal = np.full_like(outputs, 1 / outputs.shape[1])
    return np.divide(outputs, total, out=equal, where=total > 0)


def weights_by_class(given: Any, classes: Any, y: np.ndarray) -> np.ndarray:
    """Weights of the rows as ``class_weight`` asks, 1 for the classes that a dict leaves out.

    Raises
    ------
    ValueError
        For a dict with classes that are not there.
    """
    if isinstance(given, dict) and y.ndim == 1:
        known = classes.tolist()
        unknown = [key for key in given if key not in known]
        if unknown:
            raise ValueError(f"class_weight has classes that are not there: {unknown}; there are {known}")
        given = {**dict.fromkeys(known, 1.0), **given}
    if given == "balanced" and y.ndim == 1 and not current().is_alone:
        given = balanced_weights(current(), Counter(y.tolist()))
    return compute_sample_weight(given, y)


@document
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron classifier, trained by compiled kernels.

    A drop-in for :class:`sklearn.neural_network.MLPClassifier`: the same parameters with
    the same defaults and meaning, the same fitted attributes and, from the same
    ``random_state``, the same model. The parameters from ``loss`` on are additions.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray or list of ndarray of shape (n_classes,)
        Class labels.
    {attributes}

    See Also
    --------
    MLPRegressor : The regressor.
    sklearn.neural_network.MLPClassifier : The estimator this one stands in for.

    References
    ----------
    Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
    Nature 323, 1986. Kingma & Ba, "Adam: a method for stochastic optimization", 2015.

    Examples
    --------
    >>> from jitmlp import MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((64,), tol=1e-2, random_state=0).fit(X[:1500] / 16, y[:1500])
    >>> bool(model.score(X[1500:] / 16, y[1500:]) > 0.85)
    True
    """

    _parameter_constraints = constraints_of("MLPClassifier")

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        loss: Any = "log_loss",
        out_activation: Any = None,
        label_smoothing: Any = 0.0,
        dtype: Any = None,
        precision: Any = None,
        n_threads: Any = None,
        initializer: Any = "auto",
        solver_params: Any = None,
        learning_rate_params: Any = None,
        l1: Any = 0.0,
        layer_rates: Any = None,
        max_norm: Any = None,
        clip_value: Any = None,
        clip_norm: Any = None,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        normalize: Any = None,
        categorical_features: Any = None,
        embedding_dim: Any = None,
        numeric_bins: Any = None,
        restore_best: Any = False,
        scoring: Any = None,
        class_weight: Any = None,
        callback: Any = None,
        on_divergence: Any = "raise",
        n_members: Any = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.out_activation = out_activation
        self.label_smoothing = label_smoothing
        self.dtype = dtype
        self.precision = precision
        self.n_threads = n_threads
        self.initializer = initializer
        self.solver_params = solver_params
        self.learning_rate_params = learning_rate_params
        self.l1 = l1
        self.layer_rates = layer_rates
        self.max_norm = max_norm
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.normalize = normalize
        self.categorical_features = categorical_features
        self.embedding_dim = embedding_dim
        self.numeric_bins = numeric_bins
        self.restore_best = restore_best
        self.scoring = scoring
        self.class_weight = class_weight
        self.callback = callback
        self.on_divergence = on_divergence
        self.n_members = n_members

    def _validate_input(self, draft: Any, X: Any, y: Any, incremental: bool, reset: bool, classes: Any = None) -> tuple:
        if incremental and not reset and classes is None and self._is_plain(X) and is_plain_target(X, y, "iub"):
            task = draft._task()
            if isinstance(task, Multiclass) and task.knows(y):
                return X, y, task
        X, y = validated(draft, X, _dense_labels(y), multi_output=True, dtype="numeric", reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if classes is not None and incremental:
            known = y if type_of_target(y).startswith("multilabel") else classes
            draft._label_binarizer = fitted_binarizer(known)
            draft.classes_ = draft._label_binarizer.classes_
        labels = y if incremental else all_labels(y) if classes is None else classes
        if not hasattr(draft, "classes_") or (not self.warm_start and not incremental):
            draft._label_binarizer = fitted_binarizer(labels)
            draft.classes_ = draft._label_binarizer.classes_
        else:
            seen = unique_labels(labels)
            if self.warm_start and not incremental:
                if set(seen) != set(draft.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same "
                        "classes as in the previous call to fit. Previously "
                        f"got {draft.classes_}, `y` has {seen}"
                    )
            elif len(np.setdiff1d(seen, draft.classes_, assume_unique=True)):
                raise ValueError(
                    f"`y` has classes not in `self.classes_`. `self.classes_` has {draft.classes_}. 'y' has {seen}."
                )
        return X, y, draft._task()

    def _weigh_classes(self, weights: Any, task: Any, y: Any, incremental: bool) -> Any:
        given = self.class_weight
        if given is None:
            return weights
        if incremental and given == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit: the classes' shares are not known. Give a "
                "dict, such as from sklearn.utils.class_weight.compute_class_weight"
            )
        own = weights_by_class(given, task.classes, y)
        return own if weights is None else own * weights

    def _task(self) -> Any:
        binarizer = self.__dict__.get("_label_binarizer")
        if binarizer is not None and binarizer.classes_ is self.classes_:
            return classification(binarizer)
        network = self.__dict__.get("members_", [self])[0]
        return classification_of(
            self.classes_, network.coefs_[-1].shape[1], self.__dict__.get("out_activation_", "logistic")
        )

    def _refuse_pair(self, task: Any, loss: Any, out_activation: Any) -> None:
        multiclass = isinstance(task, Multiclass)
        if out_activation == "softmax" and not multiclass:
            raise refuse(
                "out_activation",
                "'logistic', 'identity', 'tanh' or None for two classes and multilabel targets",
                "softmax",
            )
        if loss.name == "binary_log_loss" and loss.built_in and out_activation in ("identity", "tanh"):
            raise ValueError(
                f"loss='log_loss' needs probabilities, which out_activation={out_activation!r} does not give; "
                f"use 'softmax' or 'logistic', or loss='squared_error'"
            )

    def predict(self, X: Any) -> np.ndarray:
        """Predict the classes of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The predicted classes.
        """
        outputs = self._outputs(X)
        return self._task().decode(outputs)

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Update the model with one pass over the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        classes : array of shape (n_classes,), default=None
            Classes across all calls to partial_fit. Required at the first call.
        X_val, y_val, sample_weight_val : array-like, default=None
            Validation data of your own. With ``early_stopping`` their score is compared with those of the calls
            before: ``stopped_by_`` is "plateau" once it has not improved for ``n_iter_no_change`` calls.

        Returns
        -------
        self : object
            The trained model.
        """
        if self.n_members > 1:
            own = dict(X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
            return fit_members(self, "partial_fit", X, y, sample_weight, classes=classes, **own)
        draft = self._draft()
        first_call = _check_partial_fit_first_call(draft, classes)
        held_out = X_val, y_val, sample_weight_val
        return self._fit(X, y, sample_weight, True, held_out, classes=draft.classes_ if first_call else None)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        outputs = self._outputs(X)
        if outputs.shape[1] == 1:
            positive = _as_probability(outputs.ravel(), self.__dict__.get("out_activation_"))
            return np.vstack([1 - positive, positive]).T
        if self._task().output_activation == "softmax" and self.out_activation_ != "softmax":
            return _shares(_as_probability(outputs, self.out_activation_))
        return _as_probability(outputs, self.__dict__.get("out_activation_"))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; minus infinity where the probability is 0.
        """
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
