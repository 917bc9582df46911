"""
A table as it comes
===================

Words, truths and missing values go into ``TabularClassifier`` as they are; an ensemble of networks comes out, with
probabilities of rows that no member has seen, and what each column is worth.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

from jitmlp import TabularClassifier

rng = np.random.default_rng(0)
frame = pd.DataFrame({
    "age": rng.integers(18, 90, 2000).astype(float), "income": np.exp(rng.normal(10, 1, 2000)),
    "city": rng.choice(["Berlin", "Paris", "Rome"], 2000), "member": rng.random(2000) > 0.5,
})  # fmt: skip
reasons = [frame["age"] > 40, frame["income"] > 2e4, frame["city"] == "Rome", frame["member"]]
paid = np.sum(reasons, axis=0) + rng.normal(0, 0.5, 2000)
y = np.where(paid > 2, "buys", "leaves")
frame.loc[rng.random(2000) < 0.1, "income"] = np.nan

X, X_test, y, y_test = train_test_split(frame, y, random_state=0)
model = TabularClassifier(n_members=3, max_iter=40, hidden_layer_sizes=(64, 64), random_state=0).fit(X, y)
print(f"out of fold: accuracy {model.oof_score_:.3f}, log loss {model.oof_log_loss_:.3f}")
print(classification_report(y_test, model.predict(X_test)))
importance = model.feature_importance(X_test, y_test)
plt.figure(figsize=(7, 3.2), layout="constrained")
plt.barh(importance.feature_names, importance.importances_mean, xerr=importance.importances_std)
plt.xlabel("accuracy lost where the column is shuffled")
plt.title(f"accuracy {model.score(X_test, y_test):.2f} on rows not trained on")
plt.show()
