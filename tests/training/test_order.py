"""Rows by blocks."""

import os
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitmlp import MLPClassifier
from jitmlp.engine.data import Data, map_of
from jitmlp.engine.memory import memory_limit
from jitmlp.training.direct import DirectFile
from jitmlp.training.order import (
    BLOCK_BYTES,
    PAGE_OUT,
    POPULATE,
    Blocks,
    _advise,
    _runs,
    _touch,
    read_ahead,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PARAMETERS = dict(hidden_layer_sizes=(16,), max_iter=15, tol=0.0, n_iter_no_change=99, random_state=0, batch_size=50)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 4000), st.integers(1, 2 * BLOCK_BYTES), st.integers(0, 9))
def test_every_row_is_taken_once_and_windows_are_of_whole_blocks(n, window, row_bytes, seed):
    rows = np.random.RandomState(seed).permutation(2 * n)[:n]
    order, starts = Blocks(window).order(rows, row_bytes, np.random.RandomState(seed))
    again, _ = Blocks(window).order(rows[::-1], row_bytes, np.random.RandomState(seed))
    np.testing.assert_array_equal(np.sort(order), np.sort(rows))
    np.testing.assert_array_equal(order, again)
    size, block = Blocks(window).sizes(row_bytes, n)
    assert starts[0] == 0 and starts[-1] == n and (np.diff(starts) <= max(size, block)).all()
    ranks = np.searchsorted(np.sort(rows), order)
    for start, stop in zip(starts, starts[1:]):
        taken = np.bincount(ranks[start:stop] // block)
        whole = np.minimum(block, n - block * np.arange(len(taken)))
        assert ((taken == 0) | (taken == whole)).all()


def test_the_first_of_several_windows_are_small():
    order, starts = Blocks(8000).order(np.arange(40_000), 2**19, np.random.RandomState(0))
    assert np.diff(starts)[:5].tolist() == [1000, 2000, 4000, 8000, 8000]


def test_all_rows_in_one_window_are_shuffled_as_well_as_any():
    order, starts = Blocks().order(np.arange(1000), 8, np.random.RandomState(0))
    assert starts.tolist() == [0, 1000] and abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


@pytest.fixture(scope="module")
def mapped_once(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "X.npy"
    np.save(path, np.zeros((400, 3)))
    return np.load(path, mmap_mode="r")


@pytest.fixture
def mapped(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r"), X, y


def test_a_map_trains_like_the_array_and_converges_like_one_that_is_shuffled_whole(mapped):
    X, dense, y = mapped
    fitted = [MLPClassifier(shuffle=("blocks", 200), **PARAMETERS).fit(rows, y) for rows in (X, dense)]
    np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])
    whole = MLPClassifier(**PARAMETERS).fit(dense, y)
    assert abs(fitted[0].loss_ - whole.loss_) < 0.1 * whole.loss_ and fitted[0].loss_ != whole.loss_
    early = MLPClassifier(shuffle="blocks", early_stopping=True, **{**PARAMETERS, "max_iter": 3}).fit(X, y)
    assert early.n_iter_ == 3


def test_windows_are_read_before_they_are_given_and_one_ahead(mapped, monkeypatch):
    X, dense, _ = mapped
    touched = []
    monkeypatch.setattr("jitmlp.training.order._touch", lambda X, rows: touched.extend(rows))
    assert map_of(X) is not None and map_of(np.asarray(X)[5:]) is not None and map_of(dense) is None
    order, starts = Blocks(500).order(np.arange(2000), 160, np.random.RandomState(0))
    given = []
    with read_ahead(Data(X), order, starts, 1, []) as parts:
        for k, (_, part) in enumerate(parts):
            np.testing.assert_array_equal(part, order[starts[k] : starts[k + 1]])
            assert set(part) <= set(touched)
            for _ in range(400):
                if len(touched) >= starts[min(k + 2, len(starts) - 1)]:
                    break
                time.sleep(0.01)
            time.sleep(0.02)
            assert len(touched) == starts[min(k + 2, len(starts) - 1)]  # one window ahead, not more
            given.append(part)
    assert len(given) == len(starts) - 1 == 7
    with read_ahead(Data(dense), order, starts, 1, []) as parts:
        np.testing.assert_array_equal(next(parts)[1], order)
    assert len(touched) == 2000


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(1, 60))
@settings(deadline=None, max_examples=30)
def test_parts_are_of_whole_mini_batches(mapped_once, sizes, multiple):
    order, starts = np.random.default_rng(0).permutation(sum(sizes)), np.cumsum([0, *sizes])
    with read_ahead(Data(mapped_once), order, starts, multiple, []) as parts:
        found = [part for _, part in parts]
    np.testing.assert_array_equal(np.concatenate(found), order)
    assert all(len(part) % multiple == 0 for part in found[:-1])


def test_training_reads_ahead(mapped, monkeypatch):
    touched = []
    monkeypatch.setattr("jitmlp.training.order._touch", lambda X, rows: touched.extend(rows))
    MLPClassifier(shuffle=("blocks", 200), **PARAMETERS).fit(mapped[0], mapped[2])
    assert len(touched) > 200


def test_a_window_is_a_part_of_the_memory():
    window, block = Blocks().sizes(2**20, 10**9)
    assert window == int(memory_limit() / 64 / 2**20) and block == 2
    assert Blocks(100).sizes(2**20, 10**9) == (100, 2)


def test_pages_are_read_whatever_the_layout(mapped):
    for X in (mapped[0], mapped[0][:, ::2], mapped[0].T):
        for rows in (np.arange(5), np.array([1, 4, 7]), np.arange(0)):
            _touch(X, rows)


@pytest.mark.parametrize("wrong", ["windows", ("blocks",), ("blocks", 0), ("rows", 5), ("blocks", 1.5)], ids=str)
def test_what_is_not_allowed(wrong):
    with pytest.raises(ValueError, match="shuffle"):
        MLPClassifier(shuffle=wrong, **PARAMETERS).fit(np.eye(4), [0, 1, 0, 1])


@pytest.mark.parametrize("how", ["truncated", "written to", "removed"])
def test_a_file_that_changes_under_a_fit_is_an_error(tmp_path, how):
    """Before the kernels read what is not there any more, which would end the process."""
    path = tmp_path / "X.npy"
    X = np.random.default_rng(0).normal(size=(20_000, 20))
    np.save(path, X)
    y = (X[:, 0] > 0).astype(int)

    def change(model):
        if how == "removed":
            path.unlink()  # which leaves the map as it is
        elif how == "truncated":
            os.truncate(path, 4096)
        else:
            path.write_bytes(path.read_bytes() + b"more")

    for shuffle in (True, "blocks"):
        np.save(path, X)
        model = MLPClassifier(callback=change, **PARAMETERS | dict(shuffle=shuffle, max_iter=3))
        if how == "removed":
            assert model.set_params(max_iter=1).fit(np.load(path, mmap_mode="r"), y).n_iter_ == 1
            continue
        with pytest.raises(
            ValueError, match="X.npy, which has changed while it is used: it had 3,200,128 bytes and has"
        ):
            model.fit(np.load(path, mmap_mode="r"), y)
        assert not hasattr(model, "coefs_")
    if how == "written to":
        own = np.load(path, mmap_mode="r+")  # its owner's changes are wanted
        assert MLPClassifier(callback=lambda model: own.flush(), **PARAMETERS).fit(own, y).n_iter_ == 15


def test_pages_are_read_by_the_system_or_by_touching_them(mapped, monkeypatch):
    X, _, _ = mapped
    asked = []
    monkeypatch.setattr("jitmlp.training.order._advise", lambda rows, what: asked.append((len(rows), what)))
    for rows in (np.arange(100, 200), np.arange(100, 200, 3)):
        _touch(X, rows)
    assert asked == [(100, POPULATE), (100, POPULATE)]
    monkeypatch.undo()
    assert _advise(X[:0], POPULATE) is False and _advise(X[:, :3], POPULATE) is False
    if sys.platform.startswith("linux"):
        for what in (POPULATE, PAGE_OUT):
            assert _advise(X[100:900], what) in (True, False)  # by the kernel's age
        np.testing.assert_array_equal(X[100:900], mapped[1][100:900])


def test_runs_are_neighbours():
    rows = np.concatenate([np.arange(0, 50, 2), np.arange(1000, 1010), [5000]])
    assert [(run[0], run[-1]) for run in _runs(np.random.default_rng(0).permutation(rows))] == [
        (0, 48),
        (1000, 1009),
        (5000, 5000),
    ]
    assert _runs(rows[:0]) == []


@pytest.mark.parametrize("is_large", [True, False])
def test_windows_of_large_files_are_given_back_when_they_are_done(mapped, monkeypatch, is_large):
    X, dense, y = mapped
    asked = []
    monkeypatch.setattr("jitmlp.training.order._advise", lambda rows, what: asked.append((what, len(rows))))
    monkeypatch.setattr("jitmlp.training.order.memory_limit", lambda: X.nbytes if is_large else 100 * X.nbytes)
    order, starts = Blocks(200).order(np.arange(2000), 160, np.random.RandomState(0))
    monkeypatch.setattr(DirectFile, "of", lambda data: None)
    with read_ahead(Data(X), order, starts, 1, []) as parts:
        for _ in parts:
            pass
    asked_for = {what: sum(n for kind, n in asked if kind == what) for what in (POPULATE, PAGE_OUT)}
    assert asked_for[POPULATE] == 2000
    assert asked_for[PAGE_OUT] == (starts[-3] if is_large else 0)  # all but the last two
