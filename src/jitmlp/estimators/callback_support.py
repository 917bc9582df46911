"""The user's callbacks around a fit: the parameter ``callback``, and scikit-learn's ``set_callbacks``.

A callback of the parameter is called with the estimator after every epoch, of ``partial_fit`` too. Around ``fit`` alone it
may also have ``on_fit_begin(model, X, y)``, which may give back a dict of parameters that hold for this fit;
``on_fit_end(model)``, which may change the fitted model; and ``close()``, called whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from jitmlp.engine.group import ALONE, current, within
from jitmlp.estimators.fitted import FittedAttributes
from jitmlp.estimators.problem import Problem
from jitmlp.estimators.solvers import is_stochastic
from jitmlp.model.choices import refuse
from jitmlp.training.callbacks import Callback
from jitmlp.training.stochastic import Run

# What a callback may set for one fit: how is trained, not what
FOR_ONE_FIT = (
    "alpha", "batch_size", "beta_1", "beta_2", "clip_norm", "clip_value", "epsilon", "l1", "layer_rates", "learning_rate",
    "learning_rate_init", "learning_rate_params", "max_iter", "max_norm", "momentum", "n_iter_no_change", "n_threads",
    "nesterovs_momentum", "power_t", "shuffle", "solver_params", "tol",
)  # fmt: skip

WEIGHTS = ("coefs_", "intercepts_", "embeddings_", "embedding_coefs_")

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Has no ``set_callbacks``."""

    def with_callbacks(method: Callable) -> Callable:
        """Leave the method as it is."""
        return method


def _given(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """What scikit-learn's callbacks are told of every task."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"estimator": estimator, "X": X, "y": y, "metadata": metadata}


class CallbackSupport(CallbackSupportMixin, FittedAttributes):
    """The side of an estimator that calls back."""

    def _listed_callbacks(self) -> list[Callable]:
        given = self.callback
        listed = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
        if not all(callable(callback) for callback in listed):
            raise refuse("callback", "a callable, a list of callables or None", given)
        if any(isinstance(callback, type) for callback in listed):
            raise refuse("callback", "an instance, not a class", given)
        return listed

    @contextmanager
    def _accompanied(self, companion: Callback) -> Iterator[None]:
        """Fits within call this back too: it sees the run alone, so that nothing is copied for it to look at."""
        self._companion = companion
        try:
            yield
        finally:
            del self._companion

    @contextmanager
    def _around_fit(self, X: Any, y: Any) -> Iterator[Any]:
        """Begin, end and close the callbacks; yields the estimator, or one with the parameters they want for this fit."""
        group = current()
        listed = self._listed_callbacks() if group.rank == 0 else []
        wanted: dict[str, Any] = {}
        with ExitStack() as at_the_end:
            for callback in listed:
                if hasattr(callback, "close"):
                    at_the_end.callback(callback.close)
            with group.guard():
                with within(ALONE):  # a callback may train too
                    for callback in listed:
                        if hasattr(callback, "on_fit_begin"):
                            wanted.update(callback.on_fit_begin(self, X, y) or {})
                wanted = group.first(wanted)
            yield self._with(wanted) if wanted else self
            with group.guard():
                with within(ALONE):
                    for callback in listed:
                        if hasattr(callback, "on_fit_end"):
                            callback.on_fit_end(self)
                if not group.is_alone:  # one of them may have changed the weights
                    changed = group.first([getattr(self, name) for name in WEIGHTS])
                    for name, value in zip(WEIGHTS, changed):
                        setattr(self, name, value)

    def _with(self, wanted: dict[str, Any]) -> Any:
        """A copy with other parameters; raises for those that callbacks cannot set, and for values that are not allowed."""
        others = [name for name in wanted if name not in FOR_ONE_FIT]
        if others:
            raise ValueError(f"on_fit_begin may set {', '.join(FOR_ONE_FIT)}, not {', '.join(map(str, others))}")
        settings: Any = self._draft()
        settings.__dict__.update(wanted)
        settings._validate_params()
        return settings

    def _call_back(self, problem: Problem, run: Run) -> list:
        """The answers of the user's callbacks, who see the estimator as if training had ended here."""
        group = current()
        answers: list = []
        if group.rank == 0:
            with within(ALONE), self._showing(problem, run.fit()):
                answers = [callback(self) for callback in self._listed_callbacks()]
        return group.first(answers)

    def _shown(self, problem: Problem, run: Run) -> dict[str, Any]:
        """The fitted attributes as if training had ended here."""
        with self._showing(problem, run.fit()):
            parameters = self.get_params(deep=False)
            return {name: value for name, value in vars(self).items() if name not in parameters}

    @contextmanager
    def _fit_task(self, X: Any, y: Any, sample_weight: Any) -> Iterator[None]:
        """The root of scikit-learn's tree of tasks, whose subtasks are the epochs."""
        if "_skl_callbacks" not in vars(self) and "_parent_callback_ctx" not in vars(self):
            yield
            return
        epochs = int(self.max_iter) if is_stochastic(self.solver) else 0
        given = _given(self, X, y, sample_weight)
        context = self._init_callback_context(max_subtasks=epochs).call_on_fit_task_begin(**given)
        yield
        context.call_on_fit_task_end(**given, reconstruction_attributes={})


class Tasks(Callback):
    """Epochs as tasks of scikit-learn's callbacks.

    Parameters
    ----------
    estimator : CallbackSupport
    problem : Problem
    X, y, sample_weight :
        As the user gave them.
    """

    def __init__(self, estimator: Any, problem: Problem, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator, self.problem = estimator, problem
        self.given = _given(estimator, X, y, sample_weight)
        self.context: Any = None

    def on_begin(self, run: Run) -> None:
        """Expect as many subtasks as the recipe has, which a callback may have changed."""
        self.estimator._callback_fit_ctx.max_subtasks = run.recipe.max_epochs

    def on_epoch_begin(self, run: Run) -> None:
        """Begin a subtask."""
        self.context = self.estimator._callback_fit_ctx.subcontext(task_name="epoch")
        self.context.call_on_fit_task_begin(**self.given)

    def on_epoch_end(self, run: Run) -> None:
        """End it; training ends where a callback says so."""
        shown = lambda: self.estimator._shown(self.problem, run)  # noqa: E731  # only for those who look
        context, self.context = self.context, None
        if context.call_on_fit_task_end(**self.given, reconstruction_attributes=shown):
            run.stop("callback")

    def on_end(self, run: Run) -> None:
        """End the subtask that an interrupt has left."""
        if self.context is not None:
            self.context.call_on_fit_task_end(**self.given)
