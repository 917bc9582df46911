"""Models as C and as PyTorch modules: compiled and run, they say what the estimator says."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jitmlp import Activation, MLPClassifier, MLPRegressor
from jitmlp.estimators import c_export, torch_export
from jitmlp_kernels.rules.activations import ACTIVATIONS as ROWS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
NUMBERS = X @ np.random.default_rng(0).normal(size=(64, 2))
HIDDEN = [
    *[row.name for row in ROWS if row.hidden], Activation("leaky_relu", 0.3), Activation("elu", 0.5), Activation("swish", 2.0),
]  # fmt: skip
# what is done before the first product has nothing to do with the activations
BEFORE = [{"numeric_bins": 5, "normalize": "standard"}, {"normalize": "robust_clip"}, {"batch_norm": True, "normalize": "minmax"},
          {"numeric_bins": 5, "normalize": "robust_clip"}, {"batch_norm": True, "normalize": "standard"}]  # fmt: skip
CASES = [
    *((activation, options) for activation in [*HIDDEN, ("tanh", "relu")] for options in ({}, {"dtype": "float32"})),
    *((activation, options) for activation in ("selu", "softplus") for options in BEFORE),
]
COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")
SOURCE = """
#include "model.h"
void rows(const {kind} *x, {kind} *out, int n)
{{ for (int r = 0; r < n; r++) model_predict(x + r * model_n_inputs, out + r * model_n_outputs); }}
"""
CLASSES = "void classes(const {kind} *x, int *out, int n) {{ for (int r = 0; r < n; r++) out[r] = model_predict_class(x + r * model_n_inputs); }}"


def compiled(model, folder, rows):
    """Outputs, and classes where there are any, of the header compiled without a warning."""
    header = model.to_c(folder / "model.h")
    assert (folder / "model.h").read_text() == header
    double = "#define T double" in header
    kind, dtype = ("double", np.float64) if double else ("float", np.float32)
    classify = "model_predict_class" in header
    (folder / "run.c").write_text((SOURCE + CLASSES * classify).format(kind=kind))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wdouble-promotion", "-O1", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *flags, "run.c", "-o", "run.so", "-lm"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "run.so"))
    rows = np.ascontiguousarray(rows, dtype)
    out = np.full((len(rows), model.n_outputs_), np.nan, dtype)
    library.rows(rows.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), len(rows))
    chosen = np.full(len(rows), -1, np.int32)
    if classify:
        library.classes(rows.ctypes.data_as(ctypes.c_void_p), chosen.ctypes.data_as(ctypes.c_void_p), len(rows))
    return out, chosen if classify else None


def fitted(activation="relu", **options):
    small = {"initializer": ("normal", 0.02), "learning_rate_init": 1e-4} if activation == "exp" else {}
    model = MLPClassifier((12, 9), activation=activation, max_iter=3, random_state=0, **small, **options)
    return model.fit(X[:600], Y[:600])


def test_every_activation_has_its_formula():
    names = {row.name for row in ROWS}
    assert {*c_export.ACTIVATIONS, "softmax"} == names == set(torch_export.ACTIVATIONS)


@needs_compiler
@pytest.mark.parametrize("activation, options", CASES, ids=str)
def test_a_header_says_what_the_estimator_says(activation, options, tmp_path):
    model = fitted(activation, **options)
    out, chosen = compiled(model, tmp_path, X[600:900])
    single = options.get("dtype") == "float32"
    np.testing.assert_allclose(out, model.predict_proba(X[600:900]), rtol=2e-4 if single else 1e-9, atol=1e-12)
    assert out.dtype == (np.float32 if single else np.float64)
    assert (model.classes_[chosen] == model.predict(X[600:900])).mean() > (0.99 if single else 0.999)


@needs_compiler
@pytest.mark.parametrize("model, target", [
    (MLPRegressor(hidden_layer_sizes=(8,)), NUMBERS), (MLPRegressor(hidden_layer_sizes=()), NUMBERS[:, 0]),
    (MLPRegressor(hidden_layer_sizes=(8, 7, 6), loss="poisson"), Y), (MLPClassifier((8,)), np.array(["b", 'a"\\'])[Y % 2]),
    (MLPClassifier((8,), out_activation="identity", loss="squared_error"), Y),
    (MLPClassifier((8,)), np.column_stack([Y > 4, Y % 2]).astype(int)),
], ids=str)  # fmt: skip
def test_every_task_as_a_header(model, target, tmp_path):
    model.set_params(max_iter=5, random_state=0).fit(X, target)
    out, chosen = compiled(model, tmp_path, X)
    np.testing.assert_allclose(out, model._outputs(X), rtol=1e-9, atol=1e-12)
    exclusive = isinstance(model, MLPClassifier) and target.ndim == 1
    assert (chosen is not None) == exclusive
    if exclusive:
        np.testing.assert_array_equal(model.classes_[chosen], model.predict(X))


def test_headers_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        MLPClassifier().to_c()
    with pytest.raises(ValueError, match="identifier"):
        fitted().to_c(name="3 d")
    own = fitted(Activation(lambda z: z * z))
    for convert in (own.to_c, own.to_torch) if torch_available() else (own.to_c,):
        with pytest.raises(ValueError, match="knows the activations"):
            convert()


@needs_compiler
@pytest.mark.parametrize("labels", [["😀", "b"], ["a\x01", "b\x7f"], ["??/", '"\\\n'], ["*/", "ü%d"]], ids=str)
def test_labels_and_names_of_any_characters(labels, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:, :3], columns=["*\\\n/ int bad;", "/*", "ü"])
    model = MLPClassifier((4,), max_iter=3, random_state=0).fit(frame, np.array(labels)[Y % 2])
    text = SOURCE + CLASSES + "const char *label(int i) {{ return model_classes[i]; }}"
    (tmp_path / "run.c").write_text(text.format(kind="double"))
    model.to_c(tmp_path / "model.h")
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *flags, "run.c", "-o", "run.so", "-lm"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "run.so"))
    library.label.restype = ctypes.c_char_p
    assert [library.label(i).decode() for i in range(2)] == list(model.classes_)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_make_no_header(value):
    model = fitted()
    model.coefs_[1] = np.full_like(model.coefs_[1], value)
    with pytest.raises(ValueError, match="finite"):
        model.to_c()


def torch_available():
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("activation, options", CASES, ids=str)
def test_a_module_says_what_the_estimator_says_and_trains_on(activation, options, tmp_path):
    torch = pytest.importorskip("torch")
    model = fitted(activation, **options)
    module = model.to_torch()
    rows = torch.tensor(X[600:900], dtype=next(module.parameters()).dtype)
    single = options.get("dtype") == "float32"
    with torch.no_grad():
        np.testing.assert_allclose(
            module(rows), model.predict_proba(X[600:900]), rtol=2e-4 if single else 1e-6, atol=1e-7
        )
        np.testing.assert_allclose(
            module[:-1](rows), model.predict_logits(X[600:900]), rtol=2e-3 if single else 1e-6, atol=2e-5
        )
    loss = torch.nn.CrossEntropyLoss()(module[:-1](rows), torch.tensor(Y[600:900]))
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    torch.save(module, tmp_path / "module.pt")
    back = torch.load(tmp_path / "module.pt", weights_only=False)
    with torch.no_grad():
        assert torch.equal(back(rows), module(rows))
    before = model.coefs_[0].copy()
    with torch.no_grad():
        next(module.parameters()).zero_()
    np.testing.assert_array_equal(model.coefs_[0], before)


def test_a_regressor_as_a_module():
    torch = pytest.importorskip("torch")
    model = MLPRegressor(hidden_layer_sizes=(8,), max_iter=3, random_state=0).fit(X, NUMBERS)
    with torch.no_grad():
        np.testing.assert_allclose(model.to_torch()(torch.tensor(X)), model.predict(X), rtol=1e-9)
