"""What a network computes and what holds its parameters down, without any memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jitmlp_kernels import batchnorm


@dataclass(frozen=True)
class LayerSpec:
    """Activation of one layer by code, with its parameter."""

    code: int
    parameter: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """What a network computes: sizes, activations, loss, dtype.

    Attributes
    ----------
    layer_units : tuple of int
        Features, units of every hidden layer, outputs.
    activations : tuple of LayerSpec
        One a layer, the output's last.
    loss : str
        A name of the table of losses.
    dtype : numpy dtype
        float32 or float64.
    loss_parameter, smoothing : float
        Of the loss; the share of a class target that is spread over all classes.
    dropout : tuple of float
        Shares dropped of the inputs and of every hidden layer; empty for none.
    batch_norm : bool
        Whether the hidden layers are normalized over the mini-batch.
    shift, scale : ndarray of shape (n_features,), optional
        Inputs become ``(x - shift) * scale``.
    """

    layer_units: tuple[int, ...]
    activations: tuple[LayerSpec, ...]
    loss: str
    dtype: np.dtype
    loss_parameter: float = 0.0
    smoothing: float = 0.0
    dropout: tuple[float, ...] = ()
    batch_norm: bool = False
    shift: np.ndarray | None = None
    scale: np.ndarray | None = None

    def for_prediction(self) -> NetworkSpec:
        """The same without what only training does."""
        return replace(self, dropout=(), smoothing=0.0, batch_norm=False)


@dataclass(frozen=True)
class Constraints:
    """What holds parameters and gradients down.

    Attributes
    ----------
    alpha, l1 : float
        L2 and L1 penalty, divided by the total weight of the mini-batch.
    clip_value, clip_norm : float
        Largest size of a gradient's element, and norm of all gradients.
    max_norm : float
        Largest norm of a unit's incoming weights.
    """

    alpha: float = 0.0
    l1: float = 0.0
    clip_value: float = np.inf
    clip_norm: float = np.inf
    max_norm: float = np.inf


def new_normalization(spec: NetworkSpec):
    """Gamma, beta, running mean and variance of the hidden layers before training."""
    if not spec.batch_norm:
        return []
    start = (1.0, 0.0, 0.0, 1.0)
    return [[np.full(n, value, spec.dtype) for value in start] for n in spec.layer_units[1:-1]]


def fold_normalization(coefs, intercepts, normalization):
    """The coefficients and intercepts that compute the same without normalization."""
    coefs, intercepts = list(coefs), list(intercepts)
    for i, (gamma, beta, mean, variance) in enumerate(normalization):
        scale = gamma / np.sqrt(variance + batchnorm.EPSILON)
        coefs[i] = coefs[i] * scale
        intercepts[i] = (intercepts[i] - mean) * scale + beta
    return coefs, intercepts
