"""The network interface: the lecture's figures, the oracle, and the fitted estimators."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

import reference
from jitmlp import MLPClassifier, MLPRegressor, NeuralNetwork
from jitmlp_kernels.rules.optimizers import OPTIMIZERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)


def random_network(units=(4, 6, 5, 3), **options):
    coefs = [RNG.normal(size=shape) / 2 for shape in zip(units, units[1:])]
    intercepts = [RNG.normal(size=n) / 2 for n in units[1:]]
    return NeuralNetwork(coefs, intercepts, **options), coefs, intercepts


def test_xor_of_the_lecture():
    """Row 3: the figures that the slide prints."""
    xor = NeuralNetwork([[[-6, 6], [6, -6]], [[-8], [-8]]], [[3, 3], [12]])
    inputs = [[0, 0], [1, 0], [0, 1], [1, 1]]
    np.testing.assert_allclose(xor.forward(inputs).ravel(), [0.0376, 0.9740, 0.9740, 0.0376], atol=5e-5)


@pytest.mark.parametrize("n", [1, 7, 2500])
def test_layers_equal_the_oracle(n):
    network, coefs, intercepts = random_network(activation=("tanh", "gelu"), out_activation="softmax", loss="log_loss")
    data, y = RNG.normal(size=(n, 4)), RNG.integers(3, size=n)
    pairs = [("tanh", 0), ("gelu", 0), ("softmax", 0)]
    values = reference.forward(coefs, intercepts, pairs, data)
    for mine, expected in zip(network.activations(data), values):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-13)
    for mine, a, W, b in zip(network.preactivations(data), values, coefs, intercepts):
        np.testing.assert_allclose(mine, a @ W + b, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(network.forward(data), values[-1], rtol=1e-10)
    deltas = network.deltas(data, y)
    np.testing.assert_allclose(deltas[-1], values[-1] - np.eye(3)[y], rtol=1e-9, atol=1e-13)
    coef_gradients, intercept_gradients = network.gradients(data, y)
    for a, delta, g, h in zip(values, deltas, coef_gradients, intercept_gradients):
        np.testing.assert_allclose(g, a.T @ delta / n, rtol=1e-8, atol=1e-13)
        np.testing.assert_allclose(h, delta.mean(axis=0), rtol=1e-8, atol=1e-13)
    assert network.loss(data, y, alpha=0.3) == pytest.approx(
        reference.loss(coefs, intercepts, pairs, data, np.eye(3)[y], "log_loss", alpha=0.3)
    )


def test_backpropagation_of_the_slides():
    """Row 7: dC/dw = a sigma'(z) 2 (a - y), with the slide's cost twice ours."""
    w, b, x, y = 0.6, -0.2, 1.5, 0.3
    network = NeuralNetwork([[[w]]], [[b]])
    a = 1 / (1 + np.exp(-(w * x + b)))
    (coef_gradient,), (intercept_gradient,) = network.gradients([[x]], [y])
    np.testing.assert_allclose(2 * coef_gradient[0, 0], x * a * (1 - a) * 2 * (a - y))
    np.testing.assert_allclose(2 * intercept_gradient[0], a * (1 - a) * 2 * (a - y))


@pytest.mark.parametrize("solver", [row.name for row in OPTIMIZERS if row.name != "gradient"])
def test_steps_descend_and_keep_their_state(solver):
    network, *_ = random_network((4, 8, 3), activation="tanh", out_activation="softmax", loss="log_loss")
    rate = {"lion": 0.003, "adam": 0.02, "amsgrad": 0.02, "adamw": 0.02, "nadam": 0.02, "rmsprop": 0.005}.get(
        solver, 0.05
    )
    losses = [network.step(X, Y, solver=solver, learning_rate=rate) for _ in range(150)]
    assert losses[-1] < 0.6 * losses[0]
    assert network.step(X[:30], Y[:30], solver=solver, learning_rate=rate) == pytest.approx(
        network.loss(X[:30], Y[:30]), rel=0.5
    )


@pytest.mark.parametrize("normalize", [None, "standard"])
def test_network_of_a_fitted_estimator(normalize):
    for estimator in (MLPClassifier, MLPRegressor):
        model = estimator(hidden_layer_sizes=(6, 5), activation=("tanh", "swish"), max_iter=5, normalize=normalize)
        model.fit(X, Y)
        network = model.network_
        expected = model.predict_proba(X) if estimator is MLPClassifier else model.predict(X)[:, None]
        np.testing.assert_array_equal(network.forward(X), expected)
        np.testing.assert_array_equal(network.activations(X)[-1], expected)
        assert network.layer_units == (4, 6, 5, expected.shape[1])


def test_linear_regression_equals_the_closed_form():
    """Row 6: batch gradient descent by the estimator, and by hand as on the slide."""
    data = RNG.normal(size=(200, 3))
    target = data @ [1.0, -2.0, 0.5] + 3 + 0.1 * RNG.normal(size=200)
    theta = np.linalg.lstsq(np.c_[np.ones(200), data], target, rcond=None)[0]
    model = MLPRegressor(
        hidden_layer_sizes=(), solver="gradient_descent", batch_size=200, alpha=0, learning_rate_init=0.1,
        max_iter=500, tol=0, n_iter_no_change=500, random_state=0,
    ).fit(data, target)  # fmt: skip
    np.testing.assert_allclose(np.r_[model.intercepts_[0], model.coefs_[0].ravel()], theta, rtol=1e-7)
    network = NeuralNetwork([np.zeros((3, 1))], [[0.0]], out_activation="identity")
    by_hand = np.zeros(4)
    for _ in range(20):
        network.step(data, target, learning_rate=0.1)
        extended = np.c_[np.ones(200), data]
        by_hand -= 0.1 * (1 / 200) * extended.T @ (extended @ by_hand - target)
    np.testing.assert_allclose(np.r_[network.intercepts[0], network.coefs[0].ravel()], by_hand, rtol=1e-12)


@pytest.mark.parametrize("coefs, intercepts, words", [
    ([], [], "one array a layer"),
    ([np.ones((2, 3))], [np.ones(2)], "layer 0"),
    ([1.0], [1.0], "layer 0"),
    ([np.ones((2, 3)), 1.0], [np.ones(3), np.ones(1)], "layer 1"),
    ([np.ones((2, 3)), np.ones((4, 1))], [np.ones(3), np.ones(1)], "layer 1"),
])  # fmt: skip
def test_shapes_must_fit(coefs, intercepts, words):
    with pytest.raises(ValueError, match=words):
        NeuralNetwork(coefs, intercepts)


def test_errors_name_what_was_given():
    network, *_ = random_network()
    with pytest.raises(ValueError, match="4 features, got 3"):
        network.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match="3 columns"):
        network.gradients(np.ones((2, 4)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="solver"):
        network.step(np.ones((2, 4)), [0, 1], solver="newton")
    with pytest.raises(ValueError, match="loss"):
        random_network(loss="hinge")
    with pytest.raises(ValueError, match="dtype"):
        random_network(dtype="int8")
