"""What an estimator is after a fit, after a refused one, between warm ones, and when it is put together by hand."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
import sklearn.neural_network as scikit
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from jitmlp import DivergenceError, DivergenceWarning, MLPClassifier, MLPRegressor
from jitmlp.estimators.parameters import CLASSIFIER_LOSSES, CLASSIFIER_OUTPUTS, REGRESSOR_LOSSES, REGRESSOR_OUTPUTS
from jitmlp_kernels.link.pieces import linked

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
D, T = load_diabetes(return_X_y=True)
D, T = D * 20, (T - 150) / 80


def snapshot(model):
    """All attributes as bytes, but networks kept in memory."""
    return {k: pickle.dumps(v) for k, v in vars(model).items() if k not in ("_packed", "_workspace", "callback")}


# A refused or failed call leaves the estimator as it was


def bad_callback(model):
    raise RuntimeError("from the callback")


REFUSALS = {
    "continuous targets": lambda m: m.fit(X, X[:, 3] + 0.123),
    "fewer rows": lambda m: m.fit(X[:10], Y),
    "more columns": lambda m: m.fit(np.c_[X, X], X[:, 3] + 0.123),
    "NaN late": lambda m: m.fit(np.where(np.arange(len(X))[:, None] > 1700, np.nan, X), Y),
    "infinity in float32": lambda m: m.fit(X.astype(np.float32) * np.float32(3e38) * 10, Y),
    "weights of zero": lambda m: m.fit(X, Y, sample_weight=np.zeros(len(X))),
    "bad parameter": lambda m: clone_into(m, solver="rmsprop", solver_params={"rho": 5}).fit(X, Y),
    "bad schedule": lambda m: clone_into(m, solver="sgd", learning_rate=lambda step: np.nan).fit(X, Y),
    "bad callback": lambda m: clone_into(m, callback=bad_callback).fit(X, Y),
    "bad callback's answer": lambda m: clone_into(m, callback=lambda m: 1).fit(X, Y),
    "divergence": lambda m: clone_into(m, activation="identity", loss="squared_error", out_activation="identity",
                                       solver="sgd", learning_rate_init=1e8).fit(X * 1e3, Y),
    "partial_fit of huge numbers": lambda m: m.partial_fit(X * 1e200, Y),
    "partial_fit of an unknown class": lambda m: m.partial_fit(X, Y + 1),
    "partial_fit of other columns": lambda m: m.partial_fit(X[:, :5], Y),
    "a layer of 10**9": lambda m: clone_into(m, hidden_layer_sizes=(10**9,)).fit(X, Y),
    "foreign sparse": lambda m: m.fit(sparse.csr_matrix((np.ones(80), np.full(80, 9_999_999), np.arange(81)), (80, 10_000_000)), X[:80, 3] + 0.123),
}  # fmt: skip


def clone_into(model, **parameters):
    return model.set_params(**parameters)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::jitmlp.DivergenceWarning")
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_call_leaves_everything_as_it_was(name):
    model = MLPClassifier((8,), max_iter=3, random_state=0).fit(X, Y)
    expected, parameters = model.predict_proba(X), model.get_params()
    before = snapshot(model)
    with pytest.raises((ValueError, TypeError, RuntimeError, MemoryError, IndexError)):
        REFUSALS[name](model)
    model.set_params(**parameters)
    assert snapshot(model) == before
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    with pytest.raises(ValueError, match="64 features"):
        model.predict(np.ones((3, 65)))
    with pytest.raises(ValueError, match="64 features"):
        model.predict(sparse.csr_matrix((np.ones(1), [9_999_999], [0, 1]), (1, 10_000_000)))


def test_a_callback_sees_the_fit_so_far_and_nothing_else_does():
    seen, outside = [], MLPClassifier((8,), max_iter=4, random_state=0)

    def look(model):
        assert model is outside
        seen.append((model.n_iter_, model.loss_, model.score(X, Y), len(model.loss_curve_)))
        pickle.dumps(model)

    outside.set_params(callback=look).fit(X, Y)
    assert [s[0] for s in seen] == [1, 2, 3, 4] == [s[3] for s in seen]
    assert seen[-1][1] == outside.loss_ and seen[-1][2] == outside.score(X, Y)
    assert pickle.loads(pickle.dumps(outside)).callback is None and outside.callback is look


@pytest.mark.parametrize("answer, epochs", [(True, 1), (np.True_, 1), (False, 5), (np.False_, 5), (None, 5)])
def test_only_true_stops(answer, epochs):
    model = MLPClassifier((8,), max_iter=5, random_state=0, callback=lambda m: answer).fit(X, Y)
    assert model.n_iter_ == epochs and model.stopped_by_ == ("callback" if epochs == 1 else "max_iter")


@pytest.mark.parametrize("answer", [1, 0.9, "stop", []], ids=str)
def test_any_other_answer_of_a_callback_is_an_error(answer):
    with pytest.raises(TypeError, match="callback.*True to stop"):
        MLPClassifier((8,), max_iter=5, callback=lambda m: answer).fit(X, Y)


# Between warm fits and partial fits

CHANGES = {
    "solver": ["adam", "sgd", "momentum", "gradient_descent", "rmsprop", "amsgrad", "adagrad", "lion", "nadam"],
    "momentum": [0.9, 0.0],
    "beta_2": [0.999, 0.9],
    "dtype": [None, "float32", "float64"],
    "learning_rate": ["constant", "cosine", "invscaling", "reduce_on_plateau"],
    "activation": ["relu", "tanh"],
    "dropout": [0.0, 0.3],
    "clip_norm": [None, 1.0],
    "n_threads": [1, 2],
    "batch_size": [50, 400],
    "loss": ["log_loss", "squared_error"],
    "label_smoothing": [0.0, 0.1],
}


@pytest.mark.parametrize("parameter", CHANGES)
def test_what_changes_between_partial_fits_goes_on_or_starts_anew(parameter):
    """All pairs: training goes on learning, the state is that of the solver, and a pickle between changes nothing."""
    for first, second in itertools.permutations(CHANGES[parameter], 2):
        options = {"hidden_layer_sizes": (16,), "random_state": 0, "learning_rate_init": 0.003}
        model = MLPClassifier(**{**options, parameter: first})
        for _ in range(4):
            model.partial_fit(X, Y, classes=np.arange(10))
        reached = log_loss(Y, model.set_params(**{parameter: first}).predict_proba(X))
        other = pickle.loads(pickle.dumps(model.set_params(**{parameter: second})))
        for _ in range(4):
            model.partial_fit(X, Y)
            other.partial_fit(X, Y)
        assert log_loss(Y, model.predict_proba(X)) < reached + 0.6, (first, second)
        assert [slot.weights[0].shape for slot in model._state.slots] == [(64, 16)] * len(model._state.optimizer.slots)
        for a, b in zip(model.coefs_, other.coefs_):
            np.testing.assert_array_equal(a, b)


def test_a_network_kept_from_many_partial_fits_serves_one_of_fewer_steps():
    """The coefficients of a step are those of its own number, though later ones are known."""
    model = MLPClassifier((8,), max_iter=2, random_state=0)
    for _ in range(300):
        model.partial_fit(X[:200], Y[:200], classes=np.arange(10))
    fresh, kept = clone(model), vars(model)["_workspace"][1]
    for one in (model, fresh):
        with pytest.warns(ConvergenceWarning):
            one.fit(X, Y)
        one.partial_fit(X, Y)
    assert vars(model)["_workspace"][1] is kept
    for a, b in zip(model.coefs_, fresh.coefs_):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("change", [{"hidden_layer_sizes": (9,)}, {"normalize": "standard"}, {"batch_norm": True}])
def test_a_structure_that_cannot_go_on_is_refused_by_name(change):
    model = MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True).fit(X, Y)
    (name,) = change
    for call in (lambda: model.fit(X, Y), lambda: model.partial_fit(X, Y)):
        model.set_params(**change)
        with pytest.raises(ValueError, match=name):
            call()


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "nadam"])
@pytest.mark.parametrize(
    "options",
    [{}, {"dropout": 0.2}, {"learning_rate": "exponential"}, {"batch_norm": True}],
)
def test_continuing_is_as_if_it_had_not_stopped(solver, options):
    """10 and 10 epochs are 20, to the last bit; so with a pickle in between."""
    options = dict(hidden_layer_sizes=(16,), solver=solver, random_state=0, tol=0.0, n_iter_no_change=99, **options)
    whole = MLPClassifier(max_iter=20, **options).fit(X, Y)
    parts = MLPClassifier(max_iter=10, warm_start="continue", **options).fit(X, Y)
    parts = pickle.loads(pickle.dumps(parts)).fit(X, Y)
    assert parts.loss_curve_ == whole.loss_curve_ and parts.t_ == whole.t_
    for a, b in zip(parts.coefs_, whole.coefs_):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [900, 1200, len(X)])
@pytest.mark.parametrize("early", [(False, False), (False, True), (True, False), (True, True)], ids=str)
def test_continuing_trains_on_all_the_rows_that_there_are_now(n, early):
    """With more rows, or fewer, or an early stopping that comes or goes; and on the same ones where nothing changes."""
    model = MLPRegressor(
        hidden_layer_sizes=(4,), max_iter=2, warm_start="continue", random_state=0, early_stopping=early[0]
    ).fit(X[:1200], Y[:1200])
    first = set(model._state.order)
    model.set_params(early_stopping=early[1]).fit(X[:n], Y[:n])
    expected = n - int(np.ceil(0.1 * n)) if early[1] else n
    assert len(model._state.order) == len(set(model._state.order)) == expected and max(model._state.order) < n
    assert model.t_ == 2 * len(first) + 2 * expected
    if n == 1200 and early[0] == early[1]:
        assert set(model._state.order) == first


def test_curves_go_on_without_a_copy_of_what_was_before():
    """Else each of many calls would take longer than the last; a callback and an error leave them as they were."""
    seen = []
    model = MLPClassifier((8,), max_iter=3, warm_start=True, early_stopping=True, random_state=0).fit(X, Y)
    for expected in (6, 9):
        curves = [model.loss_curve_, model.validation_scores_, *model.history_.values()]
        model.set_params(callback=lambda m: seen.append((len(m.loss_curve_), *map(len, m.history_.values())))).fit(X, Y)
        assert [len(curve) for curve in curves] == [expected] * 7
        assert all(
            a is b for a, b in zip(curves, [model.loss_curve_, model.validation_scores_, *model.history_.values()])
        )
    assert seen == [(n,) * 6 for n in range(4, 10)]
    with pytest.raises(RuntimeError):
        model.set_params(callback=bad_callback).fit(X, Y)
    assert len(model.loss_curve_) == 9
    first = model.loss_curve_
    model.set_params(callback=None, warm_start=False, early_stopping=False).fit(X, Y)
    assert len(first) == 9 and len(model.loss_curve_) == 3 and "validation_score" not in model.history_


def test_partial_fit_after_fit_goes_on():
    model = MLPClassifier((64,), max_iter=100, random_state=0).fit(X, Y)
    theirs = scikit.MLPClassifier((64,), max_iter=100, random_state=0).fit(X, Y)
    model.partial_fit(X[:200], Y[:200])
    theirs.partial_fit(X[:200], Y[:200])
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"restore_best": True}])
def test_warm_fits_move_on_from_an_old_best(options):
    model = MLPRegressor(hidden_layer_sizes=(20,), warm_start=True, random_state=0, max_iter=20, **options).fit(D, T)
    for _ in range(30):
        model.fit(D, -T)
    assert model.score(D, -T) > 0.3


def test_cosine_goes_on_learning_under_partial_fit():
    model = MLPClassifier((16,), learning_rate="cosine", max_iter=5, random_state=0, solver="sgd")
    for _ in range(12):
        model.partial_fit(X, Y, classes=np.arange(10))
    before = model.coefs_[0]
    model.partial_fit(X, Y)
    assert np.abs(model.coefs_[0] - before).max() > 1e-5


# Outputs and losses


@pytest.mark.parametrize("kind", ["two", "three", "multilabel"])
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@pytest.mark.parametrize("output", CLASSIFIER_OUTPUTS)
def test_every_pair_of_output_and_loss_is_right_or_refused(kind, loss, output):
    y = {"two": Y % 2, "three": Y % 3, "multilabel": np.c_[Y % 2, Y > 4, Y % 3 == 0].astype(int)}[kind]
    model = MLPClassifier((16,), loss=loss, out_activation=output, max_iter=30, random_state=0, learning_rate_init=0.01)
    refused = (output == "softmax" and kind != "three") or (loss == "log_loss" and output in ("identity", "tanh"))
    if refused:
        with pytest.raises(ValueError, match=output):
            model.fit(X, y)
        return
    p = model.fit(X, y).predict_proba(X)
    assert (p >= 0).all() and (p <= 1).all()
    if kind != "multilabel":
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
@pytest.mark.parametrize("output", REGRESSOR_OUTPUTS)
def test_every_pair_of_the_regressor_is_finite_or_refused(loss, output):
    model = MLPRegressor(loss, hidden_layer_sizes=(8,), out_activation=output, max_iter=20, random_state=0)
    if loss == "poisson" and output in ("identity", "tanh", "relu"):
        with pytest.raises(ValueError, match=output):
            model.fit(D, np.abs(T))
    else:
        assert np.isfinite(model.fit(D, np.abs(T)).predict(D)).all() and np.isfinite(model.loss_)


def test_poisson_refuses_negative_targets():
    with pytest.raises(ValueError, match="poisson.*>= 0"):
        MLPRegressor("poisson").fit(D, T)


# Numbers


def test_large_offsets_survive_normalization_in_float32():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(500, 3))
    times, y = 1.7e9 + 600 * u, u @ [1.0, -2.0, 0.5]
    options = dict(hidden_layer_sizes=(20,), dtype="float32", max_iter=300, random_state=0)
    outside = MLPRegressor(**options).fit(StandardScaler().fit_transform(times), y)
    for data in (times, times.astype(np.int64), np.asfortranarray(times), sparse.csr_matrix(times)):
        inside = MLPRegressor(normalize="standard", **options).fit(data, y)
        assert inside.score(data, y) > outside.score(StandardScaler().fit_transform(times), y) - 0.002


def test_the_loss_does_not_depend_on_the_clock():
    curves = {
        tuple(MLPClassifier((16,), max_iter=8, random_state=0, n_threads=1 + i % 2).fit(X, Y).loss_curve_)
        for i in range(12)
    }
    assert len(curves) == 1
    assert isinstance(MLPClassifier((4,), max_iter=2).fit(X, Y).loss_, np.float64)


def test_no_form_of_an_array_is_a_compilation_of_its_own():
    """X, y, weights in every flag, layout and alignment: the same pieces."""
    import pandas as pd

    def forms(a):
        strided = np.zeros((2 * len(a), *a.shape[1:]), a.dtype)
        strided[::2] = a
        frozen = a.copy()
        frozen.flags.writeable = False
        raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
        unaligned = raw.view(a.dtype).reshape(a.shape) if a.dtype.itemsize else a
        unaligned[...] = a
        yield from (a, frozen, strided[::2], unaligned, a.astype(a.dtype.newbyteorder()), a[::-1][::-1])
        if a.ndim == 1:
            yield from (pd.Series(a), list(a))
        else:
            yield np.asfortranarray(a)

    w = np.linspace(0.5, 1.5, len(X))
    options = dict(hidden_layer_sizes=(6,), max_iter=2, random_state=0)
    expected = MLPClassifier(**options).fit(X, Y, w)
    MLPClassifier(**options).fit(np.asfortranarray(X), Y, w)
    known = set(linked())
    for x in forms(X):
        np.testing.assert_array_equal(MLPClassifier(**options).fit(x, Y, w).coefs_[0], expected.coefs_[0])
    for y, weight in zip(forms(Y), forms(w)):
        np.testing.assert_array_equal(MLPClassifier(**options).fit(X, y, weight).coefs_[0], expected.coefs_[0])
    assert set(linked()) == known


def test_sparse_matrices_whose_arrays_are_views_are_followed():
    """Every offset, stride, alignment, order of bytes and type of index, against the dense matrix."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3
    dense = np.where(rng.random((40, 6)) < 0.5, rng.normal(size=(40, 6)), 0)
    options = dict(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    expected = MLPClassifier(**options).fit(dense, y).predict_proba(dense)

    def strided(a):
        wide = np.full(2 * len(a) + 1, 77, a.dtype)
        wide[1::2] = a
        return wide[1::2]

    def shifted(a):
        return np.concatenate([np.full(3, 5, a.dtype), a])[3:]

    for data, indices, indptr in itertools.product((strided, shifted, np.copy), repeat=3):
        for kind in (np.int32, np.int64):
            A = sparse.csr_matrix(dense)
            B = sparse.csr_matrix(dense)
            B.data, B.indices, B.indptr = data(A.data), indices(A.indices.astype(kind)), indptr(A.indptr.astype(kind))
            model = MLPClassifier(**options).fit(B, y)
            np.testing.assert_allclose(model.predict_proba(B), expected, rtol=1e-9)


@pytest.mark.parametrize("value", [1e300, -1e300, 1e39])
@pytest.mark.parametrize(
    "form", [np.array, np.asfortranarray, lambda a: np.c_[a, a][:, : a.shape[1]], sparse.csr_matrix]
)
def test_overflow_of_float32_is_refused_in_every_layout(form, value):
    data = X.copy()
    data[700, 11] = value
    model = MLPClassifier((5,), dtype="float32", max_iter=2).fit(X, Y)
    for call in (model.predict, lambda d: clone(model).fit(d, Y)):
        with pytest.raises(ValueError, match="too large|infinity|NaN"):
            call(form(data))


# Divergence


def diverging(**options):
    return MLPRegressor(
        hidden_layer_sizes=(16,), activation="identity", solver="sgd", learning_rate_init=10.0, max_iter=200,
        random_state=0, **options,
    )  # fmt: skip


def test_divergence_is_explained_and_keeps_the_last_good_weights():
    with pytest.raises(DivergenceError, match="epoch.*learning rate.*Try a smaller") as caught:
        diverging().fit(D, T)
    assert all(np.isfinite(w).all() for w in caught.value.coefs) and caught.value.coefs[0].shape == (10, 16)
    assert pickle.loads(pickle.dumps(caught.value)).coefs[0].shape == (10, 16)
    with pytest.warns(DivergenceWarning, match="last epoch before"):
        model = diverging(on_divergence="restore").fit(D, T)
    assert model.stopped_by_ == "diverged" and np.isfinite(model.predict(D)).all() and model.n_iter_ < 200
    with pytest.warns(DivergenceWarning):
        model = diverging(on_divergence="warn").fit(D, T)
    assert model.n_iter_ < 200 and np.isnan(model.loss_)


@pytest.mark.parametrize("max_iter", [1, 2, 20])
def test_weights_that_the_last_step_of_an_epoch_made_infinite_are_not_the_last_good_ones(max_iter):
    """The loss of such an epoch, taken before the step, is finite."""
    options = dict(
        hidden_layer_sizes=(5,), solver="gradient_descent", learning_rate_init=3e38, batch_size=len(D), dtype="float32",
        max_iter=max_iter, random_state=0,
    )  # fmt: skip
    drawn = MLPRegressor(**{**options, "learning_rate_init": 1e-30}).fit(D * 100, T).coefs_[0]
    with pytest.raises(DivergenceError, match="epoch 1,") as caught:
        MLPRegressor(**options).fit(D * 100, T)
    np.testing.assert_array_equal(caught.value.coefs[0], drawn)
    with pytest.warns(DivergenceWarning, match="last epoch before"):
        model = MLPRegressor(**options, on_divergence="restore").fit(D * 100, T)
    np.testing.assert_array_equal(model.coefs_[0], drawn)


def test_a_state_that_is_not_finite_is_divergence():
    """Adam's second moment is too large for float32 where the weights and the loss are not."""
    with pytest.raises(DivergenceError, match="epoch 1,.*the optimizer's state"):
        MLPRegressor(hidden_layer_sizes=(5,), dtype="float32", max_iter=9, random_state=0).fit(D * 1e10, T)


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"restore_best": True}, {}])
def test_a_diverged_run_ends_at_once(options):
    calls = []
    with pytest.raises(DivergenceError):
        diverging(callback=lambda m: calls.append(1), **options).fit(D, T)
    assert len(calls) < 20


def test_an_exploding_loss_is_not_passed_over_in_silence():
    with pytest.warns(DivergenceWarning, match="grown from"):
        MLPRegressor(
            hidden_layer_sizes=(),
            solver="gradient_descent",
            learning_rate_init=8.0,
            max_iter=12,
            batch_size=len(D),
            alpha=0,
        ).fit(D, T)


# Put together by hand


def test_a_model_put_together_without_fit_predicts_as_scikit_learns():
    theirs = scikit.MLPClassifier((9, 7), activation="tanh", max_iter=5, random_state=0).fit(X, Y)
    mine = MLPClassifier((9, 7), activation="tanh")
    mine.coefs_, mine.intercepts_, mine.n_layers_, mine.out_activation_ = (
        theirs.coefs_,
        theirs.intercepts_,
        4,
        "softmax",
    )
    mine.classes_ = theirs.classes_
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
    np.testing.assert_allclose(mine.network_.forward(X), theirs.predict_proba(X), rtol=1e-9)
    mine.coefs_[0] = mine.coefs_[0] * 2
    theirs.coefs_[0] = theirs.coefs_[0] * 2
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("change", [{"activation": "logistic"}, {"out_activation_": "logistic"}, {"coefs_": None}])
def test_what_is_changed_by_hand_is_seen_by_prediction_and_network(change):
    model = MLPClassifier((9,), max_iter=3, random_state=0).fit(X, Y)
    before = model.predict_proba(X)
    for name, value in change.items():
        setattr(model, name, value if value is not None else [w * 1.5 for w in model.coefs_])
    after = model._outputs(X)
    assert not np.allclose(after, before)
    np.testing.assert_allclose(model.network_.forward(X), after, rtol=1e-9)


def test_arrays_that_do_not_fit_together_are_named():
    model = MLPClassifier((9,), max_iter=3).fit(X, Y)
    model.coefs_ = [model.coefs_[0], model.coefs_[1][:5]]
    with pytest.raises(ValueError, match=r"coefs_\[1\].*\(9, fan_out\)"):
        model.predict(X)
    for coefs, words in (
        ([], "got 0 and 2"),
        ([3.0, 4.0], r"coefs_\[0\].*\(0, fan_out\)"),
        ([np.ones((64, 9)), 1.0], r"coefs_\[1\]"),
    ):
        model.coefs_ = coefs
        with pytest.raises(ValueError, match=words):
            model.predict(X)


def test_initial_weights_can_be_given():
    theirs = scikit.MLPClassifier((9,), max_iter=5, random_state=0).fit(X, Y)
    mine = MLPClassifier((9,), max_iter=1, random_state=0, solver="sgd", learning_rate_init=1e-300)
    mine.fit(X, Y, coefs_init=theirs.coefs_, intercepts_init=theirs.intercepts_)
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    with pytest.raises(ValueError, match="coefs_init"):
        mine.fit(X, Y, coefs_init=theirs.coefs_[:1])
    with pytest.raises(ValueError, match="intercepts_init must be finite"):
        mine.fit(X, Y, intercepts_init=[b * np.nan for b in theirs.intercepts_])


def test_pickles_say_their_version(monkeypatch):
    model = MLPClassifier((9,), max_iter=3).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(model))
    state = model.__getstate__()
    state["_jitmlp_version"] = "0.0.1"
    with pytest.warns(InconsistentVersionWarning, match="0.0.1"):
        MLPClassifier.__new__(MLPClassifier).__setstate__(state)


def test_a_pickle_holds_each_number_once():
    model = MLPClassifier((300,), random_state=0).partial_fit(X, Y, classes=np.arange(10))
    numbers = sum(w.nbytes for w in (*model.coefs_, *model.intercepts_))
    assert len(pickle.dumps(model)) < 3.2 * numbers  # parameters, and Adam's two moments
