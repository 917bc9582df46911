"""What networks see of a table."""

import datetime
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from frames import as_polars, cells, mixed
from jitmlp import MLPClassifier, TableEncoder

pandas = pytest.importorskip("pandas")
pytest.importorskip("narwhals")


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


def as_arrow(frame):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({name: pyarrow.array(cells(frame[name])) for name in frame})


KINDS = {
    "pandas": lambda frame: frame, "polars": as_polars, "pyarrow": as_arrow,
    "object array": lambda frame: np.array([cells(frame[name]) for name in frame], object).T,
    "lists": lambda frame: [list(row) for row in zip(*(cells(frame[name]) for name in frame))],
    "object columns": lambda frame: frame.astype(object),
    "nullable": lambda frame: frame.convert_dtypes(),
    "another order": lambda frame: frame[frame.columns[::-1]],
    "others beside": lambda frame: frame.assign(other=1.0, day=3),
}  # fmt: skip

NAMED = ("pandas", "polars", "pyarrow", "object columns", "nullable", "another order", "others beside")
# those of other columns are for what another was fitted on, and names are on both sides or on none
PAIRS = [
    (fitted, given)
    for fitted in KINDS
    for given in KINDS
    if fitted not in ("another order", "others beside") and (fitted in NAMED) == (given in NAMED)
]


class TestNumbers:
    def test_they_are_scaled_clipped_and_marked_where_they_are_missing(self):
        frame, _ = mixed()
        encoder = TableEncoder(dtype="float64").fit(frame)
        names, rows = list(encoder.get_feature_names_out()), dense(encoder.transform(frame))
        for name in ("a", "b", "code"):
            column = frame[name].to_numpy(float)
            low, middle, high = np.nanquantile(column, [0.25, 0.5, 0.75])
            scaled = (np.where(np.isnan(column), middle, column) - middle) / (high - low)
            np.testing.assert_allclose(rows[:, names.index(name)], scaled / np.sqrt(1 + (scaled / 3) ** 2))
        np.testing.assert_array_equal(rows[:, names.index("b_missing")], frame["b"].isna())
        assert not {"a_missing", "same", "none", "code_missing"} & set(names)
        assert len(names) == rows.shape[1] and np.isfinite(rows).all() and np.abs(rows).max() <= 3

    @pytest.mark.parametrize("column, wanted", [
        ([0, 0, 0, 0, 10], [0, 0, 0, 0, 2 / np.hypot(1, 2 / 3)]),  # no quartiles apart: half the range
        ([1e308, -1e308, 0, 5, 6], None), ([5e-324, 0, 0, 1e-323, 0], None), ([np.nan, 4, 4, 4, np.nan], [1, 0, 0, 0, 1]),
    ])  # fmt: skip
    def test_columns_that_are_nearly_constant_huge_or_tiny(self, column, wanted):
        rows = TableEncoder(dtype="float64").fit_transform(np.array(column, float)[:, None])
        assert np.isfinite(rows).all() and np.abs(rows).max() <= 3
        if wanted is not None:
            np.testing.assert_allclose(rows[:, -1], wanted)

    def test_numbers_that_are_missing_only_later_are_medians(self):
        encoder = TableEncoder().fit([[1.0], [2.0], [4.0]])
        np.testing.assert_array_equal(encoder.transform([[np.nan], [2.0], [None]]), np.zeros((3, 1)))


@pytest.mark.parametrize("wide", [False, True])
def test_rows_are_of_the_dtype_asked_for(wide):
    rows = np.random.default_rng(0).integers(100, size=(300, 4)).astype(object)
    for dtype in ("float32", "float64"):
        encoder = TableEncoder([0, 1, 2, 3] if wide else "from_dtype", dtype=dtype)
        assert encoder.fit_transform(rows).dtype == dtype and sparse.issparse(encoder.transform(rows)) == wide


class TestCategories:
    def test_they_are_one_hot_and_zero_where_missing_or_unknown(self):
        frame, _ = mixed()
        encoder = TableEncoder().fit(frame)
        other, _ = mixed(seed=1)
        other.loc[0, "colour"] = "purple"
        names, rows = list(encoder.get_feature_names_out()), dense(encoder.transform(other))
        for name in ("colour", "flag", "size"):
            for value in {str(v) for v in frame[name].dropna()}:
                wanted = other[name].map(lambda v: v == v and v is not None and str(v)).to_numpy() == value
                np.testing.assert_array_equal(rows[:, names.index(f"{name}_{value}")], wanted)
        colours = [j for j, name in enumerate(names) if name.startswith("colour_")]
        assert rows[0, colours].sum() == 0 and (rows[other["colour"].isna().to_numpy()][:, colours] == 0).all()
        assert [encoder.feature_of_[j] for j in colours] == [3] * 3

    @pytest.mark.parametrize("fitted, given", PAIRS)
    def test_every_kind_of_table_gives_the_same_numbers(self, fitted, given):
        frame, _ = mixed()
        named = NAMED
        columns = ["code", "colour", "flag", "size"]
        for chosen in ("from_dtype", columns if fitted in named else [list(frame).index(name) for name in columns]):
            wanted = TableEncoder(chosen).fit(frame) if fitted in named else None
            encoder = TableEncoder(chosen).fit(KINDS[fitted](frame))
            found = dense(encoder.transform(KINDS[given](frame)))
            if wanted is None:
                wanted = TableEncoder(columns if chosen != "from_dtype" else chosen).fit(frame)
            np.testing.assert_allclose(found, dense(wanted.transform(frame)), rtol=1e-6, atol=1e-7)

    def test_columns_that_are_named_by_name_place_or_truth(self):
        frame, _ = mixed()
        chosen = ("code", "colour", "flag", "size")
        by_name = TableEncoder(list(chosen)).fit(frame)
        by_place, by_truth = (
            TableEncoder([6, 3, 4, 5]).fit(frame),
            TableEncoder([n in chosen for n in frame]).fit(frame),
        )
        assert "code_3" in by_name.get_feature_names_out() and "code" not in by_name.get_feature_names_out()
        for other in (by_place, by_truth):
            np.testing.assert_array_equal(dense(other.transform(frame)), dense(by_name.transform(frame)))

    def test_wide_ones_are_sparse_and_train_like_dense_ones(self):
        codes = np.random.default_rng(0).integers(100, size=(400, 8)).astype(object)
        encoder = TableEncoder(list(range(8))).fit(codes)
        rows = encoder.transform(codes)
        assert sparse.issparse(rows) and rows.nnz == codes.size
        model = MLPClassifier((8,), max_iter=3, random_state=0, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = codes[:, 0].astype(int) % 2
            one, other = clone(model).fit(rows, y), clone(model).fit(rows.toarray(), y)
        np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], atol=1e-6)

    def test_the_rarest_share_one(self):
        words = ["a"] * 5 + ["b"] * 4 + ["c", "d"]
        encoder = TableEncoder(max_categories=3).fit(np.array(words, object)[:, None])
        assert encoder.get_feature_names_out().tolist() == ["x0_a", "x0_b", "x0_infrequent"]
        rows = encoder.transform([["a"], ["c"], ["d"], ["new"], [None]])
        np.testing.assert_array_equal(dense(rows), [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


class TestWhatIsRefused:
    @pytest.mark.parametrize("change, word", [
        (lambda f: f.assign(day=pandas.Timestamp("2020-01-01")), "'day' holds dates"),
        (lambda f: f.assign(day=pandas.Series([datetime.date(2020, 1, 1)] * len(f), dtype=object)), "'day' holds dates"),
        (lambda f: f.assign(a=np.inf), "'a' contains infinity"),
        (lambda f: f.assign(a=pandas.Series([[1]] * len(f), dtype=object)), "'a' holds lists"),
        (lambda f: f.iloc[:0], "0 sample"), (lambda f: f[[]], "0 "),
        (lambda f: pandas.concat([f, f], axis=1), "a"),
        (lambda f: np.full((3, 2), np.datetime64("2020-01-01")), "dates"),
    ])  # fmt: skip
    def test_tables_that_cannot_be_read(self, change, word):
        with pytest.raises(ValueError, match=word):
            TableEncoder().fit(change(mixed()[0]))

    @pytest.mark.parametrize("change, word", [
        (lambda f: f.drop(columns="a"), "Missing: a"), (lambda f: f.assign(a="x"), "'a' held numbers"),
        (lambda f: f.to_numpy()[:, :3], "3 features"),
    ])  # fmt: skip
    def test_tables_that_are_not_like_those_of_fit(self, change, word):
        frame, _ = mixed()
        with pytest.raises(ValueError, match=word):
            TableEncoder().fit(frame).transform(change(frame))

    @pytest.mark.parametrize("wrong", [["nope"], [99], [True], [1.5], [], None, "from_type"], ids=str)
    def test_categorical_features(self, wrong):
        with pytest.raises(ValueError, match="categorical_features"):
            TableEncoder(wrong).fit(mixed()[0])

    def test_sparse_rows_have_estimators_of_their_own(self):
        with pytest.raises(TypeError, match="MLPClassifier"):
            TableEncoder().fit(sparse.eye(3))


def test_nothing_that_was_given_is_changed():
    frame, _ = mixed()
    before = frame.copy(deep=True)
    TableEncoder().fit(frame).transform(frame)
    pandas.testing.assert_frame_equal(frame, before)


def test_scikit_learns_checks():
    results = check_estimator(TableEncoder(), on_fail=None, on_skip=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert not failed, failed


@pytest.mark.parametrize("n_numbers", [0, 1, 5, 30])
@pytest.mark.parametrize("n_categories", [2, 3, 9])
def test_rows_take_the_memory_of_the_smaller_form(n_numbers, n_categories):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            **{f"n{j}": rng.normal(size=200) for j in range(n_numbers)},
            **{f"c{j}": np.array([f"w{k}" for k in rng.permutation(200) % n_categories]) for j in range(4)},
        }
    )
    rows = TableEncoder().fit_transform(frame)
    taken = rows.data.nbytes + rows.indices.nbytes if sparse.issparse(rows) else rows.nbytes
    as_entries, as_cells = 200 * (n_numbers + 4) * 8, 200 * (n_numbers + 4 * n_categories) * 4
    assert rows.shape == (200, n_numbers + 4 * n_categories) and taken == min(as_entries, as_cells)
