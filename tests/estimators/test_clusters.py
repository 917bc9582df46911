"""Searches and ensembles on real local clusters of two workers: the same bits, no more threads than a worker's share."""

import os
import warnings
from unittest import mock

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV

from jitmlp import MLPClassifier
from jitmlp.engine.threads import available_threads

pytestmark = [
    pytest.mark.slow,
    # of the clusters' own: sockets that are closed late, settings that go
    pytest.mark.filterwarnings("ignore"),
]
X, Y = load_digits(return_X_y=True)
X = X[:500] / 16
Y = Y[:500]


def dask():
    """A Dask cluster, and what to do at its end."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    client = distributed.Client(cluster)

    def end():
        client.close()
        cluster.close()

    return "dask", end


def ray():
    """A Ray cluster, and what to do at its end."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    return "ray", ray.shutdown


@pytest.fixture(params=[dask, ray], ids=["dask", "ray"], scope="module")
def backend(request, tmp_path_factory):
    """Its workers begin with nothing compiled; what Dask writes into this process' environment does not stay."""
    nothing = {"JITMLP_CACHE_DIR": str(tmp_path_factory.mktemp("kernels"))}
    with warnings.catch_warnings(), mock.patch.dict(os.environ, nothing):
        warnings.simplefilter("ignore")
        name, end = request.param()
        yield name
        end()


def network(**options):
    return MLPClassifier((16,), max_iter=6, random_state=0, **options)


WORK = {
    "GridSearchCV": lambda: GridSearchCV(network(), {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=2),
    "RandomizedSearchCV": lambda: RandomizedSearchCV(
        network(), {"learning_rate_init": [1e-3, 1e-2, 1e-1]}, n_iter=2, cv=2, n_jobs=2, random_state=0
    ),
    "HalvingRandomSearchCV": lambda: HalvingRandomSearchCV(
        network(), {"alpha": [1e-4, 1e-2, 1.0]}, cv=2, n_jobs=2, n_candidates=3, min_resources=100, random_state=0
    ),
    "BaggingClassifier": lambda: BaggingClassifier(network(), n_estimators=4, n_jobs=2, random_state=0),
}


@pytest.mark.parametrize("work", WORK)
def test_the_same_bits_as_without_a_cluster(work, backend):
    alone = WORK[work]().set_params(n_jobs=None).fit(X, Y)
    with parallel_config(backend=backend):
        spread = WORK[work]().fit(X, Y)
    for one, other in zip(*(getattr(m, "estimators_", None) or [m.best_estimator_] for m in (spread, alone))):
        assert all(np.array_equal(a, b) for a, b in zip(one.coefs_, other.coefs_))
    if hasattr(alone, "cv_results_"):
        np.testing.assert_array_equal(spread.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def _at_work():
    """What a worker sees: its process, its threads, and which pieces it has compiled rather than loaded."""
    import os

    from sklearn.datasets import load_digits

    from jitmlp import MLPClassifier
    from jitmlp.engine.threads import available_threads
    from jitmlp_kernels.link import pieces

    rows, classes = load_digits(return_X_y=True)  # with a solver and an activation that no other test of these has
    MLPClassifier((16,), solver="nadam", activation="mish", max_iter=3).fit(rows, classes)
    return os.getpid(), available_threads(), list(pieces.compiled)


def test_a_worker_uses_its_share_of_the_cores_and_no_piece_is_compiled_twice(backend):
    _at_work.__module__ = "__main__"  # sent by value: where it arrives there is no such file
    with parallel_config(backend=backend, n_jobs=2):
        found = Parallel()(delayed(_at_work)() for _ in range(6))
    assert os.getpid() not in {pid for pid, *_ in found} and {threads for _, threads, _ in found} == {1}
    of_process = {pid: pieces for pid, _, pieces in sorted(found, key=lambda f: len(f[2]))}
    everything = [piece for pieces in of_process.values() for piece in pieces]
    assert any("nadam" in piece for piece in everything) and len(everything) == len(set(everything))


def test_openmps_variable_bounds_the_threads(monkeypatch):
    for asked, limit in (("1", 1), ("1,4", 1), ("100", None), ("0", None), ("", None), ("x", None)):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        free = available_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert available_threads() == (limit or free)
