"""Checks 8 to 17: every kind of input, right or refused."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.neural_network as scikit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.preprocessing import LabelBinarizer

import jitmlp
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.engine.normalization import NORMALIZATIONS
from jitmlp.estimators.tasks import fitted_binarizer
from jitmlp_kernels.link.pieces import linked

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Got `batch_size`")
RNG = np.random.default_rng(0)
X = RNG.integers(0, 100, size=(60, 7)).astype(float)
Y = RNG.integers(0, 3, size=60)
OPTIONS = dict(hidden_layer_sizes=(6,), max_iter=4, random_state=0)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_classes_are_learned_as_scikit_learn_learns_them(data):
    """Of labels of every kind, with its errors and warnings: integers take a shorter way."""
    kind = data.draw(st.sampled_from(["int8", "int64", "uint16", "bool", "float64", "str", "object", "table", "list"]))
    labels = data.draw(st.lists(st.integers(0, data.draw(st.integers(0, 9))), max_size=data.draw(st.integers(0, 60))))
    y = labels if kind == "list" else np.array(labels, int).astype("int64" if kind == "table" else kind)
    if kind == "table":
        y = y.reshape(-1, 1)
    found = []
    for learn in (fitted_binarizer, lambda y: LabelBinarizer().fit(y)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                learned = vars(learn(y))
            except ValueError as error:
                learned = {"error": str(error)}
        found.append((learned, [str(warning.message) for warning in said]))
    (mine, said), (theirs, theirs_said) = found
    assert said == theirs_said and mine.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value)
        assert type(mine[name]) is type(value) and getattr(mine[name], "dtype", 0) == getattr(value, "dtype", 0)


def fitted(data, target=Y, **options):
    return MLPClassifier(**(OPTIONS | options)).fit(data, target)


def test_nan_and_infinity_are_refused_in_scikit_learns_words():
    model = fitted(X)
    regressor = MLPRegressor(**OPTIONS)
    for bad, words in [(np.nan, "Input X contains NaN"), (np.inf, "Input X contains infinity")]:
        for data in (X.copy(), X.astype(np.float32)):
            data[3, 2] = bad
            with pytest.raises(ValueError, match=words):
                fitted(data)
            with pytest.raises(ValueError, match=words):
                model.predict(data)
            with pytest.raises(ValueError, match=words):
                model.predict_proba(data[3:4])
        target = Y.astype(float)
        target[0] = bad
        with pytest.raises(ValueError, match="Input y contains"):
            regressor.fit(X, target)


@pytest.mark.parametrize("data", [
    X[:, :3], X[0], X[None], X[:0], X.astype(complex), X[:, :0], X.astype(str) + "a", None, "X", 3.0, [[1, [2]]],
], ids=str)  # fmt: skip
def test_shapes_and_types_are_refused_as_scikit_learn_does(data):
    """Checks 9 and 10."""
    mine, theirs = fitted(X), scikit.MLPClassifier(**OPTIONS).fit(X, Y)
    for call in ("predict", "fit"):
        errors = []
        for model in (mine, theirs):
            try:
                model.predict(data) if call == "predict" else model.fit(data, Y)
                errors.append(None)
            except Exception as error:
                errors.append(type(error))
        assert errors[0] == errors[1], (call, errors)


def test_words_and_missing_values_are_refused():
    for data in (
        pd.DataFrame({"a": ["x", "y"] * 30, "b": 1.0}),
        pd.DataFrame({"a": pd.Categorical(["x", "y"] * 30)}),
        pd.DataFrame({"a": pd.array([1, pd.NA] * 30, dtype="Int64")}),
        np.array([["a", 1]] * 60, dtype=object),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            fitted(data)
        assert "numba" not in str(caught.value).lower()


@pytest.mark.parametrize("dtype", [
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", ">f8", ">i4", ">f4", object,
])  # fmt: skip
def test_every_number_type_equals_float64(dtype):
    expected = fitted(X)
    data = X.astype(dtype)
    kept = data.copy()
    model = fitted(data, dtype="float64")
    for a, b in zip(model.coefs_, expected.coefs_):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict_proba(data), expected.predict_proba(X))
    np.testing.assert_array_equal(data, kept)


def test_bool_equals_float64():
    data = X > 50
    for a, b in zip(fitted(data).coefs_, fitted(data.astype(float)).coefs_):
        np.testing.assert_array_equal(a, b)


def layouts(tmp_path):
    wide = np.zeros((120, 14))
    wide[::2, ::2] = X
    readonly = X.copy()
    readonly.flags.writeable = False
    np.save(tmp_path / "x.npy", X)
    yield "fortran", np.asfortranarray(X)
    yield "strided", wide[::2, ::2]
    yield "reversed", X[::-1, ::-1].copy()[::-1, ::-1]
    yield "read-only", readonly
    yield "memory-mapped", np.load(tmp_path / "x.npy", mmap_mode="r")
    yield "list", X.tolist()
    yield "offset", np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float64).reshape(X.shape)


def test_every_layout_equals_the_plain_array(tmp_path):
    """Same bits, input untouched, and nothing new is linked but what reads another element type."""
    expected = fitted(X)
    expected.predict(X)
    known = set(linked())
    for name, data in layouts(tmp_path):
        model = fitted(data)
        for a, b in zip(model.coefs_, expected.coefs_):
            np.testing.assert_array_equal(a, b, err_msg=name)
        np.testing.assert_array_equal(model.predict_proba(data), expected.predict_proba(X), err_msg=name)
        np.testing.assert_array_equal(np.asarray(data), X, err_msg=name)
    assert {piece.body.__name__ for piece in set(linked()) - known} <= {"gather_inputs"}


def test_frames():
    names = list("abcdefg")
    expected = fitted(X)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names, orient="row")):
        model = fitted(frame)
        if not hasattr(scikit.MLPClassifier(**OPTIONS).fit(frame, Y), "feature_names_in_"):
            continue  # scikit-learn 1.7 does not know the names of a recent polars
        assert list(model.feature_names_in_) == names
        np.testing.assert_array_equal(model.predict_proba(frame), expected.predict_proba(X))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[names[::-1]])
        with pytest.warns(UserWarning, match="feature names"):
            model.predict(X)


def test_targets():
    with pytest.warns(UserWarning, match="column-vector"):
        fitted(X, Y[:, None])
    multilabel = RNG.integers(0, 2, size=(60, 4))
    for target in (Y, Y > 1, np.array(["u", "v", "w"])[Y], multilabel, pd.Series(Y), Y.tolist()):
        mine = MLPClassifier(**OPTIONS).fit(X / 100, target)
        theirs = scikit.MLPClassifier(**OPTIONS).fit(X / 100, target)
        np.testing.assert_array_equal(mine.classes_, theirs.classes_)
        np.testing.assert_array_equal(mine.predict(X / 100), theirs.predict(X / 100))
        np.testing.assert_allclose(mine.predict_proba(X / 100), theirs.predict_proba(X / 100), rtol=1e-9)
        np.testing.assert_allclose(mine.predict_log_proba(X / 100), theirs.predict_log_proba(X / 100), rtol=1e-7)
    for target in (RNG.normal(size=60), RNG.normal(size=(60, 3)), Y, Y.astype(np.float32)):
        mine, theirs = MLPRegressor(**OPTIONS).fit(X, target), scikit.MLPRegressor(**OPTIONS).fit(X, target)
        assert mine.predict(X).shape == theirs.predict(X).shape
        np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-7)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("bad, dtype", [(np.nan, None), (np.inf, "float32"), (1e300, "float32")])
@pytest.mark.parametrize("row", [0, 37, 59])
def test_a_number_found_bad_while_training_leaves_everything_as_it_was(row, bad, dtype, solver):
    """Arrays of rows are not searched before: the kernels notice."""
    spoiled = X / 100
    spoiled[row, -1] = bad
    options = OPTIONS | {"solver": solver, "dtype": dtype}
    fresh = MLPClassifier(**options)
    for model in (fresh, MLPRegressor(**options, early_stopping=solver == "adam")):
        with pytest.raises(ValueError, match=r"NaN|infinity or a value too large for"):
            model.fit(spoiled, Y)
        assert not [name for name in vars(model) if name.endswith("_")]
    fresh.fit(X / 100, Y)
    before = fresh.predict_proba(X / 100), list(getattr(fresh, "loss_curve_", []))
    for train in (fresh.fit, fresh.partial_fit) if solver == "adam" else (fresh.fit,):
        with pytest.raises(ValueError):
            train(spoiled, Y)
        np.testing.assert_array_equal(fresh.predict_proba(X / 100), before[0])
        assert list(getattr(fresh, "loss_curve_", [])) == before[1]
    with pytest.raises(ValueError):
        fresh.predict(spoiled)
    np.testing.assert_array_equal(fresh.predict_proba(X / 100), before[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_a_number_found_bad_while_normalizing_leaves_everything_as_it_was(normalize, bad):
    spoiled = X / 100
    spoiled[37, -1] = bad
    model = MLPClassifier(**OPTIONS, normalize=normalize)
    with pytest.raises(ValueError, match="Input X contains"):
        model.fit(spoiled, Y)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_matrix])
def test_what_is_clipped_is_searched_for_numbers_that_are_not_finite_and_takes_all_that_are(form, dtype):
    model = MLPClassifier(**OPTIONS, normalize="robust_clip", dtype=dtype).fit(X / 100, Y)
    for bad in (np.nan, np.inf, -np.inf):
        spoiled = X / 100
        spoiled[37, -1] = bad
        with pytest.raises(ValueError, match="Input X contains"):
            model.predict(form(spoiled))
    found = [model.predict_proba(form(np.where(np.arange(X.shape[1]) == 3, big, X / 100))) for big in (1e9, 1e300)]
    np.testing.assert_allclose(*found, rtol=1e-6)


def sparse_forms():
    dense = np.where(X > 60, X, 0.0)
    csr = sparse.csr_matrix(dense)
    wide = sparse.csr_matrix((csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)), csr.shape)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(csr.indptr, csr.indptr[1:])]).astype(int)
    unsorted = sparse.csr_matrix((csr.data[order], csr.indices[order], csr.indptr), csr.shape)
    half = sparse.csr_matrix((np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), csr.indptr * 2), csr.shape)
    forms = [
        csr,
        csr.tocsc(),
        csr.tocoo(),
        csr.tolil(),
        csr.todok(),
        wide,
        unsorted,
        half,
        sparse.csr_array(csr),
    ]
    return dense, [*forms, csr.astype(np.float32), csr.astype(np.int64), csr.astype(np.uint8)]


def test_sparse_equals_dense():
    dense, forms = sparse_forms()
    expected = fitted(dense)
    for form in forms:
        model = fitted(form, dtype="float64")
        for a, b in zip(model.coefs_, expected.coefs_):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(model.predict_proba(form), expected.predict_proba(dense))


@pytest.mark.parametrize("spoil", [
    lambda m: m.indices.__setitem__(0, 99),
    lambda m: m.indices.__setitem__(0, -1),
    lambda m: m.indptr.__setitem__(-1, 10**6),
    lambda m: m.indptr.__setitem__(3, 10**6),
    lambda m: m.indptr.__setitem__(0, 5),
])  # fmt: skip
def test_broken_csr_is_refused(spoil):
    _, (csr, *_) = sparse_forms()
    broken = csr.copy()
    spoil(broken)
    with pytest.raises(ValueError):
        fitted(broken)
    with pytest.raises(ValueError):
        fitted(csr).predict(broken)


def test_extremes_are_as_scikit_learns():
    cases = [
        (X[:1], Y[:1], {}),
        (X, np.zeros(60, int), {}),
        (np.ones((60, 7)), Y, {}),
        (X[:3], Y[:3], {"batch_size": 10}),
        (X, Y, {"hidden_layer_sizes": ()}),
        (X, Y, {"hidden_layer_sizes": 4}),
        (X, Y, {"hidden_layer_sizes": np.array([4, 3])}),
        (X, Y, {"batch_size": 1}),
    ]
    for data, target, options in cases:
        mine = MLPClassifier(**(OPTIONS | options)).fit(data, target)
        theirs = scikit.MLPClassifier(**(OPTIONS | options)).fit(data, target)
        np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))
        assert np.isfinite(mine.loss_) and mine.loss_ == pytest.approx(theirs.loss_, rel=1e-6)


@pytest.mark.parametrize("sizes", [0, -3, (4, 0), (-1,), None, 3.5, "large", (2.5,), ("a",), (4, None)], ids=str)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises((ValueError, TypeError)):
        fitted(X, hidden_layer_sizes=sizes)


def test_a_layer_too_large_is_refused_before_it_is_allocated():
    with pytest.raises(MemoryError, match="hidden_layer_sizes"):
        fitted(X, hidden_layer_sizes=(10**9,))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hypothesis_against_scikit_learn(data):
    """Same acceptance or refusal, and the same predictions."""
    n, k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    numbers = st.one_of(st.floats(-100, 100), st.sampled_from([np.nan, np.inf, 0.0]))
    rows = data.draw(st.lists(st.lists(numbers, min_size=k, max_size=k), min_size=n, max_size=n))
    target = data.draw(st.lists(st.integers(0, data.draw(st.integers(0, 3))), min_size=n, max_size=n))
    options = dict(
        hidden_layer_sizes=data.draw(st.sampled_from([(), (3,), (2, 2)])),
        activation=data.draw(st.sampled_from(["relu", "tanh"])),
        batch_size=data.draw(st.integers(1, 14)),
        max_iter=3,
        random_state=0,
    )
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (jitmlp, scikit):
            try:
                model = module.MLPClassifier(**options).fit(rows, target)
                results.append(model.predict_proba(rows))
            except Exception as error:
                results.append(type(error))
    if isinstance(results[1], type):
        assert results[0] == results[1]
    else:
        np.testing.assert_allclose(results[0], results[1], rtol=1e-6, atol=1e-9)
