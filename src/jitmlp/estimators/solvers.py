"""From an estimator's parameters to a recipe: optimizer, schedule, constraints."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitmlp.engine.constraints import Constraints
from jitmlp.engine.threads import available_threads
from jitmlp.model.choices import Optimizer, checked_values, refuse
from jitmlp.model.messages import warn_user
from jitmlp.model.model import Model
from jitmlp.training.lbfgs import HISTORY_PAIRS
from jitmlp.training.order import Blocks
from jitmlp.training.recipe import Recipe, Stopping
from jitmlp.training.schedules import BY_NAME as SCHEDULES
from jitmlp.training.schedules import Rate
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS
from jitmlp_kernels.rules.optimizers import OptimizerRule

# Which of scikit-learn's parameters are hyperparameters of which solvers
SHARED = {
    "momentum": ("momentum", "nesterov"),
    "beta_1": ("adam", "amsgrad", "adamw", "nadam"),
    "beta_2": ("adam", "amsgrad", "adamw", "nadam"),
    "epsilon": ("adam", "amsgrad", "adamw", "nadam", "adagrad", "rmsprop"),
}


def is_stochastic(solver: Any) -> bool:
    """Whether a solver takes mini-batches."""
    return solver != "lbfgs"


def optimizer_of(estimator: Any) -> tuple[OptimizerRule, dict]:
    """Rule and hyperparameters of an estimator's solver.

    ``momentum``, ``nesterovs_momentum``, ``beta_1``, ``beta_2`` and ``epsilon`` are those of the
    constructor for the solvers that scikit-learn has; what is in ``solver_params`` comes last.
    """
    solver, extra = estimator.solver, dict(estimator.solver_params or {})
    if isinstance(solver, Optimizer):
        rule = solver.rule
        return rule, checked_values("solver_params", extra, rule.hyperparameters, f"solver={solver!r}")
    what = f"solver={solver!r}"
    if solver == "sgd":
        momentum = extra.get("momentum", estimator.momentum)
        nesterov = extra.pop("nesterov", estimator.nesterovs_momentum)
        checked_values("solver_params", extra, OPTIMIZERS["momentum"].hyperparameters, what)
        solver = "gradient_descent" if momentum == 0 else "nesterov" if nesterov else "momentum"
        if momentum == 0:
            extra.pop("momentum", None)
    rule = OPTIMIZERS[solver]
    extra = checked_values("solver_params", extra, rule.hyperparameters, what)
    given = {name: getattr(estimator, name) for name, solvers in SHARED.items() if solver in solvers}
    return rule, {**given, **extra}


def rate_of(estimator: Any) -> Rate:
    """The learning rate's schedule."""
    schedule, given = estimator.learning_rate, estimator.learning_rate_params
    if callable(schedule):
        if given:
            raise refuse("learning_rate_params", "None for a learning_rate of your own", given)
        return Rate(schedule, estimator.learning_rate_init)
    if estimator.solver == "adam" and schedule in ("invscaling", "adaptive"):
        schedule = "constant"  # as in scikit-learn, where these belong to sgd
    row = SCHEDULES[schedule]
    own = {"power_t": estimator.power_t} if "power_t" in row.parameters else {}
    given = checked_values("learning_rate_params", given, row.parameters, f"learning_rate={schedule!r}")
    defaults = {name: h.default for name, h in row.parameters.items()}
    return Rate(row, estimator.learning_rate_init, {**defaults, **own, **given})


def _a_layer(name: str, given: Any, n_layers: int) -> tuple:
    """A parameter that may have a number a layer, as a tuple with one a layer.

    Raises
    ------
    InvalidParameterError
        For a tuple of another length, or with what is no number >= 0.
    """
    if not isinstance(given, (tuple, list)):
        return (float(given),) * n_layers
    pairs = name == "layer_rates"
    numbers = [n for entry in given for n in (entry if pairs and isinstance(entry, (tuple, list)) else (entry,))]
    valid = all(isinstance(n, (int, float, np.number)) and 0 <= n < np.inf for n in numbers)
    if len(given) != n_layers or not valid:
        allowed = f"a number >= 0, or a tuple with one for each of the {n_layers} layers, hidden ones first"
        raise refuse(name, allowed, given)
    return tuple(given)


def layer_rates_of(estimator: Any, n_layers: int) -> tuple[tuple[float, float], ...]:
    """Factors of the learning rates of each layer's weights and vectors; empty where none are given.

    Raises
    ------
    InvalidParameterError
        For a tuple that does not fit, or that lets nothing change.
    """
    given = estimator.layer_rates
    if given is None:
        return ()
    entries = _a_layer("layer_rates", given, n_layers)
    pairs = tuple(tuple(entry) if isinstance(entry, (tuple, list)) else (entry, entry) for entry in entries)
    if not all(len(pair) == 2 for pair in pairs):
        raise refuse("layer_rates", "a number a layer, or a pair (weights, intercepts)", given)
    if not any(factor for pair in pairs for factor in pair):
        raise refuse("layer_rates", "a tuple with a factor > 0 at least, else nothing is trained", given)
    if estimator.batch_norm and any(0 in pair for pair in pairs[:-1]):
        raise refuse("layer_rates", "factors > 0 with batch_norm, whose running statistics would go on", given)
    return tuple((float(weights), float(vectors)) for weights, vectors in pairs)


def constraints_of(estimator: Any, n_layers: int, rates: tuple[tuple[float, float], ...]) -> Constraints:
    """Penalties and limits, and what the layers' rates freeze."""
    unlimited = {name: getattr(estimator, name) for name in ("clip_value", "clip_norm", "max_norm")}
    limits = {name: np.inf if value is None else float(value) for name, value in unlimited.items()}
    alpha, l1 = (_a_layer(name, getattr(estimator, name), n_layers) for name in ("alpha", "l1"))
    frozen = tuple((not weights, not vectors) for weights, vectors in rates)
    return Constraints(alpha, l1, **limits, frozen=frozen if any(map(any, frozen)) else ())


def shuffle_of(given: Any) -> bool | Blocks:
    """The parameter ``shuffle``.

    Raises
    ------
    InvalidParameterError
        For a tuple that is not ``('blocks', n_rows)``.
    """
    if isinstance(given, str):
        return Blocks()
    if isinstance(given, tuple):
        valid = len(given) == 2 and given[0] == "blocks" and isinstance(given[1], (int, np.integer)) and given[1] > 0
        if not valid:
            raise refuse("shuffle", "a bool, 'blocks' or ('blocks', n_rows) with n_rows > 0", given)
        return Blocks(int(given[1]))
    return bool(given)


def mini_batch_size(estimator: Any, n_samples: int) -> int:
    """The mini-batch size that an estimator asks for, clipped to the samples."""
    return min(200 if estimator.batch_size == "auto" else int(estimator.batch_size), n_samples)


def recipe_of(estimator: Any, n_samples: int, n_layers: int, seed: int, incremental: bool) -> Recipe:
    """The whole recipe of an estimator for so many rows and layers of weights."""
    shuffle = shuffle_of(estimator.shuffle)
    if not is_stochastic(estimator.solver):
        _refuse_for_lbfgs(estimator)
        optimizer: OptimizerRule | None = None
        hyperparameters: dict = {}
        rate, batch_size = Rate(SCHEDULES["constant"], 0.0), n_samples
    else:
        optimizer, hyperparameters = optimizer_of(estimator)
        rate = rate_of(estimator)
        batch_size = mini_batch_size(estimator, n_samples)
        if estimator.batch_size != "auto" and estimator.batch_size > n_samples:
            warn_user("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    layer_rates = layer_rates_of(estimator, n_layers)
    return Recipe(
        optimizer,
        rate,
        hyperparameters,
        constraints_of(estimator, n_layers, layer_rates),
        batch_size=max(1, batch_size),
        max_epochs=int(estimator.max_iter),
        shuffle=shuffle,
        stopping=Stopping(estimator.tol, estimator.n_iter_no_change),
        n_threads=available_threads(estimator.n_threads),
        seed=seed,
        on_divergence=estimator.on_divergence,
        max_fun=int(estimator.max_fun),
        cyclic=incremental,
        layer_rates=layer_rates,
        keep_draws=estimator.warm_start == "continue",
    )


def _refuse_for_lbfgs(estimator: Any) -> None:
    """L-BFGS needs a smooth function of the parameters that does not change."""
    limits = np.any(estimator.l1), estimator.max_norm, estimator.clip_value, estimator.clip_norm
    dropout = estimator.dropout
    drops = any(dropout) if isinstance(dropout, (tuple, list)) else dropout
    if any(limits) or drops or estimator.batch_norm:
        raise ValueError(
            "solver='lbfgs' does not support l1, max_norm, clip_value, clip_norm, dropout and "
            "batch_norm; use a stochastic solver"
        )
    # what scikit-learn has too it ignores in silence; what is added here does nothing unheard
    added = ("callback", "solver_params", "learning_rate_params", "layer_rates", "restore_best", "embedding_dim")
    ignored = [name for name in added if getattr(estimator, name)]
    if callable(estimator.learning_rate) or estimator.learning_rate not in ("constant", "invscaling", "adaptive"):
        ignored.append("learning_rate")
    if ignored:
        raise ValueError(
            f"solver='lbfgs' has no use for {', '.join(ignored)}; use a stochastic solver, or leave these out"
        )


def working_bytes(model: Model, initializer: Any, solver: Any) -> int:
    """Bytes beside the network's layout that a fit holds at once: initial draws, states, copies."""
    itemsize, shapes = model.dtype.itemsize, model.shapes
    parameters = sum(fan_in * fan_out + fan_out for fan_in, fan_out in shapes)
    if model.embedding is not None:  # the weights of all categories too, which are made in the end
        parameters += sum(model.embedding.categories) * (model.embedding.dim + shapes[0][1])
    largest = max(fan_in * fan_out for fan_in, fan_out in shapes)
    if not is_stochastic(solver):
        slots, work = 1, 8 * (2 * HISTORY_PAIRS + 12) * parameters
    elif isinstance(solver, Optimizer):
        slots, work = len(solver.slots), 0
    else:
        slots, work = len(OPTIMIZERS["momentum" if solver == "sgd" else solver].slots), 0
    chosen = initializer if isinstance(initializer, list) else [initializer]
    orthogonal = any(one == "orthogonal" or one[0] == "orthogonal" for one in chosen)
    drawing = 8 * parameters + (4 if orthogonal else 2) * 8 * largest
    # the state in the layout and its copy in the result, the last good and the best weights, packing
    training = itemsize * parameters * (2 * slots + 4) + 2 * itemsize * largest
    return work + max(drawing, training) + itemsize * parameters
