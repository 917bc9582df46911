"""Categories that are looked up as embeddings, beside the network of their one-hot columns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from helpers import STEP_FORMS, Constraints, Data, after_an_epoch, coefficient_table, make_network
from jitmlp.engine.workspace import NonFiniteInputs
from jitmlp.model.model import Embedding
from jitmlp.model.parameters import Parameters

N = 61
TABLE = coefficient_table("gradient", np.ones(1), np.ones(1), {})


def rows_of(embedding, rng, dtype):
    """Rows with numbers and at most one category a column; some are missing, some weigh more than 1."""
    X = np.zeros((N, embedding.n_numbers + sum(embedding.categories)))
    X[:, : embedding.n_numbers] = rng.normal(size=(N, embedding.n_numbers))
    first = embedding.n_numbers
    for count in embedding.categories:
        known = np.flatnonzero(rng.random(N) < 0.9)
        X[known, first + rng.integers(count, size=len(known))] = rng.choice([1.0, 1.0, 2.0], len(known))
        first += count
    return sparse.csr_array(X.astype(dtype))


def embedded_network(embedding, units=(7, 3), seed=0, **options):
    """A network with random embeddings."""
    network, *_ = make_network((embedding.n_inputs, *units), embedding=embedding, seed=seed, **options)
    rng, found = np.random.default_rng(seed), network.parameters()
    tables = [rng.normal(size=own.shape).astype(own.dtype) for own in found.embeddings]
    network.load(Parameters(found.weights, found.biases, found.batch_norms, tuple(tables)))
    return network


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 19), st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 19), st.integers(1, N),
    st.sampled_from([1, 2, 5]), st.sampled_from(["float32", "float64"]), st.integers(1, 20),
)  # fmt: skip
def test_gradients_are_those_of_one_hot_columns(n_numbers, categories, dim, rows, n_threads, dtype, width):
    """Of weights W = E V the gradient G gives that of E as G V', and that of V as E' G."""
    embedding = Embedding(n_numbers, tuple(categories), dim)
    rng = np.random.default_rng(rows)
    X, y = rows_of(embedding, rng, dtype), rng.integers(3, size=N)
    options = dict(hidden="tanh", dtype=dtype, optimizer="gradient", rows=N, n_threads=n_threads)
    network = embedded_network(embedding, (width, 3), **options)
    plain, *_ = make_network((X.shape[1], width, 3), **options)
    start = network.parameters()
    plain.load(start.multiplied(embedding))
    order, data = rng.permutation(N)[:rows], Data(X, y)
    close = dict(rtol=2e-4, atol=2e-5) if dtype == "float32" else dict(rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(network.predict(data), plain.predict(data), **close)
    for one in (network, plain):
        one.train(data, order, rows, TABLE, Constraints(0.0), n_threads=n_threads)
    np.testing.assert_allclose(network.take_loss(), plain.take_loss(), rtol=1e-4 if dtype == "float32" else 1e-10)
    found, wanted = network.parameters(1), plain.parameters(1)
    G, V = wanted.weights[0].astype(float), start.weights[0].astype(float)
    first, place = n_numbers, n_numbers
    np.testing.assert_allclose(found.weights[0][:n_numbers], G[:n_numbers], **close)
    for own, gradient in zip(start.embeddings, found.embeddings):
        part, weights = G[first : first + len(own)], V[place : place + dim]
        scale = np.abs(part).sum() + 1  # sums that cancel are as exact as their terms
        np.testing.assert_allclose(gradient, part @ weights.T, atol=scale * close["atol"], rtol=0)
        np.testing.assert_allclose(found.weights[0][place : place + dim], own.T @ part, atol=scale * 30 * close["atol"], rtol=0)  # fmt: skip
        first, place = first + len(own), place + dim
    np.testing.assert_allclose(found.weights[1], wanted.weights[1], **close)


FORMS = (
    {}, *STEP_FORMS, {"rows": N, "blocks": 3}, {"bfloat16": True}, {"bfloat16": True, "dropout": (0.2, 0.0)},
    {"constraints": Constraints(0.01, frozen=((True, True), (False, False)))},
    {"constraints": Constraints(0.01, frozen=((True, False), (False, False)))},
)  # fmt: skip


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_the_bits_do_not_depend_on_threads(options, monkeypatch):
    options = dict(options)
    if "blocks" in options:
        monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", N // options.pop("blocks"))
    rows, constraints = options.pop("rows", 16), options.pop("constraints", Constraints(0.01))
    embedding = Embedding(3, (33, 5, 18), 5)
    rng = np.random.default_rng(0)
    data = Data(rows_of(embedding, rng, "float32"), rng.integers(3, size=N))
    order = rng.permutation(N)

    def trained(n_threads):
        network = embedded_network(
            embedding, dtype="float32", optimizer="adam", rows=rows, n_threads=n_threads, **options
        )
        before = network.parameters()
        return before, after_an_epoch(network, data, order, rows, constraints, n_threads)

    before, found = trained(1)
    frozen = "frozen=((True" in str(constraints)
    for old, new in zip(before.embeddings, found):
        assert np.isfinite(new).all() and np.array_equal(old, new) == frozen
    for n_threads in (2, 3, 7):
        for a, b in zip(trained(n_threads)[1], found):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("clip_norm", [np.inf, 1e-3])
def test_the_norm_that_is_clipped_is_that_of_the_embeddings_too(clip_norm):
    embedding = Embedding(2, (9, 4), 3)
    rng = np.random.default_rng(0)
    data = Data(rows_of(embedding, rng, "float64"), rng.integers(3, size=N))
    network = embedded_network(embedding, optimizer="gradient", rows=N, accumulate=True)
    network.train(data, np.arange(N), N, TABLE, Constraints(0.0, clip_norm=clip_norm))
    norm = np.sqrt(sum((array**2).sum() for array in network.parameters(1).arrays()))
    assert norm == pytest.approx(clip_norm) if clip_norm < np.inf else norm > 1e-2


def test_parameters_and_state_come_back_as_they_went_in():
    embedding = Embedding(0, (3, 1, 20), 11)
    network = embedded_network(embedding, optimizer="adam", rows=8)
    for slot in range(3):
        given = network.parameters().map(lambda array, slot=slot: array + slot)
        network.load(given, slot)
        for a, b in zip(network.parameters(slot).arrays(), given.arrays()):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="shapes"):
        network.load(replace(network.parameters(), embeddings=()))


def test_numbers_that_are_not_finite_and_columns_that_are_not_there_are_noted():
    embedding = Embedding(1, (2,), 2)
    network = embedded_network(embedding, rows=4, optimizer="adam")
    X = sparse.csr_array(np.array([[0.5, 0, 1.0], [1.0, 1.0, 0]]))
    data = Data(X, np.array([0, 1]))
    network.predict(data)
    X.data[0] = np.nan
    with pytest.raises(NonFiniteInputs):
        network.predict(data)
    X.data[0], X.indices[1] = 0.5, 3
    with pytest.raises(NonFiniteInputs):
        network.predict(data)
