"""
An optimizer of one's own, with three slots
===========================================

Adan (Xie et al. 2024) adds to Adam what the gradient changed since the last step. An optimizer is the
update of one parameter from its gradient and its state; the kernels apply it to every tile of weights while
it is in the cache.
"""

import os
import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from jitmlp import MLPClassifier, Optimizer, formulas

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted


def adan(w, g, state, c):
    """First moment, moment of the differences, second moment; the last gradient is the fourth slot's."""
    moment, change, square, last = state
    difference = formulas.where(c.step == 1.0, 0.0, g - last)
    moment = (1.0 - c.beta_1) * moment + c.beta_1 * g
    change = (1.0 - c.beta_2) * change + c.beta_2 * difference
    look_ahead = g + (1.0 - c.beta_2) * difference
    square = (1.0 - c.beta_3) * square + c.beta_3 * look_ahead * look_ahead
    step = (moment + (1.0 - c.beta_2) * change) / (formulas.sqrt(square) + 1e-8)
    return w - c.learning_rate * step, (moment, change, square, g)


def signed(w, g, state, c):
    """Rprop's idea in three slots: a rate a weight, that grows while the sign of its gradient stays."""
    rate, last, steps = state
    rate = formulas.where(steps == 0.0, c.learning_rate, rate)
    rate = formulas.clamp(rate * formulas.where(g * last < 0.0, 0.5, 1.1), 1e-6, 0.05)
    return w - rate * formulas.sign(g), (rate, g, steps + 1.0)


X, y = load_digits(return_X_y=True)
epochs = 15 if os.environ.get("SMALL_EXAMPLES") else 60
choices = {
    "adam": "adam",
    "adan": Optimizer(
        adan,
        slots=("moment", "change", "square", "last"),
        hyperparameters={"beta_1": 0.02, "beta_2": 0.08, "beta_3": 0.01},
    ),
    "signs, three slots": Optimizer(signed, slots=("rate", "last", "steps")),
}
final = {}
plt.figure(figsize=(7, 4), layout="constrained")
for name, solver in choices.items():
    batch = len(X) if name.startswith("signs") else 200
    model = MLPClassifier(
        (50,), solver=solver, batch_size=batch, max_iter=epochs, tol=0.0, n_iter_no_change=epochs, random_state=0
    ).fit(X / 16, y)
    final[name] = model.loss_
    plt.semilogy(model.loss_curve_, label=name)
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend()
plt.show()
