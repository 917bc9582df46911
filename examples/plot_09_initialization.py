"""
Where to start
==============

How large the first weights are decides what reaches the deep layers. He's rule keeps the
activations of rectified units at one size; small normal weights let them die out.
"""

import matplotlib.pyplot as plt
import numpy as np

from jitmlp import MLPRegressor

rng = np.random.default_rng(0)
X, y = rng.normal(size=(500, 100)), rng.normal(size=500)
plt.figure(figsize=(8, 4), layout="constrained")
for initializer in (
    ("normal", 0.01),
    ("uniform", 0.1),
    "lecun_normal",
    "glorot_uniform",
    "he_normal",
    "orthogonal",
):
    model = MLPRegressor(
        hidden_layer_sizes=(100,) * 8, initializer=initializer, learning_rate_init=1e-12, max_iter=1, tol=10.0,
        n_iter_no_change=1, random_state=0,
    ).partial_fit(X, y)  # fmt: skip
    sizes = [np.sqrt((a**2).mean()) for a in model.network_.activations(X)[:-1]]
    plt.plot(sizes, "o-", label=str(initializer))
plt.yscale("log")
plt.xlabel("hidden layer")
plt.ylabel("root mean square of the activations")
plt.legend(fontsize=8)
plt.show()
