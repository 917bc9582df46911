"""
Batch, mini-batch and stochastic descent
========================================

One parameter, ``batch_size``, makes all three. Small batches make many noisy steps an
epoch, the full batch one smooth step.
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
X = X / 16
epochs = 10 if os.environ.get("SMALL_EXAMPLES") else 60
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
names, seconds = [], []
for size, name in ((len(X), "batch"), (32, "mini-batch of 32"), (1, "stochastic")):
    model = MLPClassifier(
        (30,), solver="gradient_descent", batch_size=size, learning_rate_init=0.1, max_iter=epochs, tol=0.0,
        n_iter_no_change=epochs, random_state=0, alpha=0.0,
    ).fit(X, y)  # fmt: skip
    seconds.append(np.median(model.history_["seconds"]))  # the first epoch may load kernels
    names.append(name)
    wobble = np.std(np.diff(np.log(model.loss_curve_)))
    left.plot(range(1, epochs + 1), model.loss_curve_, label=f"{name} (log loss varies by {wobble:.2f})")
left.set(xlabel="epoch", ylabel="loss", yscale="log")
left.legend(fontsize=8)
right.bar(names, seconds)
right.set(ylabel="seconds an epoch", yscale="log")
plt.show()
