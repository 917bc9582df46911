"""Names and small objects that users type, turned into the tables' rows."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from jitmlp.initializers import BY_NAME as INITIALIZERS_BY_NAME
from jitmlp.spec import Constraints, LayerSpec
from jitmlp_kernels.activations import ACTIVATIONS, CODES, SOFTMAX
from jitmlp_kernels.optimizers import OPTIMIZERS

HIDDEN_NAMES = tuple(name for name, code in CODES.items() if ACTIVATIONS[code].hidden)
# scikit-learn's solvers, and those of the table under their own names
STOCHASTIC_SOLVERS = ("sgd", *(row.name for row in OPTIMIZERS if row.name != "gradient"))
SOLVERS = (*STOCHASTIC_SOLVERS, "lbfgs")


@dataclass(frozen=True)
class Activation:
    """An activation with its parameter.

    Parameters
    ----------
    name : str
        A name of the table, such as ``"leaky_relu"``, ``"elu"`` or ``"swish"``.
    parameter : float, optional
        ``alpha`` of leaky_relu and elu, ``beta`` of swish.

    Examples
    --------
    >>> from jitmlp import Activation, MLPClassifier
    >>> MLPClassifier((32, 16), activation=(Activation("leaky_relu", 0.2), "tanh"))
    MLPClassifier(activation=(Activation(name='leaky_relu', parameter=0.2), 'tanh'),
                  hidden_layer_sizes=(32, 16))
    """

    name: str
    parameter: float | None = None


def refuse(parameter: str, allowed: str, given) -> InvalidParameterError:
    """The error for a parameter's value, in scikit-learn's words."""
    return InvalidParameterError(f"The {parameter!r} parameter must be {allowed}. Got {given!r} instead.")


def _one_activation(activation, parameter_name, names) -> LayerSpec:
    wanted = activation if isinstance(activation, Activation) else Activation(activation)
    if not isinstance(wanted.name, str) or wanted.name not in names:
        raise refuse(parameter_name, f"a name among {sorted(names)}, or one a hidden layer", activation)
    code = CODES[wanted.name]
    row = ACTIVATIONS[code]
    if wanted.parameter is None:
        return LayerSpec(code, row.default)
    if not row.parameter:
        raise refuse(parameter_name, f"without a parameter for {row.name}", activation)
    return LayerSpec(code, float(wanted.parameter))


def hidden_activations(activation, n_hidden: int) -> tuple[LayerSpec, ...]:
    """One :class:`LayerSpec` a hidden layer from the ``activation`` parameter.

    Raises
    ------
    InvalidParameterError
        For an unknown name, or a tuple of the wrong length.
    """
    if isinstance(activation, (tuple, list)):
        if len(activation) != n_hidden:
            raise refuse("activation", f"one name, or one a hidden layer ({n_hidden})", activation)
        return tuple(_one_activation(a, "activation", HIDDEN_NAMES) for a in activation)
    return (_one_activation(activation, "activation", HIDDEN_NAMES),) * n_hidden


def output_activation(name: str) -> LayerSpec:
    """The :class:`LayerSpec` of the output layer."""
    if name == "softmax":
        return LayerSpec(SOFTMAX)
    return _one_activation(name, "out_activation", tuple(CODES))


def is_logistic(activation) -> bool:
    """Whether the hidden layers are logistic, which scikit-learn initializes apart."""
    names = activation if isinstance(activation, (tuple, list)) else (activation,)
    return any((a.name if isinstance(a, Activation) else a) in ("logistic", "sigmoid") for a in names)


def check_initializer(initializer) -> None:
    """Raise unless this is a name of the table, or such a name and a number."""
    name = initializer[0] if isinstance(initializer, tuple) and len(initializer) == 2 else initializer
    if not isinstance(name, str) or name not in INITIALIZERS_BY_NAME:
        raise refuse(
            "initializer", f"a name among {sorted(INITIALIZERS_BY_NAME)}, or (name, number)", initializer
        )


def optimizer_of(estimator) -> tuple[str, dict]:
    """Row name and hyperparameters of an estimator's solver.

    ``momentum``, ``nesterovs_momentum``, ``beta_1``, ``beta_2`` and ``epsilon`` are
    those of the constructor for the solvers that scikit-learn has; whatever is in
    ``solver_params`` comes last.
    """
    solver, extra = estimator.solver, dict(estimator.solver_params or {})
    given = {"momentum": estimator.momentum}
    if solver == "sgd":
        momentum = extra.get("momentum", estimator.momentum)
        nesterov = extra.pop("nesterov", estimator.nesterovs_momentum)
        solver = "gradient_descent" if momentum == 0 else "nesterov" if nesterov else "momentum"
        if momentum == 0:
            extra.pop("momentum", None)
    elif solver in ("adam", "amsgrad", "adamw", "nadam"):
        given = {"beta_1": estimator.beta_1, "beta_2": estimator.beta_2, "epsilon": estimator.epsilon}
    elif solver in ("adagrad", "rmsprop"):
        given = {"epsilon": estimator.epsilon}
    row = next(row for row in OPTIMIZERS if row.name == solver)
    unknown = set(extra) - set(row.hyperparameters)
    if unknown:
        raise refuse("solver_params", f"a dict with keys among {sorted(row.hyperparameters)}", extra)
    return solver, {k: v for k, v in {**given, **extra}.items() if k in row.hyperparameters}


def constraints_of(estimator) -> Constraints:
    """The :class:`Constraints` that an estimator's parameters ask for."""
    unlimited = {name: getattr(estimator, name) for name in ("clip_value", "clip_norm", "max_norm")}
    limits = {name: np.inf if value is None else float(value) for name, value in unlimited.items()}
    return Constraints(alpha=estimator.alpha, l1=estimator.l1, **limits)


def dropout_rates(dropout, n_hidden: int) -> tuple[float, ...]:
    """Shares dropped of the inputs and of every hidden layer from the ``dropout`` parameter.

    Raises
    ------
    InvalidParameterError
        For a rate outside [0, 1), or a tuple of the wrong length.
    """
    if isinstance(dropout, (tuple, list)):
        rates = tuple(dropout)
        allowed = f"a number, or a tuple with one for the inputs and each hidden layer ({n_hidden + 1})"
    else:
        rates = (0.0, *(dropout,) * n_hidden)
        allowed = "a number in the range [0, 1)"
    valid = all(isinstance(rate, Real) and 0 <= float(rate) < 1 for rate in rates)
    if not valid or len(rates) != n_hidden + 1:
        raise refuse("dropout", allowed, dropout)
    return tuple(float(rate) for rate in rates) if any(rates) else ()
