"""Batch normalization against its formula, finite differences and itself."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits

import reference
from helpers import Constraints, Data, coefficient_table, make_network
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp_kernels.pieces.batch_norm import EPSILON, MOMENTUM

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
UNITS = (5, 9, 7, 3)


def problem(n_threads=1, hidden="tanh", dtype="float64", optimizer="gradient_descent", **options):
    rng = np.random.default_rng(0)
    network, coefs, intercepts = make_network(
        UNITS, hidden, "softmax", "log_loss", dtype, optimizer=optimizer, rows=30, n_threads=n_threads,
        batch_norm=True, **options,
    )  # fmt: skip
    norms = [[rng.uniform(0.5, 1.5, n), rng.normal(size=n), np.zeros(n), np.ones(n)] for n in UNITS[1:-1]]
    network.pack_norms(norms)
    data, y = rng.normal(size=(30, 5)), rng.integers(3, size=30)
    return network, coefs, intercepts, norms, data, y


def forward(coefs, intercepts, norms, data, activation, collect=None):
    a = data
    for i, (W, b) in enumerate(zip(coefs, intercepts)):
        z = a @ W + b
        if i == len(coefs) - 1:
            return reference.softmax(z)
        mean, variance = z.mean(axis=0), z.var(axis=0)
        if collect is not None:
            collect.append((mean, variance * len(z) / (len(z) - 1)))
        gamma, beta = norms[i][:2]
        a = activation(gamma * (z - mean) / np.sqrt(variance + EPSILON) + beta)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("clip_norm", [np.inf, 0.3])
@pytest.mark.parametrize("hidden", ["tanh", "swish", "relu"])
def test_step_equals_finite_differences(n_threads, clip_norm, hidden):
    """Loss, and all parameters after one step of gradient descent with an L2 penalty."""
    network, coefs, intercepts, norms, data, y = problem(n_threads, hidden, accumulate=True)

    def objective():
        f = reference.ACTIVATIONS[hidden]
        out = forward(coefs, intercepts, norms, data, lambda z: f(z, 1.0))
        penalty = 0.5 * 0.3 * sum((W**2).sum() for W in coefs)
        return (-np.log(out[np.arange(30), y]).sum() + penalty) / 30

    trained = [*coefs, *intercepts, *(v for norm in norms for v in norm[:2])]
    gradients = reference.numeric_gradient(objective, trained)
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    factor = min(1.0, clip_norm / norm)
    table = coefficient_table("gradient_descent", np.full(1, 0.1), np.ones(1), {})
    constraints = Constraints(alpha=0.3, clip_norm=clip_norm)
    loss = network.run(Data(data, y), np.arange(30), 30, table, constraints) / 30
    assert loss == pytest.approx(objective(), rel=1e-9)
    after = [*network.unpack()[0], *network.unpack()[1]]
    after += [v for layer in network.unpack_norms() for v in layer[:2]]
    for new, old, gradient in zip(after, trained, gradients):
        np.testing.assert_allclose(new, old - 0.1 * factor * gradient, rtol=1e-6, atol=1e-8)


def test_running_statistics():
    network, coefs, intercepts, norms, data, y = problem()
    seen = []
    forward(coefs, intercepts, norms, data, np.tanh, seen)
    table = coefficient_table("gradient_descent", np.full(1, 0.0), np.ones(1), {})
    network.run(Data(data, y), np.arange(30), 30, table, Constraints())
    for (_, _, mean, variance), (batch_mean, batch_variance) in zip(network.unpack_norms(), seen):
        np.testing.assert_allclose(mean, (1 - MOMENTUM) * batch_mean, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(variance, MOMENTUM + (1 - MOMENTUM) * batch_variance, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(dtype):
    results = []
    for n_threads in (1, 2, 3):
        network, *_, data, y = problem(n_threads, dtype=dtype, optimizer="adam", dropout=(0.1, 0.2, 0.3))
        table = coefficient_table("adam", np.full(12, 1e-2), np.arange(1.0, 13), {})
        total = network.run(Data(data.astype(dtype), y), np.tile(np.arange(30), 4), 10, table, Constraints(0.1))
        arrays = [*network.unpack()[0], *(v for layer in network.unpack_norms() for v in layer)]
        results.append((total, arrays, network.predict(Data(data.astype(dtype)))))
    for total, arrays, outputs in results[1:]:
        assert total == results[0][0]
        np.testing.assert_array_equal(outputs, results[0][2])
        for a, b in zip(arrays, results[0][1]):
            np.testing.assert_array_equal(a, b)


def test_prediction_is_folded_into_the_weights():
    """The estimator's folded network, and the running values applied one by one, agree."""
    model = MLPClassifier((30, 20), batch_norm=True, max_iter=8, random_state=0).fit(X, Y)
    a = X
    for W, b, (gamma, beta, mean, variance) in zip(model.coefs_, model.intercepts_, model.batch_norm_):
        a = np.maximum(gamma * (a @ W + b - mean) / np.sqrt(variance + EPSILON) + beta, 0)
    expected = reference.softmax(a @ model.coefs_[-1] + model.intercepts_[-1])
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.network_.forward(X), expected, rtol=1e-8, atol=1e-12)
    assert model.score(X, Y) > 0.7


def test_it_learns_where_plain_training_is_slow():
    """Badly scaled inputs and a deep logistic network: the case it was made for."""
    options = dict(hidden_layer_sizes=(30, 30, 30), activation="logistic", max_iter=10, random_state=0)
    plain = MLPClassifier(**options).fit(X * 3, Y).score(X * 3, Y)
    assert MLPClassifier(batch_norm=True, **options).fit(X * 3, Y).score(X * 3, Y) > plain + 0.3


def test_early_stopping_pickle_and_partial_fit():
    options = dict(hidden_layer_sizes=(12, 8), batch_norm=True, random_state=0)
    model = MLPClassifier(early_stopping=True, max_iter=15, **options).fit(X, Y)
    held = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(held.predict_proba(X), model.predict_proba(X))
    whole, parts = MLPRegressor(**options), MLPRegressor(**options)
    for _ in range(3):
        whole.partial_fit(X, Y)
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, Y)))
    np.testing.assert_array_equal(whole.predict(X), parts.predict(X))
    with pytest.raises(ValueError, match="lbfgs"):
        MLPRegressor(solver="lbfgs", **options).fit(X, Y)
