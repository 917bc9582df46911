"""Validation data of the user's own, scorers, weights of classes, and the callbacks that are ready to use."""

import copy
import csv
import json
import pickle
import time

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import metrics
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import jitmlp
from jitmlp import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    MLPClassifier,
    MLPRegressor,
    TimeLimit,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16
RNG = np.random.default_rng(0)
WEIGHT = RNG.uniform(0.2, 2, len(X))
BOTH = np.column_stack([Y > 4, Y % 2 == 0]).astype(int)
NUMBERS = X @ RNG.normal(size=(64, 2))
TASKS = {
    "multiclass": (MLPClassifier, Y, {}, lambda m, w: metrics.log_loss(Y[1200:], m.predict_proba(X[1200:]), sample_weight=w)),
    "binary": (MLPClassifier, Y > 4, {}, lambda m, w: metrics.log_loss(Y[1200:] > 4, m.predict_proba(X[1200:]), sample_weight=w)),
    "multilabel": (MLPClassifier, BOTH, {}, lambda m, w: sum(
        metrics.log_loss(BOTH[1200:, j], m.predict_proba(X[1200:])[:, j], sample_weight=w) for j in range(2))),
    "squared": (MLPRegressor, NUMBERS, {}, lambda m, w: metrics.mean_squared_error(
        NUMBERS[1200:], m.predict(X[1200:]), sample_weight=w) / 2),
    "poisson": (MLPRegressor, Y.astype(float), {"loss": "poisson"}, lambda m, w: metrics.mean_poisson_deviance(
        Y[1200:], m.predict(X[1200:]), sample_weight=w) / 2),
    "quantile": (MLPRegressor, NUMBERS[:, 0], {"loss": "quantile", "loss_parameter": 0.8}, lambda m, w:
        metrics.mean_pinball_loss(NUMBERS[1200:, 0], m.predict(X[1200:]), alpha=0.8, sample_weight=w)),
}  # fmt: skip


def split(y, weight=None):
    """A fit's arguments: 1,200 rows to train on, the others held out."""
    given = {"X_val": X[1200:], "y_val": y[1200:]}
    if weight is not None:
        given |= {"sample_weight": weight[:1200], "sample_weight_val": weight[1200:]}
    return (X[:1200], y[:1200]), given


@pytest.mark.parametrize("more", [{}, {"dropout": 0.2}, {"batch_norm": True}, {"normalize": "standard"}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_losses_and_scores_of_every_epoch_are_those_of_the_model_as_it_was(task, weighted, more):
    kind, y, options, loss = TASKS[task]
    weight = WEIGHT if weighted else None
    seen = []
    model = kind(hidden_layer_sizes=(12,), max_iter=4, random_state=0, callback=lambda m: seen.append(copy.deepcopy(m)),
                 **options, **more)  # fmt: skip
    rows, given = split(y, weight)
    model.fit(*rows, **given)
    held = None if weight is None else weight[1200:]
    np.testing.assert_allclose(model.validation_loss_curve_, [loss(m, held) for m in seen], rtol=1e-6)
    np.testing.assert_allclose(model.validation_scores_, [m.score(X[1200:], y[1200:], held) for m in seen], rtol=1e-6)
    assert model.best_validation_score_ == max(model.validation_scores_)
    plain = kind(hidden_layer_sizes=(12,), max_iter=4, random_state=0, **options, **more).fit(
        *rows, None if weight is None else weight[:1200]
    )
    for a, b in zip(plain.coefs_, model.coefs_):
        np.testing.assert_array_equal(a, b)  # it was only looked at


def test_early_stopping_on_given_rows_stops_where_their_score_no_longer_gains_and_keeps_the_best_epoch():
    rows, given = split(Y)
    model = MLPClassifier((16,), early_stopping=True, n_iter_no_change=4, learning_rate_init=0.02, tol=0.0,
                          random_state=0).fit(*rows, **given)  # fmt: skip
    scores = model.validation_scores_
    assert model.stopped_by_ == "plateau" and model.t_ == model.n_iter_ * 1200
    assert model.score(given["X_val"], given["y_val"]) == max(scores) == model.best_validation_score_
    best, waited, epochs = -np.inf, 0, 0
    for score in scores:
        waited = waited + 1 if score < best else 0
        best, epochs = max(best, score), epochs + 1
        if waited > 4:
            break
    assert epochs == model.n_iter_


@pytest.mark.parametrize("scoring", ["neg_log_loss", "balanced_accuracy", "roc_auc_ovr", "loss", metrics.make_scorer(metrics.cohen_kappa_score)], ids=str)  # fmt: skip
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("frame", [False, True])
def test_any_scorer_decides_which_epoch_is_kept(scoring, early, frame):
    rows, given = split(Y)
    if frame:
        columns = [f"pixel {i}" for i in range(64)]
        rows = pd.DataFrame(rows[0], columns=columns), rows[1]
        given["X_val"] = pd.DataFrame(given["X_val"], columns=columns)
    seen = []
    model = MLPClassifier((12,), max_iter=8, learning_rate_init=0.1, scoring=scoring, random_state=0,
                          callback=lambda m: seen.append(m.coefs_[0].copy()),
                          early_stopping=early, restore_best=not early).fit(*rows, **given)  # fmt: skip
    if scoring == "loss":
        wanted = -metrics.log_loss(Y[1200:], model.predict_proba(given["X_val"]))
        assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]
    else:
        wanted = metrics.check_scoring(model, scoring)(model, given["X_val"], given["y_val"])
    assert np.isclose(max(model.validation_scores_), wanted, rtol=1e-9)
    np.testing.assert_array_equal(model.coefs_[0], seen[np.argmax(model.validation_scores_)])


def test_a_scorer_sees_the_rows_that_early_stopping_holds_out():
    model = MLPClassifier((12,), early_stopping=True, max_iter=5, random_state=0, scoring="accuracy").fit(X, Y)
    same = MLPClassifier((12,), early_stopping=True, max_iter=5, random_state=0).fit(X, Y)
    assert model.validation_scores_ == same.validation_scores_ and len(model.validation_loss_curve_) == 5
    for a, b in zip(model.coefs_, same.coefs_):
        np.testing.assert_array_equal(a, b)


def test_rows_that_early_stopping_holds_out_keep_their_weights():
    seen = []
    model = MLPClassifier((12,), early_stopping=True, max_iter=3, warm_start="continue", random_state=0,
                          callback=lambda m: seen.append(copy.deepcopy(m))).fit(X, Y, WEIGHT)  # fmt: skip
    rows = np.setdiff1d(np.arange(len(X)), model._state.order)
    losses = [metrics.log_loss(Y[rows], m.predict_proba(X[rows]), sample_weight=WEIGHT[rows]) for m in seen]
    np.testing.assert_allclose(model.validation_loss_curve_, losses, rtol=1e-6)
    scores = [m.score(X[rows], Y[rows], WEIGHT[rows]) for m in seen]
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-9)


def test_scoring_that_has_nothing_to_score_is_warned_of():
    with pytest.warns(UserWarning, match="scoring has no effect"):
        MLPClassifier((4,), max_iter=1, scoring="accuracy").fit(X, Y)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"X_val": X}, "given together"),
        ({"y_val": Y}, "given together"),
        ({"sample_weight_val": WEIGHT}, "without X_val"),
        ({"X_val": X[:, :5], "y_val": Y}, "X_val.*5 features"),
        ({"X_val": X, "y_val": Y + 3}, "X_val.*classes"),
        ({"X_val": X, "y_val": Y[:7]}, "X_val"),
        ({"X_val": np.where(X > 0.9, np.nan, X), "y_val": Y}, "X_val.*NaN"),
        ({"X_val": X, "y_val": Y, "sample_weight_val": -WEIGHT}, "X_val.*positive"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_validation_data_that_do_not_fit_are_refused_and_nothing_changes(given, words, before):
    model = MLPClassifier((4,), max_iter=1, random_state=0)
    if before:
        model.fit(X[:, :5], Y)
    old = copy.copy(vars(model))
    with pytest.raises(ValueError, match=words):
        model.fit(X, Y, **given)
    assert vars(model).keys() - {"_packed"} == old.keys() - {"_packed"}
    assert not before or model.coefs_ is old["coefs_"]


def test_partial_fit_watches_given_rows_and_says_when_they_gain_no_more():
    rows, given = split(BOTH)
    model = MLPClassifier((16,), early_stopping=True, n_iter_no_change=3, random_state=0, learning_rate_init=0.05)
    with pytest.raises(ValueError, match="X_val"):
        model.partial_fit(*rows, classes=[0, 1])
    for call in range(200):
        model.partial_fit(*rows, **({"classes": [0, 1]} if call == 0 else {}), **given)
        if model.stopped_by_ == "plateau":
            break
    assert 4 < len(model.validation_scores_) == call + 1 < 200
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_history_is_ready_for_a_frame_whatever_was_held_out_in_which_call():
    rows, given = split(Y)
    model = MLPClassifier((8,), random_state=0).partial_fit(*rows, classes=np.arange(10))
    assert set(model.history_) == {"loss", "learning_rate", "seconds"}
    model.partial_fit(*rows, **given).partial_fit(*rows)
    frame = pd.DataFrame(model.history_)
    assert len(frame) == 3 and list(frame.validation_loss.isna()) == [True, False, True]
    assert list(pd.DataFrame(MLPClassifier((8,), max_iter=2).fit(X, Y).history_).columns) == [
        "loss", "learning_rate", "seconds",
    ]  # fmt: skip


def test_validation_rows_go_through_a_pipelines_steps():
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = MLPClassifier((8,), max_iter=3, random_state=0).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), mlp)
        pipeline.set_params(transform_input=["X_val"])
        rows, given = split(Y)
        pipeline.fit(*rows, **given)
    scaled = pipeline[0].transform(given["X_val"])
    assert pipeline[1].validation_scores_[-1] == pipeline[1].score(scaled, given["y_val"])


@pytest.mark.parametrize("early", [False, True])
def test_weights_of_classes_multiply_those_of_rows(early):
    options = dict(hidden_layer_sizes=(8,), max_iter=3, random_state=0, early_stopping=early)
    for weight in (None, WEIGHT):
        for given in ("balanced", {3: 5.0, 7: 0.1}):
            own = compute_sample_weight(given, Y)
            wanted = MLPClassifier(**options).fit(X, Y, own if weight is None else own * weight)
            found = MLPClassifier(class_weight=given, **options).fit(X, Y, weight)
            for a, b in zip(wanted.coefs_, found.coefs_):
                np.testing.assert_array_equal(a, b)


def test_weights_of_classes_for_labels_strings_and_partial_fit(tmp_path):
    options = dict(hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    pairs = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}]
    found = MLPClassifier(class_weight=pairs, **options).fit(X, BOTH)
    wanted = MLPClassifier(**options).fit(X, BOTH, compute_sample_weight(pairs, BOTH))
    np.testing.assert_array_equal(found.coefs_[0], wanted.coefs_[0])
    words = np.array(["even", "odd"])[Y % 2]
    found = MLPClassifier(class_weight={"odd": 4.0}, **options).fit(X, words)
    assert found.predict_proba(X)[:, 1].mean() > MLPClassifier(**options).fit(X, words).predict_proba(X)[:, 1].mean()
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=np.arange(10))
    given = dict(zip(range(10), compute_class_weight("balanced", classes=np.arange(10), y=Y)))
    model = MLPClassifier((8,), class_weight=given, random_state=0).partial_fit(X, Y, classes=np.arange(10))
    model.save(tmp_path / "model")
    assert jitmlp.load(tmp_path / "model").class_weight == given


def test_weights_of_classes_are_of_all_classes_not_of_a_batchs():
    model = MLPClassifier((4,), class_weight={1: 5.0}, random_state=0).partial_fit(X, Y > 4, classes=[False, True])
    few = np.flatnonzero(Y < 3)
    wanted = copy.deepcopy(model).set_params(class_weight=None).partial_fit(X[few], Y[few] > 4)
    np.testing.assert_array_equal(model.partial_fit(X[few], Y[few] > 4).coefs_[0], wanted.coefs_[0])
    with pytest.raises(ValueError, match=r"not there: \[11\]"):
        MLPClassifier((4,), class_weight={11: 2.0}).fit(X, Y)


def test_scorers_that_take_no_weights_are_given_none_and_those_of_classes_are_no_rows_weights():
    def unweighted(model, rows, truth):
        return model.score(rows, truth)

    options = dict(hidden_layer_sizes=(6,), early_stopping=True, max_iter=3, random_state=0)
    given = {3: 9.0, 4: 0.1}
    scores = [
        MLPClassifier(class_weight=given, scoring=scoring, **options).fit(X, Y).validation_scores_
        for scoring in (None, "accuracy", unweighted)
    ]
    assert scores[0] == scores[1] == scores[2]
    model = MLPRegressor(**options, scoring="neg_max_error").fit(X, NUMBERS[:, 0], WEIGHT)
    assert len(model.validation_scores_) == 3


def test_scores_that_are_no_numbers_are_no_gain():
    model = MLPClassifier((4,), early_stopping=True, n_iter_no_change=2, max_iter=50, scoring=lambda m, a, b: np.nan)
    assert model.fit(X, Y).n_iter_ == 3 and model.stopped_by_ == "plateau"
    with pytest.raises(ValueError, match="too small"):
        model.fit(X, Y, X_val=X[:1], y_val=Y[:1])


def test_targets_of_validation_rows_are_held_to_what_the_others_are():
    with pytest.raises(ValueError, match="dimensions like y"):
        MLPClassifier((4,), max_iter=1).fit(X, BOTH, X_val=X, y_val=Y > 4)
    with pytest.raises(ValueError, match="needs targets >= 0"):
        MLPRegressor(loss="poisson", max_iter=1).fit(X, Y, X_val=X, y_val=Y - 5.0)


def test_ready_callbacks_count_the_calls_of_partial_fit(tmp_path):
    model = MLPClassifier((4,), callback=Checkpoint(tmp_path / "m", every=2), random_state=0)
    for _ in range(5):
        model.partial_fit(X, Y, classes=np.arange(10))
    assert len(jitmlp.load(tmp_path / "m").loss_curve_) == 4
    model.set_params(callback=EarlyStopping("loss", patience=2, min_delta=1e9))
    reasons = [model.partial_fit(X, Y).stopped_by_ for _ in range(3)]
    assert reasons == ["max_iter", "max_iter", "callback"]  # the first beats nothing
    model.set_params(warm_start=True, max_iter=9)
    assert [model.fit(X, Y).n_iter_ for _ in range(2)] == [3, 3]


def test_a_log_gets_the_columns_that_come_later(tmp_path):
    rows, given = split(Y)
    model = MLPClassifier((4,), max_iter=2, warm_start=True, callback=CSVLogger(tmp_path / "l"), random_state=0)
    model.fit(*rows).fit(*rows, **given).fit(*rows, **given)
    frame = pd.read_csv(tmp_path / "l")
    pd.testing.assert_frame_equal(frame.drop(columns="epoch"), pd.DataFrame(model.history_), rtol=1e-12)
    assert list(frame.epoch) == list(range(1, 7))


def test_callbacks_are_called_in_turn_and_each_may_end_training():
    calls = []
    model = MLPClassifier((4,), max_iter=9, random_state=0)
    model.set_params(callback=[lambda m: calls.append("a"), lambda m: m.n_iter_ == 3, lambda m: calls.append("b")])
    assert model.fit(X, Y).n_iter_ == 3 and calls == ["a", "b"] * 3 and model.stopped_by_ == "callback"
    with pytest.raises(ValueError, match="'callback' parameter must be"):
        model.set_params(callback=[print, 3]).fit(X, Y)
    with pytest.raises(TypeError, match="True to stop"):
        model.set_params(callback=[lambda m: 1]).fit(X, Y)


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_score", "loss"])
def test_early_stopping_as_a_callback_stops_where_a_loop_over_the_history_would(monitor):
    rows, given = split(Y)
    stop = EarlyStopping(monitor, patience=3, min_delta=1e-3)
    model = MLPClassifier((16,), callback=stop, learning_rate_init=0.05, max_iter=150, tol=0.0,
                          n_iter_no_change=500, random_state=0)  # fmt: skip
    for _ in range(2):  # nothing is left over from the first
        model.fit(*rows, **given)
        costs = np.array(model.history_[monitor]) * (-1 if monitor.endswith("score") else 1)
        bests = [0]
        for epoch in range(1, len(costs)):
            if costs[epoch] < costs[bests[-1]] - 1e-3:
                bests.append(epoch)
        assert model.stopped_by_ == "callback" and len(costs) == bests[-1] + 1 + 3
    with pytest.raises(ValueError, match="monitor must be one of"):
        MLPClassifier((4,), callback=EarlyStopping("nothing")).fit(X, Y)


def test_logs_are_the_history(tmp_path):
    rows, given = split(Y)
    log = CSVLogger(tmp_path / "log.csv"), JSONLogger(tmp_path / "log.jsonl")
    model = MLPClassifier((8,), max_iter=3, random_state=0, callback=log, warm_start=True)
    for _ in range(2):
        model.fit(*rows, **given)
    with open(tmp_path / "log.csv", newline="") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(table) == len(lines) == 6
    for number, (row, line) in enumerate(zip(table, lines), 1):
        assert int(row["epoch"]) == line["epoch"] == number
        for name, values in model.history_.items():
            assert float(row[name]) == line[name] == values[number - 1]
    model.set_params(warm_start=False).fit(*rows)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_a_time_limit_ends_in_time():
    limit = TimeLimit(0.5)
    model = MLPClassifier(
        (8,), max_iter=10**6, tol=0.0, n_iter_no_change=10**6, callback=[lambda m: time.sleep(0.05), limit]
    )
    for _ in range(2):
        start = time.perf_counter()
        model.fit(X, Y)
        assert model.stopped_by_ == "callback" and 0.1 < time.perf_counter() - start < 5


def test_a_time_limit_begins_no_epoch_that_would_not_end_in_time():
    model = MLPClassifier((8,), max_iter=9, callback=[TimeLimit(0.75), lambda m: time.sleep(0.3)])
    assert model.fit(X, Y).n_iter_ <= 3 and model.stopped_by_ == "callback"


def test_checkpoints_of_the_last_epochs_are_kept(tmp_path):
    path = tmp_path / "model.jitmlp"
    MLPClassifier((4,), max_iter=10, random_state=0, callback=Checkpoint(path, every=2, keep=3)).fit(X, Y)
    kept = {file.name: jitmlp.load(file).n_iter_ for file in tmp_path.iterdir()}
    assert kept == {"model.jitmlp": 10, "model.jitmlp.1": 8, "model.jitmlp.2": 6}


@pytest.mark.parametrize("ready", [Checkpoint("a"), CSVLogger("a"), JSONLogger("a"), EarlyStopping(), TimeLimit(1)])
def test_ready_callbacks_pickle(ready):
    assert vars(pickle.loads(pickle.dumps(ready))) == vars(ready)


@pytest.mark.parametrize("make", [
    lambda: EarlyStopping(patience=0), lambda: EarlyStopping(min_delta=-1), lambda: TimeLimit(0),
    lambda: Checkpoint("a", every=0), lambda: Checkpoint("a", keep=0),
])  # fmt: skip
def test_ready_callbacks_refuse_what_makes_no_sense(make):
    with pytest.raises(ValueError, match="must be"):
        make()
