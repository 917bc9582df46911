"""Tables that tests of several kinds begin with."""

import numpy as np
import pytest


def mixed(n=300, seed=0):
    """A frame with numbers, words, truths, categories, missing values, a constant, and what depends on them."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    a, colour = rng.normal(size=n), rng.choice(["red", "green", "blue"], size=n)
    frame = pandas.DataFrame({
        "a": a, "b": np.where(rng.random(n) < 0.2, np.nan, 100 * rng.normal(size=n)), "same": 7.0,
        "colour": pandas.Series(colour).where(rng.random(n) > 0.1), "flag": rng.random(n) > 0.5,
        "size": pandas.Categorical(rng.choice(["s", "m"], size=n)), "code": rng.integers(5, size=n), "none": np.nan,
    })  # fmt: skip
    y = (a + 2 * (colour == "red") + frame["flag"] > 1).astype(int).to_numpy()
    return frame, y


def cells(series):
    return [None if v is None or v != v else v for v in series.tolist()]


def as_polars(frame):
    polars = pytest.importorskip("polars")
    return polars.DataFrame({name: cells(frame[name]) for name in frame}, strict=False)
