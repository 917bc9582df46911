"""What the classifier and the regressor share: validation, fitting, prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from jitmlp.engine import interrupts
from jitmlp.engine.data import Data
from jitmlp.engine.layout import Layout
from jitmlp.engine.memory import check_memory
from jitmlp.engine.normalization import learn_normalization
from jitmlp.engine.workspace import NonFiniteInputs, Workspace
from jitmlp.estimators.held_out import HeldOut, given_rows
from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.solvers import is_stochastic, mini_batch_size, recipe_of, working_bytes
from jitmlp.estimators.tasks import Task
from jitmlp.estimators.validation import checked_weights, explain
from jitmlp.model.choices import refuse
from jitmlp.model.initializers import draw_layer
from jitmlp.model.layers import check_initializer, hidden_layers, is_logistic, output_layer
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Model, Scaling, network_dtype
from jitmlp.model.parameters import Parameters, new_batch_norms
from jitmlp.training import callbacks
from jitmlp.training.lbfgs import train_lbfgs
from jitmlp.training.recipe import Fit, History, Recipe, Start
from jitmlp.training.stochastic import Run, train

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Problem:
    """A call of ``fit``, validated and encoded: nothing of it is on the estimator yet.

    Attributes
    ----------
    attributes : dict
        What validation has found: n_features_in_, classes_ ...
    task : Task
    data : Data
    encoded : ndarray
        The targets.
    model : Model
    start : Start
    first : bool
        Whether nothing of an earlier fit goes on.
    random_state : RandomState
    held_out : HeldOut or None
        The user's validation data.
    """

    attributes: dict
    task: Task
    data: Data
    encoded: np.ndarray
    model: Model
    start: Start
    first: bool
    random_state: np.random.RandomState
    held_out: HeldOut | None


VALIDATION = ("validation_scores_", "validation_loss_curve_", "best_validation_score_")


class BaseMLP(Prediction):
    """Base class of :class:`MLPClassifier` and :class:`MLPRegressor`."""

    _parameter_constraints: dict

    # What differs between the two

    @abstractmethod
    def _validate_input(self, draft: Any, X: Any, y: Any, incremental: bool, reset: bool) -> tuple:
        """Validated ``(X, y, task)``; what is found goes to the attributes of ``draft``."""

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        coefs_init: Any = None,
        intercepts_init: Any = None,
    ) -> Self:
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
        X_val, y_val, sample_weight_val : array-like, default=None
            Validation data of your own, like ``X``, ``y`` and ``sample_weight``: their loss and score after every
            epoch are in ``history_``. With ``early_stopping`` their score decides, and no rows of ``X`` are held
            out; with ``restore_best`` the epoch of the best score is kept.
        coefs_init, intercepts_init : list of ndarray, default=None
            Weights of shape (fan_in, fan_out) and intercepts of shape (fan_out,) of every layer to
            start from, such as the ``coefs_`` and ``intercepts_`` of scikit-learn's estimators.

        Returns
        -------
        self : object
            The trained model.

        Raises
        ------
        ValueError
            For invalid data or parameters.
        DivergenceError
            If training diverged. As after every error, the estimator is as it was before.
        MemoryError
            If the network cannot fit into the memory that this process may use.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` was reached before convergence.
        """
        held_out = X_val, y_val, sample_weight_val
        return self._fit(X, y, sample_weight, False, held_out, initial=(coefs_init, intercepts_init))

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        held_out: tuple,
        initial: Any = (None, None),
        **validation: Any,
    ) -> Self:
        with interrupts.deferred():
            try:
                problem = self._prepare(X, y, sample_weight, incremental, held_out, initial, **validation)
                fit = self._train(problem, incremental)
            except NonFiniteInputs:  # found while rows were read
                explain(self, X)
                raise
            self._store(problem, fit)
        return self

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
        **validation: Any,
    ) -> Problem:
        """Validate, encode and draw, in scikit-learn's order; the estimator stays as it is."""
        sizes = self._sizes()
        if incremental and self.early_stopping and held_out[0] is None and is_stochastic(self.solver):
            raise ValueError("partial_fit does not support early_stopping=True without X_val and y_val")
        check_initializer(self.initializer)
        hidden, input_dropout = hidden_layers(sizes, self.activation, self.dropout, bool(self.batch_norm))
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        draft = self._draft()
        X, y, task = self._validate_input(draft, X, y, incremental, first, **validation)
        encoded = task.encode(y)
        if not first:
            self._refuse_other_structure(X.shape[1], sizes, task.n_outputs(encoded))
        dtype = self._choose_dtype(X, first)
        weights = checked_weights(self._weigh_classes(sample_weight, X, y, incremental), X, dtype)
        given = given_rows(draft, task, encoded, dtype, held_out)
        if self.scoring is not None and given is None and not self.early_stopping:
            warn_user("scoring has no effect without X_val and y_val, or early_stopping")
        random_state = check_random_state(self.random_state)
        out_activation = self._out_activation(task)
        loss, loss_parameter = self._loss_rule(task, out_activation)
        self._refuse_pair(task, loss, out_activation)
        if encoded.dtype.kind != "b" and encoded.size and encoded.min() < loss.lowest_target:
            raise ValueError(f"loss={loss.name!r} needs targets >= {loss.lowest_target:g}, got {encoded.min()}")
        model = Model(
            X.shape[1],
            (*hidden, output_layer(task.n_outputs(encoded), out_activation)),
            loss,
            dtype,
            loss_parameter,
            getattr(self, "label_smoothing", 0.0),
            input_dropout,
            self._learn_scaling(X) if first else self._fitted_scaling(),
        )
        if first:
            rows = mini_batch_size(self, X.shape[0]) if is_stochastic(self.solver) else X.shape[0]
            check_memory(Layout(model, rows), working_bytes(model, self.initializer, self.solver))
        start = self._start(model, first, incremental, random_state, initial)
        before = vars(self)
        found = {name: value for name, value in vars(draft).items() if before.get(name) is not value}
        return Problem(found, task, Data(X, encoded, weights), encoded, model, start, first, random_state, given)

    def _weigh_classes(self, sample_weight: Any, X: Any, y: Any, incremental: bool) -> Any:
        """Sample weights with what the classes weigh."""
        return sample_weight

    def _refuse_other_structure(self, n_features: int, sizes: Any, n_outputs: int) -> None:
        """Raise if what was fitted before cannot go on."""
        fitted = (self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_))
        wanted = (n_features, *sizes, n_outputs)
        if wanted != fitted:
            raise ValueError(
                f"the network of the previous fit has layers of {fitted} units, "
                f"hidden_layer_sizes and the data now ask for {wanted}"
            )
        before = getattr(self, "_normalize", self.normalize)
        if self.normalize != before:
            raise ValueError(f"normalize={self.normalize!r} cannot go on from a fit with normalize={before!r}")
        if bool(self.batch_norm) != bool(getattr(self, "batch_norm_", [])) and len(sizes) > 0:
            raise ValueError(f"batch_norm={self.batch_norm!r} cannot go on from a fit without the same batch_norm")

    def _refuse_pair(self, task: Any, loss: Any, out_activation: Any) -> None:
        """Raise for an output and a loss that do not fit each other."""

    def _choose_dtype(self, X: Any, first: bool) -> np.dtype:
        """The parameter ``dtype``, else what the weights, or the rows of a first fit, ask for."""
        if self.dtype is not None:
            dtype = np.dtype(self.dtype)
            if dtype not in (np.float32, np.float64):
                raise ValueError(f"The 'dtype' parameter must be float32 or float64. Got {dtype} instead.")
            return dtype
        return network_dtype(X.dtype if first else self.coefs_[0].dtype)

    def _learn_scaling(self, X: Any) -> Scaling | None:
        return None if self.normalize is None else Scaling(*learn_normalization(self.normalize, X))

    def _start(self, model: Model, first: bool, incremental: bool, random_state: Any, initial: Any) -> Start:
        """Parameters and history to begin from, drawn in scikit-learn's order or those of the last fit."""
        if not first:
            # scikit-learn's warm start begins its optimizer anew, its partial_fit goes on
            continues = incremental or self.warm_start == "continue"
            state = getattr(self, "_state", None) if continues else None
            if self.warm_start == "continue" and state is not None and state.random_state is not None:
                random_state.set_state(state.random_state)
            parameters = self._fitted_parameters().map(lambda a: np.asarray(a, model.dtype))
            if not parameters.fits(model):
                raise ValueError(
                    f"coefs_ and intercepts_ have shapes {[w.shape for w in parameters.weights]} and "
                    f"{[b.shape for b in parameters.biases]}, which are not those of a network {model.layer_units}"
                )
            curve: Any = getattr(self, "loss_curve_", ())
            return Start(parameters, self._fitted_history(), state, curve[-1] if len(curve) else np.nan)
        drawn = [
            draw_layer(self.initializer, random_state, fan_in, fan_out, is_logistic(self.activation))
            for fan_in, fan_out in model.shapes
        ]
        weights, biases = (
            self._initial(name, given, own, model)
            for name, given, own in zip(("coefs_init", "intercepts_init"), initial, zip(*drawn))
        )
        return Start(Parameters.of(weights, biases, new_batch_norms(model)))

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

    def _train(self, problem: Problem, incremental: bool) -> Fit:
        data, random_state = problem.data, problem.random_state
        rows, held_out = np.arange(data.n_samples), problem.held_out
        splits = self.early_stopping and held_out is None and is_stochastic(self.solver)
        order = self._order_to_continue(problem)
        if order is not None:
            rows, others = order, np.setdiff1d(rows, order)
        elif splits:
            rows, others = self._split(problem, rows)
        if splits:
            held_out = HeldOut.among(data, problem.encoded, others)
        # drawn only where it is needed: scikit-learn draws nothing here
        seed = int(random_state.randint(2**31)) if problem.model.has_dropout and order is None else 0
        recipe = recipe_of(self, len(rows), seed, incremental)
        if recipe.optimizer is None:
            return train_lbfgs(problem.model, recipe, data, problem.start, bool(self.verbose))
        workspace = self._borrow_workspace(problem.model, recipe) if incremental else None
        fit = train(
            problem.model,
            recipe,
            data,
            rows,
            problem.start,
            random_state,
            self._callbacks(problem, held_out),
            incremental,
            workspace,
        )
        return fit

    def _order_to_continue(self, problem: Problem) -> np.ndarray | None:
        """The last order of the rows, if it is one of as many rows as there are now, less those held out."""
        state, n = problem.start.state, problem.data.n_samples
        if state is None or state.order is None or self.warm_start != "continue":
            return None
        # as many as train_test_split holds out
        splits = self.early_stopping and problem.held_out is None
        n_held_out = int(np.ceil(self.validation_fraction * n)) if splits else 0
        fits = len(state.order) == n - n_held_out and state.order.max() < n
        return state.order if fits else None

    def _split(self, problem: Problem, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and rows to hold out."""
        training, held_out = train_test_split(
            rows,
            random_state=problem.random_state,
            test_size=self.validation_fraction,
            stratify=problem.task.stratify(problem.encoded),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return training, held_out

    def _callbacks(self, problem: Problem, held_out: HeldOut | None) -> list[callbacks.Callback]:
        """In the order in which scikit-learn does these things."""
        verbose, decides, keeps_best = bool(self.verbose), bool(self.early_stopping), bool(self.restore_best)
        chosen: list[callbacks.Callback] = [callbacks.Report()] if verbose else []
        if held_out is not None:
            chosen.append(
                callbacks.Validation(
                    held_out.data,
                    held_out.rows,
                    lambda outputs: held_out.loss(problem.model, outputs),
                    self._score_function(problem, held_out),
                    decides=decides,
                    keeps_best=decides or keeps_best,
                    verbose=verbose,
                )
            )
        if not decides:
            chosen.append(callbacks.TrainingLoss(keeps_best and held_out is None))
        chosen.append(callbacks.LearningRate())
        if self.callback is not None and self._listed_callbacks():
            chosen.append(callbacks.Call(lambda run: self._call_back(problem, run)))
        chosen.append(callbacks.Plateau("Validation score" if decides else "Training loss", verbose))
        return chosen

    def _score_function(self, problem: Problem, held_out: HeldOut) -> Callable[[Run, np.ndarray], float]:
        """``score(run, outputs)`` of the held-out rows, as the parameter ``scoring`` asks."""
        weights, task = held_out.sample_weight, problem.task
        if self.scoring is None:
            return lambda run, outputs: task.score(held_out.encoded, outputs, weights)
        if self.scoring == "loss":
            return lambda run, outputs: -run.validation_losses[-1]
        scorer, rows, truth = check_scoring(self, self.scoring), held_out.X, task.truth(held_out.encoded)
        options = {} if weights is None else {"sample_weight": weights}

        def score(run: Run, outputs: np.ndarray) -> float:
            with self._showing(problem, run.fit()):
                self.__dict__.pop("feature_names_in_", None)  # the rows are an array here
                return scorer(self, rows, truth, **options)

        return score

    def _call_back(self, problem: Problem, run: Run) -> list:
        """The answers of the user's callbacks, who see the estimator as if training had ended here."""
        with self._showing(problem, run.fit()):
            return [callback(self) for callback in self._listed_callbacks()]

    def _listed_callbacks(self) -> list[Callable]:
        listed = list(self.callback) if isinstance(self.callback, (list, tuple)) else [self.callback]
        if not all(callable(callback) for callback in listed):
            raise refuse("callback", "a callable, a list of callables or None", self.callback)
        return listed

    @contextmanager
    def _showing(self, problem: Problem, fit: Fit) -> Iterator[None]:
        """Show a fit on the estimator for a while, and put back what was there before."""
        parameters = self.get_params(deep=False)
        before = {name: value for name, value in vars(self).items() if name not in parameters}
        self._store(problem, fit, for_a_while=True)
        try:
            yield
        finally:
            for name in [name for name in vars(self) if name not in parameters]:
                del self.__dict__[name]
            self.__dict__.update(before)

    def _borrow_workspace(self, model: Model, recipe: Recipe) -> Workspace:
        """A network in memory for one more ``partial_fit``, kept from call to call."""
        key = (
            model.layer_units, model.layers, model.loss, model.loss_parameter, model.smoothing, model.input_dropout,
            model.dtype, recipe.optimizer, recipe.n_threads, recipe.constraints.clip_norm < np.inf,
        )  # fmt: skip
        kept = self.__dict__.get("_workspace")
        if kept is not None and kept[0] == key and kept[1].rows >= recipe.batch_size and model.scaling is None:
            return kept[1]
        workspace = Workspace(
            model, recipe.batch_size, recipe.n_threads, recipe.optimizer, recipe.constraints.clip_norm < np.inf
        )
        self.__dict__["_workspace"] = key, workspace
        return workspace

    def _curves(self, problem: Problem, history: History, for_a_while: bool) -> dict[str, list]:
        """``history_`` with the epochs of a call: behind those of the fit it goes on from, as in scikit-learn."""
        past: dict[str, Any] = {}
        if not problem.first:
            past = {**getattr(self, "history_", {}), "loss": getattr(self, "loss_curve_", None)}
        found = {
            "loss": history.losses,
            "validation_loss": history.validation_losses,
            "validation_score": history.scores,
            "learning_rate": history.rates,
            "seconds": history.seconds,
        }
        curves = {}
        n_before = len(past.get("loss") or ())
        for name, new in found.items():
            curve = past.get(name)
            if not (new or curve) and name not in ("loss", "learning_rate", "seconds"):
                continue  # nothing was held out, in no epoch
            if for_a_while or not isinstance(curve, list):
                curve = list(curve or [np.nan] * n_before)
            curve.extend(new or [np.nan] * len(history.losses))  # in place: a call takes no longer for those before it
            curves[name] = curve
        return curves

    def _store(self, problem: Problem, fit: Fit, for_a_while: bool = False) -> None:
        """Put a fit on the estimator: the only place that writes fitted attributes."""
        model, history, early = problem.model, fit.history, bool(self.early_stopping)
        scaling, parameters = model.scaling, fit.parameters.frozen()
        fitted = {
            **problem.attributes,
            "coefs_": list(parameters.weights),
            "intercepts_": list(parameters.biases),
            "batch_norm_": [[n.gamma, n.beta, n.mean, n.variance] for n in parameters.batch_norms if n],
            "input_shift_": None if scaling is None else scaling.shift,
            "input_scale_": None if scaling is None else scaling.scale,
            "n_iter_": fit.n_iter,
            "t_": history.samples,
            "loss_": fit.loss,
            "n_outputs_": model.n_outputs,
            "n_layers_": len(model.layer_units),
            "out_activation_": model.layers[-1].activation.name,
            "stopped_by_": fit.reason,
            "_normalize": self.normalize,
            "_random_state": problem.random_state,
            "_state": fit.state,
            "_packed": [],
        }
        if is_stochastic(self.solver):
            fitted["history_"] = curves = self._curves(problem, history, for_a_while)
            fitted["loss_curve_"] = curves["loss"]
            fitted["_no_improvement_count"] = history.waited
            watched = bool(history.scores)
            fitted["validation_scores_"] = curves["validation_score"] if watched else None
            fitted["validation_loss_curve_"] = curves["validation_loss"] if watched else None
            fitted["best_validation_score_"] = history.best_score if watched else None
            fitted["best_loss_"] = None if early else history.best_loss
        else:
            for name in ("loss_curve_", "history_", *VALIDATION, "best_loss_"):
                self.__dict__.pop(name, None)
        if problem.first and "feature_names_in_" not in problem.attributes:
            self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(fitted)

    def _check_solver(self) -> bool:
        if not is_stochastic(self.solver):
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True
