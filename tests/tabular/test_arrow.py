"""Parquet and Arrow files as chunks for ``fit``: the network of the same rows in memory."""

import os
import pickle

import numpy as np
import pytest

from frames import mixed
from jitmlp import ArrowFiles, MLPClassifier, MLPRegressor, TableEncoder

pa = pytest.importorskip("pyarrow")
from pyarrow import ipc, parquet  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
PARAMETERS = dict(hidden_layer_sizes=(16,), max_iter=3, random_state=0, shuffle=False, batch_size=50)


def write(folder, frame, kind="parquet", n_files=3, rows=40):
    """A frame in several files, each with several row groups or batches."""
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    bounds = np.linspace(0, len(frame), n_files + 1).astype(int)
    for number, (first, last) in enumerate(zip(bounds, bounds[1:])):
        part = table.slice(first, last - first)
        if kind == "parquet":
            parquet.write_table(part, folder / f"{number}.parquet", row_group_size=rows)
        else:
            with ipc.new_file(folder / f"{number}.arrow", part.schema) as file:
                file.write_table(part, max_chunksize=rows)
    return folder


def numbers(n=500):
    import pandas

    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5))
    frame = pandas.DataFrame(X, columns=list("abcde"))
    frame["class"], frame["weight"] = np.where(X[:, 0] > X[:, 1], "yes", "no"), rng.random(n) + 0.1
    return frame


@pytest.mark.parametrize("chunk_rows", [7, 65536])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_of_files_train_like_rows_in_memory(tmp_path, kind, chunk_rows):
    frame, y = mixed(400)
    files = ArrowFiles(write(tmp_path / "t", frame.assign(target=y), kind), "target", chunk_rows=chunk_rows)
    assert repr(files) == "<ArrowFiles: 3 files, 400 rows, 8 features, target 'target'>"
    assert files.n_rows == 400 and files.classes.tolist() == [0, 1] and files.features == list(frame)
    encoder = TableEncoder().fit(frame)
    assert files.encoder_.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()
    rows = encoder.transform(frame)
    np.testing.assert_array_equal(files.encoder_.transform(frame), rows)
    np.testing.assert_array_equal(np.vstack([X for X, _ in files()]), rows)
    np.testing.assert_array_equal(np.concatenate([y for _, y in files()]), y)
    one, model = MLPClassifier(**PARAMETERS).fit(rows, y), MLPClassifier(**PARAMETERS).fit(files)
    for a, b in zip(one.coefs_, model.coefs_):
        np.testing.assert_array_equal(a, b)


def test_words_weights_chosen_columns_and_numbers_as_they_are(tmp_path):
    frame = numbers()
    files = ArrowFiles(
        write(tmp_path / "t", frame), "class", sample_weight="weight", features=["c", "a", "b"], encoder="passthrough"
    )
    X, y, weights = (np.concatenate(parts) for parts in zip(*files()))
    np.testing.assert_array_equal(X, frame[["c", "a", "b"]])
    np.testing.assert_array_equal(y, frame["class"])
    np.testing.assert_array_equal(weights, frame["weight"])
    one = MLPClassifier(**PARAMETERS).fit(X, y, weights)
    model = MLPClassifier(**PARAMETERS).fit(files)
    assert model.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(one.coefs_[0], model.coefs_[0])
    numeric = ArrowFiles(tmp_path / "t", "a", features=["b", "c"])
    numeric.__class__ = type("Unread", (ArrowFiles,), {"classes": property(lambda files: 1 / 0)})
    assert MLPRegressor(**PARAMETERS).fit(numeric).n_features_in_ == 2  # without a look at all targets
    assert not hasattr(files, "encoder_") and not hasattr(numeric, "classes_")


def test_parts_come_in_random_order_whole(tmp_path):
    files = ArrowFiles(write(tmp_path / "t", numbers()), "class", features=["a"], encoder="passthrough")
    ordered = np.concatenate([X for X, _ in files()])
    one, again, other = (np.concatenate([X for X, _ in files.shuffled(seed)]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() and (one != ordered).any()
    np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(ordered, axis=None))
    places = np.array([np.flatnonzero(ordered == value)[0] for value in one])
    assert (np.diff(places) == 1).mean() > 0.9  # neighbours stay together
    model = MLPClassifier(**PARAMETERS | dict(shuffle=True))
    np.testing.assert_array_equal(model.fit(files).coefs_[0], model.fit(files).coefs_[0])


def test_categories_are_of_all_rows_and_sparse_where_they_are_many(tmp_path):
    import pandas

    rng = np.random.default_rng(0)
    code = np.sort(rng.integers(200, size=2000))  # the sample cannot see all
    frame = pandas.DataFrame({"code": pandas.Categorical([f"c{k}" for k in code]), "z": rng.normal(size=2000)})
    frame["y"] = code % 2
    files = ArrowFiles(write(tmp_path / "t", frame), "y", sample_rows=100)
    encoder = TableEncoder().fit(frame[["code", "z"]])
    assert len(files.encoder_.get_feature_names_out()) == len(encoder.get_feature_names_out()) == len(set(code)) + 1
    X = next(iter(files()))[0]
    assert X.format == "csr" and X.shape[1] == len(set(code)) + 1
    assert MLPClassifier((16,), max_iter=20, random_state=0).fit(files).score(
        files.encoder_.transform(frame), frame["y"]
    ) > 0.9  # fmt: skip
    few = ArrowFiles(tmp_path / "t", "y", encoder=TableEncoder(max_categories=5))
    assert few.encoder_.get_feature_names_out().tolist()[-1] == "code_infrequent"


def test_a_file_that_changes_is_an_error(tmp_path):
    files = ArrowFiles(write(tmp_path / "t", numbers()), "class")
    path = tmp_path / "t" / "1.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="1.parquet has changed since it was first read"):
        MLPClassifier(**PARAMETERS).fit(files)
    with pytest.raises(ValueError, match="1.parquet cannot be read"):
        ArrowFiles(tmp_path / "t", "class")
    path.write_bytes(whole)
    os.utime(path, ns=(0, files._states[path][1]))
    assert MLPClassifier(**PARAMETERS).fit(files).n_iter_ == 3
    broken = bytearray(whole)
    broken[20 : len(broken) // 2] = bytes(len(broken) // 2 - 20)
    path.write_bytes(broken)
    os.utime(path, ns=(0, files._states[path][1]))  # of the same size and age
    with pytest.raises((ValueError, OSError)):
        MLPClassifier(**PARAMETERS).fit(files)


def test_what_is_wrong_is_said(tmp_path):
    folder = write(tmp_path / "t", numbers())
    (tmp_path / "empty").mkdir()
    missing = numbers()
    missing.loc[3, "class"] = None
    missing.loc[3, "a"] = np.nan
    write(tmp_path / "m", missing)
    write(tmp_path / "o", numbers().rename(columns={"a": "A"}), n_files=1)
    for call, message in (
        (lambda: ArrowFiles(folder, "klass"), "has no columns .'klass'."),
        (lambda: ArrowFiles(folder, "class", features=["x"]), "has no columns .'x'."),
        (lambda: ArrowFiles(folder, "class", chunk_rows=0), "chunk_rows must be an int >= 1, got 0"),
        (lambda: ArrowFiles(folder, "class", encoder="none"), "encoder must be a TableEncoder"),
        (lambda: ArrowFiles(tmp_path / "empty", "class"), "has no files that end with .parquet"),
        (lambda: ArrowFiles(tmp_path / "nowhere", "class"), "is not there"),
        (lambda: ArrowFiles(__file__, "class"), "must end with one of"),
        (lambda: ArrowFiles([folder, tmp_path / "o"], "class"), "has the columns"),
        (lambda: MLPClassifier().fit(ArrowFiles(tmp_path / "m", "class")), "'class' has 1 missing values"),
        (
            lambda: list(ArrowFiles(folder, "a", encoder="passthrough")()),
            "needs columns of numbers, these are not: class",
        ),
        (lambda: list(ArrowFiles(tmp_path / "m", "b", features=["a"], encoder="passthrough")()), "'a' has 1 missing"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    MLPRegressor(**PARAMETERS).fit(ArrowFiles(tmp_path / "m", "b"))  # what is missing in X the encoder fills in


def test_files_can_be_pickled_for_other_processes(tmp_path):
    files = ArrowFiles(write(tmp_path / "t", numbers()), "class")
    copy = pickle.loads(pickle.dumps(files))
    for (X, y), (other_X, other_y) in zip(files(), copy()):
        np.testing.assert_array_equal(X, other_X)
        np.testing.assert_array_equal(y, other_y)
