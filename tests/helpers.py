"""Small networks for the tests of the kernels."""

import numpy as np

from jitmlp.engine.constraints import Constraints
from jitmlp.engine.data import Data
from jitmlp.engine.workspace import Workspace
from jitmlp.model.model import Layer, Model
from jitmlp.model.parameters import BatchNorm, Parameters
from jitmlp_kernels.rules.activations import ACTIVATIONS
from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATION_NAMES
from jitmlp_kernels.rules.losses import BY_NAME as LOSS_NAMES
from jitmlp_kernels.rules.losses import LOSSES
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZER_NAMES
from jitmlp_kernels.rules.optimizers import GRADIENT

__all__ = ["Constraints", "Data", "LOSSES", "Network", "coefficient_table", "least_disturbed", "make_network", "pairs"]

HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]
# output activations that make sense with a loss
OUTPUTS = {
    "squared_error": ["identity", "logistic", "tanh", "softmax", "relu"],
    "log_loss": ["softmax", "logistic"],
    "binary_log_loss": ["logistic", "softmax"],
    "poisson": ["exp", "softplus"],
    "absolute_error": ["identity", "tanh"],
    "huber": ["identity", "softplus"],
    "quantile": ["identity", "exp"],
}


def targets_for(loss, n, outputs, rng):
    """Random targets that a loss is defined for."""
    if loss in ("log_loss", "binary_log_loss"):
        Y = np.zeros((n, outputs))
        Y[np.arange(n), rng.integers(outputs, size=n)] = 1
        return Y
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, outputs)).astype(float)
    return rng.normal(size=(n, outputs))


def optimizer_rule(name):
    """A row of the table, or the gradient."""
    return GRADIENT if name == "gradient" else OPTIMIZER_NAMES.get(name)


def coefficient_table(name, rates, steps, hyperparameters=None):
    """The coefficients of a run of steps."""
    return optimizer_rule(name).table(np.asarray(rates), np.asarray(steps), hyperparameters or {})


def layer(units, name, dropout=0.0, batch_norm=False):
    """A layer's activation by name, with its default parameter."""
    row = ACTIVATION_NAMES[name]
    return Layer(units, row, row.default, dropout, batch_norm)


def pairs(model):
    """The activations of a model as the oracle takes them."""
    return [(layer.activation.name, layer.parameter) for layer in model.layers]


def least_disturbed(measure, limit, most=10):
    """The least of several measurements, of which the first below a limit is the last: others' work only adds to it."""
    found = []
    while len(found) < most and not min(found, default=limit) < limit:
        found.append(measure())
    assert min(found) < limit, found
    return min(found)


class Network(Workspace):
    """A workspace whose parameters go in and out as lists."""

    def pack(self, coefs, intercepts, slot=0):
        found = self.parameters(slot)
        self.load(Parameters.of(coefs, intercepts, found.batch_norms, found.embeddings), slot)

    def unpack(self, slot=0):
        found = self.parameters(slot)
        return list(found.weights), list(found.biases)

    def pack_norms(self, norms, slot=0):
        found = self.parameters(slot)
        given = iter(norms)
        norms = tuple(n and BatchNorm(*next(given)) for n in found.batch_norms)
        self.load(Parameters(found.weights, found.biases, norms, found.embeddings), slot)

    def unpack_norms(self, slot=0):
        norms = (n for n in self.parameters(slot).batch_norms if n)
        return [[n.gamma, n.beta, *([n.mean, n.variance] if slot == 0 else [])] for n in norms]

    def run(self, data, order, batch_size, coefficients, constraints, *options, **more):
        """Steps; the loss, penalties included, summed over the rows."""
        self.take_loss()
        self.train(data, order, batch_size, coefficients, constraints, *options, **more)
        return self.take_loss()


def make_network(
    units,
    hidden="relu",
    output="softmax",
    loss="log_loss",
    dtype="float64",
    seed=0,
    dropout=(),
    batch_norm=False,
    optimizer=None,
    scaling=None,
    bfloat16=False,
    embedding=None,
    bins=None,
    **options,
):
    """A network with random parameters, and copies of them."""
    rates = dropout or (0.0,) * (len(units) - 1)
    n_features = (
        embedding.n_numbers + sum(embedding.categories) if embedding else units[0] - (bins.n_added if bins else 0)
    )
    model = Model(
        n_features,
        (
            *[layer(n, hidden, rate, batch_norm) for n, rate in zip(units[1:-1], rates[1:])],
            layer(units[-1], output),
        ),
        LOSS_NAMES[loss],
        np.dtype(dtype),
        LOSS_NAMES[loss].default,
        input_dropout=rates[0],
        scaling=scaling,
        bfloat16=bfloat16,
        embedding=embedding,
        bins=bins,
    )
    rng = np.random.default_rng(seed)
    coefs = [rng.normal(size=(a, b)) / np.sqrt(a) for a, b in zip(units, units[1:])]
    intercepts = [rng.normal(size=b) * 0.1 for b in units[1:]]
    network = Network(model, optimizer=optimizer_rule(optimizer), **options)
    norms = [[np.ones(n), np.zeros(n), np.zeros(n), np.ones(n)] for n in units[1:-1]] if batch_norm else []
    network.pack(coefs, intercepts)
    network.pack_norms(norms)
    return network, coefs, intercepts


# What a step can have beside the plain one
STEP_FORMS = (
    {"constraints": Constraints(0.01, clip_norm=0.1), "accumulate": True},
    {"constraints": Constraints(0.01, l1=0.1, max_norm=0.5)},
    {"batch_norm": True},
    {"dropout": (0.0, 0.3)},
    {"dropout": (0.2, 0.0)},
)


def after_an_epoch(network, data, order, rows, constraints, n_threads):
    """Parameters, loss and predictions after an epoch of Adam in mini-batches of so many rows."""
    n_steps = -(-len(order) // rows)
    table = optimizer_rule("adam").table(np.full(n_steps, 0.01), np.arange(1.0, n_steps + 1), {})
    network.train(data, order, rows, table, constraints, 3, 11, n_threads)
    return [*network.parameters().arrays(), np.array([network.take_loss()]), network.predict(data)]
