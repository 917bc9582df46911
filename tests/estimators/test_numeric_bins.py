"""``numeric_bins``: an estimator whose numbers are in bins, beside one that is given parts and ranks as features."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes

from jitmlp import MLPClassifier, MLPRegressor, WeightsDisplay
from jitmlp.model.bins import bins_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_diabetes(return_X_y=True)
X, Y = X * 20, (Y - Y.mean()) / Y.std()
CLASSES = np.digitize(Y, [-0.5, 0.5])
OPTIONS = dict(hidden_layer_sizes=(12, 8), max_iter=5, random_state=0)
KINDS = {
    "plain": {}, "float32": dict(dtype="float32"), "normalized": dict(normalize="standard"), "clipped": dict(normalize="robust_clip"), "lbfgs": dict(solver="lbfgs"),
    "dropout": dict(dropout=0.2), "batch norm": dict(batch_norm=True), "early stopping": dict(early_stopping=True),
    "sgd": dict(solver="sgd", learning_rate="adaptive"), "whole batch": dict(batch_size=len(X)),
}  # fmt: skip


def wide(model, rows):
    """What the first layer of a fitted estimator sees."""
    dtype = model.coefs_[0].dtype
    if model.input_shift_ is not None:
        rows = (rows - model.input_shift_) * model.input_scale_
        rows = rows / np.sqrt(1 + (rows / 3) ** 2) if model.normalize == "robust_clip" else rows
    return bins_of(model.bins_).apply(np.asarray(rows, dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator, target", [(MLPRegressor, Y), (MLPClassifier, CLASSES)], ids=["numbers", "classes"])
def test_a_fit_is_that_on_parts_and_ranks(kind, estimator, target):
    options = {**OPTIONS, **KINDS[kind]}
    model = estimator(**options, numeric_bins=8).fit(X, target)
    assert [len(edges) for edges in model.bins_[:5]] == [9, 0, 9, 9, 9]  # the second says one of two things
    seen = wide(model, X)
    assert model.coefs_[0].shape[0] == seen.shape[1] and model.n_features_in_ == 10
    options.pop("normalize", None)
    plain = estimator(**options).fit(seen, target)
    close = dict(rtol=2e-3, atol=2e-3) if kind == "float32" else dict(rtol=1e-6, atol=1e-8)
    for a, b in zip([*model.coefs_, *model.intercepts_], [*plain.coefs_, *plain.intercepts_]):
        np.testing.assert_allclose(a, b, **close)
    np.testing.assert_allclose(model._outputs(X), plain._outputs(seen), **close)
    np.testing.assert_allclose(model.network_.activations(X)[0], seen, rtol=1e-6, atol=1e-9)


def test_what_it_is_for():
    """A step of one feature among many is learned in few epochs."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 6))
    y = np.sign(np.sin(6 * rows[:, 0])) + rows[:, 1]
    options = dict(hidden_layer_sizes=(32,), max_iter=40, random_state=0)
    errors = [
        1 - MLPRegressor(**options, numeric_bins=bins).fit(rows[:1500], y[:1500]).score(rows[1500:], y[1500:])
        for bins in (24, None)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_sparse_rows_and_every_kind_of_memory_give_the_same():
    model = MLPRegressor(**OPTIONS, numeric_bins=6).fit(X, Y)
    for form in (sparse.csr_matrix, np.asfortranarray, lambda rows: rows.tolist()):
        other = MLPRegressor(**OPTIONS, numeric_bins=6).fit(form(X), Y)
        np.testing.assert_allclose(other.predict(form(X)), model.predict(X), rtol=1e-9)


@pytest.mark.parametrize("embedding_dim", [None, 3])
def test_categories_have_no_bins(embedding_dim):
    table = X.copy()
    table[:, 0] = np.digitize(X[:, 0], np.linspace(-2, 2, 9))
    model = MLPRegressor(
        **OPTIONS, categorical_features=[0], embedding_dim=embedding_dim, numeric_bins=6, normalize="robust_clip"
    ).fit(table, Y)
    assert len(model.bins_) == 9
    rows = model.encoder_.transform(table)
    assert model.coefs_[0].shape[0] == rows.shape[1] + sum(map(len, model.bins_))
    a = bins_of(model.bins_).apply(rows.toarray())
    for coef, intercept in zip(model.coefs_, model.intercepts_):
        z = a @ coef + intercept
        a = np.maximum(z, 0)
    np.testing.assert_allclose(model.predict(table), z[:, 0], rtol=1e-9)
    before = model.predict(table)
    assert not np.array_equal(model.partial_fit(table, Y).predict(table), before)


def test_a_fit_goes_on_with_its_bins():
    model = MLPRegressor(**OPTIONS, numeric_bins=6, warm_start=True).fit(X[:200], Y[:200])
    edges = [own.tobytes() for own in model.bins_]
    for go_on in (model.fit, model.partial_fit):
        go_on(X[200:] + 1, Y[200:])
        assert [own.tobytes() for own in model.bins_] == edges
    model.set_params(warm_start=False).fit(X[200:], Y[200:])
    assert [own.tobytes() for own in model.bins_] != edges
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert clone(model).numeric_bins == 6


@pytest.mark.parametrize("first", [{"numeric_bins": 6}, {"normalize": "standard"}], ids=str)
def test_what_one_partial_fit_learned_of_its_rows_is_not_in_the_next(first):
    model = MLPRegressor(**OPTIONS, **first).partial_fit(X + 1, Y)
    model.set_params(**dict.fromkeys(first)).fit(X, Y).partial_fit(X, Y)
    fresh = MLPRegressor(**OPTIONS).fit(X, Y).partial_fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], fresh.coefs_[0])
    model.set_params(**first).fit(X, Y).partial_fit(X, Y)
    fresh = MLPRegressor(**OPTIONS, **first).fit(X, Y).partial_fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], fresh.coefs_[0])


def test_edges_set_by_hand_are_used():
    model = MLPRegressor(**OPTIONS, numeric_bins=6).fit(X, Y)
    before = model.predict(X)
    assert not model.bins_[0].flags.writeable
    model.bins_ = [own + 0.5 for own in model.bins_]
    assert not np.array_equal(model.predict(X), before)
    model.bins_ = [*model.bins_, np.array([0.0, 1.0])]
    with pytest.raises(ValueError, match="bins_ are of 11 features"):
        model.predict(X)
    for wrong in ([0.0], [0.0, 0.0], [1.0, 0.0], [0.0, np.nan], [[0.0, 1.0]]):
        model.bins_ = [np.array(wrong)]
        with pytest.raises(ValueError, match="edges of bins must be"):
            model.predict(X)


def test_units_are_drawn_by_the_weights_of_features():
    pytest.importorskip("matplotlib").use("agg")
    model = MLPRegressor(**OPTIONS, numeric_bins=6).fit(X, Y)
    assert WeightsDisplay.from_estimator(model, shape=(2, 5), units=4).weights.shape == (10, 4)


@pytest.mark.parametrize("value", [0, 2, 2.5, "many"])
def test_what_is_no_number_of_bins_is_refused(value):
    with pytest.raises(ValueError, match="numeric_bins"):
        MLPRegressor(numeric_bins=value).fit(X, Y)


def test_what_cannot_be_is_refused():
    model = MLPRegressor(**OPTIONS, numeric_bins=6).fit(X, Y)
    with pytest.raises(ValueError, match="numeric_bins"):
        model.to_sklearn()
    with pytest.raises(ValueError, match="numeric_bins must be the same"):
        model.set_params(numeric_bins=None).partial_fit(X, Y)
    with pytest.raises(ValueError, match="numeric_bins needs whole columns"):
        MLPRegressor(**OPTIONS, numeric_bins=6).fit(lambda: iter([(X, Y)]))
    with pytest.raises(ValueError, match="8 features|expecting 10"):
        MLPRegressor(**OPTIONS, numeric_bins=6).fit(X, Y).predict(X[:, :8])
