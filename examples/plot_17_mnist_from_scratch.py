"""
Nielsen's network on MNIST
==========================

784-30-10 sigmoid units, quadratic cost, mini-batches of 10, learning rate 3.0, 30 epochs:
the network of "Neural Networks and Deep Learning", chapter 1, reaches about 95 %.
"""

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier
from jitmlp.files.idx import load_mnist

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

name = "MNIST" if os.environ.get("MNIST_DIR") else "small digits of scikit-learn, not MNIST: set MNIST_DIR"
if name == "MNIST":
    X, y, X_test, y_test = load_mnist(os.environ["MNIST_DIR"])
    X, X_test = X.astype(np.float32) / 255, X_test.astype(np.float32) / 255
else:  # without the files, the small digits that scikit-learn ships
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:1500] / 16, y[:1500], X[1500:] / 16, y[1500:]
epochs = 3 if os.environ.get("SMALL_EXAMPLES") else 30
scores = []
model = MLPClassifier(
    (30,), activation="logistic", out_activation="logistic", loss="squared_error", solver="gradient_descent",
    initializer=("normal", 1.0), batch_size=10, learning_rate_init=3.0, alpha=0.0, max_iter=epochs, tol=0.0,
    n_iter_no_change=epochs, random_state=0, callback=lambda model: scores.append(model.score(X_test, y_test)),
)  # fmt: skip
model.fit(X, y)
print(f"{name}: accuracy after {epochs} epochs: {scores[-1]:.4f}")
plt.figure(figsize=(7, 4), layout="constrained")
plt.plot(range(1, epochs + 1), scores, "o-", markersize=4)
plt.xlabel("epoch")
plt.ylabel("accuracy on the test set")
plt.title(name)
plt.show()
