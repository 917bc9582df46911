"""Every row of the table of initializers: its distribution, its parameter, its use."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from jitmlp import MLPClassifier
from jitmlp.model.initializers import INITIALIZERS, draw_layer

M, N = 300, 200
BOUNDS = {
    "auto": np.sqrt(6 / (M + N)),
    "uniform": 0.5,
    "glorot_uniform": np.sqrt(6 / (M + N)),
    "he_uniform": np.sqrt(6 / M),
    "lecun_uniform": np.sqrt(3 / M),
}
DEVIATIONS = {
    "normal": 0.01,
    "glorot_normal": np.sqrt(2 / (M + N)),
    "he_normal": np.sqrt(2 / M),
    "lecun_normal": np.sqrt(1 / M),
}


@pytest.mark.parametrize("row", INITIALIZERS, ids=lambda row: row.name)
def test_distribution(row):
    W, b = draw_layer(row.name, np.random.RandomState(0), M, N, False)
    assert W.shape == (M, N) and b.shape == (N,)
    assert (b == 0).all() == (row.bias_bound is None)
    if row.name in BOUNDS:
        bound = BOUNDS[row.name]
        assert 0.999 * bound < np.abs(W).max() <= bound
        assert W.var() == pytest.approx(bound**2 / 3, rel=0.02)
    elif row.name in DEVIATIONS:
        assert W.std() == pytest.approx(DEVIATIONS[row.name], rel=0.02)
        assert np.abs(W).max() > 3.5 * DEVIATIONS[row.name]
    elif row.name == "orthogonal":
        np.testing.assert_allclose(W.T @ W, np.eye(N), atol=1e-10)
    else:
        assert row.name == "zeros" and not W.any()


def test_parameters():
    for name, value, size in (
        ("uniform", 0.2, 0.2 / np.sqrt(3)),
        ("normal", 0.3, 0.3),
        ("orthogonal", 2.0, None),
    ):
        W, _ = draw_layer((name, value), np.random.RandomState(0), M, N, False)
        assert W.std() == pytest.approx(size or 2 / np.sqrt(M), rel=0.02)
    narrow, _ = draw_layer("auto", np.random.RandomState(0), M, N, logistic=True)
    assert np.abs(narrow).max() <= np.sqrt(2 / (M + N))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("row", INITIALIZERS, ids=lambda row: row.name)
def test_in_the_estimator(row):
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier((7,), initializer=row.name, max_iter=1, random_state=4, learning_rate_init=1e-12).fit(X, y)
    expected, _ = draw_layer(row.name, np.random.RandomState(4), 4, 7, False)
    np.testing.assert_allclose(model.coefs_[0], expected, atol=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_a_layer():
    X, y = load_iris(return_X_y=True)
    options = dict(hidden_layer_sizes=(7, 5), max_iter=1, random_state=4, learning_rate_init=1e-12)
    names = ["he_normal", ("uniform", 0.2), "zeros"]
    model = MLPClassifier(**options, initializer=names).fit(X, y)
    random_state = np.random.RandomState(4)
    for name, coef, fan_in, fan_out in zip(names, model.coefs_, (4, 7, 5), (7, 5, 3)):
        np.testing.assert_allclose(coef, draw_layer(name, random_state, fan_in, fan_out, False)[0], atol=1e-10)
    for wrong in (names[:2], [*names, "zeros"], ["zeros", "zeros", "nothing"], ["zeros", 3, "zeros"], []):
        with pytest.raises(ValueError, match="initializer"):
            MLPClassifier(**options, initializer=wrong).fit(X, y)
