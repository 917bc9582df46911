"""
An activation of one's own
==========================

Snake, ``z + sin(a z)^2 / a`` (Ziyin, Hartwig & Ueda 2020), lets a network go on with a periodic
curve where tanh and ReLU go straight. It is one Python function: the kernels are compiled from it, and
its derivative is found automatically.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jitmlp import Activation, MLPRegressor, formulas

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted


def snake(z, a):
    """``z`` with a wave on it."""
    return z + formulas.sin(a * z) ** 2 / a


epochs = 300 if os.environ.get("SMALL_EXAMPLES") else 3000
rng = np.random.default_rng(0)
x = rng.uniform(-6, 6, (500, 1))
y = np.sin(2 * x[:, 0]) + 0.3 * x[:, 0] + rng.normal(0, 0.05, 500)
grid = np.linspace(-12, 12, 600)[:, None]
truth = np.sin(2 * grid[:, 0]) + 0.3 * grid[:, 0]
errors = {}
plt.figure(figsize=(9, 4), layout="constrained")
plt.plot(grid, truth, "k--", linewidth=1, label="truth")
for name, activation in (("snake", Activation(snake, 2.0)), ("tanh", "tanh"), ("relu", "relu")):
    model = MLPRegressor(
        hidden_layer_sizes=(32,), activation=activation, batch_size=100, max_iter=epochs, tol=0.0,
        n_iter_no_change=epochs, learning_rate_init=0.01, alpha=1e-3, random_state=0, initializer="lecun_normal",
    ).fit(x, y)  # fmt: skip
    errors[name] = float(np.abs(model.predict(grid) - truth)[np.abs(grid[:, 0]) > 6].mean())
    plt.plot(grid, model.predict(grid), label=f"{name}: mean error outside of the data {errors[name]:.2f}")
plt.axvspan(-6, 6, color="0.93", label="data")
plt.ylim(-7, 7)
plt.legend(fontsize=8)
plt.show()
