"""Threads and processes: checks 20 and 27 to 33."""

import concurrent.futures
import hashlib
import multiprocessing
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from jitmlp import MLPClassifier
from jitmlp.engine.threads import available_threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16


def fit(**options):
    return MLPClassifier((40, 20), **({"max_iter": 4, "random_state": 0} | options)).fit(X, Y)


def digest(model):
    return hashlib.sha256(b"".join(c.tobytes() for c in (*model.coefs_, *model.intercepts_))).hexdigest()


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_for_any_number_of_threads(solver, dtype):
    assert len({digest(fit(n_threads=n, solver=solver, dtype=dtype)) for n in (1, 2, 4, None)}) == 1


def test_same_bits_in_another_process():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_threads as t; print(t.digest(t.fit()))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, os.path.dirname(__file__)], capture_output=True, text=True
    )
    assert done.stdout.strip() == digest(fit()), done.stderr


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads(layer):
    """Eight threads predict, two threads fit, on either threading layer."""
    code = """
import concurrent.futures, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import numba
import numpy as np
import test_threads as t
model = t.fit()
expected = model.predict_proba(t.X)
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for result in pool.map(lambda _: model.predict_proba(t.X), range(80)):
        assert (result == expected).all()
    fitted = list(pool.map(lambda seed: t.digest(t.fit(random_state=seed)), [0, 1] * 4))
assert len(set(fitted)) == 2 and fitted[0] == t.digest(model)
print(numba.threading_layer())
"""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer}
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)], capture_output=True, text=True,
        env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == layer, done.stderr


def _child(_):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        grandchild = pool.map(_grandchild, [0])[0]
    return digest(fit()), grandchild


def _grandchild(_):
    return digest(fit())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_children_and_grandchildren():
    """Fit in the parent, then in forked pools; done within 30 s."""
    code = """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import test_threads as t
class NotDaemon(multiprocessing.get_context("fork").Process):
    daemon = property(lambda self: False, lambda self, value: None)
expected = t.digest(t.fit())
with concurrent_pool() as pool:
    results = list(pool.map(t._child, range(2)))
assert all(r == (expected, expected) for r in results)
print("done")
""".replace("with concurrent_pool() as pool", (
        "import concurrent.futures\n"
        "context = multiprocessing.get_context('fork')\n"
        "with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool"
    ))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.strip() == "done", done.stderr


@pytest.mark.parametrize("n_jobs", [2])
def test_grid_search_in_worker_processes(n_jobs):
    """Loky workers, after a fit in the parent, give the scores of one job."""
    fit()
    grid = {"alpha": [1e-4, 1.0]}
    scores = [
        GridSearchCV(MLPClassifier((10,), max_iter=5, random_state=0), grid, cv=2, n_jobs=n).fit(X, Y).cv_results_
        for n in (1, n_jobs)
    ]
    np.testing.assert_array_equal(scores[0]["mean_test_score"], scores[1]["mean_test_score"])


def test_thread_limits():
    """One CPU, or one Numba thread, is one thread."""
    code = "from jitmlp.engine.threads import available_threads; print(available_threads())"
    one = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_NUM_THREADS": "1"},
    )
    assert one.stdout.strip() == "1", one.stderr
    if hasattr(os, "sched_setaffinity"):
        pinned = "import os; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})\n" + code
        done = subprocess.run([sys.executable, "-c", pinned], capture_output=True, text=True)
        assert done.stdout.strip() == "1", done.stderr
    assert available_threads(1) == 1 and available_threads(10**6) == available_threads()


def test_numbas_thread_mask_is_the_callers():
    """Unchanged after fit, and after a fit that raises."""
    mask = numba.get_num_threads()
    fit()
    assert numba.get_num_threads() == mask

    def fail(model):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        fit(callback=fail)
    assert numba.get_num_threads() == mask


def test_two_fits_in_two_threads_do_not_wait_for_each_other():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(lambda _: digest(fit(max_iter=10)), range(4)))) == 1


def test_interrupt_keeps_a_usable_model():
    """An interrupt between chunks warns and leaves a model that predicts."""
    calls = []

    def interrupt(model):
        calls.append(model.n_iter_)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        model = fit(callback=interrupt, max_iter=50)
    assert model.n_iter_ == 3 and model.predict(X).shape == Y.shape


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_same_bits_for_sixteen_threads_on_fewer_cores(layer):
    """More members than cores, and than threads, wait for each other and end; above sixteen they count in groups."""
    code = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import numba
from jitmlp.engine import threads
import test_threads as t
threads._cpus = lambda: 37
expected = t.digest(t.fit(max_iter=2))
assert threads.available_threads(16) == 16
for n in (9, 16, 17, 37):
    assert t.digest(t.fit(n_threads=n, batch_size=400, max_iter=2)) == t.digest(t.fit(n_threads=1, batch_size=400, max_iter=2))
print(numba.threading_layer())
"""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "37", "NUMBA_THREADING_LAYER": layer}
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)], capture_output=True, text=True,
        env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == layer, done.stderr


def test_teams_count_alone_or_in_groups():
    from jitmlp_kernels.pieces.records import LINE
    from jitmlp_kernels.step.run import group_size, team_bytes

    assert [group_size(n) for n in (1, 16, 17, 64)] == [1, 1, 2, 4]
    assert [team_bytes(n) // LINE for n in (2, 16, 17, 64)] == [4, 32, 17 + 9, 64 + 16]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_weights_are_first_written_by_the_threads_that_own_them(n_threads, monkeypatch):
    """On machines with several memories: every weight, its state and its gradient once; the same network."""
    from jitmlp.engine import workspace
    from jitmlp.engine.workspace import Workspace
    from jitmlp.model.model import Layer, Model
    from jitmlp.training import spare
    from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATIONS
    from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
    from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS

    layers = (Layer(21, ACTIVATIONS["relu"]), Layer(3, ACTIVATIONS["softmax"]))
    model = Model(37, layers, LOSSES["log_loss"], np.dtype("float32"))
    made = Workspace(model, 10, n_threads, OPTIMIZERS["adam"], accumulate=True)
    made.memory[:] = 7
    made._touch()
    for copy in range(4):  # weights, two slots, gradients
        for place in made.layout.layers:
            assert not made._weights(place, copy).any()
            assert (made._vector(place.bias, place, copy) == 7).all()
    touched = []
    spare._spares.clear()  # which were made for the one memory of this machine
    monkeypatch.setattr(workspace, "memory_nodes", lambda: 2)
    monkeypatch.setattr(Workspace, "_touch", lambda self, touch=Workspace._touch: touched.append(touch(self)))
    expected = digest(fit(n_threads=1))
    assert not touched and digest(fit(n_threads=2)) == expected and bool(touched) == (available_threads(2) > 1)
