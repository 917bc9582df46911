"""Callbacks that do more than look: hooks around a fit, averages, rates, progress, and scikit-learn's own."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from jitmlp import LearningRateFinder, MLPClassifier, MLPRegressor, ProgressBar, WeightAverage
from jitmlp.estimators import progress

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X[:400] / 16
Y = Y[:400]


class Recorder:
    """Notes what is called, and the weights of every epoch."""

    def __init__(self, wanted=None, fails_in=None):
        self.wanted, self.fails_in, self.heard, self.weights = wanted, fails_in, [], []

    def _note(self, what):
        self.heard.append(what)
        if what == self.fails_in:
            raise RuntimeError(what)

    def on_fit_begin(self, model, X, y):
        self._note("begin")
        return self.wanted

    def __call__(self, model):
        self._note("epoch")
        self.weights.append([*model.coefs_, *model.intercepts_, *(a for norm in model.batch_norm_ for a in norm)])

    def on_fit_end(self, model):
        self._note("end")

    def close(self):
        self._note("close")


def arrays(model):
    return [*model.coefs_, *model.intercepts_, *(a for norm in model.batch_norm_ for a in norm)]


def test_hooks_are_called_around_a_fit_and_may_set_what_holds_for_it_alone():
    recorder = Recorder({"learning_rate_init": 0.02, "max_iter": 2})
    model = MLPClassifier((8,), callback=[lambda m: None, recorder], random_state=0).fit(X, Y)
    assert recorder.heard == ["begin", "epoch", "epoch", "end", "close"]
    assert model.n_iter_ == 2 and model.history_["learning_rate"] == [0.02] * 2 and model.learning_rate_init == 0.001
    same = MLPClassifier((8,), learning_rate_init=0.02, max_iter=2, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])


@pytest.mark.parametrize("fails_in", ["begin", "epoch", "end"])
def test_close_is_called_whatever_fails(fails_in):
    recorder = Recorder(fails_in=fails_in)
    with pytest.raises(RuntimeError, match=fails_in):
        MLPClassifier((8,), callback=recorder, max_iter=3).fit(X, Y)
    assert recorder.heard[-1] == "close"


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"dtype": "float32"}], ids=str)
@pytest.mark.parametrize("average, first", [
    (WeightAverage(), 9), (WeightAverage(start=0.0), 0), (WeightAverage(start=4), 4), (WeightAverage(0.8, start=2), 2),
    (WeightAverage(0.0), 9), (WeightAverage(start=np.float32(0.5)), 6),
], ids=["swa", "all", "from 4", "ema", "no memory", "half"])  # fmt: skip
def test_the_average_is_that_of_the_epochs_weights(average, first, options):
    average, recorder = pickle.loads(pickle.dumps(average)), Recorder()
    common = dict(hidden_layer_sizes=(8,), max_iter=12, tol=0, random_state=0, **options)
    model = MLPClassifier(**common, callback=[recorder, average]).fit(X, Y)
    plain = MLPClassifier(**common).fit(X, Y)
    epochs = recorder.weights[first:] or recorder.weights[-1:]
    for number, found in enumerate(arrays(model)):
        values = [weights[number].astype(float) for weights in epochs]
        wanted = values[0]
        for value in values[1:]:
            wanted = average.decay * wanted + (1 - average.decay) * value if average.decay is not None else wanted
        if average.decay is None:
            wanted = np.mean(values, axis=0)
        np.testing.assert_allclose(found, wanted, rtol=1e-5 if found.dtype == np.float32 else 1e-12, atol=1e-7)
        assert found.dtype == arrays(plain)[number].dtype and not found.flags.writeable
    again = model.fit(X, Y).coefs_[0]
    np.testing.assert_array_equal(again, MLPClassifier(**common, callback=average).fit(X, Y).coefs_[0])
    assert (model.predict(X) == pickle.loads(pickle.dumps(model)).predict(X)).all()


def test_an_average_of_nothing_is_warned_of_and_partial_fit_is_not_averaged():
    with pytest.warns(UserWarning, match="no weights were averaged"):
        MLPClassifier((8,), max_iter=3, callback=WeightAverage(start=10)).fit(X, Y)
    common = dict(hidden_layer_sizes=(8,), random_state=0)
    plain = MLPClassifier(**common).partial_fit(X, Y, classes=np.unique(Y))
    for callback in (WeightAverage(start=0), ProgressBar(), LearningRateFinder()):
        other = MLPClassifier(**common, callback=callback).partial_fit(X, Y, classes=np.unique(Y))
        np.testing.assert_array_equal(other.coefs_[0], plain.coefs_[0])


@pytest.mark.parametrize("wanted, word", [
    ({"learning_rate_init": -1}, "learning_rate_init"), ({"batch_size": 0}, "batch_size"), ({"lerning_rate": 3}, "lerning_rate"),
    ({"solver": "sgd"}, "not solver"), ({"dropout": 0.5}, "not dropout"), ({"layer_rates": (1,)}, "layer_rates"),
], ids=str)  # fmt: skip
def test_what_a_callback_cannot_set_is_refused(wanted, word):
    recorder = Recorder(wanted)
    with pytest.raises(ValueError, match=word):
        MLPClassifier((8,), max_iter=2, callback=recorder).fit(X, Y)
    assert recorder.heard[-1] == "close"


def test_every_callback_is_closed_and_classes_are_refused():
    good, bad = Recorder(), Recorder(fails_in="close")
    for order in ([good, bad], [bad, good]):
        good.heard.clear()
        with pytest.raises(RuntimeError, match="close"):
            MLPClassifier((8,), max_iter=2, callback=order).fit(X, Y)
        assert good.heard[-1] == "close"
    with pytest.raises(ValueError, match="an instance"):
        MLPClassifier((8,), callback=ProgressBar).fit(X, Y)


@pytest.mark.parametrize("form", ["csr_matrix", "coo_array", "csc_matrix", "lil_matrix"])
def test_ready_callbacks_take_sparse_rows(form):
    sparse = pytest.importorskip("scipy.sparse")
    callbacks = [ProgressBar(silent=True), LearningRateFinder(steps=20), WeightAverage(start=0)]
    common = dict(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    model = MLPClassifier(**common, callback=callbacks).fit(getattr(sparse, form)(X), Y)
    dense = MLPClassifier(**common, callback=callbacks).fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], dense.coefs_[0])


@pytest.mark.parametrize("wrong", [(X, Y[:10]), (X, None), (X[:0], Y[:0])], ids=["lengths", "no y", "no rows"])
def test_a_finder_leaves_the_word_to_fit(wrong):
    messages = []
    for callback in (None, LearningRateFinder()):
        with pytest.raises(ValueError) as raised:
            MLPClassifier(callback=callback).fit(*wrong)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_a_finder_goes_on_where_the_fit_would():
    model = MLPClassifier((16,), max_iter=40, warm_start=True, random_state=0).fit(X, Y)
    finder = LearningRateFinder(steps=20).find(model, X, Y)
    assert finder.losses_[0] < 1.2 * model.loss_ + 0.1
    assert LearningRateFinder(steps=20).find(clone(model), X, Y).losses_[0] > 2


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"decay": -0.1}, {"start": -1}, {"start": 1.5}])
def test_averages_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WeightAverage(**wrong)


class TestLearningRateFinder:
    def test_the_losses_are_those_of_single_steps(self):
        finder = LearningRateFinder(1e-4, 0.1, steps=12).find(MLPClassifier((8,), batch_size=100, random_state=0), X, Y)
        np.testing.assert_allclose(finder.rates_, np.geomspace(1e-4, 0.1, 12)[: len(finder.rates_)])
        rows = np.random.RandomState(0).permutation(len(X))[:100]
        first = MLPClassifier((8,), batch_size=100, random_state=0).partial_fit(X[rows], Y[rows], classes=np.unique(Y))
        assert finder.losses_[0] == first.loss_

    @pytest.mark.parametrize("model", [
        MLPClassifier((32,), random_state=0), MLPClassifier((32,), solver="sgd", random_state=0),
        MLPClassifier((32,), class_weight="balanced", early_stopping=True, batch_norm=True, random_state=0),
        MLPRegressor(hidden_layer_sizes=(32,), random_state=0), MLPClassifier((16,), batch_size=400, random_state=0),
    ], ids=str)  # fmt: skip
    def test_training_with_its_suggestion_beats_much_smaller_and_much_larger_rates(self, model):
        target = Y if isinstance(model, MLPClassifier) else Y / 10.0
        finder = LearningRateFinder()
        before = model.get_params()
        mine = clone(model).set_params(max_iter=15, callback=finder).fit(X, target)
        assert mine.history_["learning_rate"][0] == finder.suggestion_ and model.get_params() == before
        slow = clone(model).set_params(max_iter=15, learning_rate_init=finder.suggestion_ / 100).fit(X, target)
        fast = clone(model).set_params(max_iter=15, learning_rate_init=finder.suggestion_ * 1000, on_divergence="warn")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fast.fit(X, target)
        assert mine.loss_ < slow.loss_ and not fast.loss_ < mine.loss_

    def test_multilabel_frames_and_sparse_rows(self):
        pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
        labels = np.eye(10, dtype=int)[Y]
        dense = LearningRateFinder(steps=20).find(MLPClassifier((8,), random_state=0), X, labels)
        for rows in (pandas.DataFrame(X), sparse.csr_matrix(X)):
            other = LearningRateFinder(steps=20).find(MLPClassifier((8,), random_state=0), rows, labels)
            np.testing.assert_allclose(other.losses_, dense.losses_)

    def test_the_picture_shows_the_losses(self):
        figure = pytest.importorskip("matplotlib.figure").Figure()
        finder = LearningRateFinder(steps=30).find(MLPClassifier((8,), random_state=0), X, Y)
        ax = finder.plot(figure.subplots())
        np.testing.assert_array_equal(ax.lines[0].get_data(), [finder.rates_, finder.losses_])
        np.testing.assert_array_equal(ax.lines[1].get_data(), [finder.rates_, finder.smooth_losses_])
        assert ax.lines[2].get_xdata()[0] == finder.suggestion_
        pickle.loads(pickle.dumps(finder))

    def test_what_cannot_be_is_refused(self):
        for wrong in ({"low": 0}, {"low": 1, "high": 0.1}, {"steps": 3}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                LearningRateFinder(**wrong)
        with pytest.raises(ValueError, match="lbfgs"):
            LearningRateFinder().find(MLPClassifier(solver="lbfgs"), X, Y)
        with pytest.raises(ValueError, match="nothing yet"):
            LearningRateFinder().plot()


class TestProgressBar:
    options = dict(hidden_layer_sizes=(8,), max_iter=60, tol=0, random_state=0)

    def test_plain_lines_where_no_bar_can_be_drawn(self, capsys):
        speeds = []

        def note(model):  # of the rows that are trained on, not of those held out
            speeds.append(f"{len(training) / model.history_['seconds'][-1]:,.0f} rows/s")

        training = np.arange(int(0.9 * len(X)))
        model = MLPClassifier(**self.options, early_stopping=True, callback=[note, ProgressBar()]).fit(X, Y)
        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert not out and 1 < len(lines) <= 20 and model.n_iter_ >= 3 * len(lines)
        assert lines[0].startswith("epoch 3/60 loss ") and "validation score" in lines[0] and "rows/s" in lines[0]
        epoch = int(lines[-1].split()[1].split("/")[0])
        assert speeds[epoch - 1] in lines[-1] and speeds[2] in lines[0]
        assert f"loss {model.loss_curve_[epoch - 1]:.4f}" in lines[-1]

    def test_a_bar_in_a_terminal(self, capsys, monkeypatch):
        pytest.importorskip("rich")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "160")
        model = MLPClassifier(**self.options, callback=ProgressBar()).fit(X, Y)
        out, err = capsys.readouterr()
        assert not out and f"epoch  {model.n_iter_}/{model.n_iter_}" in err and f"loss {model.loss_:.4f}" in err

    def test_silence_and_the_same_model(self, capsys):
        silent = MLPClassifier(**self.options, callback=ProgressBar(silent=True)).fit(X, Y)
        assert capsys.readouterr() == ("", "")
        np.testing.assert_array_equal(silent.coefs_[0], MLPClassifier(**self.options).fit(X, Y).coefs_[0])

    def test_it_is_closed_where_a_fit_fails(self, monkeypatch):
        stopped = []

        class Bar:
            update = staticmethod(lambda *args, **fields: None)
            stop = staticmethod(lambda: stopped.append(True))

        monkeypatch.setattr(progress, "rich_bar", lambda *columns, **fields: Bar)
        bar = ProgressBar()

        def fail(model):
            raise RuntimeError("of the user's own")

        with pytest.raises(RuntimeError, match="user's own"):
            MLPClassifier(**self.options, callback=[bar, fail]).fit(X, Y)
        assert stopped == [True]
        pickle.loads(pickle.dumps(bar))


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="set_callbacks came with 1.9")
class TestScikitLearnsCallbacks:
    def model(self, **options):
        return MLPClassifier((8,), max_iter=5, tol=0, random_state=0, **options)

    def test_scores_of_every_epoch(self):
        from sklearn.callback import ScoringMonitor

        monitor, seen = ScoringMonitor(scoring="accuracy"), []
        model = self.model(callback=lambda m: seen.append(m.score(X, Y))).set_callbacks(monitor).fit(X, Y)
        rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
        assert [row["accuracy"] for row in rows] == seen and len(rows) == model.n_iter_ == 5
        plain = self.model().fit(X, Y)
        np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), plain.predict(X))

    def test_nested_in_a_search_and_a_pipeline(self, capsys, monkeypatch):
        from sklearn.callback import ProgressBar as TheirProgressBar
        from sklearn.callback import ScoringMonitor

        pytest.importorskip("rich")
        monkeypatch.setenv("COLUMNS", "160")
        monitor = ScoringMonitor(scoring="neg_log_loss")
        pipeline = make_pipeline(StandardScaler(), self.model().set_callbacks(monitor))
        search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2)
        search.set_callbacks(TheirProgressBar(max_propagation_depth=None)).fit(X, Y)
        epochs = [row for row in monitor.get_logs(select="all")[-1].data if row["task_name"] == "epoch"]
        assert len(epochs) == 5 * (2 * 2 + 1)
        assert "MLPClassifier - fit" in capsys.readouterr().out
        assert not [name for name in vars(search.best_estimator_[-1]) if "callback_ctx" in name]

    def test_a_callback_ends_training_and_sees_tasks_in_their_order(self):
        heard = []

        class Stopper:
            def setup(self, estimator, context):
                heard.append("setup")

            def teardown(self, estimator, context):
                heard.append("teardown")

            def on_fit_task_begin(self, estimator, context, *, X=None):
                heard.append((context.task_name, "begin", X is not None))

            def on_fit_task_end(self, estimator, context, *, metadata=None, fitted_estimator=None):
                heard.append((context.task_name, "end", metadata["sample_weight"].sum()))
                return context.task_name == "epoch" and fitted_estimator.n_iter_ == 2

        weights = np.full(len(X), 2.0)
        model = self.model().set_callbacks(Stopper()).fit(X, Y, sample_weight=weights)
        epoch = [("epoch", "begin", True), ("epoch", "end", weights.sum())]
        fit = [("fit", "begin", True), *epoch * 2, ("fit", "end", weights.sum())]
        assert heard == ["setup", *fit, "teardown"]
        assert model.n_iter_ == 2 and model.stopped_by_ == "callback"

    def test_a_callback_of_ours_may_ask_for_more_epochs(self):
        from sklearn.callback import ScoringMonitor

        monitor = ScoringMonitor(scoring="accuracy")
        model = self.model(callback=Recorder({"max_iter": 7})).set_callbacks(monitor).fit(X, Y)
        assert model.n_iter_ == 7 and len([r for r in monitor.get_logs().data if r["task_name"] == "epoch"]) == 7

    def test_an_interrupted_epoch_is_ended_and_the_last_task_sees_what_the_hooks_have_made(self):
        heard, seen = [], []

        class Watcher:
            def setup(self, estimator, context): ...

            def teardown(self, estimator, context): ...

            def on_fit_task_begin(self, estimator, context):
                heard.append((context.task_name, "begin"))

            def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
                heard.append((context.task_name, "end"))
                seen.append(None if fitted_estimator is None else fitted_estimator.coefs_[0])  # as it is now

        def interrupt(model):
            if model.n_iter_ == 2:
                raise KeyboardInterrupt

        with pytest.warns(UserWarning, match="interrupted"):
            self.model(callback=interrupt).set_callbacks(Watcher()).fit(X, Y)
        epoch = [("epoch", "begin"), ("epoch", "end")]
        assert heard == [("fit", "begin"), *epoch * 2, ("fit", "end")]
        model = self.model(callback=WeightAverage(start=0)).set_callbacks(Watcher()).fit(X, Y)
        np.testing.assert_array_equal(seen[-1], model.coefs_[0])
        assert not np.array_equal(seen[-2], model.coefs_[0])

    def test_warnings_point_at_the_users_line(self):
        with pytest.warns(ConvergenceWarning) as found:
            self.model().fit(X, Y)
        assert [warning.filename for warning in found] == [__file__]

    def test_a_finder_for_a_fit_that_goes_on(self):
        from sklearn.callback import ProgressBar as TheirProgressBar

        pytest.importorskip("rich")
        model = self.model(warm_start=True).set_callbacks(TheirProgressBar()).fit(X, Y)
        finder = LearningRateFinder(steps=20)
        before = list(model.history_["loss"])
        model.set_params(callback=finder).fit(X, Y)
        assert model.history_["loss"][:5] == before and len(model.history_["loss"]) == 10
        assert model.history_["learning_rate"][-1] == finder.suggestion_

    def test_lbfgs_and_partial_fit(self):
        from sklearn.callback import ScoringMonitor

        monitor = ScoringMonitor(scoring="accuracy")
        MLPClassifier((8,), solver="lbfgs", max_iter=5).set_callbacks(monitor).fit(X, Y)
        assert [row["task_name"] for row in monitor.get_logs().data] == ["fit"]
        model = self.model().set_callbacks(monitor).partial_fit(X, Y, classes=np.unique(Y))
        assert model.n_iter_ == 1
