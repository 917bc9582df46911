"""Ensembles of networks for tables."""

import pickle
import signal
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_classification
from sklearn.inspection import partial_dependence
from sklearn.metrics import log_loss
from sklearn.model_selection import RandomizedSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as ScikitClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from frames import as_polars, mixed
from helpers import least_disturbed
from jitmlp import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from jitmlp.engine.threads import available_threads
from jitmlp.tabular import ensemble
from jitmlp.tabular.watch import Watch, epochs_within
from jitmlp.training.trainer import Trainer

pandas = pytest.importorskip("pandas")
pytest.importorskip("narwhals")
RNG = np.random.default_rng(0)
SMALL = dict(hidden_layer_sizes=(32, 32), max_iter=15, batch_size=64, random_state=0)


def test_the_bits_do_not_depend_on_cores():
    frame, y = mixed()
    models = [TabularClassifier(3, n_jobs=n, **SMALL).fit(frame, y) for n in (1, 2, None, -1)]
    for other in models[1:]:
        np.testing.assert_array_equal(other.predict_proba(frame), models[0].predict_proba(frame))
        np.testing.assert_array_equal(other.oof_proba_, models[0].oof_proba_)
    assert models[0].temperature_ == models[2].temperature_ and len(models[0].members_) == 3
    alone = [TabularRegressor(1, n_jobs=n, **SMALL).fit(frame, y) for n in (1, 2)]
    np.testing.assert_array_equal(alone[0].predict(frame), alone[1].predict(frame))


class TestOutOfFold:
    def test_it_is_said_by_the_member_that_has_not_seen_the_row(self):
        frame, y = mixed()
        model = TabularClassifier(3, **SMALL).fit(frame, y)
        assert np.isfinite(model.oof_proba_).all() and model.oof_score_ == (model.oof_proba_.argmax(1) == y).mean()
        labels = RNG.permutation(y)  # nothing to learn: whoever has seen a row knows more
        noise = TabularClassifier(3, **{**SMALL, "max_iter": 60}).fit(frame, labels)
        assert abs(noise.oof_score_ - 0.5) < 0.13

    def test_the_temperature_makes_the_log_loss_least(self):
        frame, y = mixed(n=900)
        model = TabularClassifier(3, label_smoothing=0.3, **SMALL).fit(frame, y)
        logs = np.log(model.oof_proba_)
        for factor in (0.9, 1.1):
            shares = np.exp(logs * factor)
            assert log_loss(y, shares / shares.sum(axis=1, keepdims=True)) >= model.oof_log_loss_ - 1e-9
        assert model.temperature_ < 1 and model.oof_log_loss_ == pytest.approx(log_loss(y, model.oof_proba_))
        np.testing.assert_allclose(model.predict_proba(frame).sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(model.predict_log_proba(frame)), model.predict_proba(frame))

    def test_regression_in_the_targets_units(self):
        X, y = load_diabetes(return_X_y=True, as_frame=True)
        model = TabularRegressor(3, **SMALL).fit(X, 1000 * y + 5e5)
        assert np.isfinite(model.oof_prediction_).all() and model.oof_score_ > 0.35
        assert abs(model.predict(X).mean() - (1000 * y + 5e5).mean()) < 5000
        far = model.predict(X * 1e6)
        assert far.min() >= 1000 * y.min() + 5e5 - 1 and far.max() <= 1000 * y.max() + 5e5 + 1
        one = TabularRegressor(1, **SMALL).fit(X, y)
        assert np.isnan(one.oof_prediction_).mean() == pytest.approx(0.8, abs=0.01)

    def test_validation_data_of_ones_own(self):
        frame, y = mixed(n=600)
        own = dict(X_val=frame[400:], y_val=y[400:])
        model = TabularClassifier(2, scoring=None, **SMALL).fit(frame[:400], y[:400], **own)
        assert np.isnan(model.oof_proba_).all() and model.score(frame[400:], y[400:]) > 0.8
        assert max(model.history_["validation_score"]) == pytest.approx(
            max(m.score(model.encoder_.transform(own["X_val"]), own["y_val"]) for m in model.members_))  # fmt: skip
        with pytest.raises(ValueError, match="y_val"):
            TabularClassifier(2, **SMALL).fit(frame[:400], y[:400], X_val=frame[400:], y_val=y[400:] + 5)
        with pytest.raises(ValueError, match="X_val and y_val must be given together"):
            TabularRegressor(2, **SMALL).fit(frame, y, X_val=frame)

    def test_more_members_than_folds_of_few_rows(self):
        X, y = RNG.normal(size=(6, 2)), np.array([0, 1, 0, 1, 2, 2])
        for estimator in (TabularClassifier, TabularRegressor):
            model = estimator(8, **SMALL).fit(X, y)
            assert len(model.members_) == 8 and model.predict(X).shape == (6,)


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_members_are_networks_of_the_recipe_with_the_users_parameters(estimator):
    given = dict(hidden_layer_sizes=[24, 16], activation="gelu", learning_rate_init=0.03, max_iter=7, batch_size=48,
                 dropout=0.1, alpha=0.2)  # fmt: skip
    given |= dict(label_smoothing=0.2) if estimator is TabularClassifier else dict(loss="absolute_error")
    given |= dict(numeric_bins=None)
    frame, y = mixed()
    model = estimator(2, random_state=0, **given).fit(frame, y)
    n_inputs = len(model.get_feature_names_out())
    wanted = given | dict(hidden_layer_sizes=(24, 16), scoring="loss", learning_rate="cosine_log", beta_2=0.95,
                          dtype="float32", solver="adam", restore_best=True,
                          layer_rates=tuple((n**-0.5, 0.1) for n in (n_inputs, 24, 16)), callback=None)  # fmt: skip
    output = "zeros" if estimator is TabularClassifier else "lecun_normal"
    wanted["initializer"] = ["lecun_normal", "lecun_normal", output]
    for member in model.members_:
        parameters = member.get_params()
        assert {name: parameters[name] for name in wanted} == wanted and member.n_iter_ == 7 == model.n_iter_
    assert len({member.random_state for member in model.members_}) == 2
    assert model.members_[0].coefs_[0].dtype == np.float32
    defaults = estimator().get_params()
    units = 256 if estimator is TabularClassifier else 128
    common = dict(n_members=5, hidden_layer_sizes=(units,) * 3, batch_size=256, dropout=0.0, scoring="loss")
    common["max_iter"] = None if estimator is TabularClassifier else 100
    own = dict(activation="selu", learning_rate_init=0.04, label_smoothing=0.1)
    own = (
        own
        if estimator is TabularClassifier
        else dict(activation="mish", learning_rate_init=0.07, loss="squared_error")
    )
    assert {name: defaults[name] for name in common | own} == common | own


class TestTargets:
    def test_words_as_classes_weights_and_few_rows_of_one(self):
        frame, y = mixed()
        words = np.array(["no", "yes"])[y].astype(object)
        words[:2] = "rare"
        model = TabularClassifier(3, class_weight={"yes": 50.0}, **SMALL).fit(frame, words)
        assert list(model.classes_) == ["no", "rare", "yes"] and model.predict_proba(frame).shape == (300, 3)
        plain = TabularClassifier(3, **SMALL).fit(frame, words)
        assert (model.predict(frame) == "yes").sum() > (plain.predict(frame) == "yes").sum()
        weighted = TabularClassifier(3, **SMALL).fit(frame, words, np.where(words == "yes", 50.0, 1.0))
        np.testing.assert_allclose(weighted.predict_proba(frame), model.predict_proba(frame), atol=1e-6)
        with pytest.raises(ValueError, match="maybe"):
            TabularClassifier(3, class_weight={"maybe": 2.0}, **SMALL).fit(frame, words)

    def test_a_scorer_chooses_the_epoch(self):
        frame, y = mixed()
        model = TabularClassifier(2, scoring="roc_auc", **SMALL).fit(frame, y)
        scores = pandas.DataFrame(model.history_)
        assert (scores.groupby("member")["best_score"].is_monotonic_increasing).all()
        np.testing.assert_allclose(scores.groupby("member")["validation_score"].cummax(), scores["best_score"])
        for member, best in zip(model.members_, scores.groupby("member")["best_score"].max()):
            assert member.best_validation_score_ == best > 0.9


def test_it_is_better_than_scikit_learns_network_on_a_mixed_table():
    frame, y = mixed(n=1200)
    numbers = pandas.get_dummies(frame.drop(columns="none")).fillna(0.0).astype(float)
    other = make_pipeline(StandardScaler(), ScikitClassifier(random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cross_val_score(other, numbers, y, cv=3, scoring="neg_log_loss").mean()
    model = TabularClassifier(3, **{**SMALL, "hidden_layer_sizes": (128, 128), "max_iter": 40})
    assert cross_val_score(model, frame, y, cv=3, scoring="neg_log_loss").mean() > theirs


class TestTime:
    @pytest.mark.parametrize("n_members", [4, 1])
    def test_a_limit_is_kept(self, n_members):
        X, y = make_classification(4000, 20, random_state=0)
        TabularClassifier(2, max_iter=1, random_state=0).fit(X[:500], y[:500])  # loads the kernels
        model = TabularClassifier(n_members, time_limit=6.0, max_iter=10_000, random_state=0)

        def fit():
            start = time.perf_counter()
            model.fit(X, y)
            return time.perf_counter() - start

        least_disturbed(fit, 9.0, most=3)
        assert 1 <= len(model.members_) <= n_members
        assert model.predict_proba(X[:10]).shape == (10, 2)

    @pytest.mark.parametrize("limit, rounds, most, wanted", [(10.0, 2, 1000, 92), (10.0, 2, 50, 50), (0.1, 2, 1000, 4)])
    def test_epochs_are_so_many_that_the_schedule_comes_to_its_end(self, monkeypatch, limit, rounds, most, wanted):
        clock = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])

        def probe():  # two epochs
            clock[0] += 0.1 if limit > 1 else 0.02

        assert epochs_within(None, 0.0, rounds, most, None) == most
        assert epochs_within(limit, 0.0, rounds, most, probe) == pytest.approx(wanted, abs=4)

    @pytest.mark.parametrize("given, times", [({}, 2.25), ({"refit": False}, 1), ({"n_members": 3, "n_jobs": 1}, 3)])
    def test_all_fits_of_a_core_have_their_time(self, given, times, monkeypatch):
        """Those of its members, and the one on all rows, a quarter more than there were before."""
        frame, y = mixed()
        asked = []
        monkeypatch.setattr(ensemble, "epochs_within", lambda *arguments: asked.append(arguments[2]) or 2)
        TabularClassifier(**{"n_members": 1, **SMALL, **given}).fit(frame, y)
        assert asked == [pytest.approx(times)]

    @pytest.mark.parametrize("limit, epoch, ends", [(5.0, 1, True), (1e6, 1, False), (None, 1, False), (None, 7, True)])
    def test_a_member_ends_when_time_is_over_or_it_has_its_epochs(self, limit, epoch, ends):
        watch = Watch(1, 7, False, time.monotonic() - 10, limit)
        assert self.ends(watch.member(), epoch) is ends and watch.is_over is (limit == 5.0)
        assert self.ends(watch.member(end=2), epoch) is (ends or epoch >= 2)
        watch.stop()
        assert self.ends(watch.member(), epoch) is True and watch.is_over

    def test_the_last_that_trains_has_all_threads(self):
        watch = Watch(3, 7, False, time.monotonic(), None, n_threads=4)
        watch.finish(5)  # one that was timed only
        watch.begin(7)
        counts = []
        for _ in range(4):
            counts.append(watch.n_threads)
            watch.finish(0)
        assert counts == [1, 1, 4, 4]
        run = self.run_of(1)
        watch.member().on_begin(run)
        assert run.trainer.workspace.threads_now == 4
        assert Watch(1, 7, False, time.monotonic(), None, n_threads=4).n_threads == 4

    def test_a_member_ends_when_its_score_gets_no_better(self):
        watch, scores = Watch(1, 100, False, time.monotonic(), None), [0.1, 0.3, 0.2, np.nan, 0.4, 0.4, 0.3, 0.2, 0.5]
        assert [self.ends(watch.member(patience=3), n, scores[:n]) for n in range(1, 10)] == [*[False] * 7, True, True]
        assert not self.ends(watch.member(patience=4), 9, scores)

    @staticmethod
    def run_of(max_epochs):
        """What a callback sees and changes of a run."""
        trainer = SimpleNamespace(workspace=SimpleNamespace(threads_now=None))
        run = SimpleNamespace(scores=[], recipe=SimpleNamespace(max_epochs=max_epochs), reasons=[], trainer=trainer)
        run.stop = run.reasons.append
        return run

    @staticmethod
    def ends(callback, n_epochs, scores=()):
        """Whether the last of so many epochs is the last."""
        run = TestTime.run_of(100 if scores else 7)
        callback.on_begin(run)
        for run.epoch in range(1, n_epochs + 1):
            run.scores = list(scores[: run.epoch])
            callback.on_epoch_end(run)
        return bool(run.reasons)

    def test_a_limit_that_is_far_changes_nothing(self):
        frame, y = mixed()
        found = [
            TabularClassifier(2, time_limit=limit, **SMALL).fit(frame, y).predict_proba(frame) for limit in (None, 300)
        ]
        np.testing.assert_array_equal(*found)

    @pytest.mark.usefixtures("ctrl_c_is_heard")
    @pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to a process group there")
    @pytest.mark.parametrize("wait", [0.02, 1.0])  # while the time is measured that epochs take, and later
    def test_an_interrupt_ends_all_members_and_leaves_the_estimator(self, wait):
        X, y = make_classification(5000, 20, random_state=0)
        model = TabularClassifier(2, max_iter=3, random_state=0).fit(X, y)
        before = model.predict_proba(X[:5])
        threading.Timer(wait, signal.raise_signal, [signal.SIGINT]).start()
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            model.set_params(max_iter=100_000, n_jobs=2, time_limit=60).fit(X, y)
        assert time.perf_counter() - start < 20
        np.testing.assert_array_equal(model.predict_proba(X[:5]), before)

    def test_progress_in_lines(self, capfd):
        frame, y = mixed()
        TabularClassifier(2, verbose=True, **SMALL).fit(frame, y)
        lines = capfd.readouterr().err.splitlines()
        assert 2 <= len(lines) <= 20 and "epoch 30/30" in lines[-1] and "best score" in lines[-1]
        model = TabularClassifier(2, **SMALL).fit(frame, y)
        assert f"best score {max(model.history_['validation_score']):.4f}" in lines[-1]
        assert not capfd.readouterr().err


class TestAtHome:
    def test_pickled_cloned_searched(self):
        frame, y = mixed()
        model = TabularClassifier(2, **SMALL)
        fitted = clone(model).fit(frame, y)
        back = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(back.predict_proba(frame), fitted.predict_proba(frame))
        np.testing.assert_allclose(fitted.predict_proba(as_polars(frame)), fitted.predict_proba(frame), atol=1e-6)
        assert pandas.DataFrame(fitted.history_).groupby("member").size().tolist() == [15, 15]
        search = RandomizedSearchCV(model.set_params(max_iter=3), model.search_space(), n_iter=2, cv=2, random_state=0)
        assert set(search.fit(frame, y).best_params_) == set(model.search_space())
        X, labels = load_wine(return_X_y=True)
        assert TabularClassifier(2, random_state=0, max_iter=30).fit(X, labels).score(X, labels) > 0.95

    def test_in_a_session_whose_transformers_give_frames(self):
        frame, y = mixed()
        wanted = TabularClassifier(2, **SMALL).fit(frame, y).predict_proba(frame)
        with config_context(transform_output="pandas"):
            np.testing.assert_array_equal(TabularClassifier(2, **SMALL).fit(frame, y).predict_proba(frame), wanted)

    def test_importance_finds_what_the_target_depends_on(self):
        frame, y = mixed()
        model = TabularClassifier(2, **SMALL).fit(frame, y)
        found = model.feature_importance(frame, y, n_repeats=3)
        assert found.importances.shape == (8, 3) and list(found.feature_names) == list(frame)
        by_name = dict(zip(found.feature_names, found.importances_mean))
        assert {"a", "colour", "flag"} == set(sorted(by_name, key=by_name.get)[-3:]) and by_name["same"] == 0
        again = model.feature_importance(frame, y, n_repeats=3)
        np.testing.assert_array_equal(found.importances, again.importances)
        wide = frame.assign(code=RNG.integers(200, size=len(frame)).astype(str))
        assert model.set_params(n_members=1).fit(wide, y).feature_importance(wide, y).importances_mean[0] > 0.02
        number = TabularRegressor(1, **SMALL).fit(frame, y).feature_importance(frame, y)
        assert number.importances_mean.argmax() in (0, 3)
        with pytest.raises(ValueError, match="n_repeats"):
            model.feature_importance(frame, y, n_repeats=0)

    def test_partial_dependence(self):
        frame, y = mixed()
        found = partial_dependence(TabularClassifier(2, **SMALL).fit(frame, y), frame, ["a"], grid_resolution=5)
        assert (np.diff(found["average"][0]) > 0).all()

    @pytest.mark.parametrize("wrong", [
        {"n_members": 0}, {"time_limit": 0}, {"categorical_features": "x"}, {"batch_size": 0}, {"dropout": -1},
        {"activation": "rellu"}, {"hidden_layer_sizes": (0,)}, {"scoring": "nonsense"}, {"numeric_bins": 1},
        {"numeric_bins": ()}, {"numeric_bins": (None, "many")}, {"numeric_bins": [24, 2]},
    ], ids=str)  # fmt: skip
    def test_parameters_are_checked(self, wrong):
        for estimator in (TabularClassifier, TabularRegressor):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                estimator(**{**SMALL, **wrong}).fit(*mixed())

    def test_optuna_is_given_a_space(self):
        optuna = pytest.importorskip("optuna")
        values = {"hidden_layer_sizes": "2 x 128", "activation": "selu", "learning_rate_init": 0.05, "dropout": 0.1,
                  "alpha": 1e-4, "batch_size": 64, "numeric_bins": 24}  # fmt: skip
        found = TabularClassifier(**TabularClassifier.search_space(optuna.trial.FixedTrial(values)))
        assert found.batch_size == 64 and found.hidden_layer_sizes == (128, 128)
        assert set(TabularClassifier.search_space()) == set(values)


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_scikit_learns_checks(estimator):
    model = estimator(2, hidden_layer_sizes=(32, 32), max_iter=60, batch_size=32, dropout=0.0)
    lies_in_folds = {
        "check_sample_weight_equivalence_on_dense_data": "which rows are in a fold depends on their number"
    }
    results = check_estimator(model, on_fail=None, on_skip=None, expected_failed_checks=lies_in_folds)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert not failed, failed


def test_a_single_member_is_trained_on_all_rows_to_the_epoch_that_was_best():
    frame, y = mixed()
    weights = RNG.uniform(0.5, 2, size=len(y))
    for estimator, kind in ((TabularClassifier, MLPClassifier), (TabularRegressor, MLPRegressor)):
        found, once = (estimator(1, **SMALL, refit=refit).fit(frame, y, weights) for refit in (True, False))
        outside = "oof_proba_" if kind is MLPClassifier else "oof_prediction_"
        np.testing.assert_array_equal(getattr(found, outside), getattr(once, outside))
        for name in found.history_.keys() - {"seconds"}:
            assert found.history_[name] == once.history_[name]
        assert found.oof_score_ == once.oof_score_
        best = int(np.argmax(found.history_["validation_score"])) + 1
        assert found.members_[0].n_iter_ == best and found.n_iter_ == SMALL["max_iter"]
        again = clone(found.members_[0]).set_params(callback=lambda model, best=best: model.n_iter_ == best)
        rows, target = found.encoder_.transform(frame), found._encode_target(np.asarray(y))
        np.testing.assert_array_equal(again.fit(rows, target, weights).coefs_[0], found.members_[0].coefs_[0])
        assert not np.array_equal(again.coefs_[0], once.members_[0].coefs_[0])
    for given, rows in (((2,), {}), ((1,), {"X_val": frame, "y_val": y})):  # every row is seen by one, or by all
        found, once = (TabularClassifier(*given, **SMALL, refit=refit).fit(frame, y, **rows) for refit in (True, False))
        np.testing.assert_array_equal(found.predict_proba(frame), once.predict_proba(frame))
        assert all(member.restore_best for member in found.members_)  # which none has that is trained again


@pytest.mark.parametrize("scores, best", [([0.1, np.nan, 0.3, 0.3], 3), ([np.nan, np.nan], 2)])
def test_the_best_epoch_is_the_first_of_the_best_or_the_last_where_there_is_none(scores, best):
    member = SimpleNamespace(history_={"validation_score": scores}, n_iter_=len(scores))
    assert ensemble.best_epoch(member) == best


def test_one_member_is_trained_however_little_time_there_is(monkeypatch):
    frame, y = mixed()
    monkeypatch.setattr(Watch, "is_over", True)
    (member,) = TabularClassifier(3, **SMALL, numeric_bins=(None, 40, 5)).fit(frame, y).members_
    assert member.numeric_bins == 40  # whose time was measured


@pytest.mark.parametrize("epochs_left", [0, 1])
def test_a_single_member_stays_as_it_was_where_time_ends_before_it_is_trained_again(epochs_left, monkeypatch):
    frame, y = mixed()
    once = TabularClassifier(1, **SMALL, refit=False).fit(frame, y)
    assert np.argmax(once.history_["validation_score"]) > 0
    fit, watched, fits = MLPClassifier.fit, Watch.member, []

    def noted(self, *arguments, **options):
        fits.append(self)
        return fit(self, *arguments, **options)

    monkeypatch.setattr(MLPClassifier, "fit", noted)
    monkeypatch.setattr(Watch, "member", lambda self, end=None, **given: watched(self, end and epochs_left, **given))
    if not epochs_left:
        monkeypatch.setattr(Watch, "is_over", property(lambda self: len(fits) > 0))
    found = TabularClassifier(1, **SMALL).fit(frame, y)
    assert len(fits) == 1 + epochs_left
    np.testing.assert_array_equal(found.predict_proba(frame), once.predict_proba(frame))


@pytest.mark.parametrize("epochs, waited", [(20, 10), (50, 20)])
def test_a_member_ends_where_its_score_gets_no_better(epochs, waited, capfd):
    X, y = RNG.normal(size=(200, 3)), RNG.integers(2, size=200)  # nothing to learn
    options = dict(hidden_layer_sizes=(8,), max_iter=epochs, verbose=True, random_state=0)
    model = TabularClassifier(2, **options).fit(X, y)
    scores = pandas.DataFrame(model.history_).groupby("member")["validation_score"].apply(list)
    for member, own in zip(model.members_, scores):
        assert len(own) == member.n_iter_ == min(epochs, int(np.argmax(own)) + 1 + waited)
    assert model.n_iter_ < epochs
    assert f"epoch {2 * epochs}/{2 * epochs}" in capfd.readouterr().err.splitlines()[-1]
    TabularClassifier(1, **options).fit(X, y)
    assert f"member 1/1 epoch {2 * epochs}/{2 * epochs}" in capfd.readouterr().err.splitlines()[-1]


def test_one_network_has_more_epochs_than_each_of_several():
    X, y = load_wine(return_X_y=True)
    single = TabularClassifier(1, hidden_layer_sizes=(4,), random_state=0).fit(X, y)
    assert single.members_[0].max_iter == 240
    assert TabularClassifier(2, hidden_layer_sizes=(4,), random_state=0).fit(X, y).members_[1].max_iter == 80
    with pytest.raises(ValueError, match="max_iter"):
        TabularClassifier(max_iter=0).fit(X, y)


def test_numbers_of_regressors_are_in_bins():
    """Of numbers, not of one-hot columns and of marks for what is missing; classifiers' where they are asked for."""
    frame, y = mixed()
    numbers = np.unique(y, return_inverse=True)[1].astype(float)
    model = TabularRegressor(2, **SMALL).fit(frame, numbers)
    names = model.get_feature_names_out()
    for member in model.members_:
        encoded = {str(name) for name, edges in zip(names, member.bins_) if len(edges)}
        assert encoded and all("_" not in name for name in encoded)
        assert max(map(len, member.bins_)) == 97 and member.numeric_bins == 96
        n_inputs = len(names) + sum(map(len, member.bins_))
        assert member.coefs_[0].shape[0] == n_inputs
        assert member.layer_rates[0][0] == pytest.approx(n_inputs**-0.5, rel=0.02)
    assert TabularRegressor(2, **SMALL, numeric_bins=None).fit(frame, numbers).members_[0].bins_ is None
    assert TabularClassifier(1, **SMALL).fit(frame, y).members_[0].bins_ is None


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
def test_members_have_bins_in_turn(estimator):
    frame, y = mixed()
    model = estimator(5, **SMALL, numeric_bins=[None, 7, "auto"]).fit(frame, y)
    assert [member.numeric_bins for member in model.members_] == [None, 7, 96, None, 7]
    same = estimator(5, **SMALL, numeric_bins=(None, 7, "auto", None), n_jobs=1).fit(frame, y)
    for first, other in zip(model.members_[:4], same.members_[:4]):
        np.testing.assert_array_equal(first.coefs_[0], other.coefs_[0])
    assert same.members_[4].coefs_[0].shape != model.members_[4].coefs_[0].shape


def test_the_time_of_an_epoch_is_that_of_the_member_with_most_inputs(monkeypatch):
    frame, y = mixed()
    asked, network = [], TabularClassifier._network

    def noted(self, seed, n_inputs, n_rows):
        asked.append(n_inputs)
        return network(self, seed, n_inputs, n_rows)

    monkeypatch.setattr(TabularClassifier, "_network", noted)
    TabularClassifier(3, **SMALL, numeric_bins=(None, 40, 5), time_limit=600, n_jobs=1).fit(frame, y)
    # which is the first to be trained
    assert len(asked) == 5 and asked[0] == asked[1] == asked[2] > asked[3] > asked[4]


def test_classes_begin_with_equal_shares():
    """Weights of the output begin at zero, those below do not."""
    X, y = load_wine(return_X_y=True)
    model = TabularClassifier(n_members=2, max_iter=1, learning_rate_init=1e-12, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), 1 / 3, atol=1e-6)
    assert all(np.abs(member.coefs_[0]).max() > 0.1 for member in model.members_)


@pytest.mark.skipif(available_threads(2) < 2, reason="one core")
@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_the_last_member_has_all_cores_but_not_while_an_epoch_is_timed(n_members, monkeypatch):
    frame, y = mixed()
    given = []
    epoch = Trainer.run_epoch

    def noted(self, *arguments, **options):
        loss = epoch(self, *arguments, **options)
        given.append((self.recipe.max_epochs, self.workspace.threads_now))
        return loss

    monkeypatch.setattr(Trainer, "run_epoch", noted)
    bins = (None,) * (n_members - 1) + (40,)  # the last member takes longest, and so is the first
    model = TabularClassifier(n_members, **SMALL, numeric_bins=bins, time_limit=600, n_jobs=2).fit(frame, y)
    first = 2 if n_members == 1 else 1
    assert given[:4] == [(2, first)] * 4  # two fits, of which the second is timed
    assert given[4] == (SMALL["max_iter"], first)
    assert given[-1][1] == 2 or n_members == 2  # which may end in the same epoch
    assert all(member.n_threads == 2 for member in model.members_)  # for predictions
    alone = TabularClassifier(n_members, **SMALL, numeric_bins=bins, n_jobs=1).fit(frame, y)
    np.testing.assert_array_equal(model.predict_proba(frame), alone.predict_proba(frame))
