"""
A probability instead of a decision
===================================

With a sigmoid in the threshold's place the unit answers with a number between 0 and 1:
how sure it is. Trained with the cross-entropy this is logistic regression.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from jitmlp import MLPClassifier, Perceptron

X, y = load_iris(return_X_y=True)
x, virginica = X[50:, 2:3], y[50:] == 2  # petal length of two species
unit = MLPClassifier((), solver="lbfgs", random_state=0).fit(x, virginica)
threshold = Perceptron(random_state=0).fit(x - x.mean(), virginica)

length = np.linspace(2.5, 7.5, 300)[:, None]
plt.figure(figsize=(7, 4), layout="constrained")
plt.plot(length, unit.predict_proba(length)[:, 1], label="sigmoid unit")
plt.plot(length, threshold.predict(length - x.mean()), "--", label="threshold unit")
plt.scatter(x, virginica, c="black", s=12, alpha=0.4)
plt.xlabel("petal length in cm")
plt.ylabel("answer: virginica")
plt.legend()
plt.show()
