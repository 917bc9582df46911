"""
The scikit-learn slide, with one import changed
===============================================

The lecture's program: MNIST split 80/20, hidden layers of 128 and 64 units, ReLU, Adam, 20
epochs. Only the import of ``MLPClassifier`` is different.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_openml, load_digits
from sklearn.metrics import accuracy_score, classification_report
from sklearn.model_selection import train_test_split

from jitmlp import MLPClassifier
from jitmlp.files.idx import load_mnist

if os.environ.get("MNIST_DIR"):  # the files of the data set, where they are at hand
    parts = load_mnist(os.environ["MNIST_DIR"])
    X, y = np.vstack(parts[::2]), np.hstack(parts[1::2])
elif os.environ.get("SMALL_EXAMPLES"):
    X, y = load_digits(return_X_y=True)
    X = X * (255 / 16)
else:
    try:
        mnist = fetch_openml("mnist_784", version=1, as_frame=False)
    except OSError as error:
        raise SystemExit(f"MNIST cannot be fetched ({error}); set MNIST_DIR to a folder with its files") from None
    X, y = mnist["data"], mnist["target"].astype(int)
X = X / 255.0
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
mlp = MLPClassifier(
    hidden_layer_sizes=(128, 64),
    activation="relu",
    solver="adam",
    alpha=1e-4,
    learning_rate_init=0.001,
    max_iter=20,
    verbose=True,
    random_state=42,
)
mlp.fit(X_train, y_train)
y_pred = mlp.predict(X_test)
print("\nAccuracy:", accuracy_score(y_test, y_pred))
print("\nClassification report:\n", classification_report(y_test, y_pred))
side = int(np.sqrt(X.shape[1]))
fig, axes = plt.subplots(1, 5, figsize=(10, 3))
for i, ax in enumerate(axes):
    ax.imshow(X_test[i].reshape(side, side), cmap="gray")
    ax.set_title(f"Pred: {y_pred[i]}")
    ax.axis("off")
plt.show()
