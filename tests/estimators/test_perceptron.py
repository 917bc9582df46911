"""Rosenblatt's rule, against scikit-learn's Perceptron on the same order of samples."""

import numpy as np
import pytest
import sklearn.linear_model
from sklearn.datasets import load_digits, load_iris
from sklearn.utils.estimator_checks import check_estimator

from jitmlp import Perceptron

GATES = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("load", [load_iris, load_digits])
@pytest.mark.parametrize(
    "options", [{"max_iter": 7, "tol": None}, {"tol": 1e-3}, {"eta0": 0.3}, {"fit_intercept": False}]
)
def test_equals_scikit_learn(load, options):
    X, y = load(return_X_y=True)
    mine = Perceptron(shuffle=False, **options).fit(X, y)
    theirs = sklearn.linear_model.Perceptron(shuffle=False, **options).fit(X, y)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=1e-9)
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
    assert mine.n_iter_ == theirs.n_iter_


@pytest.mark.parametrize("gate, y", [("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1]), ("nand", [1, 1, 1, 0])])
def test_learns_what_is_linearly_separable(gate, y):
    """Row 1: the rule converges, and the output is 1 where w.x + b > 0."""
    model = Perceptron(tol=None, random_state=0).fit(GATES, y)
    np.testing.assert_array_equal(model.predict(GATES), y)
    np.testing.assert_array_equal(GATES @ model.coef_[0] + model.intercept_[0] > 0, y)
    assert model.mistakes_[0][-1] == 0 and model.n_iter_ < 50


def test_cannot_learn_xor():
    """Row 1: no weights do it, and no epoch is without a mistake."""
    with pytest.warns(UserWarning, match="Maximum number of iterations"):
        model = Perceptron(tol=None, max_iter=200, random_state=0).fit(GATES, [0, 1, 1, 0])
    assert min(model.mistakes_[0]) > 0
    assert (model.predict(GATES) != [0, 1, 1, 0]).any()


@pytest.mark.filterwarnings("ignore")
def test_estimator_checks():
    results = check_estimator(Perceptron(), on_fail=None)
    assert [r["check_name"] for r in results if r["status"] == "failed"] == []
