"""Several networks in one estimator, beside as many estimators of one."""

import pickle
import signal
import threading
import time
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import check_random_state

from jitmlp import DivergenceError, LossCurveDisplay, MLPClassifier, MLPRegressor
from jitmlp.engine.threads import available_threads
from jitmlp.training.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
IRIS, CANCER, DIABETES = (load(return_X_y=True) for load in (load_iris, load_breast_cancer, load_diabetes))
LABELS = np.stack([IRIS[1] > 0, IRIS[1] > 1], axis=1).astype(int)
OPTIONS = dict(hidden_layer_sizes=(8,), max_iter=5, normalize="standard", random_state=3, n_members=3)
KINDS = {
    "classes": (MLPClassifier, *IRIS), "two classes": (MLPClassifier, *CANCER), "labels": (MLPClassifier, IRIS[0], LABELS),
    "numbers": (MLPRegressor, *DIABETES),
}  # fmt: skip


def alone(kind, options, X, y):
    """The members as estimators of their own."""
    seeds = check_random_state(options["random_state"]).randint(2**31, size=options["n_members"])
    return [kind(**{**options, "n_members": 1, "random_state": int(seed)}).fit(X, y) for seed in seeds]


def outputs(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("kind, X, y", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("changes", [{}, {"early_stopping": True, "dtype": "float32"}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_predictions_are_the_mean_of_networks_of_other_seeds(kind, X, y, changes, n_threads):
    options = {**OPTIONS, **changes}
    model, single = kind(**options, n_threads=n_threads).fit(X, y), alone(kind, options, X, y)
    for member, own in zip(model.members_, single):
        np.testing.assert_array_equal(member.coefs_[0], own.coefs_[0])
    wanted = np.mean([outputs(own, X) for own in single], axis=0)
    np.testing.assert_allclose(outputs(model, X), wanted, rtol=1e-5, atol=1e-7)
    if kind is MLPClassifier:
        chosen = wanted > 0.5 if y.ndim == 2 else model.classes_[wanted.argmax(axis=1)]
        np.testing.assert_array_equal(model.predict(X), chosen)
    assert len({own.loss_ for own in model.members_}) == 3 and model.loss_ == pytest.approx(
        np.mean([own.loss_ for own in single])
    )
    assert model.n_iter_ == max(own.n_iter_ for own in single) and model.n_features_in_ == X.shape[1]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(again, X), outputs(model, X))
    assert model.get_params() == {**clone(model).get_params()}


@pytest.mark.parametrize("kind, X, y", KINDS.values(), ids=KINDS)
def test_joblib_keeps_them(kind, X, y, tmp_path):
    """Which, unlike pickle, makes two arrays of one that two objects hold."""
    model = kind(**OPTIONS).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    np.testing.assert_array_equal(outputs(again, X), outputs(model, X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(outputs(again.partial_fit(X, y), X), outputs(model.partial_fit(X, y), X))


def test_they_go_on_and_a_failure_leaves_them_as_they_were():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS).partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y)
    seeds = check_random_state(3).randint(2**31, size=3)
    for member, seed in zip(model.members_, seeds):
        own = MLPClassifier(**{**OPTIONS, "n_members": 1, "random_state": int(seed)})
        own.partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y)
        np.testing.assert_array_equal(member.coefs_[0], own.coefs_[0])
        assert member.loss_curve_ == own.loss_curve_ and len(own.loss_curve_) == 2
    before = outputs(model, X)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X * np.nan, y)
    np.testing.assert_array_equal(outputs(model, X), before)
    assert all(len(member.loss_curve_) == 2 for member in model.members_)
    warm = MLPClassifier(**OPTIONS, warm_start=True).fit(X, y)
    first = warm.loss_
    assert warm.fit(X, y).loss_ < first and len(warm.members_[0].loss_curve_) == 10
    for changes in ({"n_members": 2}, {"n_members": 1}):
        with pytest.raises(ValueError, match="cannot go on"):
            warm.set_params(**changes).fit(X, y)
    with pytest.raises(DivergenceError):
        MLPRegressor(**{**OPTIONS, "solver": "sgd", "learning_rate_init": 1e9}).fit(*DIABETES)


def test_one_network_after_several_and_the_other_way_round():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS).fit(X, y)
    assert not hasattr(model, "coefs_") and "One of 3 members" in model.summary()
    model.set_params(n_members=1).fit(X, y)
    assert not hasattr(model, "members_") and model.network_ is not None and model.coefs_
    model.set_params(n_members=2).fit(X, y)
    assert not hasattr(model, "coefs_") and not hasattr(model, "history_") and len(model.members_) == 2
    assert model.predict(X).shape == y.shape


def test_what_is_of_one_network_says_so(tmp_path, monkeypatch):
    model = MLPClassifier(**OPTIONS).fit(*IRIS)
    calls = [
        lambda: model.network_, model.to_sklearn, model.to_c, lambda: model.save(tmp_path / "m"),
        lambda: model.predict_logits(IRIS[0]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"members_\[0\]"):
            call()
    with pytest.raises(ValueError, match="members_"):
        LossCurveDisplay.from_estimator(model)
    model.members_[0].save(tmp_path / "m")
    with pytest.raises(ValueError, match="no use for it"):
        MLPClassifier(**OPTIONS, callback=print).fit(*IRIS)
    with monkeypatch.context() as patch:
        patch.setattr("jitmlp.estimators.members.current", lambda: SimpleNamespace(is_alone=False))
        with pytest.raises(ValueError, match="trains alone"):
            MLPClassifier(**OPTIONS).fit(*IRIS)
    for wrong in (0, -1, 2.5, None, "3"):
        with pytest.raises(ValueError, match="n_members"):
            MLPClassifier(n_members=wrong).fit(*IRIS)


def test_in_searches_with_chunks_and_with_words(capsys):
    X, y = IRIS
    search = GridSearchCV(MLPClassifier(**OPTIONS), {"n_members": [1, 2]}, cv=3, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.4
    assert (
        cross_val_score(MLPClassifier(**{**OPTIONS, "max_iter": 60, "learning_rate_init": 0.03}), X, y, cv=5).mean()
        > 0.9
    )
    shuffled = np.random.default_rng(0).permutation(len(X))

    def chunks():
        for first in range(0, len(X), 50):
            yield X[shuffled[first : first + 50]], y[shuffled[first : first + 50]]

    model = MLPClassifier(**OPTIONS, verbose=True).fit(chunks)
    assert len(model.members_) == 3 and model.score(X, y) > 0.3
    printed = capsys.readouterr().out.splitlines()
    assert sorted(line[:14] for line in printed) == [f"Member {k} of 3," for k in (1, 2, 3)]
    table = np.column_stack([X[:, 0], np.arange(len(X)) % 7])
    model = MLPClassifier(**OPTIONS, categorical_features=[1], embedding_dim=3).fit(table, y)
    np.testing.assert_allclose(
        model.predict_proba(table), np.mean([m.predict_proba(table) for m in model.members_], axis=0)
    )


@pytest.mark.filterwarnings("ignore:Training interrupted")
def test_an_interrupt_keeps_what_all_have_learned():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4000, 20)), rng.integers(2, size=4000)
    model = MLPClassifier(**{**OPTIONS, "max_iter": 100_000, "tol": 0, "n_iter_no_change": 10**9})
    main = threading.main_thread().ident

    def interrupt():
        time.sleep(1)
        signal.pthread_kill(main, signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        sender.start()
        model.fit(X, y)
        sender.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(model.members_) == 3 and 0 < model.n_iter_ < 100_000
    assert {member.stopped_by_ for member in model.members_} == {"interrupt"}
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.skipif(available_threads(2) < 2, reason="one core")
def test_the_last_one_trains_on_all_cores(monkeypatch):
    train, given = Trainer.run_epoch, {}
    both, first_is_done = threading.Barrier(2), threading.Event()

    def epoch(self, *arguments, **options):
        counts = given.setdefault(self, [])
        counts.append(self.workspace.threads_now)
        is_first = self is next(iter(given))
        if len(counts) == 1:
            both.wait(30)
        elif len(counts) == 2 and not is_first:
            first_is_done.wait(30)
            time.sleep(0.2)  # until it is counted
        elif len(counts) == 5 and is_first:
            first_is_done.set()
        return train(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "run_epoch", epoch)
    model = MLPClassifier(**{**OPTIONS, "n_members": 2}, early_stopping=True, n_threads=2).fit(*IRIS)
    first, last = given.values()
    assert first == [1] * 5 and last[0] == 1 and last[2:] == [2] * 3
    given.clear()
    monkeypatch.setattr(both, "wait", lambda timeout: None)
    model.members_[0].fit(*IRIS)  # a network of its own now
    assert list(given.values()) == [[2] * 5]
    assert all(member.n_threads == 2 for member in model.members_)
