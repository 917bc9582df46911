"""ONNX graphs, run by onnxruntime: what they say is what the estimator says."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jitmlp import Activation, MLPClassifier, MLPRegressor
from jitmlp.engine.normalization import NORMALIZATIONS
from jitmlp.estimators.onnx_export import ACTIVATIONS
from jitmlp_kernels.rules.activations import ACTIVATIONS as ROWS

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
BOTH = np.column_stack([Y > 4, Y % 2 == 0]).astype(int)
NUMBERS = X @ np.random.default_rng(0).normal(size=(64, 2))


def run(model, rows):
    """Outputs by name."""
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    wanted = {"tensor(float)": np.float32, "tensor(double)": np.float64}[session.get_inputs()[0].type]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: np.asarray(rows, wanted)})))


def check(model, rows):
    """Whether the graph and the estimator agree."""
    found, tolerance = run(model, rows), 2e-5 if model.coefs_[0].dtype == np.float32 else 1e-6
    if isinstance(model, MLPRegressor):
        wanted = model.predict(rows)
        assert found["prediction"].dtype == wanted.dtype
        np.testing.assert_allclose(found["prediction"], wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
        return
    wanted, labels = model.predict_proba(rows), model.predict(rows)
    np.testing.assert_allclose(found["probabilities"], wanted, rtol=tolerance, atol=tolerance)
    near = np.abs(np.sort(wanted, axis=1)[:, -1] - np.sort(wanted, axis=1)[:, -2]) < 1e-4
    np.testing.assert_array_equal(found["label"][~near], labels[~near])
    assert found["label"].shape == labels.shape and near.mean() < 0.2


def test_every_activation_has_its_formula():
    assert set(ACTIVATIONS) == {row.name for row in ROWS}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "activation, batch_norm, normalize",
    [
        *((row.name, False, None) for row in ROWS if row.hidden),
        # what is done before the first product has nothing to do with the activations
        *((activation, norm, kind) for activation in ("tanh", "mish") for norm in (False, True) for kind in (None, *NORMALIZATIONS)),
    ],
)  # fmt: skip
def test_activations_normalizations_and_dtypes(activation, batch_norm, normalize, dtype):
    # powers of powers must not overflow
    small = {"initializer": ("normal", 0.02), "learning_rate_init": 1e-4} if activation == "exp" else {}
    model = MLPClassifier((12, 9), activation=activation, batch_norm=batch_norm, normalize=normalize, dtype=dtype,
                          max_iter=3, random_state=0, **small)  # fmt: skip
    check(model.fit(X[:600], Y[:600]), X[600:900])


@pytest.mark.parametrize(
    "activation", [Activation("leaky_relu", 0.3), Activation("elu", 0.5), Activation("swish", 2.0)]
)
def test_parameters_of_activations(activation):
    check(MLPClassifier((12,), activation=activation, max_iter=3, random_state=0).fit(X, Y), X)


LABELS = {
    "integers": Y - 3, "words": np.array(list("abcdefghij"))[Y], "two words": np.array(["no", "yes"])[(Y > 4).astype(int)],
    "booleans": Y > 4, "numbers": Y.astype(float), "small integers": Y.astype(np.int8), "objects": np.array(list("abcdefghij"), object)[Y],
    "labels": BOTH,
}  # fmt: skip


@pytest.mark.parametrize(
    "labels, out_activation",
    [
        (labels, out_activation)
        for labels in LABELS
        for out_activation in (None, "softmax", "logistic", "identity", "tanh")
        if out_activation != "softmax" or labels not in ("two words", "booleans", "labels")
    ],
)
def test_labels_of_every_kind_with_every_output(labels, out_activation):
    y = LABELS[labels]
    loss = "squared_error" if out_activation in ("identity", "tanh") else "log_loss"
    model = MLPClassifier((12,), out_activation=out_activation, loss=loss, max_iter=5, random_state=0)
    check(model.fit(X, y), X)


@pytest.mark.parametrize(
    "options", [{}, {"loss": "poisson"}, {"loss": "poisson", "out_activation": "softplus"}], ids=str
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_regression(options, outputs):
    y = NUMBERS if not options else np.abs(NUMBERS)
    check(
        MLPRegressor(hidden_layer_sizes=(12,), max_iter=5, random_state=0, **options).fit(X, y[:, :outputs].squeeze()),
        X,
    )


@pytest.mark.parametrize("label", [0, 7, "one"])
def test_one_class(label):
    model = MLPClassifier((4,), max_iter=2, random_state=0).fit(X[:50], np.full(50, label))
    np.testing.assert_array_equal(run(model, X)["label"], model.predict(X))


def test_large_shifts_and_a_file(tmp_path):
    stamps = 1.7e9 + 600 * np.random.default_rng(0).normal(size=(400, 3))
    y = (stamps - 1.7e9) @ [1.0, -2.0, 0.5] / 600
    model = MLPRegressor(hidden_layer_sizes=(20,), normalize="standard", dtype="float32", random_state=0).fit(stamps, y)
    check(model, stamps)
    made = model.to_onnx(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == made.SerializeToString()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalize", [None, "standard"])
def test_numbers_in_bins(normalize, dtype):
    model = MLPClassifier((12,), numeric_bins=5, normalize=normalize, dtype=dtype, max_iter=3, random_state=0)
    check(model.fit(X[:600], Y[:600]), X[600:900])
    assert any(len(edges) for edges in model.bins_)


def test_formulas_of_ones_own_are_refused():
    model = MLPClassifier((4,), activation=Activation(lambda x: x * x), max_iter=1).fit(X, Y)
    with pytest.raises(ValueError, match="to_onnx knows the activations"):
        model.to_onnx()
