"""
Two costs for one classifier
============================

The mean squared error of the outputs, and the cross-entropy. Both can train a classifier;
where a unit is sure and wrong, only the cross-entropy still pushes it hard.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

X, y = load_digits(return_X_y=True)
X = X / 16
options = dict(hidden_layer_sizes=(30,), solver="sgd", learning_rate_init=0.1, max_iter=30, tol=0.0, random_state=0)
scores = {}
for loss in ("squared_error", "log_loss"):
    scores[loss] = []

    def keep(model, curve=scores[loss]):
        curve.append(model.score(X, y))

    MLPClassifier(loss=loss, callback=keep, **options).fit(X[:1200], y[:1200])

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
a = np.linspace(0.005, 0.995, 200)
left.plot(a, 0.5 * (1 - a) ** 2, label="squared error")
left.plot(a, -np.log(a), label="cross-entropy")
left.set(xlabel="output $a$ where 1 is right", ylabel="cost", ylim=(0, 4))
left.legend()
for loss, curve in scores.items():
    right.plot(range(1, len(curve) + 1), curve, label=loss)
right.set(xlabel="epoch", ylabel="accuracy on digits")
right.legend()
plt.show()
