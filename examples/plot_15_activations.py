"""
Activations and their derivatives
=================================

Every activation of the table, as the kernels compute it, with the slope that
backpropagation multiplies by; and a network in which each layer has its own.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from jitmlp import Activation, MLPClassifier, NeuralNetwork
from jitmlp_kernels.rules.activations import ACTIVATIONS

z = np.linspace(-4, 4, 401)[:, None]
rows = [row for row in ACTIVATIONS if row.hidden and row.name not in ("exp", "identity")]
figure, axes = plt.subplots(3, 4, figsize=(11, 7), layout="constrained", sharex=True)
for axis, row in zip(axes.flat, rows):
    unit = NeuralNetwork([[[1.0]], [[1.0]]], [[0.0], [0.0]], activation=row.name, out_activation="identity")
    axis.plot(z, unit.activations(z)[1], label="activation")
    targets = unit.forward(z) - 1  # an error of 1, so that the delta is the slope
    axis.plot(z, unit.deltas(z, targets)[0], "--", label="derivative")
    axis.set(title=row.name, ylim=(-1.5, 3))
axes.flat[0].legend()

X, y = load_digits(return_X_y=True)
model = MLPClassifier(
    (30, 30, 30), activation=("tanh", Activation("leaky_relu", 0.1), "gelu"), tol=1e-2, random_state=0
)
print(f"tanh, leaky ReLU and GELU in one network: accuracy {model.fit(X / 16, y).score(X / 16, y):.3f}")
plt.show()
