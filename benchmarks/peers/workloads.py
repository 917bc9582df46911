"""The workloads of the comparison: data, network, optimizer, batch."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import expm
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.preprocessing import normalize

from jitmlp.files.idx import load_mnist


@dataclass(frozen=True)
class Workload:
    """One row of the comparison.

    Attributes
    ----------
    kind : {'mnist', 'expm', 'table', 'text', 'one-hot', 'categories', 'tiny', 'predict'}
        Where the data come from.
    units : tuple of int
        Inputs, hidden layers, outputs.
    batch : int
        Rows of a mini-batch, or of a call to predict.
    epochs : int
        Passes in one measurement, or calls to predict.
    entries : int
        Stored numbers of a row of sparse text.
    peers : tuple of str
        Who takes part beside jitmlp.
    precision : str, optional
        Of jitmlp's products; the peers' are of ``dtype``.
    embedding : int
        Width of the categories' embeddings; 0 for one-hot columns.
    """

    name: str
    kind: str
    units: tuple[int, ...]
    batch: int
    epochs: int
    dtype: str = "float32"
    activation: str = "relu"
    entries: int = 0
    peers: tuple[str, ...] = ("scikit-learn", "torch", "torch.compile", "jax", "keras")
    precision: str | None = None
    embedding: int = 0

    @property
    def flops(self) -> float:
        """Floating-point operations of one row, forward and, in training, backward; zeros of sparse rows not counted."""
        if self.embedding:  # whose deltas are wanted too
            pairs = list(zip((self.entries * self.embedding, *self.units[1:]), self.units[1:]))
            return float(sum(6 * a * b for a, b in pairs))
        pairs = list(zip((self.entries or self.units[0], *self.units[1:]), self.units[1:]))
        if self.kind == "predict":
            return float(sum(2 * a * b for a, b in pairs))
        return float(sum(2 * a * b * (3 if i else 2) for i, (a, b) in enumerate(pairs)))


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "mnist", (784, 128, 64, 10), 200, 5),
        Workload("W1d", "mnist", (784, 128, 64, 10), 200, 5, dtype="float64"),
        Workload("W2", "mnist", (784, 128, 64, 10), 32, 3),
        Workload("W3", "mnist", (784, 30, 10), 10, 3),
        Workload("W4", "mnist", (784, 512, 512, 10), 128, 1),
        Workload("W5", "mnist", (784, 1024, 1024, 10), 512, 1),
        Workload("W4b", "mnist", (784, 512, 512, 10), 128, 1, peers=("torch", "jax"), precision="bfloat16"),
        Workload("W5b", "mnist", (784, 1024, 1024, 10), 512, 1, peers=("torch", "jax"), precision="bfloat16"),
        Workload("W6", "expm", (4, 32, 16, 4), 10_000, 200, activation="tanh"),
        Workload("W7", "table", (50, 256, 256, 1), 256, 2),
        Workload("T1", "text", (30_000, 100, 20), 200, 2, entries=80, peers=("scikit-learn",)),
        Workload("T2", "text", (100_000, 100, 20), 200, 2, entries=50, peers=("scikit-learn",)),
        Workload("O1", "one-hot", (5000, 128, 64, 10), 256, 2, entries=50, peers=("scikit-learn",)),
        Workload("C1", "categories", (5000, 128, 64, 10), 256, 2, entries=50, peers=("scikit-learn", "torch")),
        Workload("C2", "categories", (50_000, 128, 64, 10), 256, 2, entries=50, peers=("torch",), embedding=8),
        Workload("F1", "tiny", (4, 100, 3), 150, 200, dtype="float64", peers=("scikit-learn",)),
        Workload("F2", "tiny", (13, 100, 3), 178, 200, dtype="float64", peers=("scikit-learn",)),
        Workload("F3", "tiny", (30, 100, 1), 200, 200, dtype="float64", peers=("scikit-learn",)),
        Workload("P1", "predict", (64, 128, 64, 10), 1, 2000, peers=("scikit-learn", "torch")),
        Workload("P2", "predict", (784, 128, 64, 10), 10_000, 20, peers=("scikit-learn", "torch", "jax")),
    )
}


def mnist():
    """MNIST as float32 in [0, 1], or random images of its shape without ``MNIST_DIR``."""
    folder = os.environ.get("MNIST_DIR")
    if folder:
        X, y, X_test, y_test = load_mnist(folder)
    else:
        rng = np.random.default_rng(0)
        y, y_test = rng.integers(10, size=60_000), rng.integers(10, size=10_000)
        patterns = rng.integers(0, 256, size=(10, 784))
        X, X_test = ((np.where(rng.random((len(t), 784)) < 0.3, patterns[t], 0)).astype(np.uint8) for t in (y, y_test))
    return X.astype(np.float32) / 255, y, X_test.astype(np.float32) / 255, y_test


TINY = {"F1": load_iris, "F2": load_wine, "F3": load_breast_cancer}
ROWS = {
    "T1": 8_000,
    "T2": 6_000,
    "O1": 20_000,
    "C1": 20_000,
    "C2": 20_000,
    "F1": 150,
    "F2": 178,
    "F3": 569,
}  # to train on, where the kind does not say


def one_hot(workload: Workload):
    """50 columns of 100 categories each, as they are or as one-hot columns in CSR; the class depends on ten of them."""
    rng, n_columns = np.random.default_rng(0), workload.entries
    n, width = ROWS[workload.name] + 1000, workload.units[0] // n_columns
    codes = (width * rng.random((n, n_columns)) ** 2).astype(np.int64)
    effects = rng.standard_normal((10, width, workload.units[-1]))
    y = sum(effects[j, codes[:, j]] for j in range(10)).argmax(axis=1)
    if workload.kind == "categories":
        return codes, y
    places = codes + width * np.arange(n_columns)
    starts = np.arange(0, n * n_columns + 1, n_columns)
    return sparse.csr_matrix((np.ones(places.size, np.float32), places.ravel(), starts), (n, workload.units[0])), y


def text(workload: Workload):
    """Bags of words as CSR: each class has words of its own among those that all share, both Zipf-distributed."""
    rng, p, n_classes = np.random.default_rng(0), workload.units[0], workload.units[-1]
    n = ROWS[workload.name] + 1000
    y = rng.integers(n_classes, size=n)
    ranks = (np.exp(rng.random((n, workload.entries)) * np.log(p)) - 1).astype(np.int64)
    own = rng.random(ranks.shape) < 0.1
    words = np.where(own, (ranks * n_classes + y[:, None]) % p, np.argsort(rng.random(p))[ranks])
    rows = np.repeat(np.arange(n), workload.entries)
    X = sparse.coo_matrix((np.ones(words.size, np.float32), (rows, words.ravel())), (n, p)).tocsr()
    return normalize(X), y


def spread(codes: np.ndarray, width: int) -> np.ndarray:
    """Columns of categories as one-hot columns of an array, for who knows no categories."""
    rows = np.zeros((len(codes), width * codes.shape[1]), np.float32)
    np.put_along_axis(rows, codes + width * np.arange(codes.shape[1]), 1, axis=1)
    return rows


def load(workload: Workload):
    """``(X, y, X_test, y_test)`` of a workload; classes as int64, targets as float32."""
    rng = np.random.default_rng(0)
    if workload.kind == "expm":  # the matrix exponential of SimpleChains.jl's example
        matrices = rng.standard_normal((20_000, 2, 2))
        X, y = matrices.reshape(-1, 4), expm(matrices).reshape(-1, 4)
    elif workload.kind == "table":
        X = rng.standard_normal((120_000, workload.units[0]))
        mixed = np.tanh(X @ rng.standard_normal((workload.units[0], 8)))
        y = mixed @ rng.standard_normal((8, 1)) + 0.1 * rng.standard_normal((len(X), 1))
    elif workload.kind in ("text", "one-hot", "categories"):
        X, y = (text if workload.kind == "text" else one_hot)(workload)
    elif workload.kind == "tiny":
        X, y = TINY[workload.name](return_X_y=True)
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        return X, y.astype(np.int64), X, y.astype(np.int64)
    elif workload.kind == "predict" and workload.units[0] == 64:
        X, y = rng.standard_normal((3000, 64)), rng.integers(10, size=3000)
    else:
        X, y, X_test, y_test = mnist()
        kind = np.dtype(workload.dtype)
        return X.astype(kind), y, X_test.astype(kind), y_test
    half = {"expm": 10_000, "table": 100_000}.get(workload.kind, len(y) - 1000)
    X = X if workload.kind in ("table", "categories") else X.astype(np.float32)
    y = y if y.dtype == np.int64 else y.astype(np.float32)
    return X[:half], y[:half], X[half:], y[half:]
