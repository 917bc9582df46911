"""Penalties, limits, dropout, smoothing and normalization, each against its formula."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler

import reference
from helpers import Constraints, Data, coefficient_table, make_network, pairs
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.engine.group import current
from jitmlp.engine.normalization import Moments, learn_normalization
from jitmlp_kernels.pieces.rows import GOLDEN, hash_lanes, row_key
from jitmlp_kernels.trace.interpreter import Interpreter

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
RNG = np.random.default_rng(0)
NO_CONSTRAINTS = Constraints()
MACHINE = Interpreter(np.float64)


def hash_units(key, units):
    """The 32-bit hashes of a row's units."""
    return hash_lanes(np.arange(units, dtype=np.uint32) * np.uint32(GOLDEN) + np.uint32(key))


def one_step(network, data, target, constraints=NO_CONSTRAINTS, rate=0.1, **options):
    table = coefficient_table("gradient_descent", np.full(1, rate), np.ones(1), {})
    loss = network.run(Data(data, target), np.arange(len(data)), len(data), table, constraints, **options)
    return loss / len(data), network.unpack()


def linear_problem(dtype="float64", units=(6, 9, 3), **options):
    network, coefs, intercepts = make_network(
        units,
        "tanh",
        "identity",
        "squared_error",
        dtype=dtype,
        optimizer="gradient_descent",
        rows=20,
        **options,
    )
    data, target = RNG.normal(size=(20, units[0])), RNG.normal(size=(20, units[-1]))

    def gradients(alpha=0.0):
        def objective():
            return reference.loss(coefs, intercepts, pairs(network.model), data, target, "squared_error", alpha=alpha)

        flat = reference.numeric_gradient(objective, [*coefs, *intercepts])
        return flat[: len(coefs)], flat[len(coefs) :]

    return network, coefs, intercepts, data, target, gradients


def test_l1_is_the_proximal_step():
    network, coefs, intercepts, data, target, gradients = linear_problem()
    slopes, _ = gradients(0.2)
    loss, (mine, _) = one_step(network, data, target, Constraints(alpha=0.2, l1=3.0))
    for a, w, g in zip(mine, coefs, slopes):
        stepped = w - 0.1 * g
        expected = np.sign(stepped) * np.maximum(np.abs(stepped) - 0.1 * 3.0 / 20, 0)
        np.testing.assert_allclose(a, expected, rtol=1e-6, atol=1e-9)
    assert any((a == 0).any() for a in mine)


def test_l1_drives_weights_to_zero_and_l2_does_not():
    options = dict(hidden_layer_sizes=(20,), solver="sgd", learning_rate_init=0.1, max_iter=20, random_state=0)
    l1 = MLPClassifier(l1=3.0, **options).fit(X / 16, Y)
    l2 = MLPClassifier(alpha=1.0, **options).fit(X / 16, Y)
    assert (l1.coefs_[0] == 0).mean() > 0.5 and (l2.coefs_[0] == 0).mean() == 0
    assert l1.score(X / 16, Y) > 0.9


@pytest.mark.parametrize("n_threads", [1, 2])
def test_clipping_by_norm(n_threads):
    for limit in (0.05, 1e9):
        network, coefs, intercepts, data, target, gradients = linear_problem(accumulate=True, n_threads=n_threads)
        slopes, shifts = gradients(0.2)
        norm = np.sqrt(sum((g**2).sum() for g in (*slopes, *shifts)))
        factor = min(1, limit / norm)
        _, (mine, biases) = one_step(network, data, target, Constraints(alpha=0.2, clip_norm=limit))
        for a, w, g in zip([*mine, *biases], [*coefs, *intercepts], [*slopes, *shifts]):
            np.testing.assert_allclose(a, w - 0.1 * factor * g, rtol=1e-6, atol=1e-9)


def test_clipping_by_value():
    network, coefs, intercepts, data, target, gradients = linear_problem()
    slopes, shifts = gradients()
    _, (mine, biases) = one_step(network, data, target, Constraints(clip_value=0.02))
    for a, w, g in zip([*mine, *biases], [*coefs, *intercepts], [*slopes, *shifts]):
        np.testing.assert_allclose(a, w - 0.1 * np.clip(g, -0.02, 0.02), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_max_norm(dtype, n_threads):
    units = (6, 35, 20, 3)
    network, coefs, intercepts, data, target, gradients = linear_problem(dtype, units, n_threads=n_threads)
    slopes, _ = gradients()
    one_step(network, data.astype(dtype), target, Constraints(max_norm=0.7))
    mine, biases = network.unpack()
    for a, w, g in zip(mine, coefs, slopes):
        stepped = w - 0.1 * g
        norms = np.linalg.norm(stepped, axis=0)
        expected = stepped * np.minimum(1, 0.7 / norms)
        np.testing.assert_allclose(a, expected, rtol=1e-4, atol=1e-5)
    # the transposed copies follow: a second step equals that of a network built anew
    other, *_ = make_network(
        units, "tanh", "identity", "squared_error", dtype=dtype, optimizer="gradient_descent", rows=20
    )
    other.pack(mine, biases)
    for a, b in zip(
        one_step(network, data.astype(dtype), target)[1][0], one_step(other, data.astype(dtype), target)[1][0]
    ):
        np.testing.assert_array_equal(a, b)


def test_dropout_masks_have_the_rate_and_do_not_repeat():
    keys = [row_key(MACHINE, 7, step, layer, row) for step in range(3) for layer in range(2) for row in range(40)]
    kept = np.array([hash_units(key, 1000) >> 8 >= int(0.3 * 2**24) for key in keys])
    assert abs(kept.mean() - 0.7) < 0.005
    assert np.abs(kept.mean(axis=1) - 0.7).max() < 0.07
    correlation = np.corrcoef(kept.astype(float))
    assert np.abs(correlation - np.eye(len(keys))).max() < 0.17
    assert len(set(keys)) == len(keys)


def test_dropout_equals_the_oracle_with_the_same_masks():
    """Loss, and weights after a step, with masks made by the NumPy hash."""
    network, coefs, intercepts = make_network(
        (6, 9, 7, 3), "tanh", "identity", "squared_error", optimizer="gradient_descent", rows=20, n_threads=2,
        dropout=(0.2, 0.5, 0.3),
    )  # fmt: skip
    data, target = RNG.normal(size=(20, 6)), RNG.normal(size=(20, 3))
    masks = []
    for layer, (units, rate) in enumerate([(6, 0.2), (9, 0.5), (7, 0.3)]):
        kept = [hash_units(row_key(MACHINE, 11, 5, layer, row), units) >> 8 >= int(rate * 2**24) for row in range(20)]
        masks.append(np.array(kept) / (1 - rate))

    def objective():
        a = data * masks[0]
        for i in range(2):
            a = np.tanh(a @ coefs[i] + intercepts[i]) * masks[i + 1]
        return 0.5 * ((a @ coefs[2] + intercepts[2] - target) ** 2).sum() / 20

    expected_loss = objective() / 3  # squared_error is reported as the mean over outputs
    gradients = reference.numeric_gradient(objective, coefs)
    loss, (mine, _) = one_step(network, data, target, first_step=5, seed=11)
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    for a, w, g in zip(mine, coefs, gradients):
        np.testing.assert_allclose(a, w - 0.1 * g, rtol=1e-6, atol=1e-8)


def test_dropout_in_the_estimator():
    options = dict(hidden_layer_sizes=(60, 30), max_iter=15, random_state=0)
    model = MLPClassifier(dropout=(0.1, 0.4, 0.2), **options).fit(X / 16, Y)
    plain = MLPClassifier(**options).fit(X / 16, Y)
    assert model.loss_ > 1.5 * plain.loss_
    assert model.score(X / 16, Y) > 0.85
    again = MLPClassifier(dropout=(0.1, 0.4, 0.2), n_threads=1, **options).fit(X / 16, Y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    np.testing.assert_array_equal(model.predict(X / 16), model.predict(X / 16))
    for rates in (1.0, (0.1,), (0.1, 0.2, -0.1), "half"):
        with pytest.raises(ValueError, match="dropout"):
            MLPClassifier(dropout=rates, **options).fit(X, Y)


def test_label_smoothing():
    """The loss is the cross-entropy with ``(1 - s) y + s / k``."""
    options = dict(label_smoothing=0.2, max_iter=1, batch_size=len(X), alpha=0, random_state=0, learning_rate_init=1e-9)
    model = MLPClassifier((5,), **options).fit(X / 16, Y)
    target = 0.8 * np.eye(10)[Y] + 0.02
    assert model.loss_ == pytest.approx(-(target * model.predict_log_proba(X / 16)).sum(axis=1).mean(), rel=1e-5)
    two = MLPClassifier((5,), **options).fit(X / 16, Y > 4)
    target = 0.8 * np.c_[Y <= 4, Y > 4] + 0.1
    assert two.loss_ == pytest.approx(-(target * two.predict_log_proba(X / 16)).sum(axis=1).mean(), rel=1e-5)


SCALERS = {"minmax": MinMaxScaler, "standard": StandardScaler, "robust": RobustScaler, "robust_clip": lambda: make_pipeline(RobustScaler(), FunctionTransformer(lambda z: z / np.sqrt(1 + (z / 3) ** 2)))}  # fmt: skip


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("form", ["dense", "uint8", "sparse", "fortran"])
def test_normalize_equals_the_scaler_in_front(kind, form):
    data = X * RNG.integers(1, 9, 64)
    if form == "uint8":
        data = X.astype(np.uint8)
    scaled = SCALERS[kind]().fit_transform(data)
    given = {"sparse": sparse.csr_matrix, "fortran": np.asfortranarray}.get(form, lambda d: d)(data)
    options = dict(hidden_layer_sizes=(9,), max_iter=3, random_state=0)
    inside = MLPClassifier(normalize=kind, **options).fit(given, Y)
    outside = MLPClassifier(**options).fit(scaled, Y)
    np.testing.assert_allclose(inside.loss_curve_, outside.loss_curve_, rtol=1e-7)
    np.testing.assert_allclose(inside.predict_proba(given), outside.predict_proba(scaled), rtol=1e-6, atol=1e-9)
    assert inside.input_shift_.shape == inside.input_scale_.shape == (64,)
    assert outside.input_shift_ is None


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint64", "bool"])
@pytest.mark.parametrize("kind", SCALERS)
def test_sparse_rows_are_normalized_as_dense_ones(kind, dtype):
    """Shift and scale are those of float64 numbers, whatever the dtype and form of the rows: to the last bits of a sum."""
    rng = np.random.default_rng(0)
    data = np.where(rng.random((201, 5)) < 0.6, 10 + 2 * rng.normal(size=(201, 5)), 0).astype(dtype)
    dense, entries = (learn_normalization(kind, form(data)) for form in (np.asarray, sparse.csr_array))
    np.testing.assert_allclose(entries.shift, dense.shift, rtol=1e-14)
    np.testing.assert_allclose(entries.scale, dense.scale, rtol=1e-13)
    if kind in ("minmax", "standard"):  # which are learned of rows that come some at a time too
        moments = Moments(kind)
        for rows in (data[:70], data[70:]):
            moments.add(sparse.csr_array(rows))
        shift, scale = moments.scaling(current())
        np.testing.assert_allclose(shift, dense.shift, rtol=1e-14)
        np.testing.assert_allclose(scale, dense.scale, rtol=1e-13)


def test_restore_best_ends_with_the_lowest_loss():
    kept = {}

    def remember(model):
        if model.loss_ == model.best_loss_:
            kept.update(coef=model.coefs_[0].copy(), loss=model.loss_)

    options = dict(learning_rate_init=0.5, max_iter=12, random_state=0, callback=remember)
    model = MLPRegressor(hidden_layer_sizes=(10,), restore_best=True, **options).fit(X / 16, Y)
    assert model.loss_ > model.best_loss_ == kept["loss"]
    np.testing.assert_array_equal(model.coefs_[0], kept["coef"])


@pytest.mark.parametrize("options", [{"l1": 0.1}, {"dropout": 0.5}, {"max_norm": 1.0}, {"clip_norm": 1.0}])
def test_lbfgs_refuses_what_it_cannot_do(options):
    with pytest.raises(ValueError, match="lbfgs"):
        MLPClassifier((5,), solver="lbfgs", **options).fit(X, Y)


def test_limits_reach_the_kernels_from_the_estimator():
    """One epoch of one step from the same start, beside the unlimited step."""
    options = dict(
        hidden_layer_sizes=(12,), solver="gradient_descent", batch_size=len(X), learning_rate_init=0.5,
        max_iter=1, alpha=0.0, random_state=0,
    )  # fmt: skip
    start = MLPClassifier(**(options | {"learning_rate_init": 1e-300})).fit(X / 16, Y)
    free = MLPClassifier(**options).fit(X / 16, Y)

    def change(model):
        pairs = zip([*model.coefs_, *model.intercepts_], [*start.coefs_, *start.intercepts_])
        return np.concatenate([(a - b).ravel() for a, b in pairs])

    norm = np.linalg.norm(change(free)) / 0.5
    clipped = MLPClassifier(clip_norm=norm / 3, **options).fit(X / 16, Y)
    np.testing.assert_allclose(change(clipped), change(free) / 3, rtol=1e-6, atol=1e-12)
    valued = MLPClassifier(clip_value=0.01, **options).fit(X / 16, Y)
    np.testing.assert_allclose(change(valued), np.clip(change(free), -0.005, 0.005), rtol=1e-6, atol=1e-12)
    limited = MLPClassifier(max_norm=0.5, **options).fit(X / 16, Y)
    assert max(np.linalg.norm(coef, axis=0).max() for coef in limited.coefs_) <= 0.5 * (1 + 1e-9)


def test_loss_parameter_and_output_activation_of_the_regressor():
    data = RNG.normal(size=(400, 2))
    target = data[:, 0] + RNG.normal(size=400)
    options = dict(hidden_layer_sizes=(), learning_rate_init=0.05, max_iter=150, tol=0.0, random_state=0)
    for q in (0.1, 0.9):
        model = MLPRegressor(loss="quantile", loss_parameter=q, **options).fit(data, target)
        assert (target < model.predict(data)).mean() == pytest.approx(q, abs=0.03)
    start = options | {"max_iter": 1, "batch_size": 400, "learning_rate_init": 1e-300, "alpha": 0.0}
    for delta in (0.3, 2.0):
        model = MLPRegressor(loss="huber", loss_parameter=delta, **start).fit(data, target)
        expected = reference.LOSSES["huber"](model.predict(data), target, delta).mean()
        assert model.loss_ == pytest.approx(expected, rel=1e-9)
    for name in ("softplus", "logistic", "tanh", "relu", "exp"):
        model = MLPRegressor(out_activation=name, **start).fit(data, target)
        z = data @ model.coefs_[0] + model.intercepts_[0]
        np.testing.assert_allclose(
            model.predict(data), reference.ACTIVATIONS[name](z, 0).ravel(), rtol=1e-9, atol=1e-12
        )
    for bad in ({"loss": "quantile", "loss_parameter": 1.0}, {"loss": "poisson", "loss_parameter": 0.5}):
        with pytest.raises(ValueError, match="loss_parameter"):
            MLPRegressor(**bad).fit(data, np.abs(target))
