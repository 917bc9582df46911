"""Products of bfloat16 with sums in float32, beside NumPy on rounded numbers and beside float32 itself."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from helpers import STEP_FORMS, Constraints, Data, after_an_epoch, coefficient_table, make_network
from jitmlp.engine.bfloat16 import bfloat16_of, float32_of

N, PENALTY = 61, Constraints(0.01)
TABLE = coefficient_table("gradient", np.ones(1), np.ones(1), {})


def rounded(values):
    """The nearest bfloat16, as float64."""
    values = np.asarray(values, np.float32)
    return float32_of(bfloat16_of(values.ravel())).reshape(values.shape).astype(float)


def assert_sum(found, left, right, start=0.0, factor=1.0):
    """``start + left @ right``, to the rounding of a sum in float32 of terms of these sizes."""
    wanted, size = start + left @ right, np.abs(start) + np.abs(left) @ np.abs(right)
    assert (np.abs(found - wanted * factor) <= 1e-5 * size + 1e-30).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 41), min_size=2, max_size=4), st.integers(1, N), st.sampled_from([1, 2, 3]),
    st.sampled_from(["tanh", "relu"]),
)  # fmt: skip
def test_every_product_is_that_of_rounded_numbers(units, rows, n_threads, hidden):
    """Forward, back and for the gradients, of any width and any number of rows."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, units[0])).astype(np.float32), rng.integers(units[-1], size=N)
    network, coefs, intercepts = make_network(
        units, hidden, dtype="float32", optimizer="gradient", rows=N, n_threads=n_threads, keep_preactivations=True,
        bfloat16=True,
    )  # fmt: skip
    order = rng.permutation(N)[:rows]
    network.train(Data(X, y), order, rows, TABLE, Constraints(0.0), n_threads=n_threads)
    buffers = {
        what: [network.buffer(l, what, rows).astype(float) for l in range(len(coefs))]
        for what in ("preactivations", "outputs", "deltas")
    }
    inputs = [X[order], *buffers["outputs"]]
    gradients = network.unpack(1)
    network.pack(coefs, intercepts)  # the step has moved them
    for l, (W, b) in enumerate(zip(coefs, intercepts)):
        deltas = buffers["deltas"][l]
        assert_sum(buffers["preactivations"][l], rounded(inputs[l]), rounded(W), b)
        assert_sum(gradients[0][l], rounded(inputs[l]).T, rounded(deltas) / rows)
        assert_sum(gradients[1][l], np.ones(rows), deltas / rows)
        if l:
            a = buffers["outputs"][l - 1]
            slope = 1 - a**2 if hidden == "tanh" else a > 0
            assert_sum(buffers["deltas"][l - 1], rounded(deltas), rounded(W).T, factor=slope)
    y_hot = np.eye(units[-1])[y[order]]
    np.testing.assert_allclose(buffers["deltas"][-1], buffers["outputs"][-1] - y_hot, atol=1e-6)
    np.testing.assert_allclose(network.predict(Data(X), order), buffers["outputs"][-1], atol=1e-6)


def trained(bfloat16, units=(50, 37, 21, 3), n_threads=1, rows=16, constraints=PENALTY, X=None, **options):
    """Parameters, loss and predictions after an epoch."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, units[0])).astype(np.float32) if X is None else X
    data = Data(X, rng.integers(units[-1], size=N), rng.uniform(0.5, 2, N))
    if "dropout" in options:
        options["dropout"] = (*options["dropout"], 0.3)
    network, *_ = make_network(units, "tanh", dtype="float32", optimizer="adam", rows=rows, n_threads=n_threads, bfloat16=bfloat16, **options)  # fmt: skip
    return after_an_epoch(network, data, rng.permutation(N), rows, constraints, n_threads)


FORMS = ({}, *STEP_FORMS, {"rows": N, "blocks": 3}, {"constraints": Constraints(0.01, frozen=((True, False), (False, False), (False, True)))})  # fmt: skip


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_in_every_form_of_a_step_on_any_number_of_threads(options, monkeypatch):
    options = dict(options)
    if "blocks" in options:
        monkeypatch.setattr("jitmlp.engine.layout.MAX_BLOCK_ROWS", N // options.pop("blocks"))
    found, single = trained(True, **options), trained(False, **options)
    assert not np.array_equal(found[0], single[0]) or "frozen" in str(options)
    for a, b in zip(found[:-2], single[:-2]):  # Adam makes a step of 0.01 of what is not certain of its sign
        np.testing.assert_allclose(a, b, atol=0.05)
    np.testing.assert_allclose(found[-2], single[-2], rtol=0.02)
    np.testing.assert_allclose(found[-1], single[-1], atol=0.05)
    for n_threads in (2, 5):
        for a, b in zip(trained(True, n_threads=n_threads, **options), found):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("density", [0.05, 0.6])
def test_sparse_rows_too(density):
    X = sparse.random_array((N, 50), density=density, format="csr", dtype=np.float32, random_state=0)
    found, single = trained(True, X=X), trained(False, X=X)
    np.testing.assert_allclose(found[-1], single[-1], atol=0.05)
    for a, b in zip(trained(True, X=X, n_threads=3), found):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_stays_so():
    network, coefs, intercepts = make_network((5, 4, 3), dtype="float32", bfloat16=True)
    for bad in (np.nan, np.inf):
        broken = [coefs[0].copy(), coefs[1]]
        broken[0][2, 1] = bad
        network.pack(broken, intercepts)
        assert not np.isfinite(network.predict(Data(np.ones((2, 5), np.float32)))).all()


def test_a_snapshot_brings_back_the_rounded_weights_too():
    network, *_ = make_network((9, 7, 3), dtype="float32", optimizer="adam", rows=8, bfloat16=True)
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(8, 9)).astype(np.float32), rng.integers(3, size=8))
    kept, before = network.snapshot(), network.predict(data)
    network.train(data, np.arange(8), 8, coefficient_table("adam", np.full(1, 0.1), np.ones(1)), Constraints(0.0))
    assert not np.array_equal(network.predict(data), before)
    network.restore(kept)
    np.testing.assert_array_equal(network.predict(data), before)


ASSEMBLY = """
import llvmlite.binding as llvm
from jitmlp_kernels.link import compile
from jitmlp_kernels.pieces.bfloat16 import rounded_product
module = llvm.parse_assembly(str(compile.trace_piece(rounded_product, "float32", "piece", {})))
module.verify()
print(compile._machine().emit_assembly(module).count("vdpbf16ps"))
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="an instruction of x86-64")
def test_a_cpu_that_multiplies_bfloat16_is_told_to():
    features = ",".join(f"+{name}" for name in ("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512bf16"))  # fmt: skip
    env = {**os.environ, "NUMBA_CPU_NAME": "znver4", "NUMBA_CPU_FEATURES": features, "JITMLP_SILENT": "1"}
    env.pop("JITMLP_VECTOR_BYTES", None)
    made = subprocess.run([sys.executable, "-c", ASSEMBLY], env=env, capture_output=True, text=True, check=True)
    assert int(made.stdout) >= 16  # one for each sum of a whole tile
