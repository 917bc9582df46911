"""bfloat16 as it travels between processes, beside PyTorch's rule and its own definition."""

import numpy as np
import pytest

from jitmlp.engine.bfloat16 import bfloat16_of, float32_of


def test_every_number_of_16_bits_is_itself():
    halves = np.arange(2**16, dtype=np.uint16)
    values = float32_of(halves)
    again = bfloat16_of(values)
    is_nan = np.isnan(values)
    np.testing.assert_array_equal(again[~is_nan], halves[~is_nan])
    assert np.isnan(float32_of(again[is_nan])).all() and is_nan.sum() == 2 * 127


def test_rounding_is_to_the_nearest_and_to_the_even_of_two():
    rng = np.random.default_rng(0)
    values = np.concatenate([
        rng.normal(size=2000) * 10.0 ** rng.integers(-30, 30, 2000), [0.0, -0.0, np.inf, -np.inf, 1 + 2**-8, 1 + 3 * 2**-8]
    ]).astype(np.float32)  # fmt: skip
    halves = bfloat16_of(values)
    rounded = float32_of(halves)
    finite = np.isfinite(values)
    for step in (-1, 1):  # no neighbour is nearer; of two that are as near the even one was taken
        neighbour = float32_of((halves.astype(int) + step).astype(np.uint16))
        both = finite & np.isfinite(neighbour)
        near, far = (np.abs(other[both].astype(float) - values[both]) for other in (rounded, neighbour))
        assert ((near < far) | ((near == far) & (halves[both] % 2 == 0))).all()
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(values))
    np.testing.assert_array_equal(rounded[~finite], values[~finite])
    assert rounded[-2] == 1.0 and rounded[-1] == np.float32(1 + 2**-6)
    assert np.isnan(float32_of(bfloat16_of(np.array([np.nan, -np.nan])))).all()
    assert float32_of(bfloat16_of(np.array([3.4e38], np.float32)))[0] == np.inf


def test_beside_torch():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(1).normal(size=10_000).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(float32_of(bfloat16_of(values)), expected)


def test_shapes_and_dtypes():
    rows = np.zeros((3, 4), np.uint16)
    assert float32_of(rows).shape == (3, 4) and bfloat16_of(np.ones(5)).dtype == np.uint16
