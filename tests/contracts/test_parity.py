"""Same seed, same model: scikit-learn's results over a grid of configurations."""

import itertools

import numpy as np
import pytest
import sklearn
import sklearn.neural_network as scikit
from scipy import sparse
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning

import jitmlp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS = load_digits(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def data(kind):
    """``(estimator name, X, y, constructor's extras)`` of one kind of problem."""
    X, y = DIGITS[0][:400] / 16, DIGITS[1][:400]
    D, t = DIABETES[0][:300] * 10, (DIABETES[1][:300] - 150) / 80
    return {
        "multiclass": ("MLPClassifier", X, y, {}),
        "binary": ("MLPClassifier", X, y > 4, {}),
        "strings": ("MLPClassifier", X, np.array(["no", "perhaps", "yes"])[y % 3], {}),
        "multilabel": ("MLPClassifier", *make_multilabel_classification(300, 12, random_state=0), {}),
        "regression": ("MLPRegressor", D, t, {}),
        "multioutput": ("MLPRegressor", D, np.c_[t, t**2, -t], {}),
        "poisson": ("MLPRegressor", D, np.round(np.abs(t) * 3), {"loss": "poisson"}),
    }[kind]


SOLVERS = [
    {"solver": "adam"},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
    {"solver": "sgd", "learning_rate_init": 0.02},
    {"solver": "sgd", "learning_rate_init": 0.02, "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0},
    {"solver": "sgd", "learning_rate_init": 0.05, "learning_rate": "invscaling", "power_t": 0.3},
    {
        "solver": "sgd",
        "learning_rate_init": 0.02,
        "learning_rate": "adaptive",
        "tol": 0.05,
        "n_iter_no_change": 2,
    },
    {"solver": "lbfgs", "max_iter": 6},
]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
VARIANTS = [
    {},
    {"hidden_layer_sizes": (), "batch_size": 17},
    {"hidden_layer_sizes": (9, 17, 5), "alpha": 0.1},
    {"batch_size": 1000, "shuffle": False},
    {"early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.2},
    {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 60},
    {"weighted": True},
    {"sparse": True, "batch_size": 64},
]
KINDS = ["multiclass", "binary", "strings", "multilabel", "regression", "multioutput", "poisson"]
# Every solver with every activation, and every kind of problem with every variant.
GRID = [
    *itertools.product(["multiclass", "regression"], SOLVERS, ACTIVATIONS, [{}]),
    *itertools.product(KINDS, [SOLVERS[0], SOLVERS[2], SOLVERS[7]], ["tanh"], VARIANTS[1:]),
    *itertools.product(KINDS, SOLVERS, ["relu"], [VARIANTS[4], VARIANTS[6]]),
]


NEW_ENOUGH = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)


def fit_both(kind, solver, activation, variant, dtype):
    if kind == "strings" and variant.get("early_stopping") and not NEW_ENOUGH:
        pytest.skip("scikit-learn 1.7 fails on string labels with early stopping")
    name, X, y, extras = data(kind)
    parameters = dict(hidden_layer_sizes=(11, 6), max_iter=12, random_state=3, activation=activation)
    parameters |= extras | solver | {k: v for k, v in variant.items() if k not in ("weighted", "sparse")}
    X = X.astype(dtype)
    X = sparse.csr_matrix(X) if variant.get("sparse") else X
    weight = np.random.default_rng(0).uniform(0.1, 2, X.shape[0]) if variant.get("weighted") else None
    with np.errstate(all="ignore"):
        mine = getattr(jitmlp, name)(**parameters).fit(X, y, sample_weight=weight)
        theirs = getattr(scikit, name)(**parameters).fit(X, y, sample_weight=weight)
    return mine, theirs, X


def describe(value):
    return value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items()) or "plain"


def same(actual, expected, rtol):
    """Equal to ``rtol`` of each number, or of the largest beside which it is a remainder."""
    expected = np.asarray(expected, float)
    scale = np.abs(expected).max() if expected.size else 0.0
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale * 0.1)


@pytest.mark.filterwarnings("ignore:Got `batch_size`")
@pytest.mark.parametrize("kind, solver, activation, variant", GRID, ids=describe)
def test_same_seed_same_model(kind, solver, activation, variant):
    mine, theirs, X = fit_both(kind, solver, activation, variant, np.float64)
    assert mine.n_iter_ == theirs.n_iter_
    assert mine.t_ == theirs.t_
    assert mine.out_activation_ == theirs.out_activation_
    same(mine.loss_, theirs.loss_, 1e-6)
    for a, b in zip([*mine.coefs_, *mine.intercepts_], [*theirs.coefs_, *theirs.intercepts_]):
        assert a.dtype == np.float64
        same(a, b, 1e-6)
    if solver["solver"] != "lbfgs":
        same(mine.loss_curve_, theirs.loss_curve_, 1e-6)
        if variant.get("early_stopping"):
            same(mine.validation_scores_, theirs.validation_scores_, 1e-6)
            same(mine.best_validation_score_, theirs.best_validation_score_, 1e-6)
        else:
            same(mine.best_loss_, theirs.best_loss_, 1e-6)
    for method in ("predict_proba", "predict"):
        if hasattr(theirs, method):
            expected = getattr(theirs, method)(X)
            if expected.dtype.kind == "f":
                same(getattr(mine, method)(X), expected, 1e-6)
            else:
                np.testing.assert_array_equal(getattr(mine, method)(X), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", [SOLVERS[0], SOLVERS[2], SOLVERS[5]], ids=describe)
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_float32_is_close(kind, solver, activation):
    mine, theirs, X = fit_both(kind, solver, activation, {}, np.float32)
    assert all(a.dtype == np.float32 for a in (*mine.coefs_, *mine.intercepts_))
    same(mine.loss_curve_, theirs.loss_curve_, 1e-3)
    for a, b in zip(mine.coefs_, theirs.coefs_):
        same(a, b, 1e-3)


def test_partial_fit_goes_on_as_scikit_learns():
    X, y = DIGITS[0] / 16, DIGITS[1]
    for parameters in SOLVERS[:3]:
        mine = jitmlp.MLPClassifier((10,), random_state=1, **parameters)
        theirs = scikit.MLPClassifier((10,), random_state=1, **parameters)
        for start in range(0, 1000, 250):
            part = slice(start, start + 250)
            for model in (mine, theirs):
                model.partial_fit(X[part], y[part], classes=np.unique(y))
        same(mine.loss_curve_, theirs.loss_curve_, 1e-6)
        for a, b in zip(mine.coefs_, theirs.coefs_):
            same(a, b, 1e-6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_warm_start_goes_on_as_scikit_learns(early_stopping):
    X, y = DIGITS[0] / 16, DIGITS[1]
    parameters = dict(
        hidden_layer_sizes=(10,), random_state=1, warm_start=True, max_iter=4, early_stopping=early_stopping
    )
    mine, theirs = jitmlp.MLPClassifier(**parameters), scikit.MLPClassifier(**parameters)
    for _ in range(3):
        mine.fit(X, y)
        theirs.fit(X, y)
    assert mine.t_ == theirs.t_
    same(mine.loss_curve_, theirs.loss_curve_, 1e-6)
    if early_stopping:
        same(mine.validation_scores_, theirs.validation_scores_, 1e-6)


def test_verbose_says_what_scikit_learn_says(capsys):
    X, y = DIGITS[0][:200] / 16, DIGITS[1][:200]
    parameters = dict(
        hidden_layer_sizes=(10,), random_state=0, verbose=True, early_stopping=True, max_iter=30, solver="sgd",
        learning_rate="adaptive", learning_rate_init=0.1, n_iter_no_change=2, tol=0.02,
    )  # fmt: skip
    jitmlp.MLPClassifier(**parameters).fit(X, y)
    mine = capsys.readouterr().out
    scikit.MLPClassifier(**parameters).fit(X, y)
    assert mine == capsys.readouterr().out


def test_constructors_have_the_same_parameters_first():
    import inspect

    for name in ("MLPClassifier", "MLPRegressor"):
        mine = list(inspect.signature(getattr(jitmlp, name)).parameters.values())
        theirs = list(inspect.signature(getattr(scikit, name)).parameters.values())
        assert [(p.name, p.default, p.kind) for p in mine[: len(theirs)]] == [
            (p.name, p.default, p.kind) for p in theirs
        ]
        assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in mine[len(theirs) :])


def test_warnings_are_scikit_learns():
    X, y = DIGITS[0][:50] / 16, DIGITS[1][:50]
    for module in (jitmlp, scikit):
        with pytest.warns(ConvergenceWarning, match="Maximum iterations .2. reached"):
            module.MLPClassifier((3,), max_iter=2).fit(X, y)
        with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger"):
            module.MLPClassifier((3,), max_iter=200, tol=10.0, batch_size=99).fit(X, y)
