"""The multilayer perceptron as a classifier."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from jitmlp.base import BaseMLP
from jitmlp.docs import document
from jitmlp.validation import validated

CLASSIFIER_LOSSES = ("log_loss", "squared_error")


@document
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multilayer perceptron classifier, trained by compiled kernels.

    A drop-in for :class:`sklearn.neural_network.MLPClassifier`: the same parameters with
    the same defaults and meaning, the same fitted attributes and, from the same
    ``random_state``, the same model. The parameters from ``loss`` on are additions.

    Parameters
    ----------
    {parameters}
    loss : {{'log_loss', 'squared_error'}}, default='log_loss'
        What training minimizes. ``squared_error`` is half the squared distance to the
        one-hot target, the quadratic cost of textbooks.
    out_activation : {{'softmax', 'logistic', 'identity', 'tanh'}}, default=None
        Activation of the output layer. By default ``softmax`` for several classes,
        ``logistic`` for two and for multilabel targets.
    label_smoothing : float, default=0.0
        Share of a target that is spread evenly over all classes.
    {additions}

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

    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFIER_LOSSES))],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "out_activation": [StrOptions({"softmax", "logistic", "identity", "tanh"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        loss="log_loss",
        out_activation=None,
        label_smoothing=0.0,
        dtype=None,
        n_threads=None,
        initializer="auto",
        solver_params=None,
        learning_rate_params=None,
        l1=0.0,
        max_norm=None,
        clip_value=None,
        clip_norm=None,
        dropout=0.0,
        batch_norm=False,
        normalize=None,
        restore_best=False,
        callback=None,
    ):
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
        self.n_threads = n_threads
        self.initializer = initializer
        self.solver_params = solver_params
        self.learning_rate_params = learning_rate_params
        self.l1 = l1
        self.max_norm = max_norm
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.normalize = normalize
        self.restore_best = restore_best
        self.callback = callback

    def _validate_input(self, X, y, incremental, reset):
        X, y = validated(self, X, y, multi_output=True, dtype="numeric", reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            classes = unique_labels(y)
            if self.warm_start:
                if set(classes) != set(self.classes_):
                    raise ValueError(
                        "warm_start can only be used where `y` has the same "
                        "classes as in the previous call to fit. Previously "
                        f"got {self.classes_}, `y` has {classes}"
                    )
            elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
                raise ValueError(
                    "`y` has classes not in `self.classes_`. "
                    f"`self.classes_` has {self.classes_}. 'y' has {classes}."
                )
        if self._is_multiclass():
            return X, np.searchsorted(self.classes_, y)
        return X, np.asarray(self._label_binarizer.transform(y)).astype(bool)

    def _is_multiclass(self):
        return self._label_binarizer.y_type_ == "multiclass"

    def _n_outputs(self, y):
        return len(self.classes_) if y.ndim == 1 else y.shape[1]

    def _stratify(self, y):
        # only for two classes: scikit-learn's rule, kept for the same split
        return y if y.ndim == 2 and y.shape[1] == 1 else None

    def _out_activation(self):
        automatic = "softmax" if self._is_multiclass() else "logistic"
        return self.out_activation or automatic

    def _loss(self):
        if self.loss == "log_loss" and self._out_activation() != "softmax":
            return "binary_log_loss"
        return self.loss

    def _labels(self, outputs):
        """Classes of the rows of outputs; what the label binarizer does, without its checks."""
        if self._is_multiclass():
            return self.classes_.take(outputs.argmax(axis=1))
        if self.n_outputs_ == 1:
            outputs = outputs.ravel()
            if len(self.classes_) == 2:
                return self.classes_.take(outputs > 0.5)
        return self._label_binarizer.inverse_transform(outputs)

    def _validation_score(self, network, source, rows, y, sample_weight):
        outputs = network.predict(source, rows)
        if not np.isfinite(outputs).all():
            return np.nan
        held_out = y[rows]
        if held_out.ndim == 1:
            truth = self.classes_[held_out]
        else:
            truth = self._label_binarizer.inverse_transform(held_out)
        return accuracy_score(truth, self._labels(outputs), sample_weight=sample_weight)

    def predict(self, X):
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
        return self._labels(self._outputs(X))

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
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

        Returns
        -------
        self : object
            The trained model.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            if type_of_target(y).startswith("multilabel"):
                self._label_binarizer.fit(y)
            else:
                self._label_binarizer.fit(classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict_proba(self, X):
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
        if self.n_outputs_ == 1:
            outputs = outputs.ravel()
            return np.vstack([1 - outputs, outputs]).T
        return outputs

    def predict_log_proba(self, X):
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
