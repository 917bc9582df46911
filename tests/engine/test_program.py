"""The table of a step: its phases, its calls, and that they stay inside of the network's memory."""

import ctypes

import numpy as np
import pytest
from scipy import sparse

from helpers import Constraints, Data, make_network, optimizer_rule
from interpreted import interpreted, phase_by_phase, ranges
from jitmlp.engine.job import Job
from jitmlp.engine.program import Plan, prediction_program, training_program
from jitmlp.model.bins import bins_of
from jitmlp.model.model import Embedding
from jitmlp_kernels.pieces.records import CALL, GROUP_ROWS, JOB, UNIT_BYTES

KIND = Data(np.ones((4, 3)), np.zeros(4, int)).kind


def names(program):
    """The calls of each phase."""
    starts = [first for *_, first in program.phases]
    labels = [wanted.body.__name__ for wanted, _ in program.calls]
    return [labels[a:b] for a, b in zip(starts, [*starts[1:], len(labels)])]


def program_of(plan=Plan(), **options):  # noqa: B008
    network, *_ = make_network((3, 5, 2), optimizer="adam", rows=8, **options)
    return training_program(network.model, network.operands, KIND, optimizer_rule("adam"), plan)


def test_a_plain_step_has_two_phases():
    rows, weights = names(program_of())
    assert rows == [
        "spread_classes", "gather_inputs", "product", "activation_forward", "product", "softmax_forward", "loss_rows",
        "product", "activation_backward",
    ]  # fmt: skip
    assert weights == ["mini_batch_totals", "step_bias", "step_weights", "step_bias", "step_weights"]


def test_batch_normalization_adds_sums_on_both_ways():
    phases = names(program_of(batch_norm=True))
    assert [p[0] for p in phases[1::2]] == ["batch_statistics", "batch_norm_gradients", "mini_batch_totals"]
    assert phases[2][0] == "batch_norm_forward" and phases[4][0] == "batch_norm_backward"
    assert phases[-1].count("update_vector") == 2


def test_blocks_limits_and_norms_are_phases():
    plain = len(program_of().phases)
    assert len(program_of(Plan(blocks=3)).phases) == plain + 4
    assert len(program_of(Plan(max_norm=True)).phases) == plain + 1
    clipped = names(program_of(Plan(clip_norm=True)))
    assert len(clipped) == plain + 1 and clipped[-1][0] == "clip_factor"
    assert "step_weights" not in sum(clipped, [])


def test_a_prediction_is_one_phase_and_needs_no_loss():
    network, *_ = make_network((3, 5, 2))
    (calls,) = names(prediction_program(network.model, network.operands, KIND))
    assert calls == [
        "gather_inputs", "product", "activation_forward", "product", "softmax_forward", "copy_outputs",
    ]  # fmt: skip


def few_entries(X):
    """Mostly zeros, with duplicates and columns out of order."""
    rows, columns = np.nonzero(np.random.default_rng(3).random(X.shape) < 0.08)
    values = np.concatenate([X[rows, columns], np.ones(3)])
    rows, columns = (np.concatenate([a, a[:3]])[::-1] for a in (rows, columns))
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(X) + 1))
    return sparse.csr_matrix((values[::-1][order], columns[order], starts), X.shape)


TABLE = Embedding(2, (3, 7), 5)  # numbers, categories of each column, width of an embedding


def with_categories(X):
    """Two numbers, and two columns of categories, of which some are missing."""
    rng, n = np.random.default_rng(3), len(X)
    rows = np.zeros((n, 12))
    rows[:, :2] = X[:, :2]
    for first, count in ((2, 3), (5, 7)):
        known = np.flatnonzero(rng.random(n) < 0.8)
        rows[known, first + rng.integers(count, size=len(known))] = 1
    return sparse.csr_matrix(rows)


BINS = bins_of([np.linspace(-1, 1, 10), [], [-0.5, 0, 0.1, 0.5], np.linspace(-2, 2, 20)])  # which add 34 inputs


def numbers_in_front(X):
    """As many as there are bins for."""
    return np.ascontiguousarray(X[:, :5])


def mostly_zeros(X):
    """Few other numbers, in the last row and column too."""
    X = np.where(np.random.default_rng(3).random(X.shape) < 0.04, X, 0)
    X[-1, -1] = 1
    return X


CASES = {
    "plain": {},
    "narrow": {"units": (1, 1, 1)},
    "wide": {"units": (35, 33, 17, 3)},
    "batch norm and dropout": {"batch_norm": True, "dropout": (0.2, 0.3)},
    "clipped": {"constraints": {"clip_norm": 0.1}, "accumulate": True},
    "limited": {"constraints": {"max_norm": 0.5, "l1": 0.1}},
    "strided": {"form": lambda X: X[:, ::-1]},
    "bytes": {"form": lambda X: (X * 50).astype(np.int8)},
    "sparse, spread": {"form": sparse.csr_matrix},
    "sparse, by entries": {"units": (40, 9, 3), "form": few_entries},
    "sparse, by entries, large batch": {"units": (40, 9, 3), "form": few_entries, "rows": 1030, "n": 1030},
    "large batch": {"rows": 1030, "n": 1030},
    "zeros left out": {"units": (43, 17, 3), "form": mostly_zeros, "rows": 200, "n": 1030},
    "rounded": {"units": (35, 33, 17, 3), "dtype": "float32", "bfloat16": True, "atol": 0.02},
    "rounded, in blocks": {
        "units": (5, 9, 3),
        "dtype": "float32",
        "bfloat16": True,
        "rows": 1030,
        "n": 1031,
        "atol": 0.02,
    },
    "embedded": {"units": (12, 9, 3), "form": with_categories, "embedding": TABLE},
    "embedded, in blocks": {"units": (12, 9, 3), "form": with_categories, "embedding": TABLE, "rows": 1030, "n": 1031},
    "in bins": {"units": (5 + 34, 9, 3), "form": numbers_in_front, "bins": BINS},
    "in bins, in blocks": {"units": (5 + 34, 9, 3), "form": numbers_in_front, "bins": BINS, "rows": 1030, "n": 1031},
    "in bins, dropped": {"units": (5 + 34, 9, 3), "form": numbers_in_front, "bins": BINS, "dropout": (0.2, 0.3)},
    "in bins, dropped and rounded": {
        "units": (5 + 34, 9, 3),
        "form": lambda X: sparse.csr_matrix(numbers_in_front(X)),
        "bins": BINS,
        "dropout": (0.2, 0.3),
        "dtype": "float32",
        "bfloat16": True,
        "rows": 1030,
        "n": 1031,
        "atol": 0.02,
    },
    "embedded, in bins": {
        "units": (12 + 10, 9, 3),
        "form": with_categories,
        "embedding": TABLE,
        "bins": bins_of([BINS.edges[0], []]),
    },
    "three epochs": {"n_epochs": 3},
    "three epochs of entries": {"units": (40, 9, 3), "form": few_entries, "n_epochs": 3},
    "zeros left out, large batch": {"units": (43, 17, 3), "form": mostly_zeros, "rows": 1030, "n": 1030},
}


@pytest.mark.parametrize("case", CASES)
def test_every_access_lies_in_known_memory_and_gives_what_the_compiled_step_gives(case):
    options = dict(CASES[case])
    units, form, rows = options.pop("units", (5, 9, 3)), options.pop("form", lambda X: X), options.pop("rows", 7)
    constraints, n = Constraints(0.1, **options.pop("constraints", {})), options.pop("n", 19)
    # activations that differ in their last bit may be rounded to different bfloat16
    atol, n_epochs = options.pop("atol", 1e-9), options.pop("n_epochs", 1)
    rng = np.random.default_rng(0)
    data = Data(form(rng.normal(size=(n, units[0]))), rng.integers(units[-1], size=n), rng.uniform(0.5, 2, n))
    results = []
    for mode in ("compiled", "interpreted"):
        network, coefs, intercepts = make_network(units, "tanh", optimizer="adam", rows=rows, **options)
        n_steps, shuffle = -(-n // rows), np.random.default_rng(1).permutation
        table = optimizer_rule("adam").table(
            np.full(n_steps * n_epochs, 0.01), np.arange(1.0, n_steps * n_epochs + 1), {}
        )
        order = np.concatenate([shuffle(n) for _ in range(n_epochs)])
        if mode == "compiled":
            network.train(data, order, rows, table, constraints, 3, 11, n_epochs=n_epochs)
        else:
            job = network.training_job(data, constraints)
            job.set(
                **network.asked(constraints, table), **data.fields, **data.training_fields,
                **network._room_for_entries(data, rows), **network._room_for_lists(data, True), order=order.ctypes.data,
                n_order=len(order), epoch_rows=n, epoch_steps=n_steps, batch_size=rows, first_step=3, seed=11,
                n_threads=1, shares=network._share(1), last_phase=len(job.phases) * len(table),
            )  # fmt: skip
            interpreted(job, ranges(network, job, data, [order, table]))
        results.append([*network.parameters().arrays(), np.array(network.take_losses(n_epochs))])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=max(1e-7, atol), atol=atol)


@pytest.mark.parametrize("n_threads", [2, 3, 9])
def test_threads_that_own_parts_of_a_feature_stay_inside_of_known_memory(n_threads):
    """Numbers in bins, infinite ones among them: each thread's rows of the weights begin in the middle of a feature."""
    rng, n, rows = np.random.default_rng(0), 23, 8
    X = rng.normal(size=(n, 5))
    X[::2, [0, 2, 3]] = np.inf, -np.inf, np.inf
    X[1] = np.nan
    data = Data(X, rng.integers(3, size=n))
    network, *_ = make_network((5 + 34, 9, 3), "tanh", optimizer="adam", rows=rows, n_threads=n_threads, bins=BINS)
    table = optimizer_rule("adam").table(np.full(3, 0.01), np.arange(1.0, 4), {})
    order, job = rng.permutation(n), network.training_job(data, Constraints())
    job.set(
        **network.asked(Constraints(), table), **data.fields, **data.training_fields, order=order.ctypes.data,
        n_order=n, epoch_rows=n, epoch_steps=3, batch_size=rows, n_threads=n_threads, shares=network._share(n_threads),
    )  # fmt: skip
    phase_by_phase(network, job, ranges(network, job, data, [order, table]), n_threads, len(job.phases) * 3)
    counts = np.array([len(BINS.edges[j]) - 1 for j in BINS.features])
    knots = network.memory[network.layout.knots.knots :].view(np.int32)[: rows * len(counts)].reshape(rows, -1)
    bins = knots - BINS.starts(0)
    assert (bins >= 0).all() and (bins < counts).all() and (bins == counts - 1).any(axis=0)[[0, 2]].all()


@pytest.mark.parametrize("seed", range(40))
def test_sparse_matrices_changed_after_every_check_stay_inside_of_known_memory(seed):
    """Indices, row starts and values overwritten by another thread, before a step and in its middle."""
    rng = np.random.default_rng(seed)
    n, p, n_threads = int(rng.integers(1, 30)), int(rng.integers(1, 60)), int(rng.integers(1, 4))
    index = rng.choice([np.int32, np.int64])
    X = sparse.random(n, p, rng.choice([0.0, 0.03, 0.15]), format="csr", random_state=seed)
    X = sparse.csr_matrix((X.data, X.indices.astype(index), X.indptr.astype(index)), X.shape)
    data, rows = Data(X, rng.integers(2, size=n)), int(rng.integers(1, n + 1))
    embedding = Embedding(p // 2, (p - p // 2,), 3) if seed % 4 == 0 else None
    units = (p if embedding is None else embedding.n_inputs, 17, 2)
    network, *_ = make_network(units, "tanh", optimizer="adam", rows=rows, n_threads=n_threads, embedding=embedding)
    n_steps = -(-n // rows)
    table = optimizer_rule("adam").table(np.full(n_steps, 0.01), np.arange(1.0, n_steps + 1), {})
    order, job = rng.permutation(n), network.training_job(data, Constraints())
    assert ("accumulate_embeddings" if embedding else "sort_entries") in [wanted.body.__name__ for wanted in job.wanted]
    job.set(
        **network.asked(Constraints(), table), **data.fields, **data.training_fields,
        **network._room_for_entries(data, rows), order=order.ctypes.data, n_order=n, epoch_rows=n, epoch_steps=n_steps,
        batch_size=rows, n_threads=n_threads, shares=network._share(n_threads),
        last_phase=len(job.phases) * n_steps,
    )  # fmt: skip

    def damage():
        for array in (X.indices, X.indptr, X.data):
            for _ in range(int(rng.integers(0, 4))):
                if len(array) and array.dtype.kind == "i":
                    wild = [-(2**31), -1, 0, len(X.data), p, p - 1, n, 2**31 - 1]
                    array[rng.integers(len(array))] = rng.choice(wild)
                elif len(array):
                    array[rng.integers(len(array))] = rng.choice([np.nan, np.inf, 1e308])

    allowed = ranges(network, job, data, [order, table])
    assert all(any(a is b for b in data._kept) for a in (X.indices, X.indptr, X.data) if a.size)
    damage()
    half = len(job.phases) * n_steps // 2
    phase_by_phase(network, job, allowed, n_threads, half)
    damage()
    phase_by_phase(network, job, allowed, n_threads, len(job.phases) * n_steps)


def test_records_have_the_sizes_that_the_kernels_step_by():
    assert CALL.itemsize == 16 and UNIT_BYTES % 128 == 0 and GROUP_ROWS % 8 == 0
    network, *_ = make_network((3, 2), optimizer="adam", rows=4)
    job = Job(network, training_program(network.model, network.operands, KIND, optimizer_rule("adam"), Plan()))
    assert ctypes.sizeof(type(job.fields)) == JOB.itemsize
    for name in JOB.names:
        assert getattr(type(job.fields), name).offset == JOB.fields[name][1]
