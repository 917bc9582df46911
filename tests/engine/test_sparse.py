"""Sparse rows, entry by entry, beside the same rows spread over zeros."""

import numpy as np
import pytest
from scipy import sparse

from helpers import STEP_FORMS, Constraints, Data, after_an_epoch, make_network, optimizer_rule
from jitmlp.engine import program
from jitmlp.engine.data import DENSITIES
from jitmlp.engine.workspace import NonFiniteInputs

UNITS = (50, 21, 3)
N = 90


def matrix(element="float64", index=np.int32, seed=0, density=0.1):
    """A matrix with empty rows and columns, and zeros that are stored."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((N, UNITS[0])) < density, rng.normal(size=(N, UNITS[0])) * 9, 0)
    X[7], X[8:10, :], X[:, 11] = 0, 0, 0
    X = sparse.csr_matrix(X if np.dtype(element).kind == "f" else np.round(np.abs(X)))
    X.data[::9] = 0
    return sparse.csr_matrix((X.data.astype(element), X.indices.astype(index), X.indptr.astype(index)), X.shape)


def trained(X, *, dtype=np.float64, rows=32, n_threads=1, constraints=Constraints(0.01), steps=None, **options):  # noqa: B008
    """Parameters, loss and predictions after an epoch."""
    rng = np.random.default_rng(1)
    data = Data(X, rng.integers(UNITS[-1], size=N), rng.uniform(0.5, 2, N))
    network, *_ = make_network(UNITS, "tanh", dtype=dtype, optimizer="adam", rows=rows, n_threads=n_threads, **options)
    return after_an_epoch(network, data, rng.permutation(N), rows, constraints, n_threads)


def by_entries(X):
    """Whether a matrix is gone through entry by entry."""
    return Data(X).kind.density <= DENSITIES[1]


@pytest.mark.parametrize("element", ["float64", "float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_of_ordered_columns_give_the_bits_of_dense_rows(element, index, dtype):
    X = matrix(element, index)
    assert by_entries(X) and not by_entries(X.toarray())
    for a, b in zip(trained(X, dtype=dtype), trained(X.toarray(), dtype=dtype)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", [{"rows": N, "blocks": 3}, *STEP_FORMS], ids=str)
def test_every_form_of_a_step_gives_the_bits_of_dense_rows_on_any_number_of_threads(options, monkeypatch):
    options = dict(options)
    if "blocks" in options:
        monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", N // options.pop("blocks"))
    X = matrix()
    wanted = trained(X.toarray(), **options)
    for n_threads in (1, 2, 3, 5):
        for a, b in zip(trained(X, n_threads=n_threads, **options), wanted):
            np.testing.assert_array_equal(a, b)


def test_duplicates_and_columns_out_of_order_add_up_alike_on_any_number_of_threads():
    X = matrix(density=0.05)
    rng = np.random.default_rng(2)
    shuffled = sparse.csr_matrix((np.empty(0), np.empty(0, np.int32), np.zeros(N + 1, np.int32)), X.shape)
    parts, columns, ends = [], [], [0]
    for row in X:
        order = rng.permutation(2 * row.nnz)
        parts.append(np.concatenate([row.data * 0.25, row.data * 0.75])[order])
        columns.append(np.concatenate([row.indices] * 2)[order])
        ends.append(ends[-1] + 2 * row.nnz)
    shuffled.data, shuffled.indices = np.concatenate(parts), np.concatenate(columns)
    shuffled.indptr = np.array(ends, np.int32)
    assert by_entries(shuffled)
    wanted, alone = trained(X.toarray()), trained(shuffled)
    for a, b in zip(alone, wanted):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    for a, b in zip(trained(shuffled, n_threads=3), alone):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_any_density_either_way(density, monkeypatch):
    X = matrix(density=density)
    monkeypatch.setattr(program, "DENSITIES", (1.0, 1.0))
    entries = trained(X)
    monkeypatch.setattr(program, "DENSITIES", (-1.0, -1.0))
    for a, b in zip(entries, trained(X)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", ["column", "negative column", "indptr", "nan", "inf"])
def test_what_lies_outside_of_the_matrix_or_is_not_finite_is_found(damage):
    X = matrix()
    data = Data(X, np.zeros(N, int))
    if damage == "column":
        X.indices[40] = 10**9
    elif damage == "negative column":
        X.indices[40] = -5
    elif damage == "indptr":
        X.indptr[30:] += 10**6
    else:
        X.data[40] = float(damage)
    network, *_ = make_network(UNITS, optimizer="adam", rows=N)
    table = optimizer_rule("adam").table(np.full(1, 0.01), np.ones(1), {})
    with pytest.raises(NonFiniteInputs):
        network.train(data, np.arange(N), N, table, Constraints())
    with pytest.raises(NonFiniteInputs):
        network.predict(data)


def test_room_grows_with_the_longest_mini_batch():
    small, large = matrix(density=0.02), matrix(density=0.15)
    network, *_ = make_network(UNITS, "tanh", optimizer="adam", rows=N)
    table = optimizer_rule("adam").table(np.full(1, 0.01), np.ones(1), {})
    for X in (small, large, small):
        network.train(Data(X, np.zeros(N, int)), np.arange(N), N, table, Constraints())
    other, *_ = make_network(UNITS, "tanh", optimizer="adam", rows=N)
    for X in (small, large, small):
        other.train(Data(X.toarray(), np.zeros(N, int)), np.arange(N), N, table, Constraints())
    for a, b in zip(network.parameters().arrays(), other.parameters().arrays()):
        np.testing.assert_array_equal(a, b)


def test_narrow_layers_go_through_entries_where_fewer_are_stored():
    def pieces(hidden, density):
        X = sparse.random(N, UNITS[0], density, format="csr", random_state=0)
        network, *_ = make_network((UNITS[0], hidden, 3), optimizer="adam", rows=N)
        data = Data(X, np.zeros(N, int))
        return [wanted.body.__name__ for wanted in network.training_job(data, Constraints()).wanted]

    assert "sort_entries" in pieces(4, 0.07) and "sort_entries" not in pieces(4, 0.15)
    assert "sort_entries" in pieces(100, 0.15) and "sort_entries" not in pieces(100, 0.3)
