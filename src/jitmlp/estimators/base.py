"""What the classifier and the regressor share: fitting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from jitmlp.engine import interrupts
from jitmlp.engine.group import Group, Shares, current
from jitmlp.engine.workspace import NonFiniteInputs, Workspace
from jitmlp.estimators.callback_support import CallbackSupport, Tasks, with_callbacks
from jitmlp.estimators.chunked import are_chunks, prepare
from jitmlp.estimators.held_out import HeldOut
from jitmlp.estimators.members import fit_members
from jitmlp.estimators.problem import Preparation, Problem
from jitmlp.estimators.solvers import is_stochastic, recipe_of
from jitmlp.estimators.together import everywhere, mean_score, one_problem
from jitmlp.estimators.validation import explain
from jitmlp.model.model import Model
from jitmlp.training import callbacks, spare
from jitmlp.training.chunks import Chunks
from jitmlp.training.lbfgs import train_lbfgs
from jitmlp.training.recipe import Fit, Recipe
from jitmlp.training.stochastic import Run, train

if TYPE_CHECKING:
    from typing_extensions import Self


def _takes_weights(scorer: Callable) -> bool:
    """Whether a scorer can be given sample weights."""
    names = signature(getattr(scorer, "_score_func", scorer)).parameters
    return "sample_weight" in names or any(p.kind is p.VAR_KEYWORD for p in names.values())


class BaseMLP(Preparation, CallbackSupport):
    """Base class of :class:`MLPClassifier` and :class:`MLPRegressor`."""

    _parameter_constraints: dict

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or callable
            The input data. Integers, booleans, any strides and memory maps are read
            where they lie; only other sparse formats than CSR, float16 and objects are
            converted. Rows that come in chunks are given as a function, without ``y``: called anew in every
            epoch, it gives ``(X, y)`` or ``(X, y, sample_weight)``, chunk by chunk, such as a generator function or
            :class:`ArrowFiles`. A window of a 64th of the memory is shuffled (``shuffle=('blocks', n_rows)`` for
            another) while a thread of its own, in which the function runs, reads the next. A first call counts rows and
            learns classes and ``normalize``; a function with the attributes ``n_rows`` and ``classes`` needs none.
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
        if self.n_members > 1:
            more = dict(sample_weight_val=sample_weight_val, coefs_init=coefs_init, intercepts_init=intercepts_init)
            return fit_members(self, "fit", X, y, sample_weight, X_val=X_val, y_val=y_val, **more)
        held_out = X_val, y_val, sample_weight_val
        with self._fit_task(X, y, sample_weight), self._around_fit(X, y) as settings:
            return self._fit(X, y, sample_weight, False, held_out, settings, initial=(coefs_init, intercepts_init))

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        held_out: tuple,
        settings: Any = None,
        **more: Any,
    ) -> Self:
        group = current()
        if incremental and not group.is_alone:
            raise ValueError("partial_fit trains alone: use fit inside of data_parallel")
        with interrupts.deferred(), group.guard():
            try:
                if len(set(group.gather(are_chunks(X)))) > 1:
                    raise ValueError("all processes must give rows, or all of them chunks of rows")
                prepared = partial(prepare, self) if are_chunks(X) else self._prepare
                problem = one_problem(group, self, prepared(X, y, sample_weight, incremental, held_out, **more))
                in_task = not incremental and "_callback_fit_ctx" in vars(self)
                around = [Tasks(self, problem, X, y, sample_weight)] if in_task else []
                fit = self._train(problem, incremental, settings or self, around)
            except NonFiniteInputs:  # found while rows were read
                if not are_chunks(X) and self.categorical_features is None:
                    explain(self, X)
                raise
            self._store(problem, fit)
        return self

    def _train(self, problem: Problem, incremental: bool, settings: Any, around: list[Tasks]) -> Fit:
        data, random_state = problem.data, problem.random_state
        rows: Any = None if isinstance(data, Chunks) else np.arange(data.n_samples)
        held_out = problem.held_out
        splits = self.early_stopping and held_out is None and is_stochastic(self.solver)
        order = self._order_to_continue(problem)
        if order is not None:
            rows, others = order, np.setdiff1d(rows, order)
        elif splits:
            rows, others = self._split(problem, rows)
        if splits:
            held_out = HeldOut.among(data, problem.encoded, others, problem.sample_weight)
        # drawn only where it is needed: scikit-learn draws nothing here
        seed = int(random_state.randint(2**31)) if problem.model.has_dropout and order is None else 0
        group = current()
        n_mine = data.n_samples if rows is None else len(rows)
        n_rows = int(group.total(n_mine)[0])
        recipe = recipe_of(settings, n_rows, len(problem.model.layers), seed, incremental)
        if recipe.optimizer is None:
            return train_lbfgs(problem.model, recipe, data, problem.start, self._speaks(group))
        alone, workspace = group.is_alone, None
        if alone:
            workspace = (self._kept_workspace if incremental else spare.take)(problem.model, recipe)
        fit = train(
            problem.model,
            recipe,
            data,
            rows,
            problem.start,
            random_state,
            [*self._callbacks(problem, held_out), *around],
            incremental,
            workspace,
            None if alone else Shares(group, n_mine, recipe.batch_size),
        )
        if workspace is not None and not incremental and fit.reason != "diverged":
            spare.give(problem.model, recipe, workspace)
        return fit

    def _speaks(self, group: Group) -> bool:
        """Whether this process prints."""
        return bool(self.verbose) and group.rank == 0

    def _order_to_continue(self, problem: Problem) -> np.ndarray | None:
        """The last order of the rows, if it is one of as many rows as there are now, less those held out."""
        state, n = problem.start.state, problem.data.n_samples
        if isinstance(problem.data, Chunks) or state is None or state.order is None or self.warm_start != "continue":
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
        group = current()
        verbose, decides, keeps_best = self._speaks(group), bool(self.early_stopping), bool(self.restore_best)
        chosen: list[callbacks.Callback] = [callbacks.Report()] if verbose else []
        if held_out is not None:
            judged = everywhere(group, held_out)
            chosen.append(
                callbacks.Validation(
                    held_out.data,
                    held_out.rows,
                    lambda outputs: judged.loss(problem.model, outputs),
                    self._score_function(problem, held_out, judged),
                    decides=decides,
                    keeps_best=decides or keeps_best,
                    verbose=verbose,
                    gather=group.join,
                )
            )
        if not decides:
            chosen.append(callbacks.TrainingLoss(keeps_best and held_out is None))
        chosen.append(callbacks.LearningRate())
        if "_companion" in vars(self):  # one of several members
            chosen.append(self._companion)
        if self._listed_callbacks() or not group.is_alone:
            chosen.append(callbacks.Call(lambda run: self._call_back(problem, run)))
        chosen.append(callbacks.Plateau("Validation score" if decides else "Training loss", verbose))
        return chosen

    def _score_function(
        self, problem: Problem, held_out: HeldOut, judged: HeldOut
    ) -> Callable[[Run, np.ndarray], float]:
        """``score(run, outputs)`` of the held-out rows, as the parameter ``scoring`` asks.

        ``judged`` are those of all processes, to whose outputs scores belong that need no rows.
        """
        task, weights, group = problem.task, held_out.sample_weight, current()
        if self.scoring is None:
            return lambda run, outputs: task.score(judged.encoded, outputs, judged.sample_weight)
        if self.scoring == "loss":
            return lambda run, outputs: -run.validation_losses[-1]
        scorer, rows, truth = check_scoring(self, self.scoring), held_out.X, task.truth(held_out.encoded)
        options = {"sample_weight": weights} if weights is not None and _takes_weights(scorer) else {}

        def score(run: Run, outputs: np.ndarray) -> float:
            with self._showing(problem, run.fit()):
                self.__dict__.pop("feature_names_in_", None)  # the rows are the network's here
                self.n_features_in_, self.encoder_ = rows.shape[1], None
                return scorer(self, rows, truth, **options)

        return mean_score(group, score, len(truth))

    def _kept_workspace(self, model: Model, recipe: Recipe) -> Workspace:
        """A network in memory for one more ``partial_fit``, kept from call to call."""
        kind, kept = spare.kind_of(model, recipe), self.__dict__.pop("_workspace", None)
        if kind is None or kept is None or kept[0] != kind or kept[1].rows < recipe.batch_size:
            kept = kind, spare.new(model, recipe)
        if kind is not None:
            self.__dict__["_workspace"] = kept
        return kept[1]

    def _check_solver(self) -> bool:
        if not is_stochastic(self.solver):
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True
