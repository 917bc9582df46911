"""
Gradient descent finds the least-squares line
=============================================

The slide's loop, in NumPy, and the same by an estimator without hidden layers: full-batch
gradient descent. Both arrive at the closed form.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPRegressor

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

rng = np.random.default_rng(0)
x = rng.uniform(0, 2, size=(100, 1))
y = 4 + 3 * x.ravel() + rng.normal(size=100)
X_b = np.c_[np.ones(100), x]
closed_form = np.linalg.lstsq(X_b, y, rcond=None)[0]

theta, path = np.zeros(2), []
for _ in range(300):
    gradients = (1 / 100) * X_b.T @ (X_b @ theta - y)
    theta = theta - 0.1 * gradients
    path.append(theta)

model = MLPRegressor(
    hidden_layer_sizes=(), solver="gradient_descent", batch_size=100, alpha=0.0, learning_rate_init=0.1,
    max_iter=1000, tol=0.0, random_state=0,
).fit(x, y)  # fmt: skip
learned = np.r_[model.intercepts_[0], model.coefs_[0].ravel()]
print(f"closed form {closed_form}, slide's loop {theta}, estimator {learned}")
assert np.allclose(learned, closed_form, atol=1e-3)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.scatter(x, y, s=10, color="black", alpha=0.5)
ends = np.array([[0.0], [2.0]])
for t in (0, 3, 10, 299):
    left.plot(ends, path[t][0] + path[t][1] * ends, label=f"iteration {t + 1}")
left.legend()
left.set(xlabel="x", ylabel="y")
right.plot(*np.array(path).T, ".-", markersize=3)
right.plot(*closed_form, "r*", markersize=14, label="closed form")
right.set(xlabel="intercept", ylabel="slope")
right.legend()
plt.show()
