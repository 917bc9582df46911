"""Small networks for the tests of the kernels."""

import numpy as np

from jitmlp.network import Network
from jitmlp.spec import LayerSpec, NetworkSpec
from jitmlp_kernels.activations import ACTIVATIONS, CODES, SOFTMAX
from jitmlp_kernels.losses import CODES as LOSS_CODES
from jitmlp_kernels.losses import LOSSES


def layer_spec(name):
    """A layer's activation by name, with its default parameter."""
    if name == "softmax":
        return LayerSpec(SOFTMAX)
    return LayerSpec(CODES[name], ACTIVATIONS[CODES[name]].default)


def pairs(spec):
    """The activations of a spec as the oracle takes them."""
    names = [a.name for a in ACTIVATIONS] + ["softmax"]
    return [(names[a.code], a.parameter) for a in spec.activations]


def make_network(
    units,
    hidden="relu",
    output="softmax",
    loss="log_loss",
    dtype="float64",
    seed=0,
    dropout=(),
    batch_norm=False,
    **options,
):
    """A network with random parameters, and copies of them."""
    spec = NetworkSpec(
        tuple(units),
        (*[layer_spec(hidden)] * (len(units) - 2), layer_spec(output)),
        loss,
        np.dtype(dtype),
        LOSSES[LOSS_CODES[loss]].default,
        dropout=dropout,
        batch_norm=batch_norm,
    )
    rng = np.random.default_rng(seed)
    coefs = [rng.normal(size=(a, b)) / np.sqrt(a) for a, b in zip(units, units[1:])]
    intercepts = [rng.normal(size=b) * 0.1 for b in units[1:]]
    network = Network(spec, **options)
    network.pack(coefs, intercepts)
    return network, coefs, intercepts
