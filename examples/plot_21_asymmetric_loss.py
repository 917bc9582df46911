"""
An asymmetric loss, of one's own
================================

Where too little costs nine times as much as too much (stock that is missing, beds that are not
there), predict high: squared errors below the target weigh nine times.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jitmlp import Loss, MLPRegressor, formulas

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted


def asymmetric(a, y, weight):
    """Squared error, ``weight`` times where the prediction is too low."""
    return formulas.where(a < y, weight, 1.0) * (a - y) ** 2


rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, (1500, 1))
y = np.sin(x[:, 0]) + rng.normal(0, 0.15 + 0.1 * np.abs(x[:, 0]), 1500)
grid = np.linspace(-3, 3, 200)[:, None]
below = {}
plt.figure(figsize=(8, 4), layout="constrained")
plt.plot(x, y, ".", color="0.75", markersize=3)
for name, loss in (("squared error", "squared_error"), ("asymmetric", Loss(asymmetric, 9.0))):
    model = MLPRegressor(loss, hidden_layer_sizes=(30,), activation="tanh", max_iter=300, tol=0.0,
                         n_iter_no_change=300, learning_rate_init=0.01, random_state=0).fit(x, y)  # fmt: skip
    below[name] = float((model.predict(x) < y).mean())
    plt.plot(grid, model.predict(grid), label=f"{name}: too low for {100 * below[name]:.0f} % of the rows")
plt.legend()
plt.show()
