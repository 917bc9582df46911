"""Small networks, of whose mini-batches each quarter has a gradient of its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import reference
from helpers import Constraints, Data, after_an_epoch, coefficient_table, make_network, optimizer_rule, pairs
from interpreted import phase_by_phase, ranges
from jitmlp.engine import layout, program
from jitmlp.engine.layout import gains_from_quarters
from jitmlp_kernels.pieces.share import QUARTERS

N, THREADS = 230, (1, 2, 3, 4, 5, 8)
ROWS = np.where(np.random.default_rng(0).random((N, 11)) < 0.3, np.random.default_rng(1).normal(size=(N, 11)), 0)
KINDS = {"all": ROWS, "some": ROWS, "entries": sparse.csr_matrix(np.where(np.arange(11) < 1, ROWS, 0))}


@pytest.fixture
def always(monkeypatch):
    """All networks that can have quarters have them."""
    monkeypatch.setattr(layout, "LEAST_ACTIVATIONS", 0)


def network_of(units=(11, 9, 3), kind="all", **options):
    network, *_ = make_network(units, "tanh", optimizer="adam", **options)
    assert network.layout.in_quarters
    return network


def trained(kind, n_threads, rows=97, constraints=Constraints(0.01), units=(11, 9, 3), **options):  # noqa: B008
    rng = np.random.default_rng(2)
    data = Data(KINDS[kind], rng.integers(3, size=N), rng.uniform(0.5, 2, N))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "MOST_FILLED", 9.0 if kind == "some" else -1.0)
        network = network_of(units, rows=rows, n_threads=n_threads, **options)
        found = after_an_epoch(network, data, rng.permutation(N), rows, constraints, n_threads)
    calls = {wanted.body.__name__: dict(wanted.arguments) for job in network._jobs.values() for wanted in job.wanted}
    found_by = "rows" if n_threads in (1, 2, 4) and kind != "entries" else "weights"
    trains = not constraints.frozen or constraints.frozen[0][0] is False
    assert ("find_rows" in calls) == (kind == "some" and trains) and ("sort_entries" in calls) == (kind == "entries")
    assert calls["accumulate_bias"]["found_by"] == found_by and "step_weights" not in calls
    return found


FORMS = (
    {},
    {"rows": 1},
    {"rows": 200},
    {"units": (11, 3)},
    {"units": (11, 33, 17, 3), "dtype": "float32"},
    {"blocks": 3, "rows": 200},
    {"dropout": (0.2, 0.3)},
    {"constraints": Constraints(0.01, l1=0.1, max_norm=0.5, clip_value=0.01)},
    {"constraints": Constraints(0.01, frozen=((False, True), (True, False)))},
)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_has_the_bits_of_one_and_sparse_rows_those_of_dense_ones(kind, form, always, monkeypatch):
    form = dict(form)
    if "blocks" in form:
        monkeypatch.setattr(layout, "MAX_BLOCK_ROWS", form["rows"] // form.pop("blocks"))
    if kind == "entries" and "dropout" in form:  # rows whose inputs are dropped are spread over zeros
        form["dropout"] = (0.0, 0.3)
    wanted = trained(kind, 1, **form)
    for n_threads in THREADS[1:]:
        for a, b in zip(trained(kind, n_threads, **form), wanted):
            np.testing.assert_array_equal(a, b)
    if kind == "some":
        for a, b in zip(trained("all", 1, **form), wanted):
            np.testing.assert_array_equal(a, b)
    if kind == "entries":
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(KINDS, "all", KINDS["entries"].toarray())
            for a, b in zip(trained("all", 2, **form), wanted):
                np.testing.assert_array_equal(a, b)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 20), st.integers(1, 40), st.sampled_from(THREADS), st.booleans())
def test_the_gradient_is_the_oracles(n, n_features, hidden, n_threads, in_blocks):
    rng = np.random.default_rng(n)
    X, classes, weights = rng.normal(size=(n, n_features)), rng.integers(3, size=n), rng.uniform(0.5, 2, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "LEAST_ACTIVATIONS", 0)
        patch.setattr(layout, "MAX_BLOCK_ROWS", 24 if in_blocks else 1024)
        options = {"optimizer": "gradient", "rows": n, "n_threads": n_threads}
        network, coefs, intercepts = make_network((n_features, hidden, 3), "tanh", **options)
    assert network.layout.in_quarters
    table = coefficient_table("gradient", np.ones(1), np.ones(1), {})
    network.run(Data(X, classes, weights), np.arange(n), n, table, Constraints(0.3))
    Y, model, parameters = np.eye(3)[classes], network.model, [*coefs, *intercepts]

    def objective():
        return reference.loss(coefs, intercepts, pairs(model), X, Y, "log_loss", 0.0, 0.3, weights)

    found = [array for part in network.unpack(slot=1) for array in part]
    for array, gradient in zip(parameters, found):  # along one direction each
        direction = rng.normal(size=array.shape)
        array += 1e-6 * direction
        above = objective()
        array -= 2e-6 * direction
        slope = (above - objective()) / 2e-6
        array += 1e-6 * direction
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_every_access_lies_in_known_memory(kind, n_threads, always, monkeypatch):
    monkeypatch.setattr(program, "MOST_FILLED", 9.0 if kind == "some" else -1.0)
    monkeypatch.setattr(layout, "MAX_BLOCK_ROWS", 20)
    n, rows, rng = 61, 37, np.random.default_rng(0)
    data, order = Data(KINDS[kind][:n], rng.integers(3, size=n)), rng.permutation(n)
    table = optimizer_rule("adam").table(np.full(2, 0.01), np.arange(1.0, 3), {})
    network = network_of(rows=rows, n_threads=n_threads)
    job = network.training_job(data, Constraints(0.1), n_threads)
    job.set(
        **network.asked(Constraints(0.1), table), **data.fields, **data.training_fields,
        **network._room_for_entries(data, rows), **network._room_for_lists(data, True), order=order.ctypes.data,
        n_order=n, epoch_rows=n, epoch_steps=2, batch_size=rows, n_threads=n_threads, shares=network._share(n_threads),
    )  # fmt: skip
    phase_by_phase(network, job, ranges(network, job, data, [order, table]), n_threads, len(job.phases) * 2)
    again = network_of(rows=rows, n_threads=1)
    again.train(data, order, rows, table, Constraints(0.1))
    for a, b in zip(network.parameters().arrays(), again.parameters().arrays()):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_may_change_from_call_to_call(kind, always):
    data, order = Data(KINDS[kind], np.arange(N) % 3), np.arange(N)
    table = optimizer_rule("adam").table(np.full(3, 0.01), np.arange(1.0, 4), {})
    constraints = Constraints(0.1)  # one for all calls, which share what is prepared
    changing, alone = network_of(rows=97, n_threads=8), network_of(rows=97)
    for n_threads in (2, 3, 4, 8, 5, 1, 3):
        changing.train(data, order, 97, table, constraints, n_threads=n_threads)
        alone.train(data, order, 97, table, constraints)
        job = changing._prepared[-1]
        found_by = {dict(w.arguments)["found_by"] for w in job.wanted if w.body.__name__ == "accumulate_weights"}
        assert found_by == {"rows" if QUARTERS % n_threads == 0 and kind != "entries" else "weights"}
        for a, b in zip(changing.parameters().arrays(), alone.parameters().arrays()):
            np.testing.assert_array_equal(a, b)


def test_a_team_of_two_or_four_meets_twice_a_step(always):
    data = Data(KINDS["all"], np.zeros(N, int))
    network = network_of(rows=40, n_threads=4)
    for n_threads in (1, 2, 4):
        job = network.training_job(data, Constraints(), n_threads)
        rows, weights = job.phases
        assert (rows["by_rows"], weights["by_rows"]) == (1, 0) and weights["last_call"] == weights["end_call"]
        names = [w.body.__name__ for w in job.wanted]
        assert set(names[rows["last_call"] : rows["end_call"]]) == {"accumulate_bias", "accumulate_weights"}
    assert QUARTERS == 4 and len(network._jobs) == 1


def test_only_small_networks_of_large_mini_batches():
    def gains(units, rows, **options):
        return gains_from_quarters(make_network(units, rows=1, optimizer="adam", **options)[0].model, rows)

    assert gains((4, 100, 3), 150) and gains((30, 100, 1), 200) and gains((4, 32, 16, 4), 10_000)
    assert not gains((4, 100, 3), 10) and not gains((784, 128, 64, 10), 200) and not gains((20, 100, 100, 3), 10**6)
    assert not gains((4, 100, 3), 150, batch_norm=True)
    clipped, *_ = make_network((4, 9, 3), optimizer="adam", rows=150, accumulate=True)
    assert not clipped.layout.in_quarters
