"""What the classifier and the regressor share: validation, fitting, prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from jitmlp.data import Source
from jitmlp.initializers import draw_layer
from jitmlp.lbfgs import fit_lbfgs
from jitmlp.memory import check_memory
from jitmlp.network import Network, NonFiniteInputs
from jitmlp.neural_network import NeuralNetwork
from jitmlp.normalization import NORMALIZATIONS, learn_normalization
from jitmlp.options import (
    SOLVERS,
    STOCHASTIC_SOLVERS,
    check_initializer,
    dropout_rates,
    hidden_activations,
    is_logistic,
    output_activation,
)
from jitmlp.schedules import BY_NAME as SCHEDULES_BY_NAME
from jitmlp.spec import NetworkSpec, fold_normalization, new_normalization
from jitmlp.stochastic import fit_stochastic, mini_batch_size
from jitmlp.threads import available_threads
from jitmlp.validation import is_watched, validated


class BaseMLP(BaseEstimator, ABC):
    """Base class of :class:`MLPClassifier` and :class:`MLPRegressor`."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [str, tuple, list, object],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES_BY_NAME)), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), np.dtype, None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "initializer": [str, tuple],
        "solver_params": [dict, None],
        "learning_rate_params": [dict, None],
        "l1": [Interval(Real, 0, None, closed="left")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), tuple, list],
        "batch_norm": ["boolean"],
        "normalize": [StrOptions(set(NORMALIZATIONS)), None],
        "restore_best": ["boolean"],
        "callback": [callable, None],
    }

    @abstractmethod
    def _validate_input(self, X, y, incremental, reset):
        """Validated ``(X, y)``, ``y`` as :class:`Source` takes it."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Name of the output activation."""

    @abstractmethod
    def _loss(self) -> str:
        """Name of the loss."""

    def _loss_parameter(self) -> float:
        """Parameter of the loss, 0 for none."""
        return 0.0

    @abstractmethod
    def _validation_score(self, network, source, rows, y, sample_weight):
        """Score of the held-out rows."""

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model to data matrix X and target(s) y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. Integers, booleans, any strides and memory maps are read
            where they lie; only other sparse formats than CSR, float16 and objects are
            converted.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels in classification, real numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        self : object
            The trained model.

        Raises
        ------
        ValueError
            For invalid data or parameters, or if training diverged.
        MemoryError
            If the network cannot fit into this machine's memory.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` was reached before convergence.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X, y, sample_weight, incremental):
        before = {name: list(v) if isinstance(v, list) else v for name, v in vars(self).items()}
        try:
            return self._train(X, y, sample_weight, incremental)
        except NonFiniteInputs:  # found after the first steps: as if they had not been
            vars(self).clear()
            vars(self).update(before)
            self._explain(X)
            raise

    def _train(self, X, y, sample_weight, incremental):
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if not all(isinstance(size, Integral) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
        if incremental and self.early_stopping and self.solver in STOCHASTIC_SOLVERS:
            raise ValueError("partial_fit does not support early_stopping=True")
        check_initializer(self.initializer)
        hidden = hidden_activations(self.activation, len(sizes))
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)

        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            if not sample_weight.sum() > 0:
                raise ValueError("sample_weight must have a positive sum, got a sum of 0 or less")
        outputs = self._n_outputs(y)
        layer_units = (X.shape[1], *(int(size) for size in sizes), outputs)
        if not first_pass and layer_units != self._fitted_units():
            raise ValueError(
                f"the network of the previous fit has layers of {self._fitted_units()} units, "
                f"hidden_layer_sizes and the data now ask for {layer_units}"
            )
        dtype = self._choose_dtype(X) if first_pass else self.coefs_[0].dtype
        self._random_state = check_random_state(self.random_state)
        out_activation = self._out_activation()
        if first_pass:
            self._learn_normalization(X)
        spec = NetworkSpec(
            layer_units,
            (*hidden, output_activation(out_activation)),
            self._loss(),
            dtype,
            self._loss_parameter(),
            getattr(self, "label_smoothing", 0.0),
            dropout_rates(self.dropout, len(sizes)),
            bool(self.batch_norm),
            self.input_shift_,
            self.input_scale_,
        )
        if self.solver == "lbfgs":
            self._refuse_for_lbfgs(spec)
        check_memory(spec, mini_batch_size(self, X.shape[0]))
        if first_pass:
            self.out_activation_ = out_activation
            self._initialize(spec)
        self._spec = spec
        source = Source(X, y, sample_weight)
        if self.solver == "lbfgs":
            fit_lbfgs(self, source)
        else:
            fit_stochastic(self, source, y, sample_weight, incremental)
        self._freeze()
        if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _learn_normalization(self, X):
        """Set the inputs' shift and scale, None without ``normalize``."""
        self.input_shift_ = self.input_scale_ = None
        if self.normalize is not None:
            self.input_shift_, self.input_scale_ = learn_normalization(self.normalize, X)

    def _refuse_for_lbfgs(self, spec):
        """L-BFGS needs a smooth function of the parameters that does not change."""
        limits = self.l1, self.max_norm, self.clip_value, self.clip_norm
        if any(limits) or spec.dropout or spec.batch_norm:
            raise ValueError(
                "solver='lbfgs' does not support l1, max_norm, clip_value, clip_norm, dropout and "
                "batch_norm; use a stochastic solver"
            )

    def _fitted_units(self):
        """Units of every layer of the fitted network, inputs first."""
        return (self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_))

    def _n_outputs(self, y):
        """Output units that the targets ``y`` need."""
        return y.shape[1]

    def _choose_dtype(self, X):
        """float32 stays float32 and everything else is float64, unless ``dtype`` says."""
        if self.dtype is not None:
            dtype = np.dtype(self.dtype)
            if dtype not in (np.float32, np.float64):
                raise ValueError(f"The 'dtype' parameter must be float32 or float64. Got {dtype} instead.")
            return dtype
        return np.dtype(np.float32 if X.dtype == np.float32 else np.float64)

    def _initialize(self, spec):
        """Draw the parameters, in scikit-learn's order, and reset what fitting records."""
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = spec.layer_units[-1]
        self.n_layers_ = len(spec.layer_units)
        self.coefs_, self.intercepts_ = [], []
        for fan_in, fan_out in zip(spec.layer_units, spec.layer_units[1:]):
            coef, intercept = draw_layer(
                self.initializer, self._random_state, fan_in, fan_out, is_logistic(self.activation)
            )
            self.coefs_.append(coef.astype(spec.dtype, copy=False))
            self.intercepts_.append(intercept.astype(spec.dtype, copy=False))
        self.batch_norm_ = new_normalization(spec)
        self._best = list(self.coefs_), list(self.intercepts_), self.batch_norm_
        self._optimizer_state = None
        if self.solver in STOCHASTIC_SOLVERS:
            self.loss_curve_ = []
            self._no_improvement_count = 0
            if self.early_stopping:
                self.validation_scores_ = []
                self.best_validation_score_ = -np.inf
                self.best_loss_ = None
            else:
                self.best_loss_ = np.inf
                self.validation_scores_ = self.best_validation_score_ = None

    def _stratify(self, y):
        """Labels by which a validation split is stratified."""
        return None

    def _check_solver(self):
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    # Prediction

    def _freeze(self):
        """Make the parameters read-only, so that packed copies of them cannot go stale."""
        for array in self._parameter_arrays():
            array.flags.writeable = False
        self._packed = []

    def _parameter_arrays(self):
        """All arrays that a prediction depends on."""
        return (*self.coefs_, *self.intercepts_, *chain.from_iterable(self.batch_norm_))

    def _borrow_network(self):
        """A network with the current parameters that no other thread is using."""
        parameters = self._parameter_arrays()
        idle = self.__dict__.setdefault("_packed", [])
        try:
            packed, network = idle.pop()
            if len(packed) == len(parameters):
                for old, new in zip(packed, parameters):
                    if old is not new or new.flags.writeable:
                        break
                else:
                    return packed, network
        except IndexError:
            pass
        network = Network(self._spec.for_prediction(), 1, available_threads(self.n_threads))
        network.pack(*fold_normalization(self.coefs_, self.intercepts_, self.batch_norm_))
        return parameters, network

    def _is_plain(self, X):
        """Whether an array needs none of scikit-learn's validation.

        It takes ten times as long as the network for a single row.
        """
        return (
            is_watched(X)
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
        )

    def _outputs(self, X):
        """Outputs of the network, shape (n_samples, n_outputs)."""
        if "coefs_" not in self.__dict__:
            check_is_fitted(self)
        source = Source(X if self._is_plain(X) else validated(self, X, reset=False))
        borrowed = self._borrow_network()
        try:
            return borrowed[1].predict(source)
        except NonFiniteInputs:
            self._explain(X)
            raise
        finally:
            self._packed.append(borrowed)

    def _explain(self, X):
        """Let scikit-learn say what is not finite in ``X``."""
        check_array(X, accept_sparse=True, dtype="numeric", input_name="X", estimator=self)

    @property
    def network_(self):
        """The fitted network as a :class:`NeuralNetwork`, to look into its layers."""
        check_is_fitted(self)
        return NeuralNetwork(
            *fold_normalization(self.coefs_, self.intercepts_, self.batch_norm_),
            self.activation,
            self.out_activation_,
            self._spec.loss,
            loss_parameter=self._spec.loss_parameter,
            dtype=self._spec.dtype,
            _shift=self._spec.shift,
            _scale=self._spec.scale,
        )

    # Protocols

    def __getstate__(self):
        state = super().__getstate__().copy()
        state.pop("_packed", None)
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "coefs_" in self.__dict__:
            self._freeze()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
