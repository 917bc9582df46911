"""What the pictures draw is what was measured; a network in words counts what is there."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import DataConversionWarning
from sklearn.inspection import DecisionBoundaryDisplay, PartialDependenceDisplay

import jitmlp
from jitmlp import (
    LayersDisplay,
    LearningRateDisplay,
    LossCurveDisplay,
    MLPClassifier,
    MLPRegressor,
    NeuralNetwork,
    Perceptron,
    WeightsDisplay,
)
from jitmlp.training.schedules import SCHEDULES

pyplot = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X[:500] / 16
Y = Y[:500]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def model():
    return MLPClassifier((20, 12), max_iter=12, early_stopping=True, random_state=0).fit(X, Y)


def drawn(line):
    return [list(a) for a in line.get_data()]


def test_the_loss_curve(model):
    display = LossCurveDisplay.from_estimator(model, alpha=0.5)
    assert [line.get_label() for line in display.lines_] == ["training loss", "validation loss", "validation score"]
    for line, values in zip(
        display.lines_, (model.loss_curve_, model.validation_loss_curve_, model.validation_scores_)
    ):
        assert drawn(line) == [list(range(1, model.n_iter_ + 1)), list(values)] and line.get_alpha() == 0.5
    ax = pyplot.figure().subplots()
    alone = LossCurveDisplay.from_estimator(MLPClassifier((5,), max_iter=3).fit(X, Y), ax=ax)
    assert len(alone.lines_) == 1 and alone.ax_ is ax and alone.figure_ is ax.figure
    with pytest.raises(ValueError, match="lbfgs"):
        LossCurveDisplay.from_estimator(MLPClassifier((5,), solver="lbfgs", max_iter=3).fit(X, Y))
    with pytest.raises(ValueError, match="not fitted"):
        LossCurveDisplay.from_estimator(MLPClassifier())


@pytest.mark.parametrize("schedule", [row.name for row in SCHEDULES])
def test_a_planned_schedule_is_the_one_that_is_trained_with(schedule):
    options = dict(hidden_layer_sizes=(5,), solver="sgd", learning_rate=schedule, batch_size=100, max_iter=6, tol=0)
    model = MLPClassifier(**options, n_iter_no_change=100, random_state=0)
    planned = LearningRateDisplay.from_estimator(model, n_samples=len(X))
    rates = np.asarray(planned.line_.get_ydata()).reshape(6, 5)
    fitted = LearningRateDisplay.from_estimator(model.fit(X, Y))
    np.testing.assert_array_equal(rates[:, -1], fitted.line_.get_ydata())
    assert drawn(fitted.line_) == [[1, 2, 3, 4, 5, 6], model.history_["learning_rate"]]


def test_the_weights_as_images(model):
    display = WeightsDisplay.from_estimator(model, units=7)
    norms = np.linalg.norm(model.coefs_[0], axis=0)
    for image, unit in zip(display.images_, np.argsort(-norms)[:7]):
        np.testing.assert_array_equal(image.get_array(), model.coefs_[0][:, unit].reshape(8, 8))
    assert len(display.images_) == 7
    chosen = WeightsDisplay.from_estimator(model, units=[3, 1], shape=(4, 16))
    np.testing.assert_array_equal(chosen.images_[1].get_array(), model.coefs_[0][:, 1].reshape(4, 16))
    assert np.asarray(WeightsDisplay(model.coefs_[0][:48, :2], (4, 4, 3)).plot().images_[0].get_array()).max() <= 1
    with pytest.raises(ValueError, match="shape"):
        WeightsDisplay.from_estimator(model, shape=(8, 9))
    with pytest.raises(ValueError, match="shape must be given"):
        WeightsDisplay.from_estimator(MLPClassifier((5,), max_iter=2).fit(X[:, :60], Y))


@pytest.mark.parametrize("options", [{}, {"normalize": "standard", "batch_norm": True}], ids=str)
def test_the_layers_activations_and_gradients(options):
    model = MLPClassifier((20, 12), max_iter=3, random_state=0, alpha=0.0, **options).fit(X, Y)
    display = LayersDisplay.from_estimator(model, X, Y, bins=11)
    assert display.ax_.shape == (2, 3)
    np.testing.assert_allclose(display.activations[-1], model.predict_proba(X), rtol=1e-9)
    for l in range(3):
        heights = [patch.get_height() for patch in display.ax_[0, l].patches]
        assert sum(heights) == display.activations[l].size and len(heights) == 11
    network = model.network_
    np.testing.assert_allclose(display.gradients[0], network.gradients(X, Y)[0][0])
    assert LayersDisplay.from_estimator(model, X).ax_.shape == (1, 3)


def test_targets_as_fit_takes_them_and_no_others():
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    words = np.array(["se", "ve", "vi"])[Y % 3]
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, words)
    plain = LayersDisplay.from_estimator(model, X, words).gradients[0]
    np.testing.assert_array_equal(LayersDisplay.from_estimator(model, X, list(words)).gradients[0], plain)
    with pytest.warns(DataConversionWarning):
        column = LayersDisplay.from_estimator(model, X, pandas.DataFrame({"y": words})).gradients[0]
    np.testing.assert_array_equal(column, plain)
    with pytest.raises(ValueError, match="classes"):
        LayersDisplay.from_estimator(model, X, np.where(words == "se", "sf", words))
    labels = np.column_stack([Y > 4, Y % 2, Y > 7]).astype(int)
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, labels)
    np.testing.assert_array_equal(
        LayersDisplay.from_estimator(model, X, sparse.csr_matrix(labels)).gradients[0],
        LayersDisplay.from_estimator(model, X, labels).gradients[0],
    )


@pytest.mark.parametrize("wrong", [{"units": 0}, {"units": 21}, {"shape": 64}, {"shape": (8, 4, 2)}], ids=str)
def test_pictures_that_cannot_be_are_refused(model, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WeightsDisplay.from_estimator(model, **wrong)
    mask = np.arange(20) % 2 == 0
    assert len(WeightsDisplay.from_estimator(model, units=mask).images_) == 10
    with pytest.raises(ValueError, match="lbfgs"):
        LearningRateDisplay.from_estimator(MLPClassifier(solver="lbfgs"), n_samples=10)
    assert LossCurveDisplay.from_estimator(model, label="mine").lines_[0].get_label() == "mine"


def test_scikit_learns_own_displays_take_the_estimators():
    two = MLPClassifier((8,), max_iter=30, random_state=0).fit(X[:, 10:12], Y > 4)
    found = DecisionBoundaryDisplay.from_estimator(
        two, X[:, 10:12], response_method="predict_proba", grid_resolution=20
    )
    grid = np.column_stack([found.xx0.ravel(), found.xx1.ravel()])
    np.testing.assert_allclose(np.ravel(found.response), two.predict_proba(grid)[:, 1])
    regressor = MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X, Y)
    shown = PartialDependenceDisplay.from_estimator(regressor, X, [20], grid_resolution=5)
    values = shown.pd_results[0]
    for value, mean in zip(values["grid_values"][0], values["average"][0]):
        rows = X.copy()
        rows[:, 20] = value
        assert mean == pytest.approx(regressor.predict(rows).mean())


class TestSummary:
    @pytest.mark.parametrize("options", [
        {}, {"batch_norm": True, "dropout": 0.25}, {"normalize": "minmax", "activation": jitmlp.Activation("elu", 0.5)},
        {"dtype": "float32", "activation": ("tanh", "relu")},
    ], ids=str)  # fmt: skip
    def test_it_counts_what_is_there(self, options):
        model = MLPClassifier((20, 12), max_iter=2, random_state=0, **options).fit(X, Y)
        trained = [*model.coefs_, *model.intercepts_, *(a for norm in model.batch_norm_ for a in norm[:2])]
        text = model.summary()
        assert f"{sum(a.size for a in trained):,} parameters" in text
        size = sum(a.nbytes for a in trained)
        assert f"{size / 1e3:.1f} kB of {model.coefs_[0].dtype}" in text
        assert ("batch norm" in text) == bool(options.get("batch_norm"))
        assert ("dropout 0.25" in text) == ("dropout" in options)
        assert ("normalized" in text) == ("normalize" in options) and ("elu(0.5)" in text) == ("normalize" in options)
        rows = [line for line in text.splitlines() if line.startswith(("inputs", "hidden", "output"))]
        assert [row.split()[2 if row.startswith("hidden") else 1] for row in rows] == ["64", "20", "12", "10"]

    def test_it_is_of_the_fitted_network_not_of_the_next(self):
        model = MLPClassifier((8,), max_iter=2, batch_norm=True).fit(X, Y)
        text = model.summary()
        assert model.set_params(batch_norm=False, dropout=(0.1, 0.2, 0.3)).summary() == text

    def test_networks_show_themselves(self):
        network = MLPClassifier((20,), max_iter=2, random_state=0).fit(X, Y).network_
        assert repr(network) == "NeuralNetwork(64-20-10; relu, softmax; float64)"
        page = network._repr_html_()
        assert [int(w) for w in re.findall(r"width:(\d+)px", page)] == [120, round(120 * 20 / 64), round(120 * 10 / 64)]
        assert page.count("<tr>") == 4 and "1,510 parameters" in page
        own = NeuralNetwork([[[1.0]]], [[0.0]], out_activation=jitmlp.Activation(lambda z: z))
        assert "<lambda>" not in own._repr_html_()

    def test_nothing_is_said_of_what_is_not_fitted(self):
        with pytest.raises(ValueError, match="not fitted"):
            MLPClassifier().summary()


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor", "Perceptron"])
def test_the_html_of_an_estimator_links_to_its_page(name):
    link = getattr(jitmlp, name)()._get_doc_link()
    assert link == f"https://jitmlp.readthedocs.io/en/stable/generated/jitmlp.{name}.html"
    assert link in getattr(jitmlp, name)()._repr_html_()
    assert Perceptron._doc_link_module == "jitmlp"


@pytest.mark.parametrize("wrong, hint", [
    ({"solver": "adma"}, "adam"), ({"learning_rate": "cosin"}, "cosine"), ({"loss": "squared_eror"}, "squared_error"),
    ({"activation": "rellu"}, "relu"), ({"initializer": "he_norml"}, "he_normal"), ({"normalize": "standart"}, "standard"),
    ({"scoring": "acuracy"}, "accuracy"), ({"on_divergence": "rise"}, "raise"), ({"out_activation": "sofmax"}, "softmax"),
    ({"solver_params": {"momentun": 0.5}, "solver": "rmsprop"}, "momentum"), ({"dtype": "float23"}, "float32"),
    ({"learning_rate_params": {"facto": 0.5}, "learning_rate": "step"}, "factor"),
], ids=str)  # fmt: skip
def test_errors_suggest_the_nearest_name(wrong, hint):
    with pytest.raises(ValueError, match=f"did you mean '{hint}'"):
        MLPClassifier(**wrong).fit(X, Y)
