"""``fit`` of rows that come in chunks: the network of the same rows in one array, whatever the chunks."""

import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.training.chunks import Chunk, Chunks, Window
from jitmlp.training.order import FIRST_WINDOWS, Blocks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 503
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 12))
Y = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
WEIGHTS = RNG.random(N) + 0.1
LABELS = np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 1], 1).astype(int)
PARAMETERS = dict(hidden_layer_sizes=(16,), max_iter=4, random_state=0, batch_size=30, tol=0.0)


def chunked(rows, targets, weights=None, size=70):
    """A generator function over arrays."""

    def chunks():
        for first in range(0, rows.shape[0], size):
            part = slice(first, first + size)
            yield (rows[part], targets[part]) if weights is None else (rows[part], targets[part], weights[part])

    return chunks


def assert_same(one, other, tolerance=0.0):
    for a, b in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_]):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=tolerance)


@pytest.mark.parametrize("size", [1, 70, 503, 10_000])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        dict(normalize="standard"),
        dict(normalize="minmax"),
        dict(class_weight="balanced"),
        dict(class_weight={0: 2.0}),
        dict(batch_norm=True, dropout=0.2),
        dict(solver="sgd", learning_rate="cosine"),
        dict(dtype="float32", n_threads=2, batch_size=200),
        dict(clip_norm=0.1, layer_rates=(0.5, 1.0)),
    ],
    ids=str,
)
def test_in_order_they_are_one_array(parameters, size):
    parameters = {**PARAMETERS, "shuffle": False, **parameters}
    one = MLPClassifier(**parameters).fit(X, Y, WEIGHTS)
    assert_same(MLPClassifier(**parameters).fit(chunked(X, Y, WEIGHTS, size)), one, 1e-12)


@pytest.mark.parametrize("kind", ["sparse", "words", "labels", "numbers", "outputs", "integers", "frames"])
def test_all_kinds_of_rows_and_targets(kind):
    estimator, rows, targets = MLPClassifier, X, Y
    if kind == "sparse":
        rows = sparse.csr_array(np.where(np.abs(X) > 1.5, X, 0))
    elif kind == "words":
        targets = np.array(["one", "two", "three"], object)[Y]
    elif kind == "labels":
        targets = LABELS
    elif kind in ("numbers", "outputs"):
        estimator, targets = MLPRegressor, X[:, 0] if kind == "numbers" else X[:, :2]
    elif kind == "integers":
        rows = (10 * X).astype(np.int32)
    elif kind == "frames":
        rows = pytest.importorskip("pandas").DataFrame(X, columns=[f"c{j}" for j in range(12)])
    one = estimator(**PARAMETERS, shuffle=False).fit(rows, targets)
    model = estimator(**PARAMETERS, shuffle=False).fit(chunked(rows, targets))
    assert_same(model, one, 1e-12)
    np.testing.assert_array_equal(model.predict(rows), one.predict(rows))
    if kind == "frames":
        assert model.feature_names_in_.tolist() == one.feature_names_in_.tolist()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 50), st.integers(1, 80), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_every_row_is_in_one_window(sizes, multiple, window, shuffled, is_sparse):
    n = sum(sizes)
    rows = np.arange(n, dtype=float)[:, None]

    def read(random_state):
        first = 0
        for size in sizes:
            part = rows[first : first + size]
            yield Chunk(sparse.csr_array(part) if is_sparse else part, part.copy(), part[:, 0].copy())
            first += size

    found, starts = [], Chunks(read, n)
    shuffle = Blocks(window) if shuffled else False
    with starts.windows(shuffle, np.random.RandomState(0), multiple) as windows:
        for data, order in windows:
            seen = data.X.toarray() if is_sparse else data.X
            assert sorted(order) == list(range(len(seen)))
            np.testing.assert_array_equal(seen, data.y)
            np.testing.assert_array_equal(seen[:, 0], data.sample_weight)
            found.append(np.array(seen[order, 0]))
    assert all(len(part) % multiple == 0 for part in found[:-1])
    if shuffled:
        assert max(map(len, found)) < window + multiple
        assert sorted(np.concatenate(found)) == list(range(n))
    else:
        np.testing.assert_array_equal(np.concatenate(found), rows[:, 0])


def test_windows_are_shuffled_reproducibly_and_learn_as_well():
    parameters = {**PARAMETERS, "max_iter": 25, "shuffle": ("blocks", 120)}
    one, again = (MLPClassifier(**parameters).fit(chunked(X, Y)) for _ in range(2))
    assert_same(one, again)
    ordered = MLPClassifier(**{**parameters, "shuffle": False}).fit(chunked(X, Y))
    whole = MLPClassifier(**{**parameters, "shuffle": True}).fit(X, Y)
    assert one.loss_ != ordered.loss_ and abs(one.loss_ - whole.loss_) < 0.1 * whole.loss_
    default = MLPClassifier(**{**parameters, "shuffle": True}).fit(chunked(X, Y))  # all rows fit in one window
    assert abs(default.loss_ - whole.loss_) < 0.1 * whole.loss_


def test_what_is_known_beforehand_is_not_looked_for():
    calls = []
    inner = chunked(X, Y)

    def chunks():
        calls.append(0)
        for chunk in inner():
            calls[-1] += 1
            yield chunk

    MLPClassifier(**PARAMETERS).fit(chunks)
    assert calls == [8] * 5  # a first look, and four epochs
    calls.clear()
    chunks.n_rows, chunks.classes = N, [0, 1, 2]
    model = MLPClassifier(**PARAMETERS).fit(chunks)
    assert calls == [1, 8, 8, 8, 8] and model.classes_.tolist() == [0, 1, 2]
    calls.clear()
    MLPClassifier(**PARAMETERS, normalize="standard").fit(chunks)
    assert calls[0] == 8
    labels = chunked(X, LABELS)
    labels.n_rows, labels.classes = N, [0, 1, 2]
    one = MLPClassifier(**PARAMETERS, shuffle=False).fit(X, LABELS)
    assert_same(MLPClassifier(**PARAMETERS, shuffle=False).fit(labels), one, 1e-12)


def test_validation_rows_stop_and_choose():
    own = dict(X_val=X[:100], y_val=Y[:100])
    parameters = {**PARAMETERS, "max_iter": 40, "early_stopping": True, "n_iter_no_change": 3, "shuffle": False}
    one = MLPClassifier(**parameters).fit(X, Y, **own)
    model = MLPClassifier(**parameters).fit(chunked(X, Y), **own)
    assert model.n_iter_ == one.n_iter_ < 40 and model.validation_scores_ == one.validation_scores_
    assert_same(model, one, 1e-12)


def test_warm_starts_go_on():
    parameters = {**PARAMETERS, "shuffle": False, "warm_start": True}
    one, model = MLPClassifier(**parameters), MLPClassifier(**parameters)
    for _ in range(2):
        one.fit(X, Y)
        model.fit(chunked(X, Y))
    assert_same(model, one, 1e-12)
    with pytest.raises(ValueError, match="the same classes as in the previous call"):
        model.fit(chunked(X, Y + 1))
    assert_same(model, one, 1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_fit_goes_on_as_if_it_had_not_stopped(dropout):
    """After chunks, and after as many rows of an array, whose order says nothing of the chunks'."""
    parameters = {**PARAMETERS, "warm_start": "continue", "dropout": dropout}
    whole = MLPClassifier(**parameters).fit(chunked(X, Y))
    halves = MLPClassifier(**parameters | dict(max_iter=2))
    for _ in range(2):
        halves.fit(chunked(X, Y))
    assert dropout or np.array_equal(whole.coefs_[0], halves.coefs_[0])
    after_rows = MLPClassifier(**parameters).fit(X, Y).fit(chunked(X, Y))
    assert len(after_rows.loss_curve_) == 8 and after_rows.loss_curve_[-1] < after_rows.loss_curve_[3]


def broken():
    yield X, Y
    raise OSError("the disk is gone")


def growing(calls=[]):  # noqa: B006
    calls.append(1)
    for _ in calls:
        yield X, Y


def shrinking(calls=[]):  # noqa: B006
    calls.append(1)
    yield (X, Y) if len(calls) == 1 else (X[1:], Y[1:])


def believed():
    yield X, Y + 1


believed.n_rows, believed.classes = N, [0, 1, 2]
with_nan = np.where(np.arange(12) == 5, np.nan, X)
WRONG = {
    "no iterator": (lambda: 3, TypeError, "must give an iterator of chunks"),
    "no pairs": (lambda: iter([(X,)]), TypeError, "chunk 0 must be .X, y."),
    "no chunks": (lambda: iter([]), ValueError, "the chunks have no rows"),
    "lengths": (lambda: iter([(X, Y), (X, Y[1:])]), ValueError, "inconsistent numbers of samples"),
    "features": (lambda: iter([(X, Y), (X[:, 1:], Y)]), ValueError, "X has 11 features"),
    "dtypes": (lambda: iter([(X, Y), (X.astype(np.float32), Y)]), ValueError, "all chunks must be of one kind.*float32"),
    "sparse": (lambda: iter([(X, Y), (sparse.csr_array(X), Y)]), ValueError, "all chunks must be of one kind.*sparse"),
    "weights": (lambda: iter([(X, Y, WEIGHTS), (X, Y)]), ValueError, "all chunks must be of one kind.*without"),
    "fails": (broken, OSError, "the disk is gone"),
    "grows": (growing, ValueError, "had 503 rows when they were counted, in an epoch more"),
    "shrinks": (shrinking, ValueError, "had 503 rows when they were counted, in an epoch 502"),
    "other classes": (believed, ValueError, "classes not in"),
    "NaN": (lambda: iter([(X, Y), (with_nan, Y)]), ValueError, "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_and_nothing_is_left(case):
    chunks, kind, message = WRONG[case]
    model = MLPClassifier(**PARAMETERS)
    with pytest.raises(kind, match=message):
        model.fit(chunks)
    assert not hasattr(model, "coefs_")
    assert not [thread for thread in threading.enumerate() if thread.name == "jitmlp-chunks"]


def test_what_chunks_cannot_do_is_refused():
    rows = chunked(X, Y)
    for call, message in (
        (lambda: MLPClassifier().fit(X), "requires y to be passed"),
        (lambda: MLPClassifier().fit(rows, Y), "y must come with the chunks"),
        (lambda: MLPClassifier().fit(rows, sample_weight=WEIGHTS), "sample_weight must come with the chunks"),
        (lambda: MLPClassifier(solver="lbfgs").fit(rows), "needs all rows at once"),
        (lambda: MLPClassifier(early_stopping=True).fit(rows), "needs X_val and y_val"),
        (lambda: MLPClassifier(normalize="robust").fit(rows), "normalize='robust' needs whole columns"),
        (lambda: MLPClassifier(normalize="robust_clip").fit(rows), "'robust_clip' needs whole columns"),
        (lambda: MLPRegressor(loss="poisson").fit(chunked(X, X[:, 0])), "needs targets >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="partial_fit takes rows"):
        MLPClassifier().partial_fit(rows, None, classes=[0, 1])


def test_the_next_window_is_read_while_one_trains_and_no_more():
    """Two windows exist at a time, so memory holds whatever the number of rows."""
    taken, trained, ahead, small = [0], [0], [], len(FIRST_WINDOWS)

    def read(random_state):
        for _ in range(20):
            taken[0] += 50
            yield Chunk(X[:50], Y[:50], None)

    with Chunks(read, 1000).windows(Blocks(100), np.random.RandomState(0), 10) as windows:
        for data, _ in windows:
            deadline = time.monotonic() + 5
            wanted = trained[0] + (200 if len(ahead) >= small else 0)
            while taken[0] < min(1000, wanted) and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.02)
            ahead.append(taken[0] - trained[0])
            trained[0] += data.n_samples
    # one window trains, one is full, one chunk waits
    assert trained[0] == 1000 and max(ahead) <= 250 and ahead[small] >= 200


def test_rooms_are_used_again(monkeypatch):
    made = []
    monkeypatch.setattr("jitmlp.training.chunks.Window", lambda *given: made.append(Window(*given)) or made[-1])
    MLPClassifier(**PARAMETERS | dict(max_iter=1, shuffle=("blocks", 60))).fit(chunked(X, Y))
    assert len(made) == 2


def test_ctrl_c_ends_a_fit_whose_chunks_do_not_come(ctrl_c_is_heard):
    import os
    import signal

    waiting = threading.Event()

    def chunks():
        yield X, Y
        if threading.current_thread() is not threading.main_thread():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            waiting.wait(20)
        yield X, Y

    start = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = MLPClassifier(**PARAMETERS | dict(batch_size=100, shuffle=("blocks", 100))).fit(chunks)
    waiting.set()
    assert time.monotonic() - start < 10 and model.stopped_by_ == "interrupt"
    assert any("interrupted" in str(w.message) for w in caught)


def test_callbacks_and_shown_history():
    seen = []
    model = MLPClassifier(**PARAMETERS, callback=lambda m: seen.append(m.n_iter_)).fit(chunked(X, Y))
    assert seen == [1, 2, 3, 4] and len(model.history_["seconds"]) == 4 and model.t_ == 4 * N
