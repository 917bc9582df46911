"""A fitted estimator as a PyTorch module. To add an activation, add its module to ``ACTIVATIONS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from jitmlp.estimators.conversion import clipping, formula_of, plain_bins, plain_parameters
from jitmlp.estimators.prediction import Prediction


def _own(name: str, *parameters: Any) -> Any:
    """A module that PyTorch lacks."""
    from jitmlp.estimators import torch_modules

    return getattr(torch_modules, name)(*parameters)


# name: function of torch.nn and the parameter, which gives a module
ACTIVATIONS: dict[str, Callable[[Any, float], Any]] = {
    "identity": lambda nn, p: nn.Identity(),
    "logistic": lambda nn, p: nn.Sigmoid(),
    "tanh": lambda nn, p: nn.Tanh(),
    "relu": lambda nn, p: nn.ReLU(),
    "leaky_relu": lambda nn, alpha: nn.LeakyReLU(alpha),
    "elu": lambda nn, alpha: nn.ELU(alpha),
    "selu": lambda nn, p: nn.SELU(),
    "swish": lambda nn, beta: nn.SiLU() if beta == 1 else _own("Swish", beta),
    "gelu": lambda nn, p: nn.GELU(),
    "gelu_tanh": lambda nn, p: nn.GELU(approximate="tanh"),
    "softplus": lambda nn, p: nn.Softplus(),
    "mish": lambda nn, p: nn.Mish(),
    "exp": lambda nn, p: _own("Exp"),
    "erf": lambda nn, p: _own("Erf"),
    "step": lambda nn, p: _own("Step"),
    "softmax": lambda nn, p: nn.Softmax(dim=1),
}


def to_torch(estimator: Prediction) -> Any:
    """The module; see :meth:`jitmlp.estimators.prediction.Prediction.to_torch`."""
    import torch

    check_is_fitted(estimator)
    model, parameters = estimator._fitted_model(), plain_parameters(estimator)
    modules, bins, scaling = [], plain_bins(estimator), clipping(estimator)
    if scaling is not None:
        modules.append(_own("SmoothClip", scaling.shift, scaling.scale))
    if bins is not None:
        modules.append(_own("Bins", *bins.parts(), parameters.weights[0].dtype.name))
    for weights, bias, layer in zip(parameters.weights, parameters.biases, model.layers):
        activation = formula_of(layer, ACTIVATIONS, "to_torch")(torch.nn, layer.parameter)
        kind = getattr(torch, np.asarray(weights).dtype.name)
        linear = torch.nn.Linear(weights.shape[0], weights.shape[1], dtype=kind)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.array(weights.T, order="C")))
            linear.bias.copy_(torch.from_numpy(np.array(bias)))
        modules += [linear, activation]
    return torch.nn.Sequential(*modules)
