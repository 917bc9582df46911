"""
Focal loss, of one's own
========================

``-(1 - a)^2 y log a`` (Lin et al. 2017) weighs down what a network knows already, so that rare
and difficult classes count. Only the value is written; the derivative is found automatically.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split

from jitmlp import Loss, MLPClassifier, formulas

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted


def focal(a, y):
    """Cross-entropy times the squared distance to certainty."""
    p = formulas.clamp(a, 1e-6, 1.0)
    return -y * (1.0 - p) ** 2 * formulas.log(p)


X, y = make_classification(4000, n_classes=3, n_informative=8, weights=[0.9, 0.07, 0.03], class_sep=0.8, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
recalls = {}
for name, loss in (("log loss", "log_loss"), ("focal loss", Loss(focal))):
    model = MLPClassifier((32,), loss=loss, max_iter=60, tol=0.0, n_iter_no_change=60, random_state=0, alpha=0.01)
    with np.errstate(all="ignore"):
        recalls[name] = recall_score(y_test, model.fit(X, y).predict(X_test), average=None)
plt.figure(figsize=(7, 3.6), layout="constrained")
for i, (name, recall) in enumerate(recalls.items()):
    plt.bar(np.arange(3) + 0.35 * i, recall, 0.35, label=f"{name}, mean {recall.mean():.2f}")
plt.xticks(np.arange(3) + 0.17, ["90 % of the rows", "7 %", "3 %"])
plt.ylabel("recall on rows not trained on")
plt.legend()

plt.show()
