"""The command, and the reader of IDX files."""

import gzip
import json
import struct

import joblib
import numpy as np
import pytest
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

import jitmlp
from jitmlp import MLPClassifier, load
from jitmlp.commands.bench import WORK
from jitmlp.commands.main import SUBCOMMANDS, main
from jitmlp.files.idx import load_mnist, read_idx
from jitmlp.files.table import read_table


def write_idx(path, array, code=8):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()) if path.suffix == ".gz" else header + array.tobytes())


def test_demo_on_the_embedded_digits(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    for words in (
        "kernels: Numba",
        "threads",
        "test accuracy 0.9",
        "f1-score",
        "scikit-learn",
        "times as long",
    ):
        assert words in out
    model = joblib.load(tmp_path / "out" / "model.joblib")
    assert model.n_outputs_ == 10
    assert (tmp_path / "out" / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_demo_on_idx_files(tmp_path, capsys):
    """A tiny data set in MNIST's format, plain and gzipped files mixed."""
    rng = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.uint8) % 10
    images = (labels[:, None, None] * 20 + rng.integers(0, 20, (300, 28, 28))).astype(np.uint8)
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", labels)
    X, y, _, _ = load_mnist(tmp_path)
    np.testing.assert_array_equal(X, images.reshape(300, 784))
    assert y.dtype == np.int64
    assert main(["demo", "--mnist", str(tmp_path), "--output", str(tmp_path / "out"), "--no-compare"]) == 0
    assert "MNIST" in capsys.readouterr().out


@pytest.mark.slow
def test_lecture_network_on_mnist(mnist_folder):
    """The lecture's network reaches 97.5 % on the real test set."""
    from jitmlp.commands.demo import run_demo

    X, y, X_test, y_test = load_mnist(mnist_folder)
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = run_demo(mnist_folder, folder, compare=False)
    assert model.score(X_test.astype(np.float32) / 255, y_test) >= 0.975


def test_info(capsys):
    assert main(["info"]) == 0
    assert "bit vectors" in capsys.readouterr().out


def test_errors(tmp_path, capsys):
    assert main(["demo", "--mnist", str(tmp_path)]) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])


@pytest.mark.parametrize("code, dtype", [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_idx_types(tmp_path, code, dtype):
    array = np.arange(-3, 9).reshape(3, 4).astype(dtype)
    write_idx(tmp_path / "a", array, code)
    result = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(result, array)
    assert result.dtype.isnative


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4", b"\0\0\x08\x03\0\0", b"\0\0\x08\x01\0\0\0\x05abc", b"\0\0\x07\x01\0\0\0\0"]
)
def test_broken_idx_files_are_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=str(tmp_path / "a")):
        read_idx(tmp_path / "a")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Wine as CSV, TSV, Parquet and npy, diabetes as CSV; the folder."""
    import polars
    from sklearn.datasets import load_diabetes, load_wine

    folder = tmp_path_factory.mktemp("tables")
    X, y = load_wine(return_X_y=True)
    names = [f"column {j}" for j in range(X.shape[1])]
    frame = polars.DataFrame(X, schema=names).with_columns(kind=polars.Series([("red", "white", "rose")[i] for i in y]))
    frame.write_csv(folder / "wine.csv")
    frame.write_csv(folder / "wine.tsv", separator="\t")
    frame.write_parquet(folder / "wine.parquet")
    np.save(folder / "wine.npy", np.column_stack([X, y]))
    X, y = load_diabetes(return_X_y=True)
    polars.DataFrame(X, schema=[f"x{j}" for j in range(10)]).with_columns(y=polars.Series(y)).write_csv(
        folder / "diabetes.csv"
    )
    return folder


def told(capsys, *arguments):
    """The JSON that a command prints."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "npy"])
def test_a_table_is_trained_on_predicted_and_evaluated(form, tables, tmp_path, capsys):
    data, target = tables / f"wine.{form}", "13" if form == "npy" else "kind"
    report = told(capsys, "train", data, "--target", target, "--output", tmp_path)
    assert report["task"] == "classification" and report["rows"] == {"train": 142, "test": 36}
    assert report["test"]["accuracy"] > 0.9 and report == json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    model = load(report["model"])
    rows = told(capsys, "predict", report["model"], data if form != "npy" else only_rows(tables, tmp_path), "--proba")
    scores = told(capsys, "evaluate", report["model"], data, "--target", target)
    truth = [("red", "white", "rose")[i] for i in load_wine_target()] if form != "npy" else load_wine_target()
    assert scores["accuracy"] == np.mean([row["prediction"] == t for row, t in zip(rows, truth)])
    sums = [sum(row[f"probability_{name}"] for name in model.classes_) for row in rows]
    np.testing.assert_allclose(sums, 1)
    assert main(["predict", report["model"], str(data if form != "npy" else tmp_path / "rows.npy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction" and lines[1:] == [str(row["prediction"]) for row in rows]


def load_wine_target():
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)[1]


def test_columns_of_an_array_are_dropped_by_place(tables, tmp_path, capsys):
    data = tables / "wine.npy"
    report = told(capsys, "train", data, "--target", "13", "--drop", "0", "5", "--output", tmp_path, "--epochs", "30")
    scores = told(capsys, "evaluate", report["model"], data, "--target", "13", "--drop", "0", "5")
    rows = told(capsys, "predict", report["model"], data, "--drop", "13", "0", "5")
    assert scores["accuracy"] == np.mean([row["prediction"] for row in rows] == load_wine_target()) > 0.8
    assert main(["predict", report["model"], str(data)]) == 1 and "--drop" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("target", ["single", "many", "words"])
def test_rare_and_many_classes_are_trained_on(target, tmp_path, capsys):
    rng, n = np.random.default_rng(0), 120
    y = {
        "single": ["rare", *(["p", "q"] * n)[: n - 1]],
        "many": [i % 45 for i in range(n)],
        "words": [*"12" * 59, *"xx"],
    }
    order = rng.permutation(n)
    lines = [f"{a},{b},{y[target][i]}" for i, (a, b) in zip(order, rng.normal(size=(n, 2)))]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    report = told(capsys, "train", tmp_path / "a.csv", "--target", "y", "--output", tmp_path, "--epochs", "2")
    assert len(report["classes"]) == len(set(y[target])) and sum(report["rows"].values()) == n
    lines = [line for line in lines if not line.endswith(("x", "rare"))]
    (tmp_path / "b.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    assert told(capsys, "evaluate", report["model"], tmp_path / "b.csv", "--target", "y")["rows"] == len(lines)


def test_dates_decimals_and_what_is_not_there(tmp_path, capsys):
    import datetime
    import decimal

    import polars

    a = np.linspace(0, 1, 60)
    for name, y in (
        ("date", [datetime.date(2020, 1, 1 + i % 2) for i in range(60)]),
        ("amount", [decimal.Decimal(i) / 7 for i in range(60)]),
        ("one", ["k"] * 60),
    ):
        polars.DataFrame({"a": a, "y": y}).write_parquet(tmp_path / f"{name}.parquet")
    fit = ["--target", "y", "--epochs", "2", "--output", str(tmp_path)]
    assert main(["train", str(tmp_path / "date.parquet"), *fit]) == 1 and "dates" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "one.parquet"), *fit]) == 1 and "one class alone" in capsys.readouterr().err
    assert told(capsys, "train", tmp_path / "amount.parquet", *fit)["task"] == "regression"
    (tmp_path / "head.csv").write_text("a,y\n")
    (tmp_path / "few.csv").write_text("a,y\n1,0\n2,1\n3,0\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name, words in (("head.csv", "no rows"), ("few.csv", "too few"), ("empty.npy", "is empty")):
        assert main(["train", str(tmp_path / name), *fit]) == 1
        assert words in capsys.readouterr().err


def only_rows(tables, folder):
    np.save(folder / "rows.npy", np.load(tables / "wine.npy")[:, :-1])
    return folder / "rows.npy"


def test_numbers_are_regressed_in_their_own_units(tables, tmp_path, capsys):
    data = tables / "diabetes.csv"
    report = told(capsys, "train", data, "--target", "y", "--output", tmp_path)
    assert report["task"] == "regression" and report["test"]["r2"] > 0.2
    predictions = [row["prediction"] for row in told(capsys, "predict", report["model"], data)]
    assert 100 < np.mean(predictions) < 200
    assert told(capsys, "evaluate", report["model"], data, "--target", "y")["rmse"] < 70
    assert (
        main(["train", str(data), "--target", "y", "--output", str(tmp_path), "--epochs", "2", "--drop", "x1", "x2"])
        == 0
    )
    out, err = capsys.readouterr()
    assert "regression of y by 8 columns" in out and "test r2" in out and "epoch" in err


def test_models_are_exported(tables, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    report = told(capsys, "train", tables / "wine.npy", "--target", "13", "--output", tmp_path, "--epochs", "3")
    X = np.load(tables / "wine.npy")[:, :-1]
    wanted = load(report["model"]).predict_proba(X)
    for kind, ending in (("onnx", "onnx"), ("sklearn", "joblib")):
        assert main(["export", report["model"], "--to", kind]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / f"model.{ending}")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    np.testing.assert_allclose(session.run(["probabilities"], {"X": X})[0], wanted, atol=1e-6)
    np.testing.assert_allclose(joblib.load(tmp_path / "model.joblib").predict_proba(X), wanted, atol=1e-9)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["train", "{}/wine.csv", "--target", "kin"], 1, "no column 'kin'"),
        (["train", "{}/wine.csv", "--target", "column 0"], 1, "hold no numbers: kind"),
        (["train", "{}/wine.csv", "--target", "kind", "--drop", "c"], 1, "no column 'c'"),
        (["train", "{}/wine.csv", "--target", "kind", "--task", "regression"], 1, "holds words"),
        (["train", "{}/wine.csv", "--target", "kind", "--epochs", "0"], 2, "--epochs must be at least 1"),
        (["train", "{}/wine.csv", "--target", "kind", "--test-share", "1"], 2, "--test-share"),
        (["train", "{}/nothing.csv", "--target", "kind"], 1, "nothing.csv"),
        (["train", "{}/nothing.xls", "--target", "kind"], 1, "must end in one of"),
        (["predict", "{}/wine.csv", "{}/wine.csv"], 1, "wine.csv"),
    ],
)
def test_mistakes_are_named_without_a_traceback(arguments, code, words, tables, tmp_path, capsys):
    more = ["--output", str(tmp_path / "out")] if arguments[0] == "train" else []
    assert main([a.format(tables) for a in arguments] + more) == code
    out, err = capsys.readouterr()
    assert words in err and "Traceback" not in err and not out


def test_missing_numbers_are_named(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("a,b,y\n" + "1,2,0\n,3,1\n" * 10)
    assert main(["train", str(tmp_path / "a.csv"), "--target", "y", "--output", str(tmp_path)]) == 1
    assert "missing or infinite numbers in the columns a" in capsys.readouterr().err


def test_idx_files_train_predict_and_evaluate(tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = np.arange(400, dtype=np.uint8) % 4
    images = (labels[:, None, None] * 50 + rng.integers(0, 20, (400, 6, 5))).astype(np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    data, truth, out = (str(tmp_path / n) for n in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "out"))
    assert main(["train", data, "--target", truth, "--epochs", "60", "--output", out, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == "classification" and report["test"]["accuracy"] > 0.95 and len(report["columns"]) == 30
    assert main(["evaluate", f"{out}/model.jitmlp", data, "--target", truth, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.95
    assert main(["predict", f"{out}/model.jitmlp", data]) == 0
    found = np.array(capsys.readouterr().out.split()[1:], int)
    np.testing.assert_array_equal(found, load(f"{out}/model.jitmlp").predict(images.reshape(400, 30)))
    write_idx(tmp_path / "few-idx1-ubyte", labels[:7])
    assert main(["train", data, "--target", str(tmp_path / "few-idx1-ubyte"), "--output", out]) == 1
    assert "must hold 400 labels" in capsys.readouterr().err
    (tmp_path / "ROWS.IDX3-UBYTE.GZ").write_bytes((tmp_path / "train-images-idx3-ubyte.gz").read_bytes())
    table = read_table(tmp_path / "ROWS.IDX3-UBYTE.GZ", truth)
    assert table.numbers(report["columns"]).dtype == np.uint8 and (table.take(truth) == labels).all()
    write_idx(tmp_path / "none.idx", images[:, :0])
    with pytest.raises(ValueError, match="must hold images or rows"):
        read_table(tmp_path / "none.idx")
    assert main(["train", truth, "--target", truth, "--output", out]) == 1
    assert "must hold images or rows" in capsys.readouterr().err


def test_the_cache_as_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JITMLP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("jitmlp_kernels.link.folder.writable_folder", lambda: tmp_path)
    assert main(["cache", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path), "kernels": []}
    assert main(["cache", "clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path), "removed": 0}


def test_export_to_c(tmp_path, capsys):
    model = MLPClassifier((5,), max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(np.arange(40.0).reshape(20, 2) / 40, np.arange(20) % 2)
    model.save(tmp_path / "2nd-model.jitmlp")
    assert main(["export", str(tmp_path / "2nd-model.jitmlp"), "--to", "c"]) == 0
    path = capsys.readouterr().out.strip()
    assert main(["export", str(tmp_path / "2nd-model.jitmlp"), "--to", "c", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": path, "format": "c"}
    assert path == str(tmp_path / "2nd-model.h") and (tmp_path / "2nd-model.h").read_text() == model.to_c(
        name="m_2nd_model"
    )


@pytest.mark.parametrize("name", ["übung", "_m", "2nd", "a b", "x"])
def test_names_that_c_accepts(name):
    from jitmlp.commands.export import identifier

    assert (
        identifier(name).isidentifier()
        and identifier(name)[0] in "abcdefghijklmnopqrstuvwxyz"
        and identifier(name).isascii()
    )


def test_bench_says_what_it_measured(monkeypatch, capsys):
    from jitmlp.commands import bench

    work = [bench.Work("digits", bench._digits, {"max_iter": 2}), bench.Work("rows", bench._digits, {"max_iter": 1}, 5)]
    monkeypatch.setattr(bench, "WORK", work)
    taken = iter([0.3, 0.9, 0.1, 0.4, 0.2, 0.8] * 2)
    monkeypatch.setattr(bench, "_seconds", lambda *args: next(taken))
    assert main(["bench", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows == [
        {"work": name, "jitmlp_seconds": 0.2, "scikit_learn_seconds": 0.8, "ratio": 4.0} for name in ("digits", "rows")
    ]
    monkeypatch.undo()
    monkeypatch.setattr(bench, "WORK", work)
    assert main(["bench", "--repeats", "1", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[2].startswith("digits ") and float(lines[2].split()[-1]) > 0
    assert main(["bench", "--repeats", "0"]) == 2


@pytest.mark.parametrize("work", WORK, ids=lambda w: w.text)
def test_every_work_of_the_bench_can_be_fitted_by_both(work):
    X, y = work.make()
    assert X.shape[0] == len(y) >= 1000
    for module in (jitmlp, neural_network):
        kind = module.MLPRegressor if work.regression else module.MLPClassifier
        kind(**{**work.options, "max_iter": 1})._validate_params()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_names_every_subcommand(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in SUBCOMMANDS) and "--target" in script
    with pytest.raises(SystemExit):
        main(["completion", "cmd"])


def test_everything_to_compile_has_what_looks_up_and_encodes():
    from jitmlp.commands.compile import wanted_pieces

    usual, all_of_it = ({wanted.body.__name__ for wanted in wanted_pieces("float32", given)} for given in (False, True))
    in_bins = {"find_knots", "add_values", "set_values", "sort_knots"}
    assert {"gather_embedded", "update_embeddings", "encode_numbers", *in_bins} <= all_of_it - usual


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_everything_to_compile_has_what_fits_of_scikit_learns_estimators_use():
    """Of few rows and many, dense and sparse, in mini-batches small and large, on any number of threads."""
    from scipy import sparse

    from jitmlp.commands.compile import wanted_pieces
    from jitmlp.training import spare

    known, rng = set(wanted_pieces("float64", False)), np.random.default_rng(0)
    X = np.where(rng.random((3000, 40)) < 0.05, rng.normal(size=(3000, 40)), 0)
    for rows in (rng.normal(size=(150, 4)), X, sparse.csr_matrix(X)):
        for batch_size, solver, n_threads in ((20, "adam", 1), (200, "adam", 2), (200, "sgd", 3), (2500, "adam", 3)):
            spare._spares.clear()
            options = {"batch_size": min(batch_size, rows.shape[0]), "solver": solver, "n_threads": n_threads}
            MLPClassifier((5,), max_iter=1, **options).fit(rows, np.arange(rows.shape[0]) % 3)
            ((_, network),) = spare._spares.values()
            used = {wanted for job in network._jobs.values() for wanted in job.wanted}
            assert used <= known, [wanted.label for wanted in used - known]
