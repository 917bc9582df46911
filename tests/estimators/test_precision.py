"""``precision`` of the estimators: products in bfloat16."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.utils._param_validation import InvalidParameterError

import jitmlp
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.estimators.together import one_problem
from jitmlp_kernels.trace.target import HAS_BFLOAT16_DOT

X, Y = load_digits(return_X_y=True)
X = X / 16
SLOW = "precision='bfloat16' is slower than float32 on this CPU"
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{SLOW}"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def classifier(precision="bfloat16", **options):
    return MLPClassifier((40, 30), precision=precision, max_iter=20, random_state=0, tol=0.0, **options)


def test_is_as_accurate_as_float32():
    train, test = slice(0, 1200), slice(1200, None)
    scores = {
        precision: classifier(precision, dtype="float32").fit(X[train], Y[train]).score(X[test], Y[test])
        for precision in (None, "bfloat16")
    }
    assert scores["bfloat16"] > 0.85 and abs(scores["bfloat16"] - scores[None]) <= 0.015


def test_takes_any_rows_and_trains_in_float32():
    model = classifier().fit(X, Y)
    assert model.precision_ == "bfloat16" and model.coefs_[0].dtype == np.float32
    assert classifier(None).fit(X, Y).precision_ == "float64"
    assert classifier(None, dtype="float32").fit(X, Y).precision_ == "float32"
    bunch = load_diabetes()
    regressor = MLPRegressor(hidden_layer_sizes=(20,), precision="bfloat16", normalize="standard", max_iter=300, learning_rate_init=0.01, random_state=0, n_iter_no_change=300)  # fmt: skip
    assert regressor.fit(bunch.data, bunch.target).score(bunch.data, bunch.target) > 0.4


def test_predictions_are_of_rounded_numbers_wherever_the_model_goes(tmp_path):
    model = classifier().fit(X, Y)
    wanted = model.predict_proba(X)
    model.save(tmp_path / "model.jitmlp")
    for other in (jitmlp.load(tmp_path / "model.jitmlp"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X), wanted)
    single = clone(model).set_params(precision=None, dtype="float32").fit(X, Y)
    single.coefs_, single.intercepts_ = model.coefs_, model.intercepts_
    difference = np.abs(single.predict_proba(X) - wanted).max()
    assert 0 < difference < 0.05


def test_the_bits_do_not_depend_on_threads():
    models = [classifier(n_threads=n, batch_size=50, early_stopping=True).fit(X, Y) for n in (1, 2, 3)]
    for model in models[1:]:
        for a, b in zip(model.coefs_, models[0].coefs_):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(model.predict_proba(X), models[0].predict_proba(X))


def test_training_goes_on():
    model = classifier()
    for _ in range(20):
        model.partial_fit(X, Y, classes=np.unique(Y))
    assert model.score(X, Y) > 0.9
    again = classifier(warm_start=True).fit(X, Y)
    before = again.loss_
    assert again.fit(X, Y).loss_ < before


def test_says_where_it_is_slow_and_auto_does_not_take_it_there():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        classifier().set_params(max_iter=1).fit(X, Y)
    assert any(SLOW in str(warning.message) for warning in seen) == (not HAS_BFLOAT16_DOT)
    wide = MLPClassifier((256, 256), precision="auto", max_iter=2, random_state=0)
    wanted = {wide: "bfloat16" if HAS_BFLOAT16_DOT else "float64", clone(wide).set_params(dtype="float64"): "float64"}
    wanted |= {classifier("auto"): "float64", clone(wide).set_params(solver="lbfgs"): "float64"}
    for model, precision in wanted.items():
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert model.fit(X, Y).precision_ == precision
        assert not any("precision" in str(warning.message) for warning in seen)


@pytest.mark.parametrize("has_instruction", [False, True])
def test_the_rule_of_auto(has_instruction, monkeypatch):
    monkeypatch.setattr("jitmlp.estimators.problem.HAS_BFLOAT16_DOT", has_instruction)
    wide = MLPClassifier((256, 256), precision="auto", max_iter=1, random_state=0)
    taken = "bfloat16" if has_instruction else "float64"
    assert wide.fit(X, Y).precision_ == taken
    for model in (classifier("auto"), clone(wide).set_params(dtype="float64"), clone(wide).set_params(solver="lbfgs")):
        assert model.fit(X, Y).precision_ == "float64"


def test_processes_of_different_cpus_are_told(monkeypatch):
    class Other:
        """A group whose other process has a CPU with the instruction."""

        is_alone, every = False, 1

        def gather(self, facts):
            return [facts, {**facts, "precision": True}]

    model = MLPClassifier((256, 256), precision="auto")
    monkeypatch.setattr("jitmlp.estimators.problem.HAS_BFLOAT16_DOT", False)
    problem = model._prepare(X, Y, None, False, (None, None, None))
    with pytest.raises(ValueError, match="all processes must agree in precision"):
        one_problem(Other(), model, problem)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="precision='bfloat16' is of a float32 network, got dtype='float64'"):
        classifier(dtype="float64").fit(X, Y)
    with pytest.raises(ValueError, match="precision='bfloat16' needs a stochastic solver, got solver='lbfgs'"):
        classifier(solver="lbfgs").fit(X, Y)
    with pytest.raises(InvalidParameterError, match="'precision'.*did you mean 'bfloat16'"):
        classifier("bfloat").fit(X, Y)
