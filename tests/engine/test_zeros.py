"""Dense rows that are mostly zeros, whose zeros are left out, beside the same rows with all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import STEP_FORMS, Constraints, Data, after_an_epoch, make_network, optimizer_rule
from jitmlp.engine import program
from jitmlp.engine.data import FILLS, fill_of
from jitmlp.engine.workspace import NonFiniteInputs
from jitmlp.model.model import Scaling
from jitmlp_kernels.trace.target import TILE_ROWS

N = 200
PENALTY = Constraints(0.01)


def rows_of(n_features=50, density=0.05, dtype=np.float64, seed=0):
    """Rows with empty ones and empty columns among them, zeros of both signs, and columns that are full."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((N, n_features)) < density, rng.normal(size=(N, n_features)) * 9, 0)
    X[7], X[8:24], X[:, 11], X[:, 17] = 0, 0, 0, rng.normal(size=N)
    X[::3] *= np.where(X[::3] == 0, -1, 1)
    return np.abs(X).astype(dtype) if np.dtype(dtype).kind in "ub" else X.astype(dtype)


def trained(X, leave_out, *, units=(21, 3), dtype=np.float64, rows=32, n_threads=1, constraints=PENALTY, **options):
    """Parameters, loss and predictions after an epoch."""
    rng = np.random.default_rng(1)
    data = Data(X, rng.integers(units[-1], size=N), rng.uniform(0.5, 2, N))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "MOST_FILLED", 9.0 if leave_out else -1.0)
        network, *_ = make_network((X.shape[1], *units), "tanh", dtype=dtype, optimizer="adam", rows=rows, n_threads=n_threads, **options)  # fmt: skip
        found = after_an_epoch(network, data, rng.permutation(N), rows, constraints, n_threads)
        names = [wanted.body.__name__ for job in network._jobs.values() for wanted in job.wanted]
        assert ("product_of_some" in names) == leave_out
        return found


def assert_same(left, right):
    for a, b in zip(left, right):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


@settings(deadline=None, max_examples=40)
@given(
    st.integers(8, 70), st.integers(1, 70), st.sampled_from([0.0, 0.02, 0.3, 1.0]), st.integers(1, N),
    st.sampled_from([1, 2, 3, 5]), st.sampled_from([np.float64, np.float32]),
)  # fmt: skip
def test_the_bits_are_those_of_all_products(n_features, hidden, density, rows, n_threads, dtype):
    X = rows_of(max(n_features, 18), density)
    options = {"units": (hidden, 3), "rows": rows, "dtype": dtype}
    assert_same(trained(X, True, n_threads=n_threads, **options), trained(X, False, **options))


@pytest.mark.parametrize("element", ["float32", "int64", "uint8", "bool"])
def test_whatever_the_rows_are_stored_as(element):
    X = rows_of(dtype=element)
    for form in (X, np.asfortranarray(X), X[:, ::-1], X[::-1]):
        assert_same(trained(form, True), trained(form, False))


@pytest.mark.parametrize(
    "options",
    [
        {"rows": N, "blocks": 3},
        *STEP_FORMS,
        {"constraints": Constraints(0.01, frozen=((True, False), (False, False)))},
        {"scaling": Scaling(np.zeros(50), np.full(50, 0.3))},
    ],
    ids=str,
)
def test_in_every_form_of_a_step_on_any_number_of_threads(options, monkeypatch):
    options = dict(options)
    if "blocks" in options:
        monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", N // options.pop("blocks"))
    X = rows_of()
    wanted = trained(X, False, **options)
    for n_threads in (1, 2, 5):
        assert_same(trained(X, True, n_threads=n_threads, **options), wanted)


def test_a_number_that_is_not_finite_is_found():
    for bad in (np.nan, np.inf):
        X = rows_of()
        X[40, 3] = bad
        with pytest.raises(NonFiniteInputs):
            trained(X, True)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_seen_though_only_zeros_meet_it(weight):
    X = np.zeros((1500, 50))
    X[:, 0] = 1
    data = Data(X, np.zeros(1500, int))
    network, coefs, _ = make_network((50, 21, 3), optimizer="adam", rows=32)
    parameters = network.parameters()
    parameters.weights[0][30, 5] = weight
    network.load(parameters)
    table = optimizer_rule("adam").table(np.full(2, 0.01), np.arange(1.0, 3), {})
    network.train(data, np.arange(64), 32, table, Constraints(0.0))
    assert "product_of_some" in [w.body.__name__ for job in network._jobs.values() for w in job.wanted]
    assert not np.isfinite(network.take_loss())


def test_how_much_is_left_is_found_from_a_sample():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.1, 1.0):
        filled = 1 - (1 - density) ** TILE_ROWS
        assert filled - 0.02 <= fill_of((rng.random((2000, 300)) < density).astype(np.float32)) <= filled + 0.12
    codes = np.eye(100)[rng.integers(100, size=2000)]
    assert fill_of(codes) <= 0.2
    assert fill_of(np.zeros((900, 300))) == fill_of(np.zeros((2000, TILE_ROWS - 1))) == 1.0  # too few to look at
    by_class = np.zeros((2000, 400), np.uint8)
    for k in range(10):  # rows in order of their class: each tile of a shuffled epoch meets all of them
        by_class[200 * k : 200 * (k + 1), 40 * k : 40 * (k + 1)] = 1
    assert fill_of(by_class) >= 0.2


def test_only_where_it_pays():
    rng = np.random.default_rng(0)

    def way(X, units, **options):
        network, *_ = make_network((X.shape[1], *units), optimizer="adam", rows=32, **options)
        return program.leaves_out_zeros(network.model, Data(X, np.zeros(len(X), int)).kind)

    X = (rng.random((2000, 64)) < 0.4 / TILE_ROWS).astype(float)
    assert way(X, (100, 3)) and not way(rng.normal(size=(2000, 64)), (100, 3))
    assert fill_of(X) == 0.4 and way(X, (20, 3)) and not way(X, (2, 3))  # a narrow layer has little to leave out
    assert not way(X, (100, 3), scaling=Scaling(np.ones(64), np.ones(64)))  # no zeros are left
    some = np.where(np.arange(64) < 10, 0.5, 0.0)
    assert way(X, (100, 3), scaling=Scaling(some, np.ones(64)))


def test_fills_go_up_to_all():
    assert FILLS[-1] == 1.0 and list(FILLS) == sorted(FILLS)
