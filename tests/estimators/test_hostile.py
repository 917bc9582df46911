"""Inputs made to break things: indices out of range, shapes that lie, arrays changed meanwhile, files damaged."""

import gzip
import os
import resource
import struct
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import sklearn.neural_network as scikit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits

from helpers import least_disturbed
from jitmlp import DivergenceError, MLPClassifier, NeuralNetwork
from jitmlp.commands.main import main
from jitmlp.engine.data import Data
from jitmlp.engine.workspace import NonFiniteInputs
from jitmlp.files.idx import read_idx

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    MODEL = MLPClassifier((6,), max_iter=2, random_state=0).fit(X, Y)
EXAMPLES = 1000 if os.environ.get("NIGHTLY") else 50


@settings(max_examples=EXAMPLES * 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_sparse_rows_of_any_numbers_never_lead_out_of_an_array(data):
    """The kernels' own check, without anybody's before: indices, starts and lengths at random."""
    n, nnz = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 12))
    wild = st.one_of(st.integers(-3, 70), st.integers(-(2**31), 2**31 - 1))
    indices = np.array(data.draw(st.lists(wild, min_size=nnz, max_size=nnz)), np.int32)
    indptr = np.array(
        data.draw(st.lists(st.one_of(st.integers(0, nnz), wild), min_size=n + 1, max_size=n + 1)), np.int32
    )
    matrix = sparse.csr_matrix((n, 64))
    matrix.data, matrix.indices, matrix.indptr = np.ones(nnz), indices, indptr
    starts, stops = indptr[:-1].astype(int), indptr[1:].astype(int)
    sound = True
    for a, b in zip(starts, stops):
        if a < 0 or b > nnz:
            sound = False
        elif a < b:
            sound &= bool(((indices[a:b] >= 0) & (indices[a:b] < 64)).all())
    network = MODEL._borrow_network()[1]
    if sound:
        assert np.isfinite(network.predict(Data(matrix))).all()
    else:
        with pytest.raises(NonFiniteInputs):
            network.predict(Data(matrix))


@pytest.mark.parametrize("form", ["csr", "coo", "csc", "lil", "bsr", "dia"])
def test_indices_out_of_range_are_refused_in_every_format(form):
    good = sparse.random(20, 64, 0.1, random_state=0).asformat(form)
    assert MODEL.predict(good).shape == (20,)
    if form in ("lil", "dia"):
        return
    bad = good.copy()
    if form == "coo":
        bad.coords[1][3] = 10**6
    else:
        bad.indices[3] = 10**6
    for call in (MODEL.predict, lambda Z: MLPClassifier((3,)).fit(Z, Y[:20])):
        with pytest.raises(ValueError):
            call(bad)


def test_lists_of_rows_with_wild_columns_are_refused():
    bad = sparse.random(20, 64, 0.1, random_state=0).tolil()
    bad.rows[3] = [10**6]
    bad.data[3] = [1.0]
    with pytest.raises((ValueError, IndexError)):
        MODEL.predict(bad)


class Liar:
    """An object whose shape is not that of its array."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, (10**6, 64), array.dtype, 2

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return 10**6


def test_an_object_whose_shape_lies_is_read_as_its_array():
    np.testing.assert_array_equal(MODEL.predict(Liar(X[:5])), MODEL.predict(X[:5]))


def test_indices_changed_while_a_fit_runs_give_an_error():
    matrix = sparse.csr_matrix(X)

    def spoil(model):
        matrix.indices[::7] = 2**31 - 1

    with pytest.raises(ValueError):
        MLPClassifier((5,), max_iter=5, callback=spoil).fit(matrix, Y)


@pytest.mark.parametrize("weights", [[1.0], np.ones(3), np.ones((1000, 1)), np.ones(999)], ids=len)
def test_the_network_in_the_hand_refuses_weights_of_other_lengths(weights):
    network = NeuralNetwork([np.ones((4, 2))], [np.zeros(2)])
    data, y = np.ones((1000, 4)), np.zeros((1000, 2))
    for call in (network.loss, network.gradients):
        with pytest.raises(ValueError, match="sample_weight"):
            call(data, y, sample_weight=weights)


def test_the_network_in_the_hand_refuses_what_does_nothing():
    network = NeuralNetwork([np.ones((4, 2))], [np.zeros(2)])
    for options in ({"foo": 1}, {"learning_rate": np.nan}, {"learning_rate": -1.0}, {"beta_1": 2.0}, {"alpha": np.inf}):
        with pytest.raises(ValueError, match=next(iter(options))):
            network.step(np.ones((3, 4)), np.ones((3, 2)), solver="adam", **options)
    bad = sparse.csr_matrix(np.ones((3, 4)))
    bad.indices[0] = 99
    with pytest.raises(ValueError):
        network.forward(bad)


@pytest.mark.parametrize("size", [True, [True], (3, False), np.True_], ids=str)
def test_truths_are_no_sizes(size):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        MLPClassifier(size).fit(X, Y)


def test_words_and_dates_are_refused_and_numbers_in_words_are_read():
    words = [["1.5", "2"], ["3", "4e0"], ["0", "1"], ["2", "2"]]
    mine = MLPClassifier((3,), max_iter=2, random_state=0).fit(np.array(words), [0, 1, 0, 1])
    theirs = scikit.MLPClassifier((3,), max_iter=2, random_state=0).fit(np.array(words), [0, 1, 0, 1])
    np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-9)
    np.testing.assert_array_equal(mine.predict(words), theirs.predict(np.array(words, float)))
    for bad in ([["a", "b"]] * 4, np.array([["x", "1"]] * 4)):
        with pytest.raises(ValueError):
            MLPClassifier((3,)).fit(bad, [0, 1, 0, 1])
    dates = np.full((4, 2), np.datetime64("2020-01-01"))
    for call in (lambda: MLPClassifier((3,)).fit(dates, [0, 1, 0, 1]), lambda: mine.predict(dates)):
        with pytest.raises((ValueError, TypeError)):
            call()


def test_sparse_targets_are_those_of_the_dense_ones():
    labels = np.c_[Y % 2, Y > 4, Y % 3 == 0].astype(int)
    dense = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, labels)
    np.testing.assert_array_equal(
        MLPClassifier((5,), max_iter=3, random_state=0).fit(X, sparse.csr_matrix(labels)).coefs_[0], dense.coefs_[0]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_teach_nothing_are_an_error(dtype):
    with pytest.raises(ValueError, match="nothing would be learned"):
        MLPClassifier((5,), dtype=dtype).fit(X, Y, sample_weight=np.full(len(X), 1e-310))


NAN_PLACES = [(a, i) for a in ("coefs_", "intercepts_") for i in (0, 1)]


@pytest.mark.parametrize("place", NAN_PLACES, ids=str)
def test_a_nan_in_one_weight_is_never_a_finite_loss(place):
    """Over all activations, outputs and losses, at every place."""
    from helpers import HIDDEN, OUTPUTS, Constraints, coefficient_table, make_network, targets_for

    which, layer = place
    rng = np.random.default_rng(0)
    for hidden in HIDDEN:
        for loss, outputs in OUTPUTS.items():
            for output in outputs:
                network, coefs, intercepts = make_network((3, 4, 3), hidden, output, loss, optimizer="gradient", rows=6)
                (coefs if which == "coefs_" else intercepts)[layer].flat[0] = np.nan
                network.pack(coefs, intercepts)
                data = Data(rng.normal(size=(6, 3)), targets_for(loss, 6, 3, rng))
                table = coefficient_table("gradient", np.ones(1), np.ones(1))
                total = network.run(data, np.arange(6), 6, table, Constraints())
                assert np.isnan(total), (hidden, loss, output)


# Resources


def test_many_predicting_threads_keep_few_networks():
    from concurrent.futures import ThreadPoolExecutor

    model = MLPClassifier((400, 400), max_iter=1).fit(X, Y)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: model.predict(X[:50]), range(100)))
    assert len(model._packed) <= 2


def test_joblibs_threads_start_few_threads_of_their_own():
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from joblib import Parallel, delayed
from jitmlp import MLPClassifier
X, y = np.random.default_rng(0).normal(size=(300, 20)), np.arange(300) % 3
idle = len(os.listdir("/proc/self/task"))  # the import of pyarrow, where pandas finds it, starts a thread
peak = [0]
def work(seed):
    model = MLPClassifier((8,), max_iter=5, random_state=seed).fit(X, y)
    for i in range(20):
        model.predict(X)
    peak[0] = max(peak[0], len(os.listdir("/proc/self/task")))
Parallel(16, backend="threading")(delayed(work)(i) for i in range(64))
print(peak[0] - idle, os.cpu_count())
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    more, cores = map(int, done.stdout.split())
    assert more < 16 + 2 * cores + 2, done.stderr


def test_without_a_free_file_descriptor_the_error_is_the_systems(tmp_path):
    code = """
import os, resource, warnings
warnings.simplefilter("ignore")
import numpy as np
from jitmlp import MLPClassifier
X, y = np.random.default_rng(0).normal(size=(300, 20)), np.arange(300) % 3
low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, high))
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
try:
    MLPClassifier((8,), max_iter=2).fit(X, y)
    print("fitted")
except (OSError, ImportError):  # the latter where Numba loads its threads only now
    print("OSError")
for descriptor in held:
    os.close(descriptor)
print(MLPClassifier((8,), max_iter=2).fit(X, y).n_iter_)
"""
    environment = {**os.environ, "JITMLP_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.split()[-1] == "2" and done.stdout.split()[0] in ("OSError", "fitted"), done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64


def test_on_a_file_system_where_nothing_can_be_written(tmp_path):
    """import, fit and predict, told once that nothing is kept."""
    code = """
import os, tempfile, warnings
import scipy.io  # whose older releases need a file of their own
def refuse(*arguments, **options):
    raise OSError(30, "Read-only file system")
os.mkdir = refuse
tempfile.tempdir = None
tempfile._get_default_tempdir = lambda *a, **k: (_ for _ in ()).throw(FileNotFoundError(2, "no usable temporary directory"))
tempfile.TemporaryFile = tempfile.mkstemp = tempfile.mkdtemp = refuse
warnings.simplefilter("always")
import numpy as np
from jitmlp import MLPClassifier
X, y = np.random.default_rng(0).normal(size=(300, 20)), np.arange(300) % 3
print(MLPClassifier((8,), tol=10.0, n_iter_no_change=1).fit(X, y).predict(X).shape)
"""
    environment = {k: v for k, v in os.environ.items() if k != "JITMLP_CACHE_DIR"} | {
        "HOME": str(tmp_path / "none"),
        "XDG_CACHE_HOME": str(tmp_path / "none"),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.strip() == "(300,)", done.stderr
    assert done.stderr.count("KernelCacheWarning") == 1, done.stderr


@pytest.mark.slow
def test_small_partial_fits_are_faster_than_scikit_learns():
    """At least twice as fast, for a row and for 32, in calls that take turns: seconds of the CPU, not of the clock."""
    for n in (1, 32):
        makers = {"jitmlp": MLPClassifier, "scikit-learn": scikit.MLPClassifier}
        models = {
            name: make((64,), random_state=0).partial_fit(X, Y, classes=np.arange(10)) for name, make in makers.items()
        }

        def ratio(models=models, n=n):
            seconds = {name: [] for name in models}
            for i in range(200):
                for name, model in models.items():
                    start = time.process_time()
                    model.partial_fit(X[i : i + n], Y[i : i + n])
                    seconds[name].append(time.process_time() - start)
            mine, theirs = (np.median(times) for times in seconds.values())
            return mine / theirs

        least_disturbed(ratio, 0.5)


@pytest.mark.slow
def test_memory_is_flat_over_many_fits_and_failures():
    """500 fits and predictions, and 500 fits that raise: less than 5 MB more."""
    code = """
import os, resource, warnings
warnings.simplefilter("ignore")
import numpy as np
from sklearn.datasets import load_digits
from jitmlp import MLPClassifier
X, y = load_digits(return_X_y=True)
X, y = X[:300] / 16, y[:300]
bad = np.where(X > 0.9, np.nan, X)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
def work():
    MLPClassifier((8,), max_iter=2, random_state=0).fit(X, y).predict(X)
    try:
        MLPClassifier((8,)).fit(bad, y)
    except ValueError:
        pass
for _ in range(100):
    work()
before = resident()
for _ in range(500):
    work()
print(resident() - before, len(os.listdir("/proc/self/fd")))
"""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("memory is read from /proc")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    grown, files = map(int, done.stdout.split())
    assert grown < 5 * 2**20 and files < 20, done.stderr


# Files of data


def idx(shape, data=b"", code=8):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def test_a_bomb_in_an_idx_file_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx((3,), b"abc") + bytes(300 * 2**20), 9))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="header announces 3"):
        read_idx(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    huge = tmp_path / "huge"
    huge.write_bytes(idx((2**32 - 1, 2**32 - 1)))
    with pytest.raises(MemoryError):
        read_idx(huge)


@settings(max_examples=EXAMPLES * 4, deadline=None)
@given(st.binary(max_size=60), st.booleans(), st.integers(0, 80), st.integers(0, 255))
def test_idx_files_of_any_bytes_are_read_or_refused(tmp_path_factory, data, zipped, at, byte):
    raw = bytearray(idx((2, 3), b"abcdef"))
    raw = gzip.compress(bytes(raw)) if zipped else bytes(raw)
    mutated = bytearray(raw + data)
    mutated[at % len(mutated)] = byte
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(bytes(mutated))
    try:
        assert read_idx(path).size >= 0
    except (ValueError, MemoryError):
        pass


def test_the_demo_reports_damaged_files_and_full_disks(tmp_path, capsys):
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (tmp_path / f"{name}.gz").write_bytes(b"\x1f\x8b garbage")
    assert main(["demo", "--mnist", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "damaged" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["demo", "--output", str(blocked)]) == 1
    assert main(["demo", "--threads", "0", "--output", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "--threads" in captured.err


# Beside scikit-learn, at random


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_problems_beside_scikit_learn(data):
    """The same acceptance or refusal, and the same numbers."""
    n, f = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    Z = rng.normal(size=(n, f)) * data.draw(st.sampled_from([1.0, 0.0, 1e-3, 30.0]))
    classify = data.draw(st.booleans())
    y = rng.integers(data.draw(st.integers(1, 4)), size=n) if classify else rng.normal(size=n)
    options = {
        "hidden_layer_sizes": data.draw(st.sampled_from([(), (3,), (4, 2), 5, (0,), (-1,), ("a",)])),
        "activation": data.draw(st.sampled_from(["relu", "tanh", "logistic", "identity", "nothing"])),
        "solver": data.draw(st.sampled_from(["adam", "sgd", "lbfgs"])),
        "batch_size": data.draw(st.sampled_from(["auto", 1, 7, 100])),
        "alpha": data.draw(st.sampled_from([0.0, 1e-4, 1.0])),
        "learning_rate": data.draw(st.sampled_from(["constant", "invscaling", "adaptive"])),
        "early_stopping": data.draw(st.booleans()),
        "shuffle": data.draw(st.booleans()),
        "max_iter": 6,
        "random_state": 0,
    }
    results, diverged = [], False
    for module in (scikit, None):
        names = sys.modules["jitmlp"] if module is None else module
        make = names.MLPClassifier if classify else names.MLPRegressor
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                model = make(**options).fit(Z, y)
                results.append(model.predict(Z))
                diverged |= not np.isfinite(getattr(model, "loss_curve_", 0.0)).all()
            except (ValueError, TypeError) as error:
                results.append(error)
    theirs, mine = results
    if diverged and isinstance(mine, DivergenceError):
        return  # theirs went back to an earlier epoch without a word
    if isinstance(theirs, Exception) or isinstance(mine, Exception):
        assert isinstance(theirs, Exception) and isinstance(mine, Exception), (theirs, mine)
    elif classify:
        assert (theirs == mine).mean() > 0.9
    else:
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
