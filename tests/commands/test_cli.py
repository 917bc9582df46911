"""The command, and the reader of IDX files."""

import gzip
import struct

import joblib
import numpy as np
import pytest

from jitmlp.commands.main import main
from jitmlp.files.idx import load_mnist, read_idx


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
