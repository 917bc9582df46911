"""
The perceptron, and what it cannot learn
========================================

A threshold unit learns AND and OR by Rosenblatt's rule: a mistake adds the sample to the
weights. No line separates XOR, and the rule makes mistakes for ever.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jitmlp import Perceptron

warnings.simplefilter("ignore", ConvergenceWarning)  # of XOR, for which there is no end
inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for axis, (name, targets) in zip(axes, {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}.items()):
    model = Perceptron(tol=0.0, max_iter=50, shuffle=False).fit(inputs, targets)
    right = (model.predict(inputs) == targets).sum()
    (w1, w2), b = model.coef_[0], model.intercept_[0]
    grid = np.linspace(-0.5, 1.5, 200)
    side = w1 * grid[None, :] + w2 * grid[:, None] + b > 0
    axis.contourf(grid, grid, side, levels=1, cmap="coolwarm", alpha=0.3)
    axis.scatter(*inputs.T, c=targets, cmap="coolwarm", s=120, edgecolors="black")
    axis.set(title=f"{name}: {right} of 4 right", xlabel="$x_1$", ylabel="$x_2$")
    print(f"{name}: w = {model.coef_[0]}, b = {b}, mistakes by epoch {model.mistakes_[0][:10]}")
plt.show()
