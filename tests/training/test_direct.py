"""Windows of a file that are read past the page cache."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitmlp import MLPClassifier
from jitmlp.engine.data import Data
from jitmlp.training import order
from jitmlp.training.direct import DirectFile, Room, direct_windows, whole_sectors
from jitmlp.training.order import Blocks, read_ahead

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder on a disk that reads past the page cache."""
    place = tmp_path_factory.mktemp("direct")
    np.save(place / "some.npy", np.zeros((2000, 9)))
    if DirectFile.of(Data(np.load(place / "some.npy", mmap_mode="r"))) is None:
        pytest.skip("this file system knows no direct reads")
    return place


@pytest.fixture
def scarce(monkeypatch):
    """Memory of a few megabytes."""
    monkeypatch.setattr(order, "memory_limit", lambda: 2**22)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 9000),
    n_features=st.integers(1, 40),
    dtype=st.sampled_from(["float32", "float64", "uint8", "int16"]),
    header=st.integers(0, 9000),
    window=st.integers(1, 4000),
    multiple=st.integers(1, 300),
)
def test_every_row_is_given_once_with_its_target_in_the_order_asked_for(
    folder, n, n_features, dtype, header, window, multiple
):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 200, (n, n_features)).astype(dtype), rng.integers(0, 5, n)
    with open(folder / "x.raw", "wb") as file:
        file.write(bytes(header))
        X.tofile(file)
    mapped = np.memmap(folder / "x.raw", dtype, "r", header, X.shape)
    data = Data(mapped, y, y / 7)
    file = DirectFile.of(data)
    rows, starts = Blocks(window).order(np.arange(n), mapped[0].nbytes, np.random.RandomState(0))
    windows = [rows[first:last] for first, last in zip(starts, starts[1:])]
    if not all(file.holds(np.sort(w)) for w in windows):
        assert Blocks(window).sizes(mapped[0].nbytes, n)[1] % whole_sectors(mapped[0].nbytes)
        return
    found = []
    rooms = [] if n % 2 else [Room(file, n, multiple)]
    with direct_windows(file, data, windows, [np.sort(w) for w in windows], multiple, rooms) as parts:
        for part, own in parts:
            found.append([np.array(a[own]) for a in (part.X, part.y, part.sample_weight)])
    assert all(len(part[0]) % multiple == 0 for part in found[:-1])
    for k, wanted in enumerate((X, y, y / 7)):
        np.testing.assert_array_equal(np.concatenate([part[k] for part in found]), wanted[rows])


def test_a_table_larger_than_memory_gives_the_bits_of_one_in_memory(folder, scarce, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.random((20_000, 64), np.float32), rng.integers(3, size=20_000)
    np.save(folder / "x.npy", X)
    used = []
    monkeypatch.setattr(order, "direct_windows", lambda *args: used.append(1) or direct_windows(*args))
    for shuffle in ("blocks", ("blocks", 3000), False):
        fitted = [
            MLPClassifier((8,), max_iter=3, shuffle=shuffle, random_state=0, batch_size=70).fit(rows, y)
            for rows in (X, np.load(folder / "x.npy", mmap_mode="r"))
        ]
        np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])
        assert fitted[0].loss_curve_ == fitted[1].loss_curve_
    assert len(used) == 9


def test_a_part_of_a_map_and_rows_held_out(folder, scarce):
    rng = np.random.default_rng(0)
    X, y = rng.random((20_000, 64), np.float32), rng.integers(3, size=20_000)
    np.save(folder / "part.npy", X)
    mapped = np.load(folder / "part.npy", mmap_mode="r")
    for options in ({}, {"early_stopping": True}):
        fitted = [
            MLPClassifier((8,), max_iter=2, shuffle="blocks", random_state=0, **options).fit(rows, y[777:])
            for rows in (X[777:], mapped[777:])
        ]
        np.testing.assert_array_equal(fitted[0].coefs_[0], fitted[1].coefs_[0])


@pytest.mark.parametrize("change", ["cut", "written"])
def test_a_file_that_changes_is_an_error(folder, change):
    X = np.random.default_rng(0).random((9000, 64), np.float32)
    X.tofile(folder / "changing.raw")
    data = Data(np.memmap(folder / "changing.raw", np.float32, "r", shape=X.shape), np.zeros(9000, int))
    file = DirectFile.of(data)
    windows = [np.arange(k, k + 3000) for k in range(0, 9000, 3000)]
    with pytest.raises(ValueError, match=r"changing\.raw, which has changed"):
        with direct_windows(file, data, windows, windows, 10, []) as parts:
            for _ in parts:
                with open(folder / "changing.raw", "r+b") as opened:
                    opened.truncate(4000) if change == "cut" else opened.write(b"1234")


def test_other_arrays_are_not_read_so(folder, scarce):
    X = np.random.default_rng(0).random((20_000, 64), np.float32)
    np.save(folder / "x.npy", X)
    assert DirectFile.of(Data(X)) is None
    for form in (np.load(folder / "x.npy", mmap_mode="c"), np.load(folder / "x.npy", mmap_mode="r").T):
        assert DirectFile.of(Data(form)) is None
    mapped = Data(np.load(folder / "x.npy", mmap_mode="r"))
    rows, starts = Blocks(3000).order(np.arange(0, 20_000, 2), 256, np.random.RandomState(0))  # not all rows
    with read_ahead(mapped, rows, starts, 1, []) as parts:
        assert all(part is mapped for part, _ in parts)
