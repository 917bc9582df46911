"""Model files: what goes in comes out, and whatever else is in one is refused."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import jitmlp
from jitmlp import Activation, Checkpoint, Loss, MLPClassifier, MLPRegressor, ModelFileError, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = 100_000 if os.environ.get("NIGHTLY") else 1500
LABELS = np.c_[Y % 2, Y > 4, Y % 3 == 0].astype(int)
MODELS = {
    "digits": (MLPClassifier((12,), max_iter=3, random_state=0), X, Y),
    "two classes in float32": (MLPClassifier((6,), max_iter=3, random_state=0, dtype="float32"), X, Y > 4),
    "words": (MLPClassifier((6,), max_iter=3, random_state=0), X, np.array(["no", "perhaps", "yes"])[Y % 3]),
    "labels": (MLPClassifier((6,), max_iter=3, random_state=0), X, LABELS),
    "normalized": (MLPClassifier((6,), max_iter=3, random_state=0, normalize="standard", batch_norm=True), X, Y),
    "clipped": (MLPClassifier((6,), max_iter=3, random_state=0, normalize="robust_clip"), X, Y),
    "in bins": (MLPClassifier((6,), max_iter=3, random_state=0, numeric_bins=4, normalize="minmax"), X, Y),
    "layers": (MLPClassifier((6, 4), max_iter=3, random_state=0, activation=(Activation("elu", 0.5), "tanh"), dropout=(0.1, 0.2, 0.0)), X, Y),
    "numbers": (MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0, loss="huber", solver="sgd", learning_rate="cosine"), X, X[:, 20]),
    "several numbers": (MLPRegressor(hidden_layer_sizes=(), max_iter=3, random_state=0), X, X[:, 20:23]),
    "stopped early": (MLPClassifier((6,), max_iter=5, random_state=0, early_stopping=True), X, Y),
    "lbfgs": (MLPClassifier((6,), max_iter=5, random_state=0, solver="lbfgs"), X, Y),
}  # fmt: skip


def outputs(model):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_with_the_same_bits(name, state, tmp_path):
    model, data, target = MODELS[name]
    model.fit(data, target).save(tmp_path / "m", state=state)
    other = load(tmp_path / "m")
    assert type(other) is type(model) and other.get_params() == model.get_params()
    np.testing.assert_array_equal(outputs(other), outputs(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert other.score(data, target) == model.score(data, target)
    kept = {a for a in vars(model) if a.endswith("_") and not a.startswith("_")}
    assert kept <= set(vars(other))
    if state and model.solver != "lbfgs" and not model.early_stopping:
        for m in (model, other):
            m.partial_fit(data, target)
        np.testing.assert_array_equal(outputs(other), outputs(model))


def test_frames_keep_their_names(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:, :4], columns=list("abcd"))
    MLPClassifier((3,), max_iter=2).fit(frame, Y).save(tmp_path / "m")
    other = load(tmp_path / "m")
    assert list(other.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        other.predict(frame[list("badc")])


def own_loss(a, y):
    return (a - y) ** 2


def test_functions_are_refused_by_name(tmp_path):
    model = MLPRegressor(Loss(own_loss), hidden_layer_sizes=(3,), max_iter=2).fit(X, X[:, 3])
    with pytest.raises(ValueError, match="loss=.*function"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "m"
    MLPClassifier((3,), max_iter=1, batch_norm=True, normalize="minmax", numeric_bins=3).fit(X, LABELS).save(
        path, state=True
    )
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_are_refused_or_predict(whole, data, tmp_path_factory):
    """Bytes changed, cut, doubled, in header and numbers: the reader's own error, or a model that predicts."""
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, len(raw) - 1), st.integers(0, min(4000, len(raw) - 1))))
        how = data.draw(st.sampled_from(["flip", "set", "cut", "insert", "swap"]))
        if how == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del raw[at : at + data.draw(st.integers(1, 300))]
        elif how == "insert":
            raw[at:at] = data.draw(st.binary(max_size=20))
        else:
            raw[at : at + 4], raw[:4] = raw[:4], raw[at : at + 4]
        if not raw:
            raw = bytearray(b"\0")
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(bytes(raw))
    try:
        model = load(path)
    except ModelFileError:
        return
    try:
        assert model.predict(np.zeros((2, model.n_features_in_))).shape[0] == 2
    except ValueError:  # weights that are no numbers: what predicts them says so
        pass


def edited(whole, change):
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    description = json.loads(header["__metadata__"]["jitmlp"])
    change(header, description)
    header["__metadata__"]["jitmlp"] = json.dumps(description)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + size :]


EDITS = {
    "later format": lambda h, d: d.update(format=99),
    "other estimator": lambda h, d: d.update(estimator="os.system"),
    "unknown parameter": lambda h, d: d["parameters"].update(nothing=1),
    "parameter out of range": lambda h, d: d["parameters"].update(alpha=-1),
    "attribute of another name": lambda h, d: d["attributes"].update(__class__="x"),
    "fewer classes": lambda h, d: d["classes_"].update(values=[0]),
    "classes of objects": lambda h, d: d["classes_"].update(values=[{}, [], None]),
    "no layers": lambda h, d: d.update(layers=0),
    "too many layers": lambda h, d: d.update(layers=10**9),
    "a shape that overflows": lambda h, d: h["weights.0"].update(shape=[2**40, 2**40]),
    "offsets outside": lambda h, d: h["weights.0"].update(data_offsets=[0, 2**50]),
    "another activation": lambda h, d: d["attributes"].update(out_activation_="nothing"),
    "other sizes": lambda h, d: d["attributes"].update(n_features_in_=3),
    "an unknown optimizer": lambda h, d: d["state"].update(optimizer="x"),
    "deep lists": lambda h, d: d["parameters"].update(hidden_layer_sizes=json.loads("[" * 900 + "]" * 900)),
}


@pytest.mark.parametrize("name", EDITS)
def test_descriptions_that_lie_are_refused(name, whole, tmp_path):
    (tmp_path / "m").write_bytes(edited(whole, EDITS[name]))
    with pytest.raises(ModelFileError):
        load(tmp_path / "m")
    (tmp_path / "m").write_bytes(edited(whole, lambda h, d: None))
    assert load(tmp_path / "m").n_layers_ == 3


def test_what_is_no_file_of_ours_is_refused(tmp_path):
    for data in (b"", b"x", b"\0" * 100, b"\xff" * 100, b"\x80\x04K\x01.", json.dumps({}).encode()):
        (tmp_path / "m").write_bytes(data)
        with pytest.raises(ModelFileError):
            load(tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


KILLED = """
import os, signal, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from jitmlp import MLPClassifier, load
X, y = np.random.default_rng(0).normal(size=(300, 300)), np.arange(300) % 3
model = MLPClassifier((400,), max_iter=1, random_state=0).fit(X, y)
model.save(sys.argv[1])
rng, seen = np.random.default_rng(0), 0
for _ in range(50):
    child = os.fork()
    while not child:
        model.save(sys.argv[1])
    time.sleep(rng.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    seen += load(sys.argv[1]).predict(np.zeros((1, 300))).shape == (1,)
print(seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_killed_save_leaves_the_old_file_or_the_new_one(tmp_path):
    """kill -9 at 50 random points: the file is always whole."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "m")], capture_output=True, text=True)
    assert done.stdout.split() == ["50"], done.stderr


def test_a_save_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    model = MLPClassifier((3,), max_iter=1).fit(X, Y)
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


RUN = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from jitmlp import Checkpoint, MLPClassifier
X, y = np.random.default_rng(0).normal(size=(2000, 30)), np.arange(2000) % 3
model = MLPClassifier((50,), max_iter=40, tol=0.0, n_iter_no_change=99, random_state=0, dropout=0.2,
                      learning_rate="exponential", warm_start="continue", callback=Checkpoint(sys.argv[1]))
print("begun", flush=True)
model.fit(X, y)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM")
def test_a_terminated_run_goes_on_from_its_checkpoint_with_the_same_bits(tmp_path):
    path = tmp_path / "checkpoint"
    data, y = np.random.default_rng(0).normal(size=(2000, 30)), np.arange(2000) % 3
    process = subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    deadline = time.time() + 60
    while not path.exists() and time.time() < deadline:
        time.sleep(0.005)
    time.sleep(0.03)
    process.terminate()
    process.communicate()
    model = load(path)
    done = model.n_iter_
    assert 1 <= done <= 40
    options = dict(tol=0.0, n_iter_no_change=99, random_state=0, dropout=0.2, learning_rate="exponential")
    whole = MLPClassifier((50,), max_iter=40, **options).fit(data, y)
    if done < 40:
        model.set_params(max_iter=40 - done).fit(data, y)
    assert model.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])


def test_files_of_every_release_are_read():
    """Each holds the outputs that it gave when it was written."""
    files = sorted(GOLDEN.glob("*.jitmlp"))
    assert files
    for path in files:
        expected = np.load(path.with_suffix(".npy"))
        rows = np.linspace(-1, 1, 7 * load(path).n_features_in_).reshape(7, -1)
        model = load(path)
        mine = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
        np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-6, err_msg=path.name)


def test_names_are_exported():
    assert jitmlp.load is load and jitmlp.Checkpoint is Checkpoint
