"""The mini-batch step, the epoch, prediction and start-up."""

import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np

from jitmlp import MLPClassifier
from jitmlp.engine.data import Data

from .common import NETWORKS, Steps, images

warnings.filterwarnings("ignore")


class Step:
    """Seconds of 50 steps of the whole kernel."""

    params = [list(NETWORKS), ["float32", "float64"], [1, 2]]
    param_names = ["network", "dtype", "threads"]

    def setup(self, network, dtype, threads):
        self.steps = Steps(*NETWORKS[network], dtype, threads)

    def time_steps(self, network, dtype, threads):
        self.steps.run()


class Optimizer:
    """Seconds of 50 steps with each optimizer, where the update weighs most."""

    params = [["gradient_descent", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"]]
    param_names = ["optimizer"]

    def setup(self, optimizer):
        self.steps = Steps((784, 128, 64, 10), 10, "float32", 1, optimizer)

    def time_steps(self, optimizer):
        self.steps.run()


class Activation:
    """Seconds of 20 steps of a network with wide hidden layers and few inputs."""

    params = [["identity", "relu", "logistic", "tanh", "elu", "swish", "gelu", "mish"], ["float32", "float64"]]
    param_names = ["activation", "dtype"]

    def setup(self, activation, dtype):
        self.steps = Steps((8, 64, 64, 4), 500, dtype, 1, "gradient_descent", activation, 20)

    def time_steps(self, activation, dtype):
        self.steps.run()


class Gather:
    """Seconds of prediction from each kind of array, by a network that does little else."""

    params = [["float32", "float64", "uint8", "fortran", "csr"]]
    param_names = ["input"]

    def setup(self, kind):
        from scipy import sparse

        self.steps = Steps((784, 8, 10), 200, "float32", 1)
        X, _ = images(2000, 784, "float32" if kind in ("fortran", "csr") else kind)
        self.data = Data({"fortran": np.asfortranarray, "csr": sparse.csr_matrix}.get(kind, lambda x: x)(X))

    def time_predict(self, kind):
        self.steps.workspace.predict(self.data)


class Estimator:
    """Fit and predict through the public methods."""

    def setup(self):
        self.X, self.y = images(20_000, 784)
        self.model = MLPClassifier((128, 64), max_iter=1, random_state=0).fit(self.X, self.y)
        self.row = self.X[:1]

    def time_fit_one_epoch(self):
        MLPClassifier((128, 64), max_iter=1, random_state=0).fit(self.X, self.y)

    def time_predict_one_row(self):
        self.model.predict(self.row)

    def time_predict_proba(self):
        self.model.predict_proba(self.X)

    def peakmem_fit(self):
        MLPClassifier((128, 64), max_iter=1, random_state=0).fit(self.X, self.y)

    def track_accuracy(self):
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        model = MLPClassifier((64,), max_iter=30, random_state=0).fit(X[:1400] / 16, y[:1400])
        return model.score(X[1400:] / 16, y[1400:])

    track_accuracy.unit = "accuracy on 397 digits"


class Startup:
    """Import, and the first fit of a process with and without compiled kernels on disk."""

    timeout = 300
    number, repeat = 1, 1
    code = """
import time, numpy as np
start = time.perf_counter()
from jitmlp import MLPClassifier
imported = time.perf_counter()
MLPClassifier((8,), tol=10.0, n_iter_no_change=1).fit(np.ones((40, 4)), np.arange(40) % 2)
print(imported - start, time.perf_counter() - imported)
"""

    digits = """
import time
from sklearn.datasets import load_digits
from jitmlp import MLPClassifier
X, y = load_digits(return_X_y=True)
times = []
for _ in range(3):
    start = time.perf_counter()
    MLPClassifier((64,), max_iter=10, random_state=0).fit(X / 16, y)
    times.append(time.perf_counter() - start)
print(times[0], min(times[1:]))
"""

    def _run(self, cache, code=None):
        environment = {**os.environ, "JITMLP_CACHE_DIR": cache}
        command = [sys.executable, "-W", "ignore", "-c", code or self.code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return [float(number) for number in done.stdout.split()]

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self):
        self.folder.cleanup()

    def track_first_fit_cold(self):
        return self._run(self.folder.name)[1]

    def track_first_fit_warm(self):
        self._run(self.folder.name)
        return self._run(self.folder.name)[1]

    def track_warm_digits(self):
        """Ten epochs in a new process, kernels on disk; the aim is 1.2 times the next + 0.5."""
        self._run(self.folder.name)
        return self._run(self.folder.name, self.digits)[0]

    def track_digits_training(self):
        """The same once everything is loaded."""
        self._run(self.folder.name)
        return self._run(self.folder.name, self.digits)[1]

    def track_import(self):
        return min(self._run(self.folder.name)[0] for _ in range(2))

    def track_kernel_files(self):
        self._run(self.folder.name)
        return sum(len(files) for _, _, files in os.walk(self.folder.name))

    def track_kernel_bytes(self):
        self._run(self.folder.name)
        return sum(os.path.getsize(os.path.join(p, f)) for p, _, files in os.walk(self.folder.name) for f in files)

    for _track in (
        track_first_fit_cold,
        track_first_fit_warm,
        track_warm_digits,
        track_digits_training,
        track_import,
    ):
        _track.unit = "seconds"
