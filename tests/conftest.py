"""What every test may use."""

import os
from pathlib import Path

import pytest

MNIST_VARIABLE = "MNIST_DIR"


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder of the MNIST files, named by ``$MNIST_DIR``."""
    folder = Path(os.environ.get(MNIST_VARIABLE, "data/mnist"))
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST files in {folder}; set {MNIST_VARIABLE} to their folder")
    return folder
