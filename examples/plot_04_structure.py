"""
Layers, units, weights
======================

A network of any depth and width, built from explicit weights and read layer by layer: the
preactivations that enter each activation, and the activations that leave it.
"""

import matplotlib.pyplot as plt
import numpy as np

from jitmlp import NeuralNetwork

rng = np.random.default_rng(0)
units = (3, 5, 4, 2)
coefs = [rng.normal(size=shape) for shape in zip(units, units[1:])]
intercepts = [rng.normal(size=n) for n in units[1:]]
network = NeuralNetwork(coefs, intercepts, activation="tanh", out_activation="softmax", loss="log_loss")

x = np.array([[0.5, -1.0, 2.0]])
values = network.activations(x)
for i, (z, a) in enumerate(zip(network.preactivations(x), values[1:]), 1):
    print(f"layer {i}: z = {z[0].round(2)}, a = {a[0].round(2)}")

plt.figure(figsize=(8, 4.4), layout="constrained")
places = [np.column_stack([np.full(n, i), np.arange(n) - (n - 1) / 2]) for i, n in enumerate(units)]
for left, right, W in zip(places, places[1:], coefs):
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            color = "tab:red" if W[i, j] > 0 else "tab:blue"
            plt.plot(*zip(a, b), color=color, linewidth=1.5 * abs(W[i, j]), alpha=0.5, zorder=1)
for place, a in zip(places, values):
    shown = plt.scatter(*place.T, c=a[0], cmap="viridis", s=500, vmin=-1, vmax=1, edgecolors="black", zorder=2)
plt.colorbar(shown, label="activation")
plt.axis("off")
plt.title("3-5-4-2: red weights are positive, blue ones negative")
plt.show()
