"""Checks 1 to 7: start-up, and a cache that is never in the way.

Every test runs fresh processes with a cache directory of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jitmlp_kernels

FIT = """
import sys, time, warnings
import numpy as np
warnings.simplefilter("always")
start = time.perf_counter()
from jitmlp import MLPClassifier
from jitmlp_kernels import step
X = np.linspace(0, 1, 400).reshape(80, 5)
first = time.perf_counter()
model = MLPClassifier((6,), solver="sgd", tol=10.0, n_iter_no_change=3, random_state=0).fit(X, np.arange(80) % 3)
print(repr(model.predict_proba(X)[7].tolist()), time.perf_counter() - first)
compiled = sum(sum(k.stats.cache_misses.values()) for k in (step.run_units, step.run_team))
print("compiled", compiled)
"""


def run(code=FIT, cache=None, **changes):
    """Run code in a fresh process; its standard output's lines, and standard error."""
    environment = {k: v for k, v in os.environ.items() if k not in ("JITMLP_CACHE_DIR", "HOME")}
    environment |= {k: str(v) for k, v in changes.items() if k != "path"}
    if cache is not None:
        environment["JITMLP_CACHE_DIR"] = str(cache)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache directory with the kernels of a first fit, and what that fit printed."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, *run(cache=cache)


def files(cache):
    return sorted(p for p in Path(cache).rglob("*") if p.is_file())


def test_import_compiles_nothing_and_starts_no_thread(tmp_path):
    """Check 1."""
    code = """
import os, threading
import jitmlp
from jitmlp_kernels import step
print(len(step.run_units.overloads) + len(step.run_team.overloads), threading.active_count())
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
"""
    lines, errors = run(code, tmp_path, OPENBLAS_NUM_THREADS=1)
    assert lines == ["0 1", "1"] and errors == ""
    assert files(tmp_path) == []


def test_import_is_hardly_slower_than_scikit_learns(tmp_path):
    """Check 1: at most 0.35 s more, by the fastest of runs that take turns."""
    seconds = {"jitmlp": [], "sklearn.neural_network": []}
    for _ in range(5):
        for module, times in seconds.items():
            code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
            times.append(float(run(code, tmp_path)[0][0]))
    assert min(seconds["jitmlp"]) - min(seconds["sklearn.neural_network"]) < 0.35


def test_first_fit_says_that_it_compiles_and_the_second_does_not(warm):
    """Check 2."""
    cache, first, errors = warm
    assert errors.count("compiling kernels") == 1
    again, silence = run(cache=cache)
    assert silence == "" and again[1] == "compiled 0"
    assert again[0].split("] ")[0] == first[0].split("] ")[0]
    assert float(again[0].split("] ")[1]) < 1.0


def test_without_a_writable_home(tmp_path):
    """Check 3: import and fit work, with one warning."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    _, errors = run(HOME="/proc/nowhere", TMPDIR="/proc/nowhere", XDG_CACHE_HOME=blocked / "below")
    kept = errors.count("KernelCacheWarning")
    assert kept == 1, errors
    _, errors = run(cache=blocked / "below")
    assert errors.count("KernelCacheWarning") == 1 and "compiled anew in every process" in errors


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[: len(data) // 2],
    lambda data: b"garbage" * 100,
], ids=["empty", "truncated", "garbage"])  # fmt: skip
def test_damaged_files_are_compiled_anew(warm, tmp_path, damage):
    """Check 4: one warning a process, right results, and whole files afterwards."""
    cache, first, _ = warm
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    for suffix in (".nbi", ".nbc"):
        for path in files(copy):
            if path.suffix == suffix and "run_team" in path.name:
                path.write_bytes(damage(path.read_bytes()))
        lines, errors = run(cache=copy)
        assert lines[0].split("] ")[0] == first[0].split("] ")[0]
        assert errors.count("KernelCacheWarning") <= 1, errors
        lines, errors = run(cache=copy)
        assert lines[1] == "compiled 0" and errors == ""


def test_an_edit_to_any_kernel_source_is_compiled(warm, tmp_path):
    """Check 5: with a changed callee in another file, the old machine code is not run."""
    cache, first, _ = warm
    package = tmp_path / "jitmlp_kernels"
    shutil.copytree(Path(jitmlp_kernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    source = package / "activations.py"
    source.write_text(source.read_text().replace("where(z < 0.0, 0.0, z)", "where(z < 0.0, 0.0, z + z)"))
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + FIT
    lines, errors = run(code, copy)
    assert "compiling kernels" in errors
    assert lines[0].split("] ")[0] != first[0].split("] ")[0]


def test_six_cold_processes_at_once(tmp_path):
    """Check 6: all succeed, and the number of files does not grow afterwards."""
    environment = {**os.environ, "JITMLP_CACHE_DIR": str(tmp_path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        for _ in range(6)
    ]
    outputs = [process.communicate() for process in started]
    assert all(process.returncode == 0 for process in started), outputs
    assert len({out.split(b"] ")[0] for out, _ in outputs}) == 1
    run(cache=tmp_path)
    count = len(files(tmp_path))
    for _ in range(5):
        run(cache=tmp_path)
        assert len(files(tmp_path)) == count


def test_other_configurations_compile_nothing(warm):
    """A fit with any other network, solver, activation, loss, batch size or layout of X."""
    code = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
from scipy import sparse
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp_kernels import step
X = np.linspace(0, 1, 400).reshape(80, 5)
y = np.arange(80) % 3
MLPClassifier((6,), max_iter=1).fit(X, y)
known = [len(k.overloads) for k in (step.run_units, step.run_team)]
for options in (
    dict(hidden_layer_sizes=(100, 50, 30), activation="gelu", batch_size=7),
    dict(solver="sgd", hidden_layer_sizes=()),
    dict(solver="lbfgs", activation=("tanh", "relu"), hidden_layer_sizes=(4, 3)),
    dict(solver="rmsprop", batch_size=1, early_stopping=True),
    dict(solver="lion", learning_rate="cosine", n_threads=1),
):
    for data in (X, np.asfortranarray(X), X.astype(int), sparse.csr_matrix(X), X[::2]):
        MLPClassifier(max_iter=2, dtype="float64", **options).fit(data, y[: data.shape[0]]).predict(data)
        MLPRegressor(loss="huber", max_iter=2, dtype="float64", **options).fit(data, y[: data.shape[0]])
MLPRegressor(loss="poisson", max_iter=2).fit(X, np.c_[y, y])
MLPClassifier((300, 300), max_iter=3).fit(np.tile(X, (20, 30)), np.tile(y, 20)).predict(np.tile(X, (20, 30)))
MLPClassifier(max_iter=2).fit(X, y, sample_weight=y + 1.0)
print([len(k.overloads) for k in (step.run_units, step.run_team)] == known == [1, 1], known)
"""
    lines, _ = run(code, warm[0])
    assert lines[0].startswith("True"), lines


def test_numbas_own_settings_are_untouched(tmp_path):
    code = """
import numba
before = numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES, numba.get_num_threads()
import jitmlp
print((numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES, numba.get_num_threads()) == before)
"""
    assert run(code, tmp_path)[0] == ["True"]


TARGETS = {
    "bounds checked": {"NUMBA_BOUNDSCHECK": 1},
    "uncompiled": {"NUMBA_DISABLE_JIT": 1},
    "scalar": {"JITMLP_VECTOR_BYTES": 8},
    "128-bit": {"JITMLP_VECTOR_BYTES": 16},
    "256-bit": {"JITMLP_VECTOR_BYTES": 32},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", TARGETS.values(), ids=TARGETS)
def test_kernels_are_right_on_every_target(changes, tmp_path):
    """Check 7: the kernels' tests with other vector widths, bounds checks and without a compiler."""
    here = Path(__file__).parent
    tests = [
        here / f"test_{name}.py"
        for name in ("network", "optimizers", "activations", "microkernel", "batchnorm", "regularization")
    ]
    environment = {**os.environ, "JITMLP_CACHE_DIR": str(tmp_path)} | {k: str(v) for k, v in changes.items()}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *map(str, tests)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=here.parent)
    assert done.returncode == 0, done.stdout[-3000:]


def test_an_impossible_vector_width_is_refused(tmp_path):
    environment = {**os.environ, "JITMLP_VECTOR_BYTES": "24"}
    done = subprocess.run(
        [sys.executable, "-c", "import jitmlp"], env=environment, capture_output=True, text=True
    )
    assert "JITMLP_VECTOR_BYTES must be 8, 16, 32 or 64, got '24'" in done.stderr
