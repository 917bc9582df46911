"""Numbers that are told how far they lie in bins, beside the same network on rows in which all that stands."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from helpers import STEP_FORMS, Constraints, Data, after_an_epoch, coefficient_table, make_network
from jitmlp.engine.bins import MOST_ROWS, learn_bins
from jitmlp.model.bins import FEWEST_EDGES, bins_of
from jitmlp.model.model import Embedding, Scaling

N = 61
TABLE = coefficient_table("gradient", np.ones(1), np.ones(1), {})
FORMS = {
    "dense": lambda X: X, "strided": lambda X: np.asfortranarray(X), "sparse": sparse.csr_array,
    "bytes": lambda X: (X * 30).astype(np.int8),
}  # fmt: skip


def random_bins(counts, rng, scale=1.0):
    return bins_of([np.sort(rng.normal(size=count)) * scale for count in counts])


def binned_network(n_features, bins, units=(7, 3), **options):
    return make_network((n_features + bins.n_added, *units), bins=bins, **options)[0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([0, 0, 2, 3, 5, 8, 9, 17, 40]), max_size=6), st.integers(1, 12), st.sampled_from(list(FORMS)),
    st.sampled_from(["float32", "float64"]), st.booleans(), st.sampled_from([1, 2, 5]), st.integers(1, N),
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_rows_with_parts_and_ranks(
    counts, more, form, dtype, scaled, n_threads, rows
):
    rng, n_features = np.random.default_rng(len(counts) + rows), len(counts) + more
    X = FORMS[form](rng.normal(size=(N, n_features)).astype(dtype))
    bins = random_bins(counts, rng, 30 if form == "bytes" and not scaled else 1)
    scaling = Scaling(rng.normal(size=n_features), rng.uniform(0.5, 2, n_features) / (30 if form == "bytes" else 1))
    options = dict(hidden="tanh", dtype=dtype, optimizer="gradient", rows=N, n_threads=n_threads)
    network = binned_network(n_features, bins, scaling=scaling if scaled else None, **options)
    dense = X.toarray() if form == "sparse" else X
    dense = (scaling.apply(dense) if scaled else dense).astype(dtype)
    wide = bins.apply(dense)
    assert wide.shape[1] == network.model.n_inputs
    plain = make_network((wide.shape[1], 7, 3), **options)[0]
    y, order = rng.integers(3, size=N), rng.permutation(N)[:rows]
    close = dict(rtol=1e-3, atol=1e-4) if dtype == "float32" else dict(rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(network.predict(Data(X)), plain.predict(Data(wide)), **close)
    for one, given_rows in ((network, X), (plain, wide)):
        one.train(Data(given_rows, y), order, rows, TABLE, Constraints(0.0), n_threads=n_threads)
    scale = rows * (1 + np.abs(wide).max())  # sums that cancel are as exact as their terms
    for a, b in zip(network.parameters(1).arrays(), plain.parameters(1).arrays()):
        np.testing.assert_allclose(a, b, rtol=0, atol=scale * close["atol"])


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize(
    "options", [{}, *STEP_FORMS, {"rows": N, "blocks": 3}, {"bfloat16": True}, {"bfloat16": True, "dropout": (0.2, 0.0)}], ids=str
)  # fmt: skip
def test_the_bits_do_not_depend_on_threads(options, embedded, monkeypatch):
    options = dict(options)
    if "blocks" in options:
        monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", N // options.pop("blocks"))
    rows, constraints = options.pop("rows", 16), options.pop("constraints", Constraints(0.01))
    rng = np.random.default_rng(0)
    embedding = Embedding(3, (9, 5), 5) if embedded else None
    X = rng.normal(size=(N, 17)).astype("float32")
    X[:, 3:] *= rng.random((N, 14)) < 0.2
    bins = random_bins((9, 0, 24), rng)
    width = (embedding.n_inputs if embedding else 17) + bins.n_added
    data, order = Data(sparse.csr_array(X) if embedded else X, rng.integers(3, size=N)), rng.permutation(N)

    def trained(n_threads):
        options.update(dtype="float32", optimizer="adam", rows=rows, n_threads=n_threads)
        network = make_network((width, 7, 3), bins=bins, embedding=embedding, **options)[0]
        return after_an_epoch(network, data, order, rows, constraints, n_threads)

    found = trained(1)
    assert all(np.isfinite(array).all() for array in found)
    for n_threads in (2, 3, 7):
        for a, b in zip(trained(n_threads), found):
            np.testing.assert_array_equal(a, b)


def test_edges_are_quantiles_and_few_are_none():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4))
    X[:, 1], X[:, 2] = rng.integers(3, size=1000), np.round(X[:, 2])
    X[:, 3] = np.where(rng.random(1000) < 0.9, 0, X[:, 3])  # most quantiles are 0
    found = learn_bins(X, 10, None, 4, np.dtype(np.float64))
    np.testing.assert_array_equal(found.edges[0], np.quantile(X[:, 0], np.linspace(0, 1, 11)))
    assert len(found.edges[1]) == 0 and FEWEST_EDGES <= len(found.edges[2]) < 10
    assert all((np.diff(edges) > 0).all() for edges in found.edges)
    of_sparse = learn_bins(sparse.csr_array(X), 10, None, 2, np.dtype(np.float64))
    assert len(of_sparse.edges) == 2
    np.testing.assert_array_equal(of_sparse.edges[0], found.edges[0])
    scaling = Scaling(np.full(4, 0.5), np.full(4, 2.0))
    of_scaled = learn_bins(X, 10, scaling, 4, np.dtype(np.float64)).unscaled(scaling.shift, scaling.scale)
    np.testing.assert_allclose(of_scaled.edges[0], found.edges[0], rtol=1e-12, atol=1e-12)


def test_edges_differ_in_the_networks_dtype():
    X = 1e7 + np.linspace(0, 4, 100)[:, None]
    assert len(learn_bins(X, 20, None, 1, np.dtype(np.float64)).edges[0]) == 21
    assert len(learn_bins(X, 20, None, 1, np.dtype(np.float32)).edges[0]) == 5


def test_edges_are_no_nearer_to_each_other_than_a_slope_can_say():
    X = np.arange(100.0)[:, None] * np.float32(1e-41)
    assert len(learn_bins(X, 20, None, 1, np.dtype(np.float32)).edges[0]) == 0
    X = np.concatenate([X, np.arange(100.0)[:, None]])
    bins = learn_bins(X, 20, None, 1, np.dtype(np.float32))
    assert 9 < len(bins.edges[0]) < 13
    outputs = binned_network(1, bins, dtype="float32").predict(Data(X.astype("float32")))
    assert np.isfinite(outputs).all()


def test_of_very_many_rows_every_so_many_are_looked_at(monkeypatch):
    monkeypatch.setattr("jitmlp.engine.bins.MOST_ROWS", 100)
    assert MOST_ROWS > 100
    X = np.arange(1000.0)[:, None]
    found = learn_bins(X, 4, None, 1, np.dtype(np.float64))
    np.testing.assert_array_equal(found.edges[0], np.quantile(X[::10], np.linspace(0, 1, 5)))


def test_parts_alone_give_the_same_first_layer():
    rng = np.random.default_rng(0)
    bins = random_bins((5, 0, 9), rng)
    X, shift, scale = rng.normal(size=(50, 4)), rng.normal(size=4), rng.uniform(0.5, 2, 4)
    weights, bias = rng.normal(size=(4 + bins.n_added, 6)), rng.normal(size=6)
    raw, own = X / scale + shift, bins.unscaled(shift, scale)
    sources, lower, widths = own.parts()
    parts = np.clip((raw[:, sources] - lower) / widths, 0, 1)
    plain, plain_bias = bins.of_parts(weights, bias)
    np.testing.assert_allclose(np.hstack([X, parts]) @ plain + plain_bias, bins.apply(X) @ weights + bias, rtol=1e-9)


def test_no_feature_in_bins_is_a_network_of_plain_rows():
    bins, rng = bins_of([[], []]), np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    network, plain = binned_network(3, bins), make_network((3, 7, 3))[0]
    np.testing.assert_array_equal(network.predict(Data(X)), plain.predict(Data(X)))
    assert replace(network.model, bins=None).n_inputs == network.model.n_inputs
