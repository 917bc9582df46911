"""The estimators' protocols: scikit-learn's checks, copies, continuation, refusals."""

import os
import pickle
import re
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from jitmlp import Activation, MLPClassifier, MLPRegressor
from jitmlp.estimators.random_state import generator_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)

CHECKS = """
import warnings
warnings.simplefilter("ignore")
from sklearn.utils.estimator_checks import check_estimator
import jitmlp
results = [r for e in (jitmlp.MLPClassifier(), jitmlp.MLPRegressor()) for r in check_estimator(e, on_fail=None)]
assert len(results) > 110, len(results)
for r in results:
    if r["status"] != "passed":
        print(r["check_name"], r["status"], r["exception"])
"""


@pytest.mark.parametrize(
    "seed", [0, 7, 2**32 - 1, np.int64(5), np.uint8(3), True, np.random.RandomState(3), None, -1, 2**32, 1.5]
)
def test_seeds_draw_as_scikit_learns(seed):
    """State, pickle and error to the last bit; other generators are the user's own."""
    try:
        theirs = check_random_state(seed)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            generator_of(seed)
        return
    mine = generator_of(seed)
    assert (mine is theirs) == (seed is None or isinstance(seed, np.random.RandomState))
    assert pickle.dumps(mine) == pickle.dumps(theirs)


def test_scikit_learns_estimator_checks():
    """No failure, with pandas installed and the array API on; one known skip."""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    run = subprocess.run([sys.executable, "-c", CHECKS], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line for line in lines if " failed " in line] == []
    assert len(lines) <= 1 and all("does not have a decision_function" in line for line in lines)


@pytest.mark.parametrize("copy", [
    lambda m: pickle.loads(pickle.dumps(m)),
    lambda m: __import__("copy").deepcopy(m),
], ids=["pickle", "deepcopy"])  # fmt: skip
def test_copies_predict_the_same_bits(copy):
    for model in (
        MLPClassifier((9,), max_iter=5, random_state=0),
        MLPRegressor(hidden_layer_sizes=(9,), max_iter=5, random_state=0),
    ):
        model.fit(X, Y)
        model.predict(X)
        other = copy(model)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert clone(model).get_params().keys() == model.get_params().keys()


def test_joblib_file(tmp_path):
    model = MLPClassifier((9,), max_iter=5, random_state=0).fit(X, Y)
    joblib.dump(model, tmp_path / "m.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "m.joblib").predict_proba(X), model.predict_proba(X))


def test_partial_fit_continues_from_a_pickle():
    model = MLPClassifier((9,), random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    other = pickle.loads(pickle.dumps(model))
    model.partial_fit(X, Y)
    other.partial_fit(X, Y)
    for a, b in zip(model.coefs_, other.coefs_):
        np.testing.assert_array_equal(a, b)


def test_partial_fit_refuses(subtests=None):
    """Classes at the first call, no unseen label, and a failed call changes nothing."""
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(X, Y)
    model = MLPClassifier((5,), random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    before = [c.copy() for c in model.coefs_]
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X, Y + 7)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X * np.nan, Y)
    for a, b in zip(before, model.coefs_):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


def test_warm_start_refuses_other_shapes():
    model = MLPClassifier((5,), warm_start=True, max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(X, Y + 1)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, :2], Y)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.set_params(hidden_layer_sizes=(6,)).fit(X, Y)


def test_changed_coefficients_change_predictions():
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, random_state=0).fit(X, Y)
    first = model.predict(X)
    with pytest.raises(ValueError, match="read-only"):
        model.intercepts_[-1][:] = 0
    model.intercepts_ = [*model.intercepts_[:-1], model.intercepts_[-1] + 1]
    np.testing.assert_allclose(model.predict(X), first + 1)
    model.coefs_[0].flags.writeable = True
    model.coefs_[0][:] = 0
    assert np.ptp(model.predict(X)) < 1e-12


def test_callback_sees_every_epoch_and_can_stop():
    seen = []

    def callback(model):
        seen.append((model.n_iter_, model.loss_, model.predict(X)[0]))
        return len(seen) == 4

    MLPClassifier((5,), callback=callback, random_state=0).fit(X, Y)
    assert [n for n, _, _ in seen] == [1, 2, 3, 4]


def test_early_stopping_restores_the_best():
    kept = {}

    def callback(model):
        score = model.validation_scores_[-1]
        if score > kept.get("score", -1):
            kept.update(score=score, coefs=[c.copy() for c in model.coefs_])

    model = MLPClassifier((8,), early_stopping=True, random_state=0, callback=callback, max_iter=60)
    model.fit(X, Y)
    assert model.best_validation_score_ == kept["score"] == max(model.validation_scores_)
    for a, b in zip(model.coefs_, kept["coefs"]):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="validation set is too small"):
        MLPRegressor(early_stopping=True, validation_fraction=0.01).fit(X[:20], Y[:20])


@pytest.mark.parametrize("solver", ["adagrad", "rmsprop", "amsgrad", "adamw", "nadam", "lion", "momentum"])
def test_added_solvers_learn(solver):
    digits, labels = load_digits(return_X_y=True)
    rate = {"adagrad": 0.02, "momentum": 0.05}.get(solver, 0.002)
    model = MLPClassifier((30,), solver=solver, learning_rate_init=rate, max_iter=60, random_state=0)
    assert model.fit(digits / 16, labels).score(digits / 16, labels) > 0.95


def test_dtype_parameter():
    for given, wanted, expected in [
        ("float64", None, "float64"),
        ("float32", None, "float32"),
        ("int64", None, "float64"),
        ("float64", "float32", "float32"),
        ("float32", np.float64, "float64"),
    ]:
        model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, dtype=wanted).fit(X.astype(given), Y)
        assert model.coefs_[0].dtype == model.predict(X).dtype == expected


def test_in_scikit_learns_company():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((8,), solver="lbfgs", max_iter=50, random_state=0))
    assert cross_val_score(pipeline, X, Y, cv=3).mean() > 0.8
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=3).fit(X, Y)
    assert search.best_score_ > 0.8


def test_unfitted():
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)


@pytest.mark.parametrize("parameters, words", [
    ({"activation": "rellu"}, "activation"),
    ({"activation": ("relu",)}, "one a hidden layer"),
    ({"activation": Activation("relu", 2.0)}, "activation"),
    ({"solver": "adm"}, "solver"),
    ({"solver_params": {"rho": 0.9}}, "solver_params"),
    ({"initializer": "xavier"}, "initializer"),
    ({"learning_rate": "never"}, "learning_rate"),
    ({"dtype": "float16"}, "dtype"),
    ({"n_threads": 0}, "n_threads"),
    ({"alpha": -1.0}, "alpha"),
    ({"callback": 3}, "callback"),
])  # fmt: skip
def test_errors_name_the_parameter(parameters, words):
    with pytest.raises(ValueError, match=words):
        MLPClassifier((5, 4), **parameters).fit(X, Y)


@pytest.mark.parametrize("parameters", [
    {"initializer": ("normal", 0.1)},
    {"initializer": "orthogonal"},
    {"learning_rate": "one_cycle", "learning_rate_params": {"warmup": 0.2}},
    {"learning_rate": lambda step: 0.01 / (1 + step)},
    {"learning_rate": "reduce_on_plateau"},
    {"activation": (Activation("leaky_relu", 0.2), "mish")},
    {"loss": "squared_error", "out_activation": "logistic"},
])  # fmt: skip
def test_additions_work_together(parameters):
    model = MLPClassifier((9, 7), max_iter=60, learning_rate_init=0.01, random_state=0, **parameters)
    first = model.fit(X, Y).loss_curve_[0]
    assert model.loss_curve_[-1] < first
