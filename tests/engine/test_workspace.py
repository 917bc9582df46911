"""The step of the kernels against the oracle, finite differences and itself."""

import itertools
import platform

import numba
import numpy as np
import pytest

import reference
from helpers import HIDDEN, OUTPUTS, Constraints, Data, coefficient_table, make_network, pairs, targets_for
from jitmlp_kernels.rules.losses import LOSSES


def gradient(network, X, Y, alpha=0.0, weights=None, batch=None):
    """Loss and gradient of the kernels over all rows as one mini-batch."""
    table = coefficient_table("gradient", np.ones(1), np.ones(1), {})
    total = network.run(Data(X, Y, weights), np.arange(len(X)), batch or len(X), table, Constraints(alpha))
    return total / len(X), network.unpack(slot=1)


def test_outputs_has_every_loss():
    assert set(OUTPUTS) == {row.name for row in LOSSES}


@pytest.mark.parametrize("units", [(3, 2), (5, 1), (7, 30, 10), (33, 17, 16, 15, 4), (784, 100, 10)])
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 2e-4)])
def test_predict_equals_oracle(units, dtype, rtol):
    network, coefs, intercepts = make_network(units, "tanh", "softmax", dtype=dtype, n_threads=2)
    X = np.random.default_rng(1).normal(size=(150, units[0])).astype(dtype)
    expected = reference.forward(coefs, intercepts, pairs(network.model), X)[-1]
    np.testing.assert_allclose(network.predict(Data(X)), expected, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("loss, output", [(k, o) for k, v in OUTPUTS.items() for o in v])
def test_gradient_equals_finite_differences(hidden, loss, output):
    rng = np.random.default_rng(3)
    network, coefs, intercepts = make_network((3, 4, 5, 3), hidden, output, loss, optimizer="gradient", rows=6)
    X, weights = rng.normal(size=(6, 3)), rng.uniform(0.5, 2, size=6)
    Y = targets_for(loss, 6, 3, rng)
    value, (coef_gradients, intercept_gradients) = gradient(network, X, Y, alpha=0.3, weights=weights)

    def objective():
        return reference.loss(
            coefs, intercepts, pairs(network.model), X, Y, loss, network.model.loss_parameter, 0.3, weights
        )

    row = next(row for row in LOSSES if row.name == loss)
    if not row.mean_outputs:
        assert value == pytest.approx(objective(), rel=1e-9)
    numeric = reference.numeric_gradient(objective, [*coefs, *intercepts])
    for mine, theirs in zip([*coef_gradients, *intercept_gradients], numeric):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 7, 200])
def test_same_bits_for_any_number_of_threads(dtype, batch):
    """Steps of Adam on 1, 2 and 4 threads: every bit of weights and losses is the same."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 20)).astype(dtype), rng.integers(5, size=300)
    results = []
    for n_threads in (1, 2, 4):
        network, _, _ = make_network(
            (20, 37, 9, 5), "gelu", dtype=dtype, optimizer="adam", rows=batch, n_threads=n_threads
        )
        steps = -(-300 // batch)
        table = coefficient_table("adam", np.full(steps, 1e-2), np.arange(1.0, steps + 1), {})
        total = network.run(Data(X, y), np.arange(300), batch, table, Constraints(1e-2))
        results.append((total, network.unpack(), network.predict(Data(X))))
    for total, (coefs, intercepts), outputs in results[1:]:
        assert total == results[0][0]
        for mine, first in zip([*coefs, *intercepts], [*results[0][1][0], *results[0][1][1]]):
            np.testing.assert_array_equal(mine, first)
        np.testing.assert_array_equal(outputs, results[0][2])


def test_large_batch_in_blocks_equals_oracle():
    """A mini-batch of several blocks gives the gradient of all its rows."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2500, 4)), rng.normal(size=(2500, 2))
    network, coefs, intercepts = make_network(
        (4, 6, 2), "tanh", "identity", "squared_error", optimizer="gradient", rows=2500, n_threads=2
    )
    assert network.layout.block_rows < 2500
    _, (coef_gradients, intercept_gradients) = gradient(network, X, Y, alpha=0.1)
    hidden = np.tanh(X @ coefs[0] + intercepts[0])
    delta = hidden @ coefs[1] + intercepts[1] - Y
    below = delta @ coefs[1].T * (1 - hidden**2)
    np.testing.assert_allclose(coef_gradients[1], (hidden.T @ delta + 0.1 * coefs[1]) / 2500, rtol=1e-10)
    np.testing.assert_allclose(coef_gradients[0], (X.T @ below + 0.1 * coefs[0]) / 2500, rtol=1e-10)
    np.testing.assert_allclose(intercept_gradients[0], below.mean(axis=0), rtol=1e-10, atol=1e-16)


def test_padding_stays_zero():
    """What lies beside the parameters in their panels is zero after many steps."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 5)), rng.integers(3, size=64)
    for hidden in HIDDEN:
        network, _, _ = make_network((5, 7, 3), hidden, optimizer="adam", rows=10)
        table = coefficient_table("adam", np.full(20, 1e-2), np.arange(1.0, 21), {})
        for _ in range(3):
            network.run(Data(X, y), np.arange(64)[: 20 * 3], 3, table, Constraints(1e-3))
        for place in network.layout.layers:
            weights = network._weights(place, 0).reshape(place.fan_in_padded, -1).copy()
            weights[: place.fan_in, : place.fan_out] = 0
            assert not weights.any(), hidden


def test_round_trip_of_parameters():
    network, coefs, intercepts = make_network((9, 33, 18, 2), optimizer="adam")
    for slot in (0, 1, 2):
        network.pack(coefs, intercepts, slot=slot)
        mine = network.unpack(slot=slot)
        for a, b in zip([*mine[0], *mine[1]], [*coefs, *intercepts]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("units, n_threads", list(itertools.product([(4, 2), (784, 30, 10), (3, 1, 1)], [1, 2, 5])))
def test_every_strip_of_weights_has_one_owner(units, n_threads):
    network, _, _ = make_network(units)
    shares = network.layout.share_strips(n_threads)
    for l, place in enumerate(network.layout.layers):
        owned = np.zeros(place.fan_in_padded, int)
        for thread in range(n_threads):
            owned[shares[thread, l, 0] : shares[thread, l, 1]] += 1
        assert (owned == 1).all()


def test_a_step_allocates_nothing_that_stays():
    """A thousand calls into the kernels leave no memory behind."""
    import tracemalloc

    network, _, _ = make_network((10, 8, 3), optimizer="adam", rows=10)
    X, y = np.ones((10, 10)), np.arange(10) % 3
    table = coefficient_table("adam", np.full(1, 1e-3), np.ones(1), {})
    source = Data(X, y)
    network.run(source, np.arange(10), 10, table, Constraints(0.0))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        network.run(source, np.arange(10), 10, table, Constraints(0.0))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 10_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_numbers_count_as_zero_in_a_step_and_nowhere_else(dtype):
    """They would take ten times as long; the thread's own mode is put back."""
    tiny = np.finfo(dtype).tiny / 4
    network, coefs, intercepts = make_network((3, 4, 2), "identity", "identity", "squared_error", dtype)
    network.pack([np.full_like(coefs[0], tiny), np.ones_like(coefs[1])], [0 * i for i in intercepts])
    out = network.predict(Data(np.ones((5, 3), dtype)))
    if numba.config.DISABLE_JIT or platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the mode is set by compiled kernels on x86-64 only")
    assert (out == 0).all()
    assert np.dtype(dtype).type(tiny) * np.dtype(dtype).type(1) == tiny != 0


NO_LIMITS = Constraints(0.1)


@pytest.mark.parametrize("change", ["data", "constraints", "batch", "table"])
def test_what_changes_between_two_calls_is_heard(change):
    """Though what stays is told the kernels once."""
    rng = np.random.default_rng(0)
    sources = [Data(rng.normal(size=(40, 6)), rng.integers(3, size=40)) for _ in range(2)]
    plain = coefficient_table("adam", np.full(2, 0.01), np.arange(1.0, 3.0))
    calls = [[sources[0], np.arange(40), 20, plain, NO_LIMITS] for _ in range(2)]
    place, other = {
        "data": (0, sources[1]), "constraints": (4, Constraints(3.0, l1=0.5)), "batch": (2, 30),
        "table": (3, np.stack([np.stack([plain * f for f in (1.0, 2.0)], 1)] * 2, 1)),
    }[change]  # fmt: skip
    calls[1][place] = other
    used, *_ = make_network((6, 9, 3), optimizer="adam", rows=40)
    used.run(*calls[0])
    fresh, *_ = make_network((6, 9, 3), optimizer="adam", rows=40)
    fresh.load(used.parameters())
    for number, slot in enumerate(used.state(), 1):
        fresh.load(slot, number)
    assert used.run(*calls[1]) == fresh.run(*calls[1])
    for a, b in zip(used.parameters().arrays(), fresh.parameters().arrays()):
        np.testing.assert_array_equal(a, b)
