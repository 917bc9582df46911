"""Memory: what training takes beside the data, from every kind of array."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from jitmlp import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N, FEATURES, LIMIT = 60_000, 784, 64 * 2**20


def images(dtype, layout, folder):
    """As many rows as MNIST has, a fifth of their numbers above 0."""
    rng = np.random.default_rng(0)
    X = np.zeros((N, FEATURES), dtype)
    X[:, ::5] = rng.integers(0, 256, (N, len(range(0, FEATURES, 5)))).astype(dtype)
    if layout == "fortran":
        return np.asfortranarray(X)
    if layout == "csr":
        return sparse.csr_matrix(X)
    if layout == "memory map":
        np.save(folder / "x.npy", X)
        return np.load(folder / "x.npy", mmap_mode="r")
    return X


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype, layout",
    [
        ("uint8", "rows"),
        ("float64", "rows"),
        ("float32", "fortran"),
        ("float32", "csr"),
        ("float32", "memory map"),
    ],
)
def test_training_and_predicting_read_the_data_where_they_lie(dtype, layout, tmp_path):
    """At most 64 MB beside the data for 784-128-64-10: less than any converted copy of these."""
    X, y = images(dtype, layout, tmp_path), np.arange(N) % 10
    model = MLPClassifier((128, 64), max_iter=1, dtype="float32", random_state=0)
    model.fit(X[:400], y[:400])  # whatever is loaded once
    tracemalloc.start()
    try:
        model.fit(X, y).predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT
