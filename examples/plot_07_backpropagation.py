"""
Backpropagation is the chain rule
=================================

The deltas of every layer, from the cost back to the first weights, and the gradients that
they give, beside finite differences of the cost.
"""

import matplotlib.pyplot as plt
import numpy as np

from jitmlp import NeuralNetwork

rng = np.random.default_rng(0)
units = (4, 6, 5, 2)
coefs = [rng.normal(size=shape) for shape in zip(units, units[1:])]
intercepts = [rng.normal(size=n) for n in units[1:]]
X, y = rng.normal(size=(8, 4)), rng.integers(2, size=8)


def network():
    return NeuralNetwork(coefs, intercepts, activation="tanh", out_activation="softmax", loss="log_loss")


deltas = network().deltas(X, y)
gradients, _ = network().gradients(X, y)
activations = network().activations(X)
for a, delta, gradient in zip(activations, deltas, gradients):
    assert np.allclose(gradient, a.T @ delta / len(X))

differences, backpropagated = [], []
for W, gradient in zip(coefs, gradients):
    for index in np.ndindex(W.shape):
        kept = W[index]
        W[index] = kept + 1e-6
        above = network().loss(X, y)
        W[index] = kept - 1e-6
        below = network().loss(X, y)
        W[index] = kept
        differences.append((above - below) / 2e-6)
        backpropagated.append(gradient[index])
print(f"largest difference {np.abs(np.subtract(differences, backpropagated)).max():.1e}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.boxplot([np.abs(d).ravel() for d in deltas], tick_labels=["layer 1", "layer 2", "output"])
left.set(ylabel="size of the deltas", yscale="log")
right.plot(differences, backpropagated, ".")
right.axline((0, 0), slope=1, color="gray", linewidth=0.7)
right.set(xlabel="finite difference", ylabel="backpropagation")
plt.show()
