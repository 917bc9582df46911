"""
Normalizing inside the network
==============================

Batch normalization brings the preactivations of every hidden layer to one size over each
mini-batch. A deep sigmoid network that hardly moves without it learns.
"""

import os
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

X, y = load_digits(return_X_y=True)
epochs = 10 if os.environ.get("SMALL_EXAMPLES") else 40
options = dict(
    hidden_layer_sizes=(40, 40, 40, 40), activation="logistic", max_iter=epochs, tol=0.0,
    n_iter_no_change=epochs, random_state=0,
)  # fmt: skip
plt.figure(figsize=(7, 4), layout="constrained")
for batch_norm in (False, True):
    model = MLPClassifier(batch_norm=batch_norm, **options).fit(X / 16, y)
    plt.plot(model.loss_curve_, label=f"batch_norm={batch_norm}, accuracy {model.score(X / 16, y):.2f}")
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend()
plt.show()
