"""
Dropout
=======

Each forward pass leaves a share of the units out, so none can lean on another. Training
loss is higher for it; where a large network would learn few and partly wrong labels by
heart, it does better on new samples.
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
rng = np.random.default_rng(0)
labels = np.where(rng.random(400) < 0.3, rng.integers(10, size=400), y[:400])  # three in ten at random
epochs = 20 if os.environ.get("SMALL_EXAMPLES") else 150
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for rate in (0.0, 0.25, 0.5):
    scores = []
    model = MLPClassifier(
        (200, 100), dropout=rate, max_iter=epochs, tol=0.0, n_iter_no_change=epochs, random_state=0,
        callback=lambda model, scores=scores: scores.append(model.score(X[400:], y[400:])),
    ).fit(X[:400], labels)  # fmt: skip
    left.plot(model.loss_curve_, label=f"dropout={rate}")
    right.plot(scores, label=f"dropout={rate}, {np.mean(scores[-10:]):.3f}")
left.set(xlabel="epoch", ylabel="training loss", yscale="log")
right.set(xlabel="epoch", ylabel="accuracy on new samples", ylim=(0.5, 0.95))
for axis in (left, right):
    axis.legend()
plt.show()
