"""A fitted estimator as scikit-learn's, and back: the same predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from jitmlp.estimators.prediction import Prediction
from jitmlp.model.bins import Bins
from jitmlp.model.model import Layer, Scaling
from jitmlp.model.parameters import Parameters

HIDDEN = ("identity", "logistic", "tanh", "relu")
# Fitted attributes that both have, and that mean the same
SHARED = ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_",
          "n_outputs_", "n_layers_", "out_activation_", "n_features_in_", "feature_names_in_", "classes_",
          "_label_binarizer", "_no_improvement_count")  # fmt: skip


def plain_parameters(estimator: Prediction) -> Parameters:
    """Weights and biases that take the rows as they are: batch normalization and ``normalize`` folded into them.

    The first weights take what :meth:`Bins.parts` describes, of :func:`plain_bins`, behind the rows. With ``normalize`` in
    float64, since a shift of large numbers is lost in float32. What is clipped cannot be folded: see :func:`clipping`.
    """
    parameters = estimator._fitted_parameters().folded()
    scaling, bins = estimator._fitted_scaling(), estimator._fitted_bins()
    if scaling is None and bins is None:
        return parameters
    kind = np.dtype(np.float64) if scaling is not None else parameters.weights[0].dtype
    weights, biases = ([np.asarray(a, kind) for a in arrays] for arrays in (parameters.weights, parameters.biases))
    if bins is not None:
        weights[0], biases[0] = (array.astype(kind) for array in bins.of_parts(weights[0], biases[0]))
    if scaling is not None and not scaling.clips:
        n = len(scaling.scale)
        scaled = weights[0][:n] * scaling.scale[:, None]
        weights[0], biases[0] = np.concatenate([scaled, weights[0][n:]]), biases[0] - scaling.shift @ scaled
    return Parameters.of(weights, biases)


def clipping(estimator: Prediction) -> Scaling | None:
    """What is done with the rows before all else, where weights cannot do it."""
    scaling = estimator._fitted_scaling()
    return scaling if scaling is not None and scaling.clips else None


def plain_bins(estimator: Prediction) -> Bins | None:
    """The bins of the rows as they are, or as :func:`clipping` leaves them; None where no feature has any."""
    scaling, bins = estimator._fitted_scaling(), estimator._fitted_bins()
    if bins is None or not bins.features:
        return None
    return bins if scaling is None or scaling.clips else bins.unscaled(scaling.shift, scaling.scale)


def formula_of(layer: Layer, formulas: Mapping[str, Any], method: str) -> Any:
    """What a table of exported activations has for a layer.

    Raises
    ------
    ValueError
        If it has nothing, as for a function of the user's own.
    """
    row = layer.activation
    if row.name not in formulas or not row.built_in:
        raise ValueError(f"{method} knows the activations {sorted(formulas)}, not {row.name!r}")
    return formulas[row.name]


def _common(estimator: Any, target: type) -> dict[str, Any]:
    """The estimator's parameters that the target class has and accepts."""
    given, found = estimator.get_params(deep=False), {}
    for name in target().get_params(deep=False):
        if name not in given:
            continue
        try:
            target(**{name: given[name]})._validate_params()
        except InvalidParameterError:
            continue
        found[name] = given[name]
    return found


def _share(source: Any, target: Any, parameters: Parameters) -> None:
    for name in SHARED:
        if name in vars(source):
            value = vars(source)[name]
            target.__dict__[name] = list(value) if isinstance(value, list) else value
    target.coefs_, target.intercepts_ = list(parameters.weights), list(parameters.biases)


def to_sklearn(estimator: Prediction) -> Any:
    """scikit-learn's estimator with the same predictions.

    Raises
    ------
    ValueError
        If it has no such activation.
    """
    check_is_fitted(estimator)
    model, task = estimator._fitted_model(), estimator._task()
    name = type(estimator).__name__
    if model.bins is not None:
        raise ValueError(
            "to_sklearn has no bins of numbers, which numeric_bins asks for; to_onnx, to_torch and to_c have"
        )
    if clipping(estimator) is not None:
        raise ValueError(
            "to_sklearn has nothing that clips as normalize='robust_clip'; to_onnx, to_torch and to_c have"
        )
    hidden, output = [layer.activation.name for layer in model.layers[:-1]], model.layers[-1].activation.name
    if len({*hidden}) > 1 or not {*hidden} <= {*HIDDEN}:
        raise ValueError(f"to_sklearn needs one activation among {HIDDEN} for all hidden layers, got {hidden}")
    if name == "MLPClassifier" and output != task.output_activation:
        raise ValueError(f"to_sklearn needs out_activation={task.output_activation!r} for such classes, got {output!r}")
    allowed = tuple(neural_network._base.ACTIVATIONS)
    if output not in allowed:
        raise ValueError(f"to_sklearn needs an out_activation among {allowed}, got {output!r}")
    kind = getattr(neural_network, name)
    options = {**_common(estimator, kind), "hidden_layer_sizes": tuple(model.layer_units[1:-1])}
    theirs = kind(**options, **({"activation": hidden[0]} if hidden and "activation" not in options else {}))
    parameters = plain_parameters(estimator).map(np.copy)
    _share(estimator, theirs, parameters)
    if name == "MLPClassifier" and "_label_binarizer" not in vars(theirs):
        theirs._label_binarizer = task.binarizer  # type: ignore[attr-defined]
    theirs.n_layers_, theirs.n_outputs_, theirs.out_activation_ = len(model.layer_units), model.n_outputs, output
    theirs.n_features_in_ = model.n_features
    return theirs


def from_sklearn(kind: type, model: Any) -> Any:
    """An estimator of ours with the predictions of scikit-learn's.

    Raises
    ------
    TypeError
        If it is not scikit-learn's estimator of the same name.
    """
    theirs = getattr(neural_network, kind.__name__)
    if not isinstance(model, theirs):
        raise TypeError(f"model must be a sklearn.neural_network.{kind.__name__}, got {type(model).__name__}")
    check_is_fitted(model)
    ours = kind(**{**_common(model, kind), "hidden_layer_sizes": model.hidden_layer_sizes})
    parameters = Parameters.of(model.coefs_, model.intercepts_).map(np.copy).frozen()
    _share(model, ours, parameters)
    return ours
