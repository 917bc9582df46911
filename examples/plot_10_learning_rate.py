"""
The learning rate
=================

Too small it crawls, too large it jumps from side to side. Starting large and going down by
a schedule takes the good of both.
"""

import os
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

X, y = load_digits(return_X_y=True)
X = X / 16
epochs = 12 if os.environ.get("SMALL_EXAMPLES") else 40
options = dict(
    hidden_layer_sizes=(30,), solver="sgd", momentum=0.5, max_iter=epochs, tol=0.0, n_iter_no_change=epochs,
    random_state=0,
)  # fmt: skip
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for rate in (0.001, 0.05, 3.0):
    model = MLPClassifier(learning_rate_init=rate, **options).fit(X, y)
    axes[0].plot(model.loss_curve_, label=f"constant {rate}")
schedules = {
    "step": {"every": epochs // 4},
    "exponential": {"factor": 0.9},
    "invscaling": {},
    "cosine": {},
    "one_cycle": {},
    "adaptive": {},
}
for name, parameters in schedules.items():
    model = MLPClassifier(learning_rate=name, learning_rate_params=parameters, learning_rate_init=0.3, **options).fit(
        X, y
    )
    axes[1].plot(model.history_["learning_rate"], label=name)
    axes[2].plot(model.loss_curve_, label=name)
for axis, label in zip(axes, ("loss", "learning rate", "loss")):
    axis.set(xlabel="epoch", ylabel=label, yscale="log")
    axis.legend(fontsize=7)
plt.show()
