"""Ctrl-C at any moment: locks and masks are put back, and the estimator is the old one or a usable new one."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jitmlp import MLPClassifier
from jitmlp.engine import threads

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Training interrupted"),
    pytest.mark.usefixtures("ctrl_c_is_heard"),
    pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to a process group there"),
]
X, Y = load_digits(return_X_y=True)
X = X / 16
# one that arrives while an object is let go is Python's to report
AT_RANDOM = pytest.mark.filterwarnings("ignore:(?s).*KeyboardInterrupt:pytest.PytestUnraisableExceptionWarning")


class After:
    """Sends SIGINT to this process after some seconds, unless it is left before."""

    def __init__(self, seconds):
        self.seconds, self.left = seconds, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _send(self):
        if not self.left.wait(self.seconds):
            os.kill(os.getpid(), signal.SIGINT)

    def __exit__(self, *error):
        self.left.set()
        self.thread.join()


def interrupted(call, seconds):
    """Make a call with an interrupt on its way; whether it came through as an exception."""
    try:
        with After(seconds):
            call()
            time.sleep(0.002)  # an interrupt that was sent at the very end arrives here
    except KeyboardInterrupt:
        return True
    return False


def run_many(count, options, seed):
    numbers, outcomes = random.Random(seed), []
    model = MLPClassifier(random_state=0, **options)
    mask, handler = numba.get_num_threads(), signal.getsignal(signal.SIGINT)
    for _ in range(count):
        outcomes.append(interrupted(lambda: model.fit(X, Y), numbers.uniform(0, 0.05)))
        assert not threads._region.locked() and numba.get_num_threads() == mask
        assert signal.getsignal(signal.SIGINT) is handler
        if hasattr(model, "coefs_"):
            assert np.isfinite(model.predict_proba(X[:200])).all()
            assert model.n_iter_ >= 0 and model.stopped_by_ in ("max_iter", "interrupt", "plateau")
    assert model.fit(X, Y).stopped_by_ != "interrupt"
    return outcomes


@AT_RANDOM
@pytest.mark.parametrize("options", [
    {"hidden_layer_sizes": (20,), "max_iter": 15}, {"hidden_layer_sizes": (12,), "batch_norm": True, "max_iter": 10},
    {"hidden_layer_sizes": (300,), "max_iter": 3, "early_stopping": True},
    {"hidden_layer_sizes": (10,), "solver": "lbfgs", "max_iter": 10},
], ids=["steps", "batch norm", "validation", "lbfgs"])  # fmt: skip
def test_interrupts_at_random_moments(options):
    run_many(40, options, 1)


@AT_RANDOM
@pytest.mark.slow
def test_a_thousand_interrupts_at_random_moments():
    for seed in range(4):
        run_many(250, {"hidden_layer_sizes": (20,), "max_iter": 15}, seed)


@AT_RANDOM
def test_predictions_on_many_threads_are_interrupted_whole():
    model, numbers = MLPClassifier((300, 300), max_iter=1).fit(X, Y), random.Random(0)
    data = np.tile(X, (8, 1))
    for _ in range(30):
        interrupted(lambda: model.predict(data), numbers.uniform(0, 0.02))
        assert not threads._region.locked()
    np.testing.assert_array_equal(model.predict(X), model.predict(data)[: len(X)])


def test_the_users_own_code_is_interrupted_at_once():
    model, start = MLPClassifier((8,), max_iter=3, callback=lambda m: time.sleep(30)), time.perf_counter()
    interrupted(lambda: model.fit(X, Y), 0.3)
    assert time.perf_counter() - start < 10 and model.stopped_by_ == "interrupt"


def test_lbfgs_interrupted_before_its_first_iteration_has_a_loss():
    model = MLPClassifier((2000, 500), solver="lbfgs", max_iter=50)
    interrupted(lambda: model.fit(np.tile(X, (3, 1)), np.tile(Y, 3)), 0.05)
    assert np.isfinite(model.loss_) and model.predict(X).shape == Y.shape


def test_an_interrupt_while_kernels_are_compiled(tmp_path):
    """The process is told, at the next whole moment; a second fit works, and its kernels are on disk."""
    code = """
import os, signal, threading, time, warnings
import numpy as np
from jitmlp import MLPClassifier
from jitmlp_kernels.link import pieces
X, y = np.random.default_rng(0).normal(size=(400, 20)), np.arange(400) % 3
model = MLPClassifier(max_iter=200, random_state=0)
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
warnings.simplefilter("ignore")
try:
    model.fit(X, y)
    assert model.stopped_by_ == "interrupt", model.stopped_by_
except KeyboardInterrupt:
    pass
assert model.set_params(max_iter=3).fit(X, y).n_iter_ == 3
print(len(pieces.compiled))
"""
    environment = {**os.environ, "JITMLP_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0 and int(done.stdout) > 10, done.stderr


def test_signals_of_others_handlers_reach_them():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        model = MLPClassifier((50,), max_iter=30, random_state=0)
        with After(0.02):
            model.fit(X, Y)
        assert model.stopped_by_ == "max_iter"
        assert len(calls) <= 1
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_a_thread_compiles_leaves_the_child_able_to_compile(tmp_path):
    code = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from jitmlp import MLPClassifier
X, y = np.random.default_rng(0).normal(size=(200, 20)), np.arange(200) % 3
def fit(activation):
    MLPClassifier((8,), activation=activation, max_iter=1, n_threads=1).fit(X, y)
names = ["relu", "tanh", "gelu", "swish", "mish", "elu", "selu", "softplus"]
thread = threading.Thread(target=lambda: [fit(name) for name in names])
thread.start()
children = []
for i in range(6):
    time.sleep(0.1)
    child = os.fork()
    if child == 0:
        fit(names[-1 - i])
        os._exit(7)
    children.append(child)
thread.join()
deadline = time.time() + 30
done = []
while len(done) < 6 and time.time() < deadline:
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        done.append(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
for child in children:
    try:
        os.kill(child, 9)
    except ProcessLookupError:
        pass
print(done)
"""
    environment = {**os.environ, "JITMLP_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, timeout=90
    )
    assert done.stdout.strip() == str([7] * 6), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_a_thread_draws_from_the_global_generator_leaves_the_child_able_to_fit():
    code = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from jitmlp import MLPClassifier
X, y = np.random.default_rng(0).normal(size=(200, 20)), np.arange(200) % 3
thread = threading.Thread(target=lambda: [np.random.normal(size=3_000_000) for _ in range(20)])
thread.start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    MLPClassifier((8,), max_iter=1).fit(X, y)
    os._exit(7)
thread.join()
deadline = time.time() + 20
pid = 0
while not pid and time.time() < deadline:
    pid, status = os.waitpid(child, os.WNOHANG)
    time.sleep(0.05)
if not pid:
    os.kill(child, 9)
print(os.waitstatus_to_exitcode(status) if pid else "hangs")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == "7", (done.stdout, done.stderr)
