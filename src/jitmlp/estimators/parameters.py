"""The one table of the estimators' parameters: default, what is allowed, what it means.

Constructors' signatures are written out and held to the table by a test; validation and
documentation are made from it. To add a parameter, add a row, and its name to the signatures.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from jitmlp.engine.normalization import NORMALIZATIONS
from jitmlp.estimators.attributes import ATTRIBUTES
from jitmlp.model.choices import Loss, Optimizer
from jitmlp.model.initializers import INITIALIZERS
from jitmlp.training.schedules import BY_NAME as SCHEDULE_NAMES
from jitmlp.training.schedules import SCHEDULES
from jitmlp_kernels.rules.activations import ACTIVATIONS
from jitmlp_kernels.rules.losses import LOSSES
from jitmlp_kernels.rules.optimizers import OPTIMIZERS

# scikit-learn's solvers, and those of the table under their own names
STOCHASTIC_SOLVERS = ("sgd", *(row.name for row in OPTIMIZERS))
SOLVERS = (*STOCHASTIC_SOLVERS, "lbfgs")
CLASSIFIER_LOSSES = ("log_loss", "squared_error")
REGRESSOR_LOSSES = tuple(row.name for row in LOSSES if row.regression)
CLASSIFIER_OUTPUTS = ("softmax", "logistic", "identity", "tanh")
REGRESSOR_OUTPUTS = ("identity", "exp", "softplus", "logistic", "tanh", "relu")
BOTH, CLASSIFIER, REGRESSOR = ("MLPClassifier", "MLPRegressor"), ("MLPClassifier",), ("MLPRegressor",)


class Parameter(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    allowed : list
        scikit-learn's constraints.
    kind, text : str
        For the documentation: type and default, and what it means.
    estimators : tuple of str
        Which have it.
    added : bool
        Whether scikit-learn's estimators lack it.
    """

    name: str
    default: object
    allowed: list
    kind: str
    text: str
    estimators: tuple[str, ...] = BOTH
    added: bool = False


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _from(low: float, closed: Any = "left", kind: Any = Real, high: Any = None) -> Interval:
    return Interval(kind, low, high, closed=closed)


def _added(name: str, default: Any, allowed: Any, kind: Any, text: str, estimators: Any = BOTH) -> Parameter:
    return Parameter(name, default, allowed, kind, text, estimators, True)


PARAMETERS = (
    Parameter(
        "loss",
        "squared_error",
        [StrOptions(set(REGRESSOR_LOSSES)), Loss],
        f"{{{_names(REGRESSOR_LOSSES)}}} or Loss, default='squared_error'",
        "What training minimizes. ``squared_error`` is half the squared error and ``poisson`` half the "
        "deviance, with an exponential output and ``y >= 0``; ``Loss(function)`` is one of your own.",
        REGRESSOR,
    ),
    Parameter(
        "hidden_layer_sizes",
        (100,),
        ["array-like", _from(1, kind=Integral)],
        "array-like of shape (n_layers - 2,), default=(100,)",
        "Units of each hidden layer; empty for a linear model.",
    ),
    Parameter(
        "activation",
        "relu",
        [str, tuple, list, object],
        "name, Activation or tuple, default='relu'",
        f"Activation of the hidden layers: one of {_names(r.name for r in ACTIVATIONS if r.hidden)}, "
        "``Activation(name, parameter)``, ``Activation(function)`` for one of your own, or a tuple with one of "
        "these a hidden layer.",
    ),
    Parameter(
        "solver",
        "adam",
        [StrOptions(set(SOLVERS)), Optimizer],
        f"{{{_names(SOLVERS)}}} or Optimizer, default='adam'",
        "The optimizer. ``sgd`` is the one of ``momentum`` and ``nesterovs_momentum``; ``Optimizer(update)`` is one "
        "of your own.",
    ),
    Parameter(
        "alpha",
        0.0001,
        [_from(0), tuple, list],
        "float or tuple, default=0.0001",
        "L2 penalty: ``alpha / 2`` times the sum of squared weights, divided by the samples of the mini-batch, is "
        "added to the loss. A tuple has one for each layer, the output's last.",
    ),
    Parameter(
        "batch_size",
        "auto",
        [StrOptions({"auto"}), _from(1, kind=Integral)],
        "int, default='auto'",
        "Rows of a mini-batch; 'auto' is ``min(200, n_samples)``. All rows are full-batch gradient descent, 1 is "
        "stochastic gradient descent.",
    ),
    Parameter(
        "learning_rate",
        "constant",
        [StrOptions(set(SCHEDULE_NAMES)), callable],
        f"{{{_names(r.name for r in SCHEDULES)}}} or callable, default='constant'",
        "Schedule. ``invscaling`` and ``adaptive`` have no effect on ``adam``, as in scikit-learn. A callable maps "
        "the step, from 0, to the learning rate. Under ``partial_fit`` schedules that end after ``max_iter`` epochs "
        "start again (Loshchilov & Hutter 2017).",
    ),
    Parameter(
        "learning_rate_init",
        0.001,
        [_from(0, "neither")],
        "float, default=0.001",
        "Initial, or largest, learning rate.",
    ),
    Parameter("power_t", 0.5, [_from(0)], "float, default=0.5", "Exponent of ``invscaling``."),
    Parameter(
        "max_iter",
        200,
        [_from(1, kind=Integral)],
        "int, default=200",
        "Most epochs, or iterations of L-BFGS.",
    ),
    Parameter(
        "shuffle",
        True,
        ["boolean", StrOptions({"blocks"}), tuple],
        "bool or 'blocks', default=True",
        "Whether rows are shuffled before every epoch. 'blocks', for data larger than memory, takes blocks of neighbouring "
        "rows from random places and shuffles them within a window of a 64th of the memory, which is read ahead; "
        "``('blocks', n_rows)`` is a window of so many rows, on every machine.",
    ),
    Parameter(
        "random_state",
        None,
        ["random_state"],
        "int, RandomState instance, default=None",
        "Seed of the initial weights, the validation split and the shuffling.",
    ),
    Parameter("tol", 1e-4, [_from(0)], "float, default=1e-4", "Gain in loss or score that counts as an improvement."),
    Parameter("verbose", False, ["verbose"], "bool, default=False", "Whether to print the loss of every epoch."),
    Parameter(
        "warm_start",
        False,
        ["boolean", StrOptions({"continue"})],
        "bool or 'continue', default=False",
        "Whether ``fit`` goes on from the parameters of the last call. True is scikit-learn's: the optimizer begins "
        "anew. 'continue' goes on with the optimizer's state, the schedule and the random numbers too, so that 10 and "
        "10 epochs are 20.",
    ),
    Parameter(
        "momentum", 0.9, [_from(0, "both", high=1)], "float, default=0.9", "Of ``sgd``, ``momentum``, ``nesterov``."
    ),
    Parameter(
        "nesterovs_momentum", True, ["boolean"], "bool, default=True", "Whether the momentum of ``sgd`` is Nesterov's."
    ),
    Parameter(
        "early_stopping",
        False,
        ["boolean"],
        "bool, default=False",
        "Whether to hold out rows, stop when their score no longer improves, and restore the best parameters.",
    ),
    Parameter(
        "validation_fraction",
        0.1,
        [_from(0, high=1)],
        "float, default=0.1",
        "Share of the rows held out.",
    ),
    Parameter("beta_1", 0.9, [_from(0, high=1)], "float, default=0.9", "Of Adam and its relatives."),
    Parameter("beta_2", 0.999, [_from(0, high=1)], "float, default=0.999", "Of Adam and its relatives."),
    Parameter(
        "epsilon",
        1e-8,
        [_from(0, "neither")],
        "float, default=1e-8",
        "Of Adam and its relatives, Adagrad and RMSProp.",
    ),
    Parameter(
        "n_iter_no_change",
        10,
        [_from(1, kind=Integral), Options(Real, {np.inf})],
        "int, default=10",
        "Epochs without improvement before training stops.",
    ),
    Parameter(
        "max_fun",
        15000,
        [_from(1, kind=Integral)],
        "int, default=15000",
        "Most evaluations of the loss by L-BFGS.",
    ),
    _added(
        "loss",
        "log_loss",
        [StrOptions(set(CLASSIFIER_LOSSES)), Loss],
        f"{{{_names(CLASSIFIER_LOSSES)}}} or Loss, default='log_loss'",
        "What training minimizes. ``squared_error`` is half the squared distance to the one-hot target, the quadratic "
        "cost of textbooks; ``Loss(function)`` is one of your own.",
        CLASSIFIER,
    ),
    _added(
        "out_activation",
        None,
        [StrOptions(set(CLASSIFIER_OUTPUTS)), None],
        f"{{{_names(CLASSIFIER_OUTPUTS)}}}, default=None",
        "Activation of the output layer. By default ``softmax`` for several classes, ``logistic`` for two and for "
        "multilabel targets.",
        CLASSIFIER,
    ),
    _added(
        "label_smoothing",
        0.0,
        [_from(0, high=1)],
        "float, default=0.0",
        "Share of a target that is spread evenly over all classes.",
        CLASSIFIER,
    ),
    _added(
        "out_activation",
        None,
        [StrOptions(set(REGRESSOR_OUTPUTS)), None],
        f"{{{_names(REGRESSOR_OUTPUTS)}}}, default=None",
        "Activation of the output layer. By default ``exp`` for ``poisson``, else ``identity``.",
        REGRESSOR,
    ),
    _added(
        "loss_parameter",
        None,
        [_from(0, "neither"), None],
        "float, default=None",
        "``delta`` of ``huber`` (1.0), ``q`` of ``quantile`` (0.5).",
        REGRESSOR,
    ),
    _added(
        "dtype",
        None,
        [StrOptions({"float32", "float64"}), Options(type, {np.float32, np.float64}), np.dtype, None],
        "{'float32', 'float64'}, default=None",
        "Precision of the network. By default that of X if float32, else float64. float32 is about twice as fast.",
    ),
    _added(
        "precision",
        None,
        [StrOptions({"bfloat16", "auto"}), None],
        "{'bfloat16', 'auto'}, default=None",
        "As what numbers are multiplied; None for the network's ``dtype``. With ``'bfloat16'`` activations, deltas and "
        "weights are rounded to 8 bits of precision where they are multiplied; sums, weights, the solver's state and losses "
        "stay float32. CPUs with AVX512_BF16 multiply twice as many of them at a time; others widen them again, which is "
        "slower than float32, and ``fit`` warns. ``'auto'`` takes it where the CPU has the instruction and two layers "
        "of at least 256 units meet. Sparse rows are multiplied in float32.",
    ),
    _added(
        "n_threads",
        None,
        [_from(1, kind=Integral), Options(Integral, {-1}), None],
        "int, default=None",
        "Threads; by default all CPUs that this process may use. The result does not depend on it, to the last bit.",
    ),
    _added(
        "initializer",
        "auto",
        [str, tuple, list],
        "name or (name, parameter), or a list of these, default='auto'",
        f"One of {_names(r.name for r in INITIALIZERS)}; a list has one for each layer, the output's last. ``auto`` is "
        "scikit-learn's.",
    ),
    _added(
        "solver_params",
        None,
        [dict, None],
        "dict, default=None",
        "Hyperparameters of the solver that have no parameter of their own, such as "
        "``{'rho': 0.99, 'centered': True}`` for ``rmsprop``.",
    ),
    _added(
        "learning_rate_params",
        None,
        [dict, None],
        "dict, default=None",
        "Parameters of the schedule, such as ``{'factor': 0.5, 'every': 5}`` for ``step``.",
    ),
    _added(
        "l1",
        0.0,
        [_from(0), tuple, list],
        "float or tuple, default=0.0",
        "L1 penalty: ``l1`` times the sum of the weights' sizes, divided by the samples of the mini-batch, is added "
        "to the loss. Proximal: some weights become exactly 0. A tuple has one for each layer, the output's last.",
    ),
    _added(
        "layer_rates",
        None,
        [tuple, list, None],
        "tuple, default=None",
        "What the learning rate of each layer is multiplied by, the output's last: a number, or a pair for its weights "
        "and its intercepts. 0 freezes: what is frozen stays as it is, has no penalty, and costs no time; with "
        "``warm_start`` or ``coefs_init`` a network is tuned on from the top.",
    ),
    _added(
        "max_norm",
        None,
        [_from(0, "neither"), None],
        "float, default=None",
        "Largest norm of a unit's incoming weights; longer ones are scaled down after a step.",
    ),
    _added(
        "clip_value", None, [_from(0, "neither"), None], "float, default=None", "Largest size of a gradient's element."
    ),
    _added(
        "clip_norm",
        None,
        [_from(0, "neither"), None],
        "float, default=None",
        "Largest norm of all gradients together.",
    ),
    _added(
        "dropout",
        0.0,
        [_from(0, high=1), tuple, list],
        "float or tuple, default=0.0",
        "Share of the units of every hidden layer that is dropped in a training step, or a tuple with the shares of "
        "the inputs and of each hidden layer. The rest is scaled up, so prediction uses all units as they are.",
    ),
    _added(
        "batch_norm",
        False,
        ["boolean"],
        "bool, default=False",
        "Whether the preactivations of the hidden layers are normalized over the mini-batch, then scaled and shifted "
        "by learned values; prediction uses running means and variances. The sums ignore sample weights, as in Keras "
        "and PyTorch.",
    ),
    _added(
        "normalize",
        None,
        [StrOptions(set(NORMALIZATIONS)), None],
        f"{{{_names(NORMALIZATIONS)}}}, default=None",
        "Normalization of the inputs, learned in ``fit`` and applied to each row as it is read: to [0, 1]; to mean 0 "
        "and deviation 1; to median 0 and interquartile range 1; to the same and then by ``x / sqrt(1 + (x / 3)^2)`` to "
        "between -3 and 3, which outliers cannot leave (Holzmüller, Grinsztajn & Steinwart 2024). Sparse data stays sparse.",
    ),
    _added(
        "categorical_features",
        None,
        [StrOptions({"from_dtype"}), "array-like", None],
        "'from_dtype' or array-like of names, places or bool, default=None",
        "Columns of X that hold categories, words or numbers; 'from_dtype' for those of a frame or table that hold no numbers. "
        "A category is looked up: what it adds to the first layer is a row of weights, as of a one-hot column, which "
        "nobody makes. Missing ones, and those that ``fit`` has not seen, add nothing. ``normalize`` is for the numbers.",
    ),
    _added(
        "embedding_dim",
        None,
        [Interval(Integral, 1, None, closed="left"), None],
        "int >= 1, default=None",
        "Width of the embeddings of ``categorical_features``: each category is so many trained numbers, which take the place "
        "of its column. Fewer weights to learn than the one row a category that None stands for, where categories are many.",
    ),
    _added(
        "numeric_bins",
        None,
        [Interval(Integral, 3, None, closed="left"), None],
        "int >= 3, default=None",
        "Piecewise-linear encoding: beside itself a number is, as rows are read, how far it lies in each of so many bins, and "
        "its rank. The edges are quantiles, of features with 4 distinct ones at least; categories have none. A network learns "
        "steps and kinks of single features faster so (Gorishniy, Rubachev & Babenko 2022).",
    ),
    _added(
        "restore_best",
        False,
        ["boolean"],
        "bool, default=False",
        "Without early stopping, end with the parameters of the epoch of lowest loss, or, with validation data given to "
        "``fit``, of highest score.",
    ),
    _added(
        "scoring",
        None,
        [StrOptions({"loss", *get_scorer_names()}), callable, None],
        "str or callable, default=None",
        "What validation data are scored by: accuracy or R squared; the name of one of scikit-learn's scorers, or a "
        "scorer; 'loss'. It decides with ``early_stopping`` and ``restore_best``.",
    ),
    _added(
        "class_weight",
        None,
        [dict, list, StrOptions({"balanced"}), None],
        "dict, list of dicts or 'balanced', default=None",
        "Weights of the classes, which multiply ``sample_weight``; 'balanced' makes all classes weigh the same. A list "
        "has a dict for each label of multilabel targets.",
        CLASSIFIER,
    ),
    _added(
        "callback",
        None,
        [callable, list, tuple, None],
        "callable or list of callables, default=None",
        "Called with the estimator after every epoch, as if training ended there; it ends where True is returned. "
        "No part of a pickle.",
    ),
    _added(
        "on_divergence",
        "raise",
        [StrOptions({"raise", "warn", "restore"})],
        "{'raise', 'warn', 'restore'}, default='raise'",
        "What comes of a run whose loss is no longer finite: a DivergenceError, which holds the last good weights, and "
        "the estimator stays as it was; a DivergenceWarning, and the weights as they are; a DivergenceWarning, and the "
        "weights of the last good epoch.",
    ),
    _added(
        "n_members",
        1,
        [Interval(Integral, 1, None, closed="left")],
        "int >= 1, default=1",
        "Networks that are trained at once, a core each, and whose outputs are averaged: same rows, other draws of the weights, "
        "of the order and of what ``early_stopping`` holds out. They are in ``members_``.",
    ),
)


def table_of(estimator: str) -> dict[str, Parameter]:
    """The rows of one estimator by name, in the order of the signature."""
    return {row.name: row for row in PARAMETERS if estimator in row.estimators}


def constraints_of(estimator: str) -> dict[str, list]:
    """scikit-learn's parameter constraints of one estimator."""
    return {name: row.allowed for name, row in table_of(estimator).items()}


def _section(rows: Iterable[Parameter]) -> str:
    lines = []
    for row in rows:
        lines.append(f"{row.name} : {row.kind}")
        lines.extend(textwrap.wrap(row.text, 84, initial_indent="    ", subsequent_indent="    "))
    return "\n".join(lines)


def document(cls: Any) -> type:
    """Class decorator: fill the sections of parameters and attributes into the docstring."""
    if cls.__doc__:
        sections = {"parameters": _section(table_of(cls.__name__).values()), "attributes": ATTRIBUTES}
        filled = {name: textwrap.indent(text, "    ").lstrip() for name, text in sections.items()}
        cls.__doc__ = cls.__doc__.format(**filled)
    return cls
