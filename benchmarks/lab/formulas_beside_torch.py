"""Formulas of one's own beside the same in PyTorch: largest difference after some steps, and time a step.

    python benchmarks/lab/formulas_beside_torch.py

Networks 64-128-64-10 and 64-128-1, mini-batches of 200 of 8,000 rows, float64 for the difference, float32 for
the time; PyTorch in eager mode, its own Adam fused.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch

from jitmlp import Activation, Loss, MLPClassifier, MLPRegressor, Optimizer, formulas

warnings.filterwarnings("ignore")
N, BATCH = 8000, 200


def snake(z, a):
    return z + formulas.sin(a * z) ** 2 / a


def focal(a, y):
    p = formulas.clamp(a, 1e-6, 1.0)
    return -y * (1.0 - p) ** 2 * formulas.log(p)


def asymmetric(a, y):
    return formulas.where(a < y, 9.0, 1.0) * (a - y) ** 2


def three_slots(w, g, state, c):
    first, change, last = state
    difference = formulas.where(c.step == 1.0, 0.0, g - last)
    first, change = 0.9 * first + 0.1 * g, 0.9 * change + 0.1 * difference
    return w - c.learning_rate * (first + 0.9 * change), (first, change, g)


class ThreeSlots(torch.optim.Optimizer):
    """The same optimizer in PyTorch."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                s, g = self.state[p], p.grad
                if not s:
                    s.update(first=torch.zeros_like(p), change=torch.zeros_like(p), last=g.clone())
                s["change"].mul_(0.9).add_(g - s["last"], alpha=0.1)
                s["first"].mul_(0.9).add_(g, alpha=0.1)
                s["last"].copy_(g)
                p.sub_(group["lr"] * (s["first"] + 0.9 * s["change"]))


def torch_snake(z):
    return z + torch.sin(1.5 * z) ** 2 / 1.5


def torch_focal(out, y):
    p = torch.softmax(out, 1).clamp(1e-6, 1.0)
    return -(torch.nn.functional.one_hot(y, 10) * (1 - p) ** 2 * torch.log(p)).sum() / len(y)


def torch_asymmetric(out, y):
    e = out[:, 0] - y
    return (torch.where(e < 0, 9.0, 1.0) * e**2).sum() / len(y)


def torch_log_loss(out, y):
    return torch.nn.functional.cross_entropy(out, y)


CASES = {
    "snake activation": ({"activation": Activation(snake, 1.5)}, torch_snake, torch_log_loss, None),
    "focal loss": ({"loss": Loss(focal)}, torch.relu, torch_focal, None),
    "asymmetric loss": ({"loss": Loss(asymmetric)}, torch.relu, torch_asymmetric, None),
    "optimizer, three slots": (
        {"solver": Optimizer(three_slots, ("a", "b", "c"))},
        torch.relu,
        torch_log_loss,
        ThreeSlots,
    ),
}


def compare(name, dtype, epochs):
    """Largest difference of the weights relative to the largest weight; seconds a step of both."""
    options, activation, loss, optimizer = CASES[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 64)).astype(dtype)
    classify = loss is not torch_asymmetric
    y = rng.integers(10, size=N) if classify else X[:, 0] + rng.normal(size=N)
    sizes = (128, 64) if classify else (128,)
    estimator = MLPClassifier if classify else MLPRegressor
    shared = dict(hidden_layer_sizes=sizes, batch_size=BATCH, shuffle=False, alpha=0.0, random_state=0, tol=0.0)
    start = estimator(max_iter=1, learning_rate_init=1e-300, **shared, **options).fit(X, y)
    mine = estimator(max_iter=epochs, n_iter_no_change=10**6, epsilon=1e-12, **shared, **options).fit(X, y)
    weights = [torch.tensor(np.array(w), requires_grad=True) for w in (*start.coefs_, *start.intercepts_)]
    n = len(start.coefs_)
    step = optimizer(weights, 1e-3) if optimizer else torch.optim.Adam(weights, 1e-3, eps=1e-12, fused=True)
    data, targets = torch.tensor(X), torch.tensor(y)
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        for i in range(0, N, BATCH):
            a = data[i : i + BATCH]
            for l in range(n):
                a = a @ weights[l] + weights[n + l]
                a = activation(a) if l < n - 1 else a
            step.zero_grad()
            loss(a, targets[i : i + BATCH]).backward()
            step.step()
        seconds.append((time.perf_counter() - begin) * BATCH / N)
    theirs = [w.detach().numpy() for w in weights]
    pairs = list(zip([*mine.coefs_, *mine.intercepts_], theirs))
    largest = max(np.abs(b).max() for _, b in pairs)
    difference = max(np.abs(a - b).max() for a, b in pairs) / largest
    return difference, np.median(mine.history_["seconds"]) * BATCH / N, np.median(seconds)


if __name__ == "__main__":
    print(f"{'':26s}{'difference':>12s}{'jitmlp us':>12s}{'PyTorch us':>12s}{'ratio':>8s}")
    for name in CASES:
        difference = compare(name, np.float64, 2)[0]
        time.sleep(0.5)
        _, mine, theirs = compare(name, np.float32, 7)
        print(f"{name:26s}{difference:12.1e}{mine * 1e6:12.1f}{theirs * 1e6:12.1f}{theirs / mine:8.2f}")
