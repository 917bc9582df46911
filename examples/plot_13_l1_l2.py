"""
Penalties on the weights
========================

L2 makes all weights smaller; L1 makes some of them exactly 0. Here are the first layer's
weights of the same network under both.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

X, y = load_digits(return_X_y=True)
epochs = 15 if os.environ.get("SMALL_EXAMPLES") else 60
options = dict(
    hidden_layer_sizes=(20,), solver="sgd", learning_rate_init=0.1, max_iter=epochs, tol=0.0,
    n_iter_no_change=epochs, random_state=0,
)  # fmt: skip
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharex=True, sharey=True)
for axis, (name, penalty) in zip(
    axes, {"none": {"alpha": 0.0}, "L2": {"alpha": 3.0}, "L1": {"alpha": 0.0, "l1": 3.0}}.items()
):
    model = MLPClassifier(**penalty, **options).fit(X / 16, y)
    weights = model.coefs_[0].ravel()
    axis.hist(weights, bins=np.linspace(-0.8, 0.8, 65))
    axis.set(
        title=f"{name}: {(weights == 0).mean():.0%} are 0, accuracy {model.score(X / 16, y):.3f}",
        xlabel="weight",
    )
plt.show()
