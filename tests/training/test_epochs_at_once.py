"""Several small epochs in one call into the kernels, beside one call each: nobody can tell."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import jitmlp.training.trainer as trainer_module
from jitmlp import DivergenceError, MLPClassifier, MLPRegressor
from jitmlp.engine.workspace import EPOCHS_AT_ONCE, Workspace

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::jitmlp.DivergenceWarning"),
]
IRIS, CANCER, DIABETES = (load(return_X_y=True) for load in (load_iris, load_breast_cancer, load_diabetes))
PARTS = ("coefs_", "intercepts_", "batch_norm_", "loss_curve_", "n_iter_", "loss_", "best_loss_", "stopped_by_", "t_")


@pytest.fixture
def calls(monkeypatch):
    """How many epochs each call into the kernels had."""
    found, train = [], Workspace.train

    def counted(self, *given, **more):
        found.append(given[8] if len(given) > 8 else 1)
        return train(self, *given, **more)

    monkeypatch.setattr(Workspace, "train", counted)
    return found


def assert_same(model, other):
    for name in PARTS:
        a, b = getattr(model, name), getattr(other, name)
        assert repr(a) == repr(b), name
    for kind in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(model, kind), getattr(other, kind)):
            np.testing.assert_array_equal(a, b)
    assert model.history_["learning_rate"] == other.history_["learning_rate"]
    assert len(model.history_["seconds"]) == len(model.loss_curve_)
    for a, b in zip(model._state.slots, other._state.slots):
        for one, two in zip(a.arrays(), b.arrays()):
            np.testing.assert_array_equal(one, two)
    assert str(model._random_state.get_state()) == str(other._random_state.get_state())


FORMS = {
    "adam": {}, "stops": dict(tol=1e-3, n_iter_no_change=5, max_iter=900, learning_rate_init=0.01),
    "one epoch of patience": dict(tol=1e-3, n_iter_no_change=1, learning_rate_init=0.01, max_iter=900),
    "uneven": dict(batch_size=64), "adaptive": dict(solver="sgd", learning_rate="adaptive", tol=1e-2, n_iter_no_change=2),
    "invscaling": dict(solver="sgd", learning_rate="invscaling"), "cosine": dict(learning_rate="cosine"),
    "in order": dict(shuffle=False, batch_size=40), "no end": dict(n_iter_no_change=np.inf, max_iter=45),
    "penalties": dict(l1=0.1, alpha=1.0, max_norm=1.0, clip_norm=0.5, batch_size=37), "batch norm": dict(batch_norm=True),
    "dropout": dict(dropout=0.3, batch_size=50), "layer rates": dict(layer_rates=(0.0, 0.5)), "float32": dict(dtype="float32"),
    "best": dict(restore_best=True), "held out": dict(early_stopping=True), "verbose": dict(verbose=True),
    "one step": dict(batch_size=1000), "continues": dict(warm_start="continue", max_iter=17),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind, X, y", [(MLPClassifier, *IRIS), (MLPRegressor, *DIABETES)], ids=["classes", "numbers"])
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
def test_a_fit_is_the_same_to_the_last_bit(name, kind, X, y, monkeypatch, calls, capsys):
    options = {"hidden_layer_sizes": (9,), "max_iter": 40, "random_state": 1, "normalize": "standard", **FORMS[name]}
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))

    def fit():
        model = kind(**options).fit(X, y, weights)
        return model.fit(X, y) if name == "continues" else model

    model = fit()
    said, at_once = capsys.readouterr().out, max(calls)
    monkeypatch.setattr(trainer_module, "EPOCHS_AT_ONCE", 1)
    calls.clear()
    assert_same(model, fit())
    assert set(calls) == {1} and capsys.readouterr().out == said
    alone = name in ("invscaling", "cosine", "best", "held out")  # somebody looks in between
    assert at_once == 1 if alone else 1 < at_once <= EPOCHS_AT_ONCE


@pytest.mark.parametrize("n_threads", [1, 2])
def test_sparse_rows_and_mini_batches_in_blocks(n_threads, monkeypatch):
    monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", 100)
    X = sparse.csr_array(np.where(CANCER[0] > np.median(CANCER[0], axis=0), CANCER[0] / 1000, 0))
    options = dict(hidden_layer_sizes=(9,), max_iter=30, random_state=1, batch_size=250, n_threads=n_threads)
    model = MLPClassifier(**options).fit(X, CANCER[1])
    monkeypatch.setattr(trainer_module, "EPOCHS_AT_ONCE", 1)
    assert_same(model, MLPClassifier(**options).fit(X, CANCER[1]))


@pytest.mark.parametrize("momentum", [0.0, 0.5])  # without and with a state that is taken back too
@pytest.mark.parametrize("how", ["raise", "warn", "restore"])
def test_a_run_that_diverges_does_so_in_its_own_epoch(how, momentum, monkeypatch, calls):
    """What was run ahead is taken back, and run again one by one."""
    # a rate at which the loss grows for some epochs before it is no number any more
    options = dict(hidden_layer_sizes=(9,), solver="sgd", learning_rate_init=0.03, momentum=momentum, activation="identity",
                   max_iter=400, random_state=1, on_divergence=how, n_iter_no_change=1000, n_threads=1, batch_size=150)  # fmt: skip

    def fit():
        try:
            return MLPRegressor(**options).fit(*IRIS)
        except DivergenceError as error:
            return error

    model, at_once = fit(), max(calls)
    monkeypatch.setattr(trainer_module, "EPOCHS_AT_ONCE", 1)
    other = fit()
    assert at_once > 1
    if how == "raise":
        assert str(model) == str(other) and "non-finite" in str(model)
        for a, b in zip(model.coefs, other.coefs):
            np.testing.assert_array_equal(a, b)
    else:
        assert model.stopped_by_ == "diverged" and model.n_iter_ > 3
        assert_same(model, other)
