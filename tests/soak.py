"""Hours of fits, predictions, interrupts, forks and failures chosen at random from a seed.

    python tests/soak.py --minutes 60 --seed 0

Every result is compared with that of a clean process; memory, threads and open files must stay flat. Prints a
line a minute and ends with exit code 1 at the first difference. To start again where it ended, give the seed and
``--skip`` as printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
from scipy import sparse
from sklearn.datasets import load_digits

from jitmlp import MLPClassifier
from jitmlp.engine import threads

warnings.filterwarnings("ignore")
X, Y = load_digits(return_X_y=True)
X = X / 16
CONFIGURATIONS = [
    {"hidden_layer_sizes": (20,)},
    {"hidden_layer_sizes": (30, 10), "dtype": "float32", "activation": "tanh"},
    {"hidden_layer_sizes": (12,), "solver": "sgd", "batch_size": 32, "dropout": 0.2},
    {"hidden_layer_sizes": (12,), "batch_norm": True, "solver": "rmsprop"},
    {"hidden_layer_sizes": (9,), "normalize": "standard", "clip_norm": 1.0},
    {"hidden_layer_sizes": (9,), "early_stopping": True, "learning_rate": "cosine", "solver": "nadam"},
    {"hidden_layer_sizes": (7,), "solver": "lbfgs"},
]
FORMS = [np.asarray, np.asfortranarray, sparse.csr_matrix, lambda a: a[::1][:, ::1]]


def fit(number: int, form: int = 0) -> MLPClassifier:
    """One of the configurations, fitted."""
    return MLPClassifier(max_iter=5, random_state=0, **CONFIGURATIONS[number]).fit(FORMS[form](X), Y)


def digest(model: MLPClassifier) -> str:
    """What a fit came to."""
    return hashlib.sha256(b"".join(a.tobytes() for a in (*model.coefs_, *model.intercepts_))).hexdigest()


def clean(number: int, form: int) -> str:
    """The same in a process of its own."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import soak; print(soak.digest(soak.fit({number}, {form})))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class Soak:
    """The run: expected results, and what may be done next."""

    def __init__(self, seed: int):
        self.random, self.expected, self.counts = random.Random(seed), {}, {}
        self.model, self.number = fit(0), 0

    def check(self, number, form, found):
        """Compare with the clean process."""
        key = number, form if number in (4,) or form == 2 else 0  # sums of sparse rows have an order of their own
        if key not in self.expected:
            self.expected[key] = clean(number, key[1])
        assert found == self.expected[key], f"configuration {number}, form {form}: {found} is not {self.expected[key]}"

    def do_fit(self):
        self.number, form = self.random.randrange(len(CONFIGURATIONS)), self.random.randrange(len(FORMS))
        self.model = fit(self.number, form)
        self.check(self.number, form, digest(self.model))

    def do_predict(self):
        n = self.random.choice([1, 3, 70, 900])
        whole = self.model.predict_proba(X)
        assert (self.model.predict_proba(X[:n]) == whole[:n]).all()

    def do_pickle(self):
        other = pickle.loads(pickle.dumps(self.model))
        assert (other.predict(X) == self.model.predict(X)).all()

    def do_failure(self):
        before = digest(self.model)
        try:
            self.model.fit(np.where(X > 0.9, np.nan, X), Y)
        except ValueError:
            pass
        else:
            raise AssertionError("NaN was not refused")
        assert digest(self.model) == before

    def do_interrupt(self):
        timer = threading.Timer(self.random.uniform(0, 0.03), lambda: os.kill(os.getpid(), signal.SIGINT))
        try:
            timer.start()
            MLPClassifier((30,), max_iter=50, random_state=0).fit(X, Y)
            timer.join()
            time.sleep(0.001)
        except KeyboardInterrupt:
            timer.join()
        assert not threads._region.locked()

    def do_fork(self):
        number = self.random.randrange(len(CONFIGURATIONS))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, digest(fit(number)).encode())
            os._exit(0)
        os.close(write)
        found = os.read(read, 200).decode()
        os.close(read)
        os.waitpid(child, 0)
        self.check(number, 0, found)

    def do_threads(self):
        number, found = self.random.randrange(len(CONFIGURATIONS)), []
        workers = [threading.Thread(target=lambda: found.append(digest(fit(number)))) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(found) == 3
        for one in found:
            self.check(number, 0, one)

    def step(self):
        """One thing at random."""
        names = [n for n in dir(self) if n.startswith("do_")]
        if not hasattr(os, "fork"):
            names.remove("do_fork")
        name = self.random.choice(names)
        self.counts[name[3:]] = self.counts.get(name[3:], 0) + 1
        getattr(self, name)()


def resources() -> dict[str, int]:
    """Memory in MB, threads, open files."""
    if not os.path.exists("/proc/self/statm"):
        return {}
    pages = int(open("/proc/self/statm").read().split()[1])
    counts = {"threads": "/proc/self/task", "files": "/proc/self/fd"}
    return {"MB": pages * os.sysconf("SC_PAGE_SIZE") >> 20, **{k: len(os.listdir(v)) for k, v in counts.items()}}


def main() -> int:
    """Run for so many minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, help="steps of this seed that have been done")
    options = parser.parse_args()
    soak, start, done, told, first = Soak(options.seed), time.time(), 0, 0.0, {}
    while time.time() - start < 60 * options.minutes:
        if done < options.skip:
            soak.random.random()
        else:
            try:
                soak.step()
            except AssertionError as error:
                print(f"seed {options.seed}, step {done}: {error}", flush=True)
                return 1
        done += 1
        now = resources()
        first = first or (now if done >= options.skip + 200 else {})
        if first and (
            now["MB"] > first["MB"] + 80 or now["threads"] > first["threads"] + 8 or now["files"] > first["files"] + 8
        ):
            print(f"seed {options.seed}, step {done}: {now} after {first}", flush=True)
            return 1
        if time.time() - told > 60:
            told = time.time()
            print(f"{(told - start) / 60:6.1f} min, {done} steps, {soak.counts}, {now}", flush=True)
    print(f"{done} steps of seed {options.seed}: no difference, {resources()}, {soak.counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
