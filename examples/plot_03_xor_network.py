"""
XOR from given weights, and learned
===================================

Two hidden sigmoid units do what one cannot. First with the lecture's weights, then with
weights learned from a random start by L-BFGS.
"""

import matplotlib.pyplot as plt
import numpy as np

from jitmlp import MLPClassifier, NeuralNetwork

inputs = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
given = NeuralNetwork([[[-6, 6], [6, -6]], [[-8], [-8]]], [[3, 3], [12]])
for row, answer in zip(inputs.astype(int), given.forward(inputs).ravel()):
    print(f"{row} -> {answer:.4f}")

learned = MLPClassifier((2,), activation="logistic", solver="lbfgs", alpha=1e-4, random_state=5)
learned.fit(inputs, [0, 1, 1, 0])
print("learned:", learned.predict_proba(inputs)[:, 1].round(4))

grid = np.linspace(-0.5, 1.5, 150)
points = np.array([[a, b] for b in grid for a in grid])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for axis, network, title in zip(axes, (given, learned.network_), ("given weights", "learned weights")):
    picture = axis.contourf(grid, grid, network.forward(points).reshape(150, 150), 20, cmap="coolwarm")
    axis.scatter(*inputs.T, c=[0, 1, 1, 0], cmap="coolwarm", s=120, edgecolors="black")
    axis.set(title=title, xlabel="$x_1$", ylabel="$x_2$")
figure.colorbar(picture, ax=axes, label="output")
plt.show()
