"""The multilayer perceptron as a regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from jitmlp.estimators.base import BaseMLP
from jitmlp.estimators.members import fit_members
from jitmlp.estimators.parameters import constraints_of, document
from jitmlp.estimators.tasks import Regression
from jitmlp.estimators.validation import is_plain_target, validated
from jitmlp.model.choices import refuse
from jitmlp_kernels.rules.losses import LossRule

if TYPE_CHECKING:
    from typing_extensions import Self


@document
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron regressor, trained by compiled kernels.

    A drop-in for :class:`sklearn.neural_network.MLPRegressor`: the same parameters with
    the same defaults and meaning, the same fitted attributes and, from the same
    ``random_state``, the same model. The parameters from ``out_activation`` on are
    additions, as are the values of ``loss`` after the first two.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MLPClassifier : The classifier.
    sklearn.neural_network.MLPRegressor : The estimator this one stands in for.

    Examples
    --------
    >>> from jitmlp import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", max_iter=1000, random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.5)
    True
    """

    _parameter_constraints = constraints_of("MLPRegressor")

    def __init__(
        self,
        loss: Any = "squared_error",
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
        out_activation: Any = None,
        loss_parameter: Any = None,
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
        callback: Any = None,
        on_divergence: Any = "raise",
        n_members: Any = 1,
    ) -> None:
        self.loss = loss
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
        self.out_activation = out_activation
        self.loss_parameter = loss_parameter
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
        self.callback = callback
        self.on_divergence = on_divergence
        self.n_members = n_members

    def _validate_input(self, draft: Any, X: Any, y: Any, incremental: bool, reset: bool) -> tuple:
        if incremental and not reset and self._is_plain(X) and is_plain_target(X, y, "f") and np.isfinite(y).all():
            return X, y, Regression()
        X, y = validated(draft, X, y, multi_output=True, y_numeric=True, dtype="numeric", reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y, Regression()

    def _task(self) -> Any:
        return Regression()

    def _out_activation(self, task: Any) -> str:
        return self.out_activation or ("exp" if self.loss == "poisson" else "identity")

    def _refuse_pair(self, task: Any, loss: Any, out_activation: Any) -> None:
        if loss.name == "poisson" and loss.built_in and out_activation in ("identity", "tanh", "relu"):
            raise ValueError(
                f"loss='poisson' needs positive predictions, which out_activation={out_activation!r} does not give; "
                f"use 'exp', 'softplus' or 'logistic'"
            )

    def _loss_parameter(self, rule: LossRule) -> float:
        if self.loss_parameter is None:
            return rule.default
        if not rule.parameter or (self.loss == "quantile" and self.loss_parameter >= 1):
            allowed = "None" if not rule.parameter else "a float in the range (0, 1)"
            raise refuse("loss_parameter", f"{allowed} for loss={self.loss!r}", self.loss_parameter)
        return float(self.loss_parameter)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted values.
        """
        return self._task().decode(self._outputs(X))

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
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
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
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
            return fit_members(self, "partial_fit", X, y, sample_weight, **own)
        return self._fit(X, y, sample_weight, True, (X_val, y_val, sample_weight_val))
