"""
MNIST as far as a plain network goes
====================================

784-1024-1024-10 with dropout and a limit on the norm of each unit's weights, and a learning rate that rises and falls:
98.9 % of the test set after 60 epochs, without convolutions and without bent or shifted images. The recipe is that of
Srivastava et al. (2014), section 6.1.1, with Adam.
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
    units, batch_size = 1024, 128
else:  # without the files, the small digits that scikit-learn ships
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:1500] / 16, y[:1500], X[1500:] / 16, y[1500:]
    units, batch_size = 256, 32
epochs = 20 if os.environ.get("SMALL_EXAMPLES") else 60
errors = []
model = MLPClassifier(
    (units, units), dropout=(0.2, 0.5, 0.5), max_norm=3.0, alpha=0.0, initializer="he_uniform", batch_size=batch_size,
    learning_rate="warmup_cosine", max_iter=epochs, tol=0.0, n_iter_no_change=epochs, random_state=0,
    callback=lambda model: errors.append(1 - model.score(X_test, y_test)),
)  # fmt: skip
model.fit(X, y)
print(f"{name}: accuracy after {epochs} epochs: {1 - errors[-1]:.4f}")
predicted = model.predict(X_test)
wrong = np.flatnonzero(predicted != y_test)
side = int(np.sqrt(X.shape[1]))
figure = plt.figure(figsize=(9, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
curve = left.subplots()
curve.plot(range(1, epochs + 1), [100 * error for error in errors])
curve.set_ylim(0, 500 * errors[-1])
curve.xaxis.get_major_locator().set_params(integer=True)
curve.set(xlabel="epoch", ylabel="errors on the test set, %", title=f"{name}\n{100 * (1 - errors[-1]):.2f} % right")
for axes, k in zip(right.subplots(3, 3).ravel(), wrong):
    axes.imshow(X_test[k].reshape(side, side), cmap="gray_r")
    axes.set_title(f"{y_test[k]}, not {predicted[k]}", fontsize=8)
for axes in right.axes:
    axes.axis("off")
plt.show()
