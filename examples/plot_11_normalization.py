"""
Inputs of one size
==================

Features of very different sizes make descent zigzag. ``normalize`` scales every row on its
way into the network; a scaler in a pipeline does the same with a copy of the data.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jitmlp import MLPClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)  # just so many epochs are wanted

X, y = load_wine(return_X_y=True)
options = dict(hidden_layer_sizes=(20,), batch_size=20, max_iter=60, tol=0.0, n_iter_no_change=60, random_state=0)
plt.figure(figsize=(7, 4), layout="constrained")
for kind in (None, "minmax", "standard", "robust"):
    model = MLPClassifier(normalize=kind, **options).fit(X, y)
    plt.plot(model.loss_curve_, label=f"normalize={kind!r}, accuracy {model.score(X, y):.2f}")
pipeline = make_pipeline(StandardScaler(), MLPClassifier(**options)).fit(X, y)
inside = MLPClassifier(normalize="standard", **options).fit(X, y)
assert np.allclose(pipeline.predict_proba(X), inside.predict_proba(X))
plt.yscale("log")
plt.xlabel("epoch")
plt.ylabel("loss")
plt.legend()
plt.show()
