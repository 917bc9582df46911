"""
Optimizers on one surface
=========================

The paths of the optimizers over the cost of a linear unit with two weights: a narrow
valley, along which plain descent zigzags and the others do not.
"""

import matplotlib.pyplot as plt
import numpy as np

from jitmlp import NeuralNetwork

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2)) * [1.0, 0.25]
y = X @ [1.0, 1.0]
rates = {
    "gradient_descent": 1.7, "momentum": 0.3, "nesterov": 0.3, "adagrad": 1.0, "rmsprop": 0.05, "adam": 0.2,
    "adamw": 0.2, "nadam": 0.2, "lion": 0.05,
}  # fmt: skip
a, b = np.meshgrid(np.linspace(-2.2, 2.8, 120), np.linspace(-2.5, 2.5, 120))
cost = 0.5 * ((a[..., None] - 1) * X[:, 0] + (b[..., None] - 1) * X[:, 1]) ** 2
figure, axes = plt.subplots(3, 3, figsize=(10, 9), layout="constrained", sharex=True, sharey=True)
for axis, (solver, rate) in zip(axes.flat, rates.items()):
    unit = NeuralNetwork([[[-1.8], [-2.0]]], [[0.0]], out_activation="identity")
    path = [unit.coefs[0].ravel()]
    for _ in range(60):
        unit.step(X, y, solver=solver, learning_rate=rate)
        path.append(unit.coefs[0].ravel())
    axis.contour(a, b, cost.mean(axis=-1), levels=np.geomspace(1e-3, 5, 16), cmap="gray", linewidths=0.6)
    axis.plot(*np.array(path).T, ".-", markersize=4)
    axis.plot(1, 1, "r*", markersize=12)
    axis.set_title(f"{solver}, rate {rate}: cost {unit.loss(X, y):.1e}", fontsize=9)
plt.show()
