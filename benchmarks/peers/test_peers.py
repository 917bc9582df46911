"""The comparison in pytest-benchmark's form: one peer on one workload a test.

MNIST_DIR=... pytest benchmarks/peers --benchmark-enable --benchmark-group-by=param:name
"""

import importlib.util

import pytest

from benchmarks.peers.worker import make
from benchmarks.peers.workloads import WORKLOADS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MODULES = {"torch.compile": "torch", "scikit-learn": "sklearn"}
CASES = [(name, peer) for name, w in WORKLOADS.items() for peer in ("jitmlp", *w.peers) if peer != "torch.compile"]


@pytest.mark.parametrize("name, peer", CASES)
def test_workload(benchmark, name, peer):
    if importlib.util.find_spec(MODULES.get(peer, peer)) is None:
        pytest.skip(f"{peer} is not installed")
    runner = make(peer, WORKLOADS[name], 2)
    benchmark.pedantic(runner.run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["score"] = runner.score() if WORKLOADS[name].kind != "predict" else None
