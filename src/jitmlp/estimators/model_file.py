"""Models in files without pickle: safetensors with a JSON description.

Nothing in such a file is run. Whatever a file holds, :func:`load` gives a model that can predict or raises
:class:`ModelFileError`. The arrays are those of the fitted attributes; the description holds the class,
parameters, labels and what training has noted; with ``state=True`` the optimizer's state, the order of the rows
and the random generator are there too, so that ``warm_start="continue"`` goes on as if it had not stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from sklearn.utils._param_validation import InvalidParameterError

from jitmlp._version import __version__
from jitmlp.estimators.categories import CategoryEncoder
from jitmlp.estimators.classifier import MLPClassifier
from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.regressor import MLPRegressor
from jitmlp.estimators.tasks import Independent, classification_of
from jitmlp.model.bins import bins_of
from jitmlp.model.choices import Activation
from jitmlp.model.model import Embedding
from jitmlp.model.parameters import BatchNorm, Parameters
from jitmlp.training.recipe import OptimizerState
from jitmlp.training.schedules import RateState
from jitmlp_kernels.link.folder import write_whole
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS

FORMAT = 1
ESTIMATORS: dict[str, type[Prediction]] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
# Fitted attributes that are numbers, words or lists of numbers, and are kept as they are
PLAIN = ("n_iter_", "t_", "loss_", "n_outputs_", "n_layers_", "out_activation_", "precision_", "stopped_by_",
         "n_features_in_", "loss_curve_", "best_loss_", "validation_scores_", "validation_loss_curve_", "best_validation_score_",
         "history_", "_normalize", "_no_improvement_count")  # fmt: skip


class ModelFileError(ValueError):
    """A file holds no model, a damaged one, or one of a later version."""


def _encode(name: str, value: Any) -> Any:
    """A parameter as JSON has it."""
    if name == "callback":  # no part of a fitted model
        return None
    if isinstance(value, Activation) and isinstance(value.function, str):
        return {"activation": [value.function, value.parameter]}
    if isinstance(value, (tuple, list)):
        return {"tuple" if isinstance(value, tuple) else "list": [_encode(name, v) for v in value]}
    if isinstance(value, (np.dtype, type)):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, (np.generic, np.ndarray)):
        return _encode(name, value.tolist())
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):  # classes
        return {"pairs": [[_encode(name, part) for part in pair] for pair in value.items()]}
    if isinstance(value, dict):
        return {"dict": {str(k): _encode(name, v) for k, v in value.items()}}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if name in ("random_state", "scoring"):  # no part of a fitted model either, where it is an object
        return None
    raise ValueError(f"{name}={value!r} is no name or number: a file without pickle cannot hold a function")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        raise ValueError("a list without its kind")
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "activation":
        return Activation(str(content[0]), None if content[1] is None else float(content[1]))
    if kind in ("tuple", "list"):
        return (tuple if kind == "tuple" else list)(_decode(v) for v in content)
    if kind == "dtype":
        return np.dtype(content)
    if kind == "pairs":
        return {_decode(k): _decode(v) for k, v in content}
    if kind == "dict":
        return {k: _decode(v) for k, v in content.items()}
    raise ValueError(f"unknown kind of value {kind!r}")


def _arrays(prefix: str, parameters: Parameters) -> Iterator[tuple[str, np.ndarray]]:
    for k, own in enumerate(parameters.embeddings):
        yield f"{prefix}embeddings.{k}", own
    for l, (weights, biases, norm) in enumerate(zip(parameters.weights, parameters.biases, parameters.batch_norms)):
        yield f"{prefix}weights.{l}", weights
        yield f"{prefix}biases.{l}", biases
        if norm is not None:
            for name in ("gamma", "beta", "mean", "variance"):
                if getattr(norm, name) is not None:
                    yield f"{prefix}{name}.{l}", getattr(norm, name)


def _parameters(prefix: str, arrays: dict[str, np.ndarray], n_layers: int) -> Parameters:
    def take(name: str, l: int) -> np.ndarray:
        return arrays[f"{prefix}{name}.{l}"].copy()

    norms = [
        BatchNorm(
            take("gamma", l),
            take("beta", l),
            *(take(name, l) if f"{prefix}{name}.{l}" in arrays else None for name in ("mean", "variance")),
        )
        if f"{prefix}gamma.{l}" in arrays
        else None
        for l in range(n_layers)
    ]
    tables = [take("embeddings", k) for k in range(len(arrays)) if f"{prefix}embeddings.{k}" in arrays]
    weights, biases = ([take(name, l) for l in range(n_layers)] for name in ("weights", "biases"))
    return Parameters.of(weights, biases, norms, tables)


def save(model: Prediction, path: str | Path, *, state: bool = False) -> None:
    """Write a fitted model to a file, whole or not at all.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
    path : path-like
    state : bool, default=False
        Whether the optimizer's state goes along, to train on.

    Raises
    ------
    ValueError
        If a parameter is a function, which a file without code cannot hold.
    OSError
        If the file cannot be written; an old one is then still whole.
    """
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    parameters = model._fitted_parameters()
    arrays = dict(_arrays("", parameters))
    if model._fitted_embedding() is not None:
        arrays |= {f"embeddings.{k}": own for k, own in enumerate(model.embeddings_)}
        arrays["embedding_coefs"] = model.embedding_coefs_
    attributes = {name: vars(model)[name] for name in PLAIN if name in vars(model)}
    description: dict[str, Any] = {
        "format": FORMAT,
        "jitmlp": __version__,
        "estimator": type(model).__name__,
        "layers": len(parameters.weights),
        "parameters": {name: _encode(name, value) for name, value in model.get_params(deep=False).items()},
        "attributes": {name: _encode(name, value) for name, value in attributes.items()},
    }
    for name in ("input_shift_", "input_scale_"):
        if vars(model).get(name) is not None:
            arrays[name] = np.asarray(vars(model)[name])
    if vars(model).get("bins_") is not None:
        description["bins"] = [np.asarray(edges).tolist() for edges in model.bins_]
    if vars(model).get("encoder_") is not None:
        description["encoder"] = model.encoder_.description()
    for name in ("classes_", "feature_names_in_"):
        if name in vars(model):
            values = np.asarray(vars(model)[name])
            description[name] = {"dtype": values.dtype.str, "values": values.tolist()}
    if isinstance(model, MLPClassifier):
        description["multilabel"] = isinstance(model._task(), Independent) and parameters.weights[-1].shape[1] > 1
    found = vars(model).get("_state")
    if state and found is not None:
        if not found.optimizer.built_in or callable(found.schedule[0]):
            raise ValueError("the state of an optimizer or schedule of your own cannot be kept without code")
        description["state"] = {
            "optimizer": found.optimizer.name,
            "steps": found.steps,
            "rate": list(found.rate),
            "schedule": _encode("learning_rate", found.schedule),
            "seed": found.seed,
        }
        for number, slot in enumerate(found.slots):
            arrays.update(_arrays(f"slot.{number}.", slot))
        if found.order is not None:
            arrays["order"] = found.order
        if found.random_state is not None:
            kind, keys, *rest = found.random_state
            arrays["random_state"] = np.asarray(keys)
            description["state"]["random_state"] = [kind, *rest]
    data = safetensors.numpy.save(
        {name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata={"jitmlp": json.dumps(description)}
    )
    write_whole(Path(path), data, private=False)


def _read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    raw = Path(path).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or size > len(raw) - 8:
        raise ModelFileError(f"{path} is no model file: it ends inside its header")
    header = json.loads(raw[8 : 8 + size])
    description = json.loads(header["__metadata__"]["jitmlp"])
    if not isinstance(description["format"], int) or description["format"] > FORMAT:
        raise ModelFileError(
            f"{path} has format {description['format']!r}, this version of jitmlp reads up to {FORMAT}"
        )
    return safetensors.numpy.load(raw), description


def _classes(entry: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(entry["dtype"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"labels of dtype {dtype}")
    values = entry["values"]
    if not isinstance(values, list) or not all(isinstance(v, (bool, int, float, str)) for v in values):
        raise ValueError("labels must be numbers or words")
    return np.array(values, dtype)


def load(path: str | Path) -> Any:
    """Read the model that :func:`save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    MLPClassifier or MLPRegressor

    Raises
    ------
    ModelFileError
        If the file holds no whole model of a format that this version reads.
    OSError
        If it cannot be read.
    """
    try:
        arrays, description = _read(path)
        model = _rebuild(arrays, description)
    except ModelFileError:
        raise
    except (
        KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, MemoryError,
        InvalidParameterError, safetensors.SafetensorError,
    ) as error:  # fmt: skip
        raise ModelFileError(f"{path} holds no whole model: {type(error).__name__}: {error}") from error
    return model


def _rebuild(arrays: dict[str, np.ndarray], description: dict[str, Any]) -> Any:
    kind = ESTIMATORS[description["estimator"]]
    model: Any = kind(**{name: _decode(value) for name, value in description["parameters"].items()})
    model._validate_params()
    attributes = description["attributes"]
    if not set(attributes) <= set(PLAIN):
        raise ValueError(f"unknown attributes {sorted(set(attributes) - set(PLAIN))}")
    for name, value in attributes.items():
        setattr(model, name, _decode(value))
    if "loss_" in attributes and attributes["loss_"] is not None:
        model.loss_ = np.float64(attributes["loss_"])
    n_layers = description["layers"]
    if not 0 < int(n_layers) <= len(arrays):
        raise ValueError(f"{n_layers} layers")
    parameters = _parameters("", arrays, int(n_layers))
    if not all(a.dtype in (np.float32, np.float64) for a in parameters.arrays()):
        raise ValueError("weights must be float32 or float64")
    parameters.frozen()
    model.coefs_, model.intercepts_ = list(parameters.weights), list(parameters.biases)
    model.embeddings_ = model.embedding_coefs_ = None
    if parameters.embeddings:
        model.embeddings_, model.embedding_coefs_ = list(parameters.embeddings), arrays["embedding_coefs"].copy()
        model.embedding_coefs_.flags.writeable = False
    model.batch_norm_ = [[n.gamma, n.beta, n.mean, n.variance] for n in parameters.batch_norms if n]
    for name in ("input_shift_", "input_scale_"):
        setattr(model, name, arrays[name].copy() if name in arrays else None)
    shapes = [None if a is None else a.shape for a in (model.input_shift_, model.input_scale_)]
    if shapes[0] != shapes[1]:
        raise ValueError("shift and scale of the inputs belong together")
    model.bins_ = list(bins_of(description["bins"]).edges) if "bins" in description else None
    if model.input_shift_ is not None and model.input_shift_.shape != (model._fitted_width(),):
        raise ValueError(f"the inputs' shift has shape {model.input_shift_.shape}")
    model.encoder_ = CategoryEncoder.of_description(description["encoder"]) if "encoder" in description else None
    if "feature_names_in_" in description:
        model.feature_names_in_ = _classes(description["feature_names_in_"])
    if kind is MLPClassifier:
        _restore_classes(model, _classes(description["classes_"]), bool(description["multilabel"]))
    _check(model, parameters)
    if "state" in description:
        model._state = _restore_state(arrays, description["state"], int(n_layers))
    return model


def _restore_classes(model: Any, classes: np.ndarray, multilabel: bool) -> None:
    n_outputs = model.coefs_[-1].shape[1]
    task = classification_of(
        classes, 2 if multilabel else n_outputs, "logistic" if multilabel else model.out_activation_
    )
    expected = len(classes) if multilabel or len(classes) > 2 else 1
    if n_outputs != expected:
        raise ValueError(f"{len(classes)} classes for {n_outputs} outputs")
    model._label_binarizer, model.classes_ = task.binarizer, task.binarizer.classes_


def _check(model: Any, parameters: Parameters) -> None:
    """Raise unless the model can predict: attributes that fit together, and a network of its sizes."""
    found = model._fitted_model()
    n_columns, width = model.n_features_in_, model.n_features_in_
    if model.encoder_ is not None:
        n_columns, width = len(model.encoder_.is_categorical), model.encoder_.width
    if (model.n_features_in_, found.n_features, found.n_outputs) != (n_columns, width, model.n_outputs_):
        raise ValueError("sizes do not fit together")
    if parameters.embeddings:
        dim, first = parameters.embeddings[0].shape[1], parameters.weights[0]
        own = Embedding(model.encoder_.n_numbers, tuple(len(column) for column in model.encoder_.categories), dim)
        n_added = found.bins.n_added if found.bins else 0
        wanted = [(count, dim) for count in own.categories], (own.n_inputs + n_added, first.shape[1])
        looked_up = [table.shape for table in parameters.embeddings], model.embedding_coefs_.shape
        if wanted != looked_up or model.embedding_coefs_.dtype != first.dtype:
            raise ValueError("embeddings and their weights are not those of the columns of categories")
    for l, norm in enumerate(parameters.batch_norms):
        if norm is not None and any(v is None or v.shape != (found.layers[l].units,) for v in vars(norm).values()):
            raise ValueError(f"batch normalization of layer {l} has other sizes")
    if model.batch_norm_ and len(model.batch_norm_) != len(found.layers) - 1:
        raise ValueError("batch normalization of some hidden layers only")
    if "feature_names_in_" in vars(model) and len(model.feature_names_in_) != n_columns:
        raise ValueError("as many names as features are needed")


def _restore_state(arrays: dict[str, np.ndarray], entry: dict[str, Any], n_layers: int) -> OptimizerState:
    rule = OPTIMIZERS[entry["optimizer"]]
    slots = tuple(_parameters(f"slot.{number}.", arrays, n_layers) for number in range(len(rule.slots)))
    rate, best, waited = entry["rate"]
    random_state = None
    if "random_state" in entry:
        kind, *rest = entry["random_state"]
        random_state = (str(kind), arrays["random_state"].astype(np.uint32), *rest)
        np.random.RandomState(0).set_state(random_state)  # raises for what is none
    order = arrays["order"].astype(np.int64) if "order" in arrays else None
    return OptimizerState(
        rule, slots, int(entry["steps"]), RateState(float(rate), float(best), int(waited)), _decode(entry["schedule"]),
        int(entry["seed"]), random_state, order,
    )  # fmt: skip
