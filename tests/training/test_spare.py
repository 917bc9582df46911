"""Memory that a fit leaves for the next one: no bit of what was there before is seen."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.engine.constraints import Constraints
from jitmlp.engine.job import Job
from jitmlp.engine.thread_choice import ThreadChoice
from jitmlp.engine.threads import available_threads
from jitmlp.training import spare
from jitmlp.training.callbacks import OneOfSeveral

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")
X, y = load_digits(return_X_y=True)
X, y = X[:1200] / 16, y[:1200]
WAYS = [
    {}, {"batch_size": 10}, {"batch_size": 300}, {"batch_size": 1100}, {"alpha": 0.1}, {"l1": 0.01}, {"max_norm": 0.5},
    {"clip_norm": 0.01}, {"clip_value": 1e-3}, {"solver": "sgd"}, {"solver": "sgd", "momentum": 0.0}, {"solver": "rmsprop"},
    {"batch_norm": True}, {"dropout": 0.3}, {"dtype": "float32"}, {"learning_rate_init": 0.1}, {"beta_1": 0.5},
    {"activation": "tanh"}, {"early_stopping": True}, {"layer_rates": [0.0, 1.0]}, {"n_threads": 2}, {"n_threads": 1},
    {"hidden_layer_sizes": (30, 20)}, {"normalize": "standard"}, {"numeric_bins": 5}, {"validation_fraction": 0.2},
    {"restore_best": True, "max_iter": 9}, {"label_smoothing": 0.1}, {"loss": "squared_error"}, {"precision": "bfloat16"},
    {"categorical_features": [20, 36]}, {"categorical_features": [20, 36], "embedding_dim": 2},
    {"categorical_features": [20, 36], "embedding_dim": 3}, {"dropout": [0.2, 0.3]}, {"dropout": [0.1, 0.3]},
    {"learning_rate_init": 1e200, "solver": "sgd", "on_divergence": "warn"},
]  # fmt: skip


def weights(model, X=X):
    model = clone(model).fit(X, y)
    return [*model.coefs_, *model.intercepts_, *sum(model.batch_norm_, []), np.array(model.loss_curve_)]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_fits_of_all_kinds_in_any_order_have_the_bits_of_fits_in_memory_of_their_own(monkeypatch):
    options = {"hidden_layer_sizes": (30,), "max_iter": 3, "random_state": 0}
    models = [MLPClassifier(**{**options, **way}) for way in WAYS]
    models += [MLPRegressor(**options, loss="huber", loss_parameter=delta) for delta in (0.1, 0.5)]
    wanted = []
    for model in models:
        spare._spares.clear()
        wanted.append(weights(model))
    new, made, n_fits = spare.new, [], 0
    monkeypatch.setattr(spare, "new", lambda *given: made.append(given) or new(*given))
    random = np.random.default_rng(0)
    for number in [*range(len(models)), *random.permutation(np.repeat(np.arange(len(models)), 2))]:
        model = models[number]
        if random.random() < 0.7:  # after a fit of its own kind, of other rows
            reads_sparse = model.numeric_bins is None and model.categorical_features is None
            weights(model, sparse.csr_matrix(X[:, ::-1]) if reads_sparse and random.random() < 0.5 else X[:, ::-1])
            n_fits += 1
        for found, own in zip(weights(model), wanted[number], strict=True):
            np.testing.assert_array_equal(found, own)
        n_fits += 1
        assert len(spare._spares) <= spare.MOST
    assert n_fits / 4 < len(made) < n_fits * 3 / 4


def test_what_is_left_is_taken_once():
    spare._spares.clear()
    model = MLPClassifier((5,), max_iter=2, random_state=0).fit(X, y)
    ((kind, left),) = spare._spares.values()
    assert not left.holds and not any(job.keeps for job in left._jobs.values())  # nothing is kept alive
    recipe = SimpleNamespace(
        batch_size=left.rows, n_threads=left.n_threads, optimizer=left.optimizer, constraints=Constraints()
    )
    assert spare.kind_of(left.model, recipe) == kind
    seen, start = [], threading.Barrier(4)

    def take():
        start.wait()
        seen.append(spare.take(left.model, recipe))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, seen))) == 4 and left in seen and not spare._spares
    assert np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize("options", [
    {"normalize": "standard"}, {"numeric_bins": 4}, {"hidden_layer_sizes": (600,)},
    {"learning_rate_init": 1e300, "solver": "sgd", "on_divergence": "warn"}, {"solver": "lbfgs"},
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_left(options):
    """Memory that holds what was learned of rows, that is large, or that holds numbers that are not finite."""
    spare._spares.clear()
    MLPRegressor(**{"hidden_layer_sizes": (5,), "max_iter": 2, "random_state": 0, **options}).fit(X, y)
    assert not spare._spares


@pytest.mark.skipif(available_threads(2) < 2, reason="one core")
def test_the_threads_of_the_moment_are_all_that_is_used_and_learned_of(monkeypatch):
    """By steps and predictions alike, though there is room for more; the next fit begins with all again."""
    spare._spares.clear()
    teams, learned = [], []
    run, learn = Job.run_team, ThreadChoice.learn
    monkeypatch.setattr(Job, "run_team", lambda self, n: teams.append(n) or run(self, n))
    monkeypatch.setattr(ThreadChoice, "learn", lambda self, n, *more: learned.append(n) or learn(self, n, *more))
    monkeypatch.setattr(ThreadChoice, "SMALL_STEP", 0.0)  # every step gains from all threads
    model = MLPClassifier((50,), max_iter=5, early_stopping=True, n_threads=2, random_state=0)
    with model._accompanied(OneOfSeveral(threading.Event(), lambda: 1)):
        model.fit(X, y)
    assert not teams and set(learned) == {1}
    model.fit(X, y)
    assert set(teams) == {2} and set(learned) == {1, 2}


def test_what_is_known_of_threads_is_left_too():
    """For mini-batches of as many rows; a fit that goes on row by row knows as much."""
    spare._spares.clear()

    def left():
        ((_, workspace),) = spare._spares.values()
        return workspace.thread_choice

    few, classes = X[:150], y[:150]
    model = MLPClassifier((5,), max_iter=3, random_state=0, n_threads=2)
    n_rows, choice = model.fit(few, classes) and left()
    assert n_rows == 150 and choice.tried == 2 and choice.spent > 0
    before, again = choice.spent, model.fit(few, classes) and left()[1]
    assert again is choice and choice.spent > before
    assert model.fit(few[:140], classes[:140]) and left()[0] == 140 and left()[1] is not choice
    online = MLPClassifier((5,), random_state=0, n_threads=2)
    for row in range(6):
        online.partial_fit(X[row : row + 1], y[row : row + 1], classes=np.unique(y))
        n_rows, known = online._workspace[1].thread_choice
        assert n_rows == 1 and known.tried >= min(row + 1, 2)
