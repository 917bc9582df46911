"""Learning rates, penalties and freezing a layer: in one step each layer moves as it would with these for all."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.estimators.parameters import STOCHASTIC_SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X /= 16
ONE_STEP = dict(hidden_layer_sizes=(20, 17), batch_size=len(X), max_iter=1, random_state=0, shuffle=False, tol=0)
RATES = ((1.0, 0.5), (0.25, 0.0), (0.0, 2.0))
CASES = {
    "plain": {},
    "float32, three threads": {"dtype": "float32", "n_threads": 3},
    "a limit for each": {"clip_value": 1e-3},
    "penalties": {"l1": 0.1, "alpha": 0.3},
    "dropout": {"dropout": 0.3},
    "norms of units": {"max_norm": 0.4},
}


def parts(model):
    return list(zip(model.coefs_, model.intercepts_))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_each_layer_has_its_own_learning_rate(solver, case):
    options = {**ONE_STEP, "solver": solver, **CASES[case]}
    start = MLPClassifier(**options, layer_rates=(1, 1, 1), learning_rate_init=1e-300).fit(X, Y)
    whole = {}
    for factor in {f for pair in RATES for f in pair if f}:
        whole[factor] = MLPClassifier(**options, learning_rate_init=1e-3 * factor).fit(X, Y)
    mine = MLPClassifier(**options, layer_rates=RATES, learning_rate_init=1e-3).fit(X, Y)
    initial = parts(MLPClassifier(**options, layer_rates=((0, 1e-300),) * 3).fit(X, Y))
    for l, pair in enumerate(RATES):
        for which, factor in enumerate(pair):
            moved = parts(whole[factor] if factor else start)[l][which]
            wanted = moved if factor else (initial[l][0] if which == 0 else moved)
            np.testing.assert_array_equal(parts(mine)[l][which], wanted)


def test_factors_of_one_change_no_bit():
    options = dict(hidden_layer_sizes=(20, 17), max_iter=3, random_state=0, tol=0)
    plain = MLPClassifier(**options).fit(X, Y)
    same = MLPClassifier(**options, layer_rates=(1, 1, 1), alpha=(1e-4,) * 3, l1=(0.0,) * 3).fit(X, Y)
    assert plain.loss_curve_ == same.loss_curve_
    for a, b in zip(parts(plain), parts(same)):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("rows", [X, sparse.csr_matrix(X * (X > 0.9)), X.astype(np.float32)], ids=["X", "csr", "f32"])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"max_norm": 0.3}], ids=str)
@pytest.mark.parametrize("rates", [(0, 0, 1), (0, (1, 0), 1), (1, 0, 0), ((0, 1), 1, 0)], ids=str)
def test_what_is_frozen_stays_and_the_rest_does_not_notice(rates, options, rows):
    common = dict(hidden_layer_sizes=(20, 17), batch_size=1200, random_state=0, tol=0, max_iter=1, alpha=0.0, **options)
    before = MLPClassifier(**common).fit(rows, Y)
    given = dict(coefs_init=before.coefs_, intercepts_init=before.intercepts_)
    models = [MLPClassifier(**common, layer_rates=rates, n_threads=n).fit(rows, Y, **given) for n in (1, 2, 5)]
    longer = MLPClassifier(**{**common, "max_iter": 4}, layer_rates=rates).fit(rows, Y, **given)
    assert longer.loss_curve_[-1] < longer.loss_curve_[0]
    for l, entry in enumerate(rates):
        for which, factor in enumerate(entry if isinstance(entry, tuple) else (entry, entry)):
            found = [parts(model)[l][which] for model in models]
            assert all(np.array_equal(found[0], other) for other in found)
            for model in (*models, longer):
                assert np.array_equal(parts(model)[l][which], parts(before)[l][which]) == (factor == 0)


def test_a_clipped_norm_is_that_of_what_is_trained():
    """With the upper layer alone, clipping is that of a network that consists of it alone."""
    one = dict(solver="gradient_descent", batch_size=len(X), max_iter=1, shuffle=False, tol=0, alpha=0.0)
    below = MLPClassifier((20,), max_iter=20, random_state=0).fit(X, Y)
    given = dict(coefs_init=below.coefs_, intercepts_init=below.intercepts_)
    mine = MLPClassifier((20,), **one, clip_norm=1e-3, layer_rates=(0, 1)).fit(X, Y, **given)
    hidden = np.maximum(X @ below.coefs_[0] + below.intercepts_[0], 0)
    given = dict(coefs_init=below.coefs_[1:], intercepts_init=below.intercepts_[1:])
    alone = MLPClassifier((), **one, clip_norm=1e-3).fit(hidden, Y, **given)
    np.testing.assert_allclose(mine.coefs_[1], alone.coefs_[0], rtol=1e-12)
    assert not np.array_equal(mine.coefs_[1], below.coefs_[1])


@pytest.mark.parametrize("rates", [(0, 1), (1, 0), ((0, 1), 1), ((1, 0), 1)], ids=str)
def test_a_clipped_norm_forgets_what_is_frozen_later(rates):
    """Between two calls of ``partial_fit``, whose network stays in memory."""
    import pickle

    common = dict(solver="sgd", momentum=0, clip_norm=0.01, learning_rate_init=0.5, shuffle=False, random_state=0)
    model = MLPClassifier((8,), **common).partial_fit(X * 100, Y, classes=np.unique(Y)).set_params(layer_rates=rates)
    copy = pickle.loads(pickle.dumps(model))  # whose network does not
    for a, b in zip(parts(model.partial_fit(X, Y)), parts(copy.partial_fit(X, Y))):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("name", ["alpha", "l1"])
def test_each_layer_has_its_own_penalty(name):
    options, penalties = {**ONE_STEP, "solver": "gradient_descent", "learning_rate_init": 0.1}, (0.5, 0.0, 30.0)
    mine = MLPRegressor(**options, **{name: penalties}).fit(X, Y)
    for l, penalty in enumerate(penalties):
        whole = MLPRegressor(**options, **{name: penalty}).fit(X, Y)
        np.testing.assert_array_equal(mine.coefs_[l], whole.coefs_[l])
    free = MLPRegressor(**options, **{name: 0.0}).fit(X, Y).loss_
    alone = [MLPRegressor(**options, **{name: tuple(p * (k == l) for k in range(3))}).fit(X, Y).loss_ - free
             for l, p in enumerate(penalties)]  # fmt: skip
    assert mine.loss_ - free == pytest.approx(sum(alone)) and alone[0] > 0 and alone[2] > 0


def test_lbfgs_has_a_penalty_a_layer():
    options = dict(solver="lbfgs", random_state=0, max_iter=200, tol=1e-6)
    model = MLPRegressor(hidden_layer_sizes=(5,), **options, alpha=(0.0, 1e6)).fit(X[:200], Y[:200])
    assert np.abs(model.coefs_[1]).max() < 1e-2 < np.abs(model.coefs_[0]).max()


@pytest.mark.parametrize("wrong", [
    {"layer_rates": (1, 1)}, {"layer_rates": (1, 1, -1)}, {"layer_rates": (1, "x", 1)}, {"layer_rates": (0, 0, 0)},
    {"layer_rates": (1, (1, 1, 1), 1)}, {"layer_rates": (0, 1, 1), "batch_norm": True}, {"alpha": (1, 1)},
    {"l1": (0, np.nan, 0)}, {"layer_rates": (0, 1, 1), "solver": "lbfgs"}, {"layer_rates": 0.5},
    {"l1": (0, 0.1, 0), "solver": "lbfgs"}, {"alpha": (1, "x", 1)}, {"alpha": ((1, 2), 3, 4)},
], ids=str)  # fmt: skip
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MLPClassifier((20, 17), **wrong).fit(X, Y)
