"""What every test may use."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from jitmlp.engine import interrupts

MNIST_VARIABLE = "MNIST_DIR"
collect_ignore = ["processes/together.py"]  # run by mpiexec


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder of the MNIST files, named by ``$MNIST_DIR``."""
    folder = Path(os.environ.get(MNIST_VARIABLE, "data/mnist"))
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"no MNIST files in {folder}; set {MNIST_VARIABLE} to their folder")
    return folder


@pytest.fixture(autouse=True)
def interrupts_are_as_before():
    """No test, and nothing that it calls, leaves Ctrl-C deaf."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before and interrupts._current is None
    if hasattr(signal, "pthread_sigmask"):
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture(autouse=True)
def draws_do_not_depend_on_tests_before(request):
    """A module's ``RNG`` begins anew in every test: workers run tests in an order that changes from run to run."""
    if hasattr(request.module, "RNG"):
        request.module.RNG = np.random.default_rng(1)  # not what the module itself has drawn


@pytest.fixture
def ctrl_c_is_heard():
    """A shell's background jobs are started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
