"""The plain-NumPy oracle: a network written straight from the textbook formulas.

Nothing here is shared with the kernels or with the package, on purpose.
"""

import numpy as np
from scipy.special import erf, expit


def softplus(z):
    return np.logaddexp(0.0, z)


ACTIVATIONS = {
    "identity": lambda z, p: z,
    "logistic": lambda z, p: expit(z),
    "tanh": lambda z, p: np.tanh(z),
    "relu": lambda z, p: np.maximum(z, 0),
    "leaky_relu": lambda z, p: np.where(z > 0, z, p * z),
    "elu": lambda z, p: np.where(z > 0, z, p * np.expm1(np.minimum(z, 0))),
    "selu": lambda z, p: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
    "swish": lambda z, p: z * expit(p * z),
    "gelu": lambda z, p: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "gelu_tanh": lambda z, p: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "softplus": lambda z, p: softplus(z),
    "mish": lambda z, p: z * np.tanh(softplus(z)),
    "exp": lambda z, p: np.exp(z),
    "erf": lambda z, p: erf(z),
    "step": lambda z, p: (z > 0).astype(z.dtype),
}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def activate(name, z, p=0.0):
    return softmax(z) if name == "softmax" else ACTIVATIONS[name](z, p)


def xlogy(x, y):
    return np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1.0, y)))


LOSSES = {
    "squared_error": lambda a, y, p: 0.5 * (a - y) ** 2,
    "log_loss": lambda a, y, p: -xlogy(y, a),
    "binary_log_loss": lambda a, y, p: -xlogy(y, a) - xlogy(1 - y, 1 - a),
    "poisson": lambda a, y, p: xlogy(y, y / a) - y + a,
    "absolute_error": lambda a, y, p: np.abs(a - y),
    "huber": lambda a, y, p: np.where(np.abs(a - y) <= p, 0.5 * (a - y) ** 2, p * (np.abs(a - y) - 0.5 * p)),
    "quantile": lambda a, y, p: np.where(y > a, p * (y - a), (1 - p) * (a - y)),
}


def forward(coefs, intercepts, activations, X):
    """Activations of every layer; ``activations`` holds ``(name, parameter)`` pairs."""
    values = [X]
    for W, b, (name, p) in zip(coefs, intercepts, activations):
        values.append(activate(name, values[-1] @ W + b, p))
    return values


def loss(coefs, intercepts, activations, X, Y, name, p=0.0, alpha=0.0, weights=None):
    """Mean loss summed over outputs, plus the L2 penalty."""
    weights = np.ones(len(X)) if weights is None else weights
    rows = LOSSES[name](forward(coefs, intercepts, activations, X)[-1], Y, p).sum(axis=1)
    penalty = 0.5 * alpha * sum((W**2).sum() for W in coefs)
    return ((weights * rows).sum() + penalty) / weights.sum()


def numeric_gradient(function, arrays, step=1e-6):
    """Central differences of ``function()`` in every element of ``arrays``."""
    gradients = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = function()
            array[index] = kept - step
            below = function()
            array[index] = kept
            gradient[index] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients
