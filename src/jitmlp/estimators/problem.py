"""From the arguments of ``fit`` to a problem for training: validated, encoded, drawn; the estimator stays as it is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from jitmlp.engine.bins import learn_bins
from jitmlp.engine.data import Data
from jitmlp.engine.layout import Layout
from jitmlp.engine.memory import check_memory
from jitmlp.engine.normalization import learn_normalization, scaling_of
from jitmlp.estimators.held_out import HeldOut, given_rows
from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.random_state import generator_of
from jitmlp.estimators.solvers import is_stochastic, mini_batch_size, working_bytes
from jitmlp.estimators.tasks import Task
from jitmlp.estimators.validation import checked_weights
from jitmlp.model.choices import nearest
from jitmlp.model.initializers import draw_layer
from jitmlp.model.layers import hidden_layers, initializers, is_logistic, output_layer
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Embedding, Model, Scaling, network_dtype
from jitmlp.model.parameters import Parameters, new_batch_norms
from jitmlp.training.recipe import History, Start
from jitmlp_kernels.trace.target import HAS_BFLOAT16_DOT

# Of embeddings as they are drawn; with 1 or 0.03 they learn more slowly (docs/performance.md)
EMBEDDING_DEVIATION = 0.1
WIDE = 256  # units on both sides of a layer: a number's products are many more than the operations that round it


@dataclass(frozen=True)
class Problem:
    """A call of ``fit``, validated and encoded: nothing of it is on the estimator yet.

    Attributes
    ----------
    attributes : dict
        What validation has found: n_features_in_, classes_ ...
    task : Task
    data : Data or Chunks
    encoded : ndarray
        The targets; of chunks those of the first.
    model : Model
    start : Start
    first : bool
        Whether nothing of an earlier fit goes on.
    random_state : RandomState
    held_out : HeldOut or None
        The user's validation data.
    sample_weight : ndarray or None
        The user's weights, without those of classes, which ``data`` has.
    """

    attributes: dict
    task: Task
    data: Any
    encoded: np.ndarray
    model: Model
    start: Start
    first: bool
    random_state: np.random.RandomState
    held_out: HeldOut | None
    sample_weight: np.ndarray | None


class Preparation(Prediction):
    """The side of an estimator that prepares a fit."""

    # What differs between the two

    @abstractmethod
    def _validate_input(self, draft: Any, X: Any, y: Any, incremental: bool, reset: bool) -> tuple:
        """Validated ``(X, y, task)``; what is found goes to the attributes of ``draft``."""

    def _validate_params(self) -> None:
        """scikit-learn's check of the parameters, with the nearest name where one is misspelled."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            for name, value in self.get_params(deep=False).items():
                if f"The {name!r} parameter" in str(error) and isinstance(value, str):
                    options = (c for c in self._parameter_constraints[name] if isinstance(c, StrOptions))
                    hint = nearest(value, {option for choice in options for option in choice.options})
                    raise InvalidParameterError(f"{error}{hint}") from None
            raise

    def _sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(isinstance(size, (bool, np.bool_)) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if not all(isinstance(size, Integral) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
        return [int(size) for size in sizes]

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        held_out: tuple,
        initial: Any = (None, None),
        survey: Any = None,
        **validation: Any,
    ) -> Problem:
        """Validate, encode and draw, in scikit-learn's order; the estimator stays as it is.

        With a ``survey`` of all rows these are the first of them.
        """
        sizes = self._sizes()
        if incremental and self.early_stopping and held_out[0] is None and is_stochastic(self.solver):
            raise ValueError("partial_fit does not support early_stopping=True without X_val and y_val")
        initializers(self.initializer, len(sizes) + 1)
        hidden, input_dropout = hidden_layers(sizes, self.activation, self.dropout, bool(self.batch_norm))
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        if "members_" in vars(self) and (incremental or self.warm_start):
            raise ValueError(f"n_members=1 cannot go on from a fit with n_members={len(self.members_)}")
        draft = self._draft()
        if first:
            draft.encoder_ = None
        X, y, task = self._validate_input(draft, X, y, incremental, first, **validation)
        encoded = task.encode(y)
        if not first:
            self._refuse_other_structure(X.shape[1], sizes, task.n_outputs(encoded))
        embedding = self._embedding(draft)
        if not first and embedding != self._fitted_embedding():
            raise ValueError(f"embedding_dim={self.embedding_dim!r} is not that of the fit that goes on")
        bfloat16 = self._multiplies_bfloat16((X.shape[1], *sizes, task.n_outputs(encoded)))
        dtype = np.dtype(np.float32) if bfloat16 else self._choose_dtype(X, first)
        own_weights = checked_weights(sample_weight, X, dtype)
        weights = own_weights if survey is not None else self._weigh_classes(own_weights, task, y, incremental)
        if weights is not own_weights:
            weights = checked_weights(weights, X, dtype)
        given = given_rows(draft, y, encoded, dtype, held_out)
        if self.scoring is not None and given is None and not self.early_stopping:
            warn_user("scoring has no effect without X_val and y_val, or early_stopping")
        random_state = generator_of(self.random_state)
        out_activation = self._out_activation(task)
        loss, loss_parameter = self._loss_rule(task, out_activation)
        self._refuse_pair(task, loss, out_activation)
        for targets in (encoded, *((given.encoded,) if given else ())):
            self._refuse_targets(loss, targets)
        if not first:
            scaling = self._fitted_scaling()
        elif survey is None:
            scaling = self._learn_scaling(X)
        else:
            scaling = survey.scaling and scaling_of(self.normalize, *survey.scaling)
        if not first:
            bins = self._fitted_bins()
        elif self.numeric_bins is None:
            bins = None
        else:
            n_numbers = X.shape[1] if draft.encoder_ is None else draft.encoder_.n_numbers
            bins = learn_bins(X, int(self.numeric_bins), scaling, n_numbers, dtype)
        model = Model(
            X.shape[1],
            (*hidden, output_layer(task.n_outputs(encoded), out_activation)),
            loss,
            dtype,
            loss_parameter,
            getattr(self, "label_smoothing", 0.0),
            input_dropout,
            scaling,
            bfloat16,
            embedding,
            bins,
        )
        if first:
            n_rows = X.shape[0] if survey is None else survey.n_rows
            rows = mini_batch_size(self, n_rows) if is_stochastic(self.solver) else n_rows
            check_memory(Layout(model, rows), working_bytes(model, self.initializer, self.solver))
        start = self._start(model, first, incremental, random_state, initial)
        before = vars(self)
        found = {name: value for name, value in vars(draft).items() if before.get(name) is not value}
        return Problem(
            found, task, Data(X, encoded, weights), encoded, model, start, first, random_state, given, own_weights
        )

    @staticmethod
    def _refuse_targets(loss: Any, targets: np.ndarray) -> None:
        """Raise for targets that a loss has no value for."""
        if targets.dtype.kind != "b" and targets.size and targets.min() < loss.lowest_target:
            raise ValueError(f"loss={loss.name!r} needs targets >= {loss.lowest_target:g}, got {targets.min()}")

    def _weigh_classes(self, weights: Any, task: Any, y: Any, incremental: bool) -> Any:
        """Sample weights with what the classes weigh."""
        return weights

    def _refuse_other_structure(self, n_features: int, sizes: Any, n_outputs: int) -> None:
        """Raise if what was fitted before cannot go on."""
        fitted = (self._fitted_width(), *(coef.shape[1] for coef in self.coefs_))
        wanted = (n_features, *sizes, n_outputs)
        if wanted != fitted:
            raise ValueError(
                f"the network of the previous fit has layers of {fitted} units, "
                f"hidden_layer_sizes and the data now ask for {wanted}"
            )
        if (self.categorical_features is not None) != (getattr(self, "encoder_", None) is not None):
            raise ValueError("categorical_features must be the same as in the fit that goes on")
        if (self.numeric_bins is not None) != (self._fitted_bins() is not None):
            raise ValueError("numeric_bins must be the same as in the fit that goes on")
        before = self._normalized_by()
        if self.normalize != before:
            raise ValueError(f"normalize={self.normalize!r} cannot go on from a fit with normalize={before!r}")
        if bool(self.batch_norm) != bool(getattr(self, "batch_norm_", [])) and len(sizes) > 0:
            raise ValueError(f"batch_norm={self.batch_norm!r} cannot go on from a fit without the same batch_norm")

    def _refuse_pair(self, task: Any, loss: Any, out_activation: Any) -> None:
        """Raise for an output and a loss that do not fit each other."""

    def _embedding(self, draft: Any) -> Embedding | None:
        """How categories are looked up, which the parameter ``embedding_dim`` says; None where they are weights' rows."""
        if self.embedding_dim is None:
            return None
        if self.categorical_features is None:
            raise ValueError("embedding_dim needs categorical_features, which say what to embed")
        columns = draft.encoder_.categories
        if not columns:
            return None
        return Embedding(draft.encoder_.n_numbers, tuple(len(own) for own in columns), int(self.embedding_dim))

    def _multiplies_bfloat16(self, layer_units: tuple[int, ...]) -> bool:
        """Whether products are to be those of bfloat16, which the parameter ``precision`` says."""
        if self.precision is None:
            return False
        double = self.dtype is not None and np.dtype(self.dtype) == np.float64
        if self.precision == "auto":
            is_wide = any(min(pair) >= WIDE for pair in zip(layer_units, layer_units[1:]))
            return HAS_BFLOAT16_DOT and is_wide and is_stochastic(self.solver) and not double
        if double:
            raise ValueError("precision='bfloat16' is of a float32 network, got dtype='float64'")
        if not is_stochastic(self.solver):
            raise ValueError(f"precision='bfloat16' needs a stochastic solver, got solver={self.solver!r}")
        if not HAS_BFLOAT16_DOT:
            warn_user("precision='bfloat16' is slower than float32 on this CPU, which cannot multiply such numbers")
        return True

    def _choose_dtype(self, X: Any, first: bool) -> np.dtype:
        """The parameter ``dtype``, else what the weights, or the rows of a first fit, ask for."""
        if self.dtype is not None:
            dtype = np.dtype(self.dtype)
            if dtype not in (np.float32, np.float64):
                raise ValueError(f"The 'dtype' parameter must be float32 or float64. Got {dtype} instead.")
            return dtype
        return network_dtype(X.dtype if first else self.coefs_[0].dtype)

    def _learn_scaling(self, X: Any) -> Scaling | None:
        if self.normalize is None or self.categorical_features is not None:  # then numbers are scaled with the columns
            return None
        return learn_normalization(self.normalize, X)

    def _start(self, model: Model, first: bool, incremental: bool, random_state: Any, initial: Any) -> Start:
        """Parameters and history to begin from, drawn in scikit-learn's order or those of the last fit."""
        if not first:
            # scikit-learn's warm start begins its optimizer anew, its partial_fit goes on
            continues = incremental or self.warm_start == "continue"
            state = getattr(self, "_state", None) if continues else None
            if self.warm_start == "continue" and state is not None and state.random_state is not None:
                random_state.set_state(state.random_state)
            parameters = self._trained_parameters().map(lambda a: np.asarray(a, model.dtype))
            if not parameters.fits(model):
                raise ValueError(
                    f"coefs_ and intercepts_ have shapes {[w.shape for w in parameters.weights]} and "
                    f"{[b.shape for b in parameters.biases]}, which are not those of a network {model.layer_units}"
                )
            curve: Any = getattr(self, "loss_curve_", ())
            return Start(parameters, self._fitted_history(), state, curve[-1] if len(curve) else np.nan)
        drawn = [
            draw_layer(one, random_state, fan_in, fan_out, is_logistic(self.activation))
            for one, (fan_in, fan_out) in zip(initializers(self.initializer, len(model.shapes)), model.shapes)
        ]
        weights, biases = (
            self._initial(name, given, own, model)
            for name, given, own in zip(("coefs_init", "intercepts_init"), initial, zip(*drawn))
        )
        sizes = [(count, model.embedding.dim) for count in model.embedding.categories] if model.embedding else []
        embeddings = [random_state.normal(scale=EMBEDDING_DEVIATION, size=size).astype(model.dtype) for size in sizes]
        return Start(Parameters.of(weights, biases, new_batch_norms(model), embeddings))

    @staticmethod
    def _initial(name: str, given: Any, drawn: Any, model: Model) -> list[np.ndarray]:
        """The user's initial arrays, or those drawn, in the network's dtype."""
        arrays = list(drawn if given is None else given)
        shapes = [array.shape for array in drawn]
        if [np.shape(array) for array in arrays] != shapes:
            raise ValueError(f"{name} must have arrays of shapes {shapes}, got {[np.shape(a) for a in arrays]}")
        arrays = [np.array(array, model.dtype) for array in arrays]
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name} must be finite")
        return arrays

    def _fitted_history(self) -> History:
        best_loss, best_score = getattr(self, "best_loss_", None), getattr(self, "best_validation_score_", None)
        return History(
            best_loss=np.inf if best_loss is None else best_loss,
            best_score=-np.inf if best_score is None else best_score,
            waited=getattr(self, "_no_improvement_count", 0),
            samples=getattr(self, "t_", 0),
        )
