"""Optimizers against PyTorch's, on the same gradients over 100 steps (skipped without it)."""

import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import Constraints, Data, coefficient_table, make_network

torch = pytest.importorskip("torch", reason="PyTorch is a peer, not a dependency")

# our row and hyperparameters, PyTorch's class and arguments
PAIRS = {
    "gradient_descent": ("gradient_descent", {}, "SGD", {}),
    "adagrad": ("adagrad", {"epsilon": 1e-10}, "Adagrad", {"eps": 1e-10}),
    "rmsprop": ("rmsprop", {"rho": 0.99}, "RMSprop", {"alpha": 0.99}),
    "rmsprop centered": (
        "rmsprop",
        {"rho": 0.95, "centered": True, "momentum": 0.8},
        "RMSprop",
        {"alpha": 0.95, "centered": True, "momentum": 0.8},
    ),
    "adam": ("adam", {"epsilon": 1e-12}, "Adam", {"eps": 1e-12}),
    "amsgrad": ("amsgrad", {}, "Adam", {"amsgrad": True}),
    "adamw": ("adamw", {"weight_decay": 0.05}, "AdamW", {"weight_decay": 0.05}),
    "nadam": ("nadam", {}, "NAdam", {}),
    # PyTorch's velocity does not hold the learning rate: the same path while that is constant
    "momentum": ("momentum", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    "nesterov": ("nesterov", {"momentum": 0.9}, "SGD", {"momentum": 0.9, "nesterov": True}),
}


def largest_difference(row, hyperparameters, name, arguments, steps=100):
    """Largest relative difference of the weights of a linear model after ``steps`` steps."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(32, 6)), rng.normal(size=(32, 2))
    network, (W,), (b,) = make_network((6, 2), output="identity", loss="squared_error", optimizer=row, rows=8)
    order = np.tile(np.arange(32), steps // 4)
    table = coefficient_table(row, np.full(steps, 0.01), np.arange(1.0, steps + 1), hyperparameters)
    network.run(Data(X, Y), order, 8, table, Constraints())
    weights, bias = (torch.tensor(v.copy(), requires_grad=True) for v in (W, b))
    optimizer = getattr(torch.optim, name)([weights, bias], lr=0.01, **arguments)
    for t in range(steps):
        rows = order[t * 8 : t * 8 + 8]
        optimizer.zero_grad()
        residual = torch.tensor(X[rows]) @ weights + bias - torch.tensor(Y[rows])
        (0.5 * (residual**2).sum() / 8).backward()
        optimizer.step()
    (mine,), (my_bias,) = network.unpack()
    theirs = np.r_[weights.detach().numpy().ravel(), bias.detach().numpy()]
    return np.abs(np.r_[mine.ravel(), my_bias] - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("name", PAIRS)
def test_equals_pytorch(name):
    assert largest_difference(*PAIRS[name]) < 1e-8


@pytest.mark.parametrize("limit", [0.1, 1e9])
def test_clipping_equals_pytorch(limit):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 6)), rng.normal(size=(20, 2))
    network, (W,), (b,) = make_network(
        (6, 2), output="identity", loss="squared_error", optimizer="gradient_descent", rows=20, accumulate=True
    )
    table = coefficient_table("gradient_descent", np.full(1, 0.1), np.ones(1), {})
    network.run(Data(X, Y), np.arange(20), 20, table, Constraints(clip_norm=limit))
    weights, bias = (torch.tensor(v.copy(), requires_grad=True) for v in (W, b))
    residual = torch.tensor(X) @ weights + bias - torch.tensor(Y)
    (0.5 * (residual**2).sum() / 20).backward()
    torch.nn.utils.clip_grad_norm_([weights, bias], limit)
    expected = (weights - 0.1 * weights.grad).detach().numpy()
    np.testing.assert_allclose(network.unpack()[0][0], expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["snake activation", "focal loss", "asymmetric loss", "optimizer, three slots"])
def test_formulas_of_ones_own_equal_pytorch(name):
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "lab"))
    from formulas_beside_torch import compare

    # Adam places its epsilon as scikit-learn, which differs from PyTorch where moments are tiny
    assert compare(name, np.float64, 2)[0] < (1e-14 if "slots" in name else 2e-6)
