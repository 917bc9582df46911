"""Columns of categories, which are looked up, beside their one-hot columns."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder

import jitmlp
from jitmlp import MLPClassifier, MLPRegressor
from jitmlp.estimators.together import one_problem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N = 300
OPTIONS = dict(hidden_layer_sizes=(12,), max_iter=6, random_state=0, batch_size=50)


def table(seed=0, n=N):
    """Two columns of numbers between two of categories."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.integers(0, 30, n) * 2.0, rng.normal(size=n), rng.normal(size=n) * 9, rng.choice([-1.0, 0.5, 7.0], n)]
    )


def one_hot(X, fitted_to=None):
    """Numbers first, then one-hot columns; categories that are not known are all 0."""
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    return np.hstack(
        [X[:, [1, 2]], encoder.fit((X if fitted_to is None else fitted_to)[:, [0, 3]]).transform(X[:, [0, 3]])]
    )


X = table()
CLASSES = (X[:, 0] % 3 + (X[:, 1] > 0)).astype(int)
TARGETS = np.sin(X[:, 0]) + X[:, 1]


@pytest.mark.parametrize("kind, y", [(MLPClassifier, CLASSES), (MLPRegressor, TARGETS)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_network_is_that_of_one_hot_columns(kind, y, dtype, solver):
    options = {**OPTIONS, "solver": solver, "dtype": dtype}
    looked_up = kind(categorical_features=[0, 3], **options).fit(X, y)
    plain = kind(**options).fit(one_hot(X), y)
    for a, b in zip(looked_up.coefs_, plain.coefs_):
        np.testing.assert_allclose(a, b, rtol=1e-9 if dtype == "float64" else 1e-4, atol=1e-12)
    fresh = table(1)
    fresh[:7, 0] = 99  # never seen
    np.testing.assert_allclose(looked_up.predict(fresh), plain.predict(one_hot(fresh, X)), rtol=1e-4)
    assert looked_up.n_features_in_ == 4 and plain.n_features_in_ == looked_up.coefs_[0].shape[0]
    assert [len(own) for own in looked_up.encoder_.categories] == [30, 3]


def frames():
    """The same table in every kind of frame, words among its categories."""
    words = [None if value == 0 else f"no. {value:.0f}" for value in X[:, 0]]
    columns = {"word": words, "a": X[:, 1], "b": X[:, 2], "truth": (X[:, 3] > 0).tolist()}
    pandas = pytest.importorskip("pandas")
    yield pandas.DataFrame(columns).astype({"word": "category"})
    yield pandas.DataFrame(columns)
    for name, make in (("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            module = __import__(name)
        except ModuleNotFoundError:
            continue
        yield getattr(module, make)(columns)


def test_every_kind_of_frame_gives_the_same_network():
    fitted = [MLPClassifier(categorical_features="from_dtype", **OPTIONS).fit(frame, CLASSES) for frame in frames()]
    for model, frame in zip(fitted, frames()):
        np.testing.assert_array_equal(model.coefs_[0], fitted[0].coefs_[0])
        np.testing.assert_array_equal(model.predict_proba(frame), fitted[0].predict_proba(next(frames())))
        assert model.feature_names_in_.tolist() == ["word", "a", "b", "truth"]
    rows = [[word, a, b, truth] for word, a, b, truth in next(frames()).itertuples(index=False)]
    from_lists = MLPClassifier(categorical_features=[0, 3], **OPTIONS).fit(rows, CLASSES)
    np.testing.assert_array_equal(from_lists.coefs_[0], fitted[0].coefs_[0])
    named = MLPClassifier(categorical_features=["word", "truth"], **OPTIONS).fit(next(frames()), CLASSES)
    np.testing.assert_array_equal(named.coefs_[0], fitted[0].coefs_[0])
    truths = MLPClassifier(categorical_features=[True, False, False, True], **OPTIONS).fit(next(frames()), CLASSES)
    np.testing.assert_array_equal(truths.coefs_[0], fitted[0].coefs_[0])


def test_a_frame_in_another_order_is_refused_as_by_scikit_learn():
    frame = next(frames())
    model = MLPClassifier(categorical_features="from_dtype", **OPTIONS).fit(frame, CLASSES)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["a", "word", "b", "truth"]])


def test_missing_and_unknown_categories_add_nothing():
    frame = next(frames())
    model = MLPRegressor(categorical_features="from_dtype", **OPTIONS).fit(frame, TARGETS)
    lost = frame.astype({"word": object})
    unknown = lost.assign(word="something else")
    lost["word"] = None
    np.testing.assert_array_equal(model.predict(lost), model.predict(unknown))
    rows = model.encoder_.transform(lost)
    assert rows.shape == (N, model.coefs_[0].shape[0]) and (np.diff(rows.indptr) == 3).all()


@pytest.mark.parametrize("normalize", ["standard", "robust_clip"])
def test_numbers_alone_are_normalized(normalize, tmp_path):
    model = MLPClassifier(categorical_features=[0, 3], normalize=normalize, **OPTIONS).fit(X, CLASSES)
    scaled = one_hot(X)
    numbers = scaled[:, :2]
    if normalize == "standard":
        scaled[:, :2] = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    else:
        low, middle, high = np.quantile(numbers, [0.25, 0.5, 0.75], axis=0)
        z = (numbers - middle) / (high - low)
        scaled[:, :2] = z / np.sqrt(1 + z**2 / 9)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(jitmlp.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))
    plain = MLPClassifier(**OPTIONS).fit(scaled, CLASSES)
    np.testing.assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(scaled), rtol=1e-9)


def test_held_out_rows_scorers_and_calls_that_go_on(tmp_path):
    fresh, own = table(1), None
    options = {**OPTIONS, "categorical_features": [0, 3]}
    own = (fresh[:, 0] % 3 + (fresh[:, 1] > 0)).astype(int)
    for more in ({"early_stopping": True}, {"scoring": "neg_log_loss"}, {"scoring": "accuracy", "restore_best": True}):
        model = MLPClassifier(**options, **more).fit(X, CLASSES, X_val=fresh, y_val=own)
        assert len(model.validation_scores_) == model.n_iter_
        if more == {"scoring": "accuracy", "restore_best": True}:
            assert model.score(fresh, own) == model.best_validation_score_
    assert MLPClassifier(early_stopping=True, **options).fit(X, CLASSES).n_iter_ == 6
    whole = MLPClassifier(**{**options, "max_iter": 4, "warm_start": "continue"}).fit(X, CLASSES)
    parts = MLPClassifier(**{**options, "max_iter": 2, "warm_start": "continue"})
    np.testing.assert_array_equal(parts.fit(X, CLASSES).fit(X, CLASSES).coefs_[0], whole.coefs_[0])
    step = MLPClassifier(**options).partial_fit(X, CLASSES, classes=[0, 1, 2, 3])
    step.partial_fit(fresh, own)
    whole.save(tmp_path / "model")
    for again in (jitmlp.load(tmp_path / "model"), pickle.loads(pickle.dumps(whole))):
        np.testing.assert_array_equal(again.predict_proba(fresh), whole.predict_proba(fresh))
        assert again.encoder_.description() == whole.encoder_.description()
    assert clone(whole).categorical_features == [0, 3]
    with pytest.raises(ValueError, match="categorical_features must be the same"):
        whole.set_params(categorical_features=None).fit(X, CLASSES)
    assert whole.set_params(warm_start=False).fit(X, CLASSES).encoder_ is None


def test_exported_networks_take_the_rows_of_the_encoder():
    model = MLPClassifier(categorical_features=[0, 3], **OPTIONS).fit(X, CLASSES)
    rows = model.encoder_.transform(X)
    np.testing.assert_allclose(model.to_sklearn().predict_proba(rows), model.predict_proba(X), rtol=1e-9)
    np.testing.assert_allclose(model.network_.forward(rows.toarray()), model.predict_proba(X), rtol=1e-9)


def test_what_cannot_be_is_an_error():
    model = MLPClassifier(categorical_features=[0, 3], **OPTIONS).fit(X, CLASSES)
    lost, wide = X.copy(), np.hstack([X, X])
    lost[5, 1] = np.nan
    for call, kind, message in (
        (lambda: model.predict(lost), ValueError, "column 1 has missing numbers"),
        (lambda: model.fit(lost, CLASSES), ValueError, "SimpleImputer"),
        (lambda: model.predict(wide), ValueError, "X has 8 features, but MLPClassifier is expecting 4 features"),
        (lambda: model.predict(sparse.csr_matrix(X)), TypeError, "got a sparse matrix"),
        (lambda: model.fit(X, CLASSES[:9]), ValueError, "inconsistent numbers of samples"),
        (lambda: model.fit(X, None), ValueError, "requires y to be passed"),
        (
            lambda: clone(model).set_params(categorical_features=[4]).fit(X, CLASSES),
            ValueError,
            r"integers in \[0, 4\)",
        ),
        (lambda: clone(model).set_params(categorical_features=["a"]).fit(X, CLASSES), ValueError, "not there"),
        (lambda: clone(model).set_params(categorical_features="words").fit(X, CLASSES), ValueError, "from_dtype"),
        (lambda: clone(model).fit(lambda: iter([(X, CLASSES)])), ValueError, "needs whole columns"),
    ):
        with pytest.raises(kind, match=message):
            call()
    words = np.array([["a", 1.0], ["b", 2.0]], object)
    with pytest.raises(ValueError, match="column.* 0 hold no numbers"):
        MLPClassifier(categorical_features=[1]).fit(words, [0, 1])


def test_processes_must_agree_in_the_categories():
    class Others:
        """A group whose other process has told these facts."""

        is_alone, every, facts = False, 1, None

        def gather(self, facts):
            self.facts, others = facts, self.facts
            return [facts if others is None else others, facts]

        def first(self, values):
            return values

    group, other = Others(), X.copy()
    other[other[:, 3] == 7, 3] = 8  # as many categories
    for rows in (X, X, other):
        model = MLPClassifier(categorical_features=[0, 3], **OPTIONS)
        problem = model._prepare(rows, CLASSES, None, False, (None, None, None))
        if rows is X:
            one_problem(group, model, problem)
        else:
            with pytest.raises(ValueError, match="all processes must agree in the categories"):
                one_problem(group, model, problem)


EMBEDDED = dict(categorical_features=[0, 3], embedding_dim=4, **OPTIONS)


@pytest.mark.parametrize("kind, y", [(MLPClassifier, CLASSES), (MLPRegressor, TARGETS)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_embeddings_are_multiplied_into_weights_of_one_hot_columns(kind, y, dtype, tmp_path):
    model = kind(**EMBEDDED, dtype=dtype).fit(X, y)
    assert [own.shape for own in model.embeddings_] == [(30, 4), (3, 4)]
    assert model.embedding_coefs_.shape == (2 + 2 * 4, 12) and model.coefs_[0].shape == (2 + 33, 12)
    parts = [own @ model.embedding_coefs_[2 + 4 * k :][:4] for k, own in enumerate(model.embeddings_)]
    np.testing.assert_allclose(model.coefs_[0], np.vstack([model.embedding_coefs_[:2], *parts]), rtol=1e-5, atol=1e-7)
    assert (
        "2 columns embedded" in model.summary() and f"{sum(own.size for own in model.embeddings_)}" in model.summary()
    )
    # weights to a rank of 4 are not those of one-hot columns, and in training they were the same function
    assert np.linalg.matrix_rank(model.coefs_[0][2:32], tol=1e-4) <= 4
    fresh = table(1)
    fresh[:7, 0] = 99
    np.testing.assert_allclose(model.predict(fresh), model.to_sklearn().predict(one_hot(fresh, X)), rtol=1e-4)
    model.save(tmp_path / "model", state=True)
    for copy in (jitmlp.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copy.predict(fresh), model.predict(fresh))
        again = clone(model).fit(X, y).partial_fit(X, y)
        copy.partial_fit(X, y)
        for a, b in zip([*copy.embeddings_, *copy.coefs_], [*again.embeddings_, *again.coefs_]):
            np.testing.assert_array_equal(a, b)


def test_training_on_embeddings_goes_on_as_if_it_had_not_stopped():
    options = {**EMBEDDED, "tol": 0, "n_iter_no_change": 99}
    whole = MLPClassifier(**{**options, "max_iter": 8}).fit(X, CLASSES)
    halves = MLPClassifier(**{**options, "max_iter": 4}, warm_start="continue").fit(X, CLASSES).fit(X, CLASSES)
    for a, b in zip([*halves.embeddings_, *halves.coefs_], [*whole.embeddings_, *whole.coefs_]):
        np.testing.assert_array_equal(a, b)
    assert whole.fit(X, CLASSES).loss_curve_ == halves.loss_curve_


def test_embeddings_with_all_that_surrounds_a_fit():
    averaged = MLPClassifier(callback=jitmlp.WeightAverage(start=1), early_stopping=True, **EMBEDDED).fit(X, CLASSES)
    wanted = averaged._fitted_embedding().product(averaged.embedding_coefs_, averaged.embeddings_)
    np.testing.assert_array_equal(averaged.coefs_[0], wanted)
    model = MLPClassifier(
        **EMBEDDED, batch_norm=True, dropout=(0.1, 0.2), clip_norm=1.0, max_norm=2.0, l1=1e-4, solver="adamw",
        normalize="standard", restore_best=True,
    ).fit(X, CLASSES, X_val=table(2), y_val=CLASSES)  # fmt: skip
    assert model.predict_proba(table(3)).shape == (N, 4)
    with pytest.raises(jitmlp.DivergenceError) as caught:
        MLPRegressor(**{**EMBEDDED, "solver": "sgd", "learning_rate_init": 1e6}).fit(X, TARGETS * 1e6)
    assert [coef.shape for coef in caught.value.coefs] == [(35, 12), (12, 1)]
    no_words = MLPClassifier(categorical_features=[], embedding_dim=4, **OPTIONS).fit(X, CLASSES)
    assert no_words.embeddings_ is None and no_words.partial_fit(X, CLASSES).coefs_[0].shape == (4, 12)


@pytest.mark.parametrize(
    "changes, message",
    [({"embedding_dim": 0}, "embedding_dim"), ({"embedding_dim": 2.5}, "embedding_dim"),
     ({"categorical_features": None}, "embedding_dim needs categorical_features"),
     ({"solver": "lbfgs"}, "no use for embedding_dim")],
)  # fmt: skip
def test_embeddings_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**{**EMBEDDED, **changes}).fit(X, CLASSES)


def test_another_width_cannot_go_on():
    model = MLPClassifier(**EMBEDDED).fit(X, CLASSES)
    for dim in (None, 5):
        with pytest.raises(ValueError, match="embedding_dim"):
            model.set_params(embedding_dim=dim).partial_fit(X, CLASSES)
