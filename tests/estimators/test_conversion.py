"""Logits, and the way to scikit-learn's estimators and back."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn import neural_network as scikit
from sklearn.datasets import load_digits

from jitmlp import Activation, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
BOTH = np.column_stack([Y > 4, Y % 2 == 0]).astype(int)
NUMBERS = X @ np.random.default_rng(0).normal(size=(64, 2))
TASKS = {
    "multiclass": (MLPClassifier, Y, {}),
    "words": (MLPClassifier, np.array(list("abcdefghij"))[Y], {}),
    "binary": (MLPClassifier, Y > 4, {}),
    "multilabel": (MLPClassifier, BOTH, {}),
    "regression": (MLPRegressor, NUMBERS[:, 0], {}),
    "outputs": (MLPRegressor, NUMBERS, {}),
    "poisson": (MLPRegressor, Y.astype(float), {"loss": "poisson"}),
}
FORMS = [
    {}, {"batch_norm": True}, {"normalize": "standard"}, {"normalize": "minmax", "batch_norm": True, "dropout": 0.1},
    {"dtype": "float32"}, {"activation": "tanh", "hidden_layer_sizes": (9, 8, 7)}, {"hidden_layer_sizes": ()},
    {"solver": "nadam", "learning_rate": "cosine"}, {"solver": "lbfgs"},
]  # fmt: skip


def answers(model, X):
    """All that a model says of rows."""
    found = [model.predict_proba(X), model.predict_log_proba(X)] if hasattr(model, "predict_proba") else []
    return [*found, model.predict(X)]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_scikit_learns_estimator_says_the_same_and_so_does_the_way_back(task, form):
    kind, y, options = TASKS[task]
    options = {"hidden_layer_sizes": (12,), "max_iter": 4, "random_state": 0, **options, **form}
    if options.get("solver") == "lbfgs" and options.get("loss") == "poisson":
        options["max_iter"] = 2
    model = kind(**options).fit(X, y)
    theirs = model.to_sklearn()
    assert type(theirs) is getattr(scikit, kind.__name__)
    back = kind.from_sklearn(theirs)
    single = form.get("dtype") == "float32"
    for a, b, c in zip(answers(model, X[:50]), answers(theirs, X[:50]), answers(back, X[:50])):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(b, a, rtol=2e-4 if single else 1e-7, atol=1e-6 if single else 1e-10)
            np.testing.assert_allclose(c, a, rtol=2e-4 if single else 1e-7, atol=1e-6 if single else 1e-10)
        else:
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)
    assert theirs.n_iter_ == model.n_iter_ and theirs.coefs_[0] is not model.coefs_[0]
    if form.get("solver") != "lbfgs":  # both can be trained on
        before = theirs.coefs_[0].copy()
        theirs.partial_fit(X, y)
        back.partial_fit(X, y)
        assert (theirs.coefs_[0] != before).any() and (back.coefs_[0] != before).any()


def test_a_frames_names_go_along():
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    theirs = MLPClassifier((4,), max_iter=2, random_state=0).fit(frame, Y).to_sklearn()
    assert list(theirs.feature_names_in_) == list(frame.columns)
    theirs.predict(frame)
    assert list(MLPClassifier.from_sklearn(theirs).feature_names_in_) == list(frame.columns)


def test_large_shifts_survive_in_float32():
    stamps = 1.7e9 + 600 * np.random.default_rng(0).normal(size=(400, 3))
    y = (stamps - 1.7e9) @ [1.0, -2.0, 0.5] / 600
    model = MLPRegressor(hidden_layer_sizes=(20,), normalize="standard", dtype="float32", random_state=0).fit(stamps, y)
    np.testing.assert_allclose(model.to_sklearn().predict(stamps), model.predict(stamps), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"activation": "gelu"}, "one activation among"),
        ({"activation": ("relu", "tanh"), "hidden_layer_sizes": (4, 4)}, "one activation among"),
        ({"activation": Activation(lambda x: x * x)}, "one activation among"),
        ({"out_activation": "logistic"}, "out_activation='softmax'"),
        ({"normalize": "robust_clip"}, "clips as normalize='robust_clip'"),
    ],
)
def test_what_scikit_learn_has_not_is_refused_by_name(options, words):
    model = MLPClassifier(**{"hidden_layer_sizes": (4,), "max_iter": 1, **options}).fit(X, Y)
    with pytest.raises(ValueError, match=words):
        model.to_sklearn()


def test_another_estimator_is_refused():
    theirs = scikit.MLPRegressor(hidden_layer_sizes=(4,), max_iter=1).fit(X, Y)
    with pytest.raises(TypeError, match="MLPClassifier, got MLPRegressor"):
        MLPClassifier.from_sklearn(theirs)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_logits_are_what_the_output_activation_is_given(task, form):
    kind, y, options = TASKS[task]
    model = kind(**{"hidden_layer_sizes": (12,), "max_iter": 2, "random_state": 0, **options, **form}).fit(X, y)
    logits = model.predict_logits(X)
    link = {"multiclass": lambda z: softmax(z, axis=1), "words": lambda z: softmax(z, axis=1), "poisson": np.exp,
            "binary": expit, "multilabel": expit}.get(task, lambda z: z)  # fmt: skip
    wanted = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    wanted = wanted[:, 1] if task == "binary" else wanted
    assert logits.shape == wanted.shape
    tolerance = 1e-4 if form.get("dtype") == "float32" else 1e-9
    np.testing.assert_allclose(link(logits), wanted, rtol=tolerance, atol=tolerance)
