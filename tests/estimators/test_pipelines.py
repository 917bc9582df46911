"""At home in scikit-learn's pipelines and searches, and in the tools that people use around them."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jitmlp import Checkpoint, MLPClassifier, MLPRegressor, load

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_breast_cancer(return_X_y=True)


def network(**options):
    return MLPClassifier((8,), max_iter=20, normalize="standard", random_state=0, **options)


class TestScikitLearn:
    def test_column_transformer_in_a_pipeline_in_a_search(self):
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(X[:, :3], columns=["a", "b", "c"])
        frame["word"] = np.where(Y, "yes", "no")
        columns = ColumnTransformer([("n", StandardScaler(), ["a", "b", "c"]), ("w", OneHotEncoder(), ["word"])])
        model = make_pipeline(columns, MLPClassifier((8,), max_iter=30, random_state=0))
        search = GridSearchCV(model, {"mlpclassifier__learning_rate_init": [1e-5, 1e-2]}, cv=3).fit(frame, Y)
        assert search.best_params_ == {"mlpclassifier__learning_rate_init": 1e-2} and search.best_score_ > 0.98
        np.testing.assert_array_equal(search.predict(frame), search.best_estimator_.predict(frame))

    def test_halving_random_search(self):
        space = {"hidden_layer_sizes": [(4,), (16,)], "learning_rate_init": [1e-6, 1e-2]}
        search = HalvingRandomSearchCV(network(), space, resource="max_iter", max_resources=20, min_resources=5, cv=2,
                                       n_candidates=4, random_state=0)  # fmt: skip
        assert search.fit(X, Y).best_params_["learning_rate_init"] == 1e-2
        assert search.best_estimator_.n_iter_ <= 20

    @pytest.mark.parametrize("ensemble", [
        VotingClassifier([("a", network()), ("b", network(activation="tanh"))], voting="soft"),
        StackingClassifier([("a", network()), ("b", LogisticRegression(max_iter=10_000))], cv=2),
        BaggingClassifier(network(), n_estimators=3, max_features=0.5, random_state=0, n_jobs=2),
        MultiOutputClassifier(network()),
    ], ids=lambda e: type(e).__name__)  # fmt: skip
    def test_ensembles(self, ensemble):
        target = np.column_stack([Y, 1 - Y]) if isinstance(ensemble, MultiOutputClassifier) else Y
        fitted = clone(ensemble).fit(X, target)
        assert (fitted.predict(X) == target).mean() > 0.9

    def test_calibration_improves_the_probabilities_of_an_overfitted_network(self):
        rng = np.random.default_rng(0)
        noisy = np.where(rng.random(len(Y)) < 0.25, 1 - Y, Y)
        over = MLPClassifier((64,), max_iter=300, alpha=0.0, normalize="standard", tol=0, random_state=0)
        calibrated = CalibratedClassifierCV(over, cv=3).fit(X[:350], noisy[:350])
        plain = clone(over).fit(X[:350], noisy[:350])
        losses = [log_loss(noisy[350:], model.predict_proba(X[350:])) for model in (calibrated, plain)]
        assert losses[0] < 0.7 < losses[1]

    def test_a_tuned_threshold(self):
        tuned = TunedThresholdClassifierCV(network(), scoring="balanced_accuracy", cv=3).fit(X, Y)
        chosen = tuned.estimator_.classes_[
            (tuned.estimator_.predict_proba(X)[:, 1] >= tuned.best_threshold_).astype(int)
        ]
        np.testing.assert_array_equal(tuned.predict(X), chosen)

    def test_importance_finds_the_column_that_matters(self):
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(400, 4))
        model = MLPRegressor(hidden_layer_sizes=(16,), max_iter=300, random_state=0).fit(rows, 3 * rows[:, 2])
        found = permutation_importance(model, rows, 3 * rows[:, 2], n_repeats=3, random_state=0)
        assert np.argmax(found.importances_mean) == 2 and found.importances_mean[2] > 1

    def test_targets_transformed_features_selected_curves_drawn(self):
        rows, target = load_diabetes(return_X_y=True)
        inner = MLPRegressor(hidden_layer_sizes=(8,), max_iter=200, learning_rate_init=0.01, random_state=0)
        model = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(rows, target)
        assert model.score(rows, target) > 0.4
        chosen = SequentialFeatureSelector(network(), n_features_to_select=1, cv=2).fit(X[:, :4], Y)
        assert chosen.transform(X[:, :4]).shape == (len(X), 1)
        sizes, training, _ = learning_curve(network(), X, Y, train_sizes=[60, 200], cv=2)
        assert list(sizes) == [60, 200] and training.shape == (2, 2)

    def test_weights_are_routed(self):
        import sklearn

        weights = np.where(Y == 0, 10.0, 1.0)
        with sklearn.config_context(enable_metadata_routing=True):
            model = network().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            found = cross_validate(model, X, Y, cv=2, params={"sample_weight": weights},
                                   return_estimator=True, return_indices=True)  # fmt: skip
        rows = found["indices"]["train"][0]
        alone = network().fit(X[rows], Y[rows], sample_weight=weights[rows])
        np.testing.assert_array_equal(found["estimator"][0].coefs_[0], alone.coefs_[0])


class TestOtherTools:
    def test_optuna_prunes_through_a_callback(self):
        optuna = pytest.importorskip("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        rows, target = load_iris(return_X_y=True)
        epochs = []

        def objective(trial):
            rate = trial.suggest_float("learning_rate_init", 1e-6, 1e-1, log=True)

            def report(model):
                trial.report(model.validation_loss_curve_[-1], model.n_iter_)
                if trial.should_prune():
                    raise optuna.TrialPruned

            model = MLPClassifier((8,), learning_rate_init=rate, max_iter=30, callback=report, random_state=0)
            try:
                model.fit(rows[::2], target[::2], X_val=rows[1::2], y_val=target[1::2])
            finally:
                epochs.append(len(trial.study.trials[-1].intermediate_values))
            return model.validation_loss_curve_[-1]

        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0), pruner=optuna.pruners.MedianPruner(2))
        study.optimize(objective, n_trials=12)
        pruned = [t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED]
        assert pruned and study.best_value < 0.5 and min(epochs) < 30

    def test_shap_explains_the_probabilities(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shap = pytest.importorskip("shap")
            model = network().fit(X[:, :5], Y)
            explainer = shap.Explainer(model.predict_proba, X[:50, :5], seed=0)
            found = explainer(X[50:54, :5])
        total = found.values.sum(axis=1) + found.base_values
        np.testing.assert_allclose(total, model.predict_proba(X[50:54, :5]), atol=1e-6)

    def test_mlflow_keeps_parameters_and_the_model(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow = pytest.importorskip("mlflow")
            mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
            mlflow.create_experiment("jitmlp", artifact_location=(tmp_path / "artifacts").as_uri())
            mlflow.set_experiment("jitmlp")

            def log(model):
                mlflow.log_metrics({name: values[-1] for name, values in model.history_.items()}, step=model.n_iter_)

            with mlflow.start_run() as run:
                model = network(callback=[log, Checkpoint(tmp_path / "model.jitmlp")]).fit(X, Y)
                mlflow.log_params({"solver": model.solver, "hidden_layer_sizes": model.hidden_layer_sizes})
                mlflow.log_artifact(str(tmp_path / "model.jitmlp"))
            client = mlflow.MlflowClient()
            losses = client.get_metric_history(run.info.run_id, "loss")
            assert [point.value for point in losses] == pytest.approx(model.loss_curve_)
            path = client.download_artifacts(run.info.run_id, "model.jitmlp", str(tmp_path))
        np.testing.assert_array_equal(load(path).predict_proba(X), model.predict_proba(X))

    @pytest.mark.parametrize("options", [
        {}, {"normalize": "standard", "batch_norm": True, "early_stopping": True, "class_weight": "balanced"},
        {"activation": ("tanh",), "solver": "nadam", "dtype": "float32", "learning_rate": "cosine"}, {"solver": "lbfgs"},
    ], ids=str)  # fmt: skip
    def test_skops_trusts_no_more_than_our_own_types(self, options):
        skops = pytest.importorskip("skops.io")
        target = np.array(["no", "yes"])[Y]
        model = MLPClassifier((8,), max_iter=5, random_state=0, **options).fit(X, target)
        data = skops.dumps(model)
        untrusted = skops.get_untrusted_types(data=data)
        assert all(name.split(".")[0] in ("jitmlp", "jitmlp_kernels") for name in untrusted)
        back = skops.loads(data, trusted=untrusted)
        np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(back.predict(X), model.predict(X))

    def test_cloudpickle_carries_functions_of_ones_own(self):
        cloudpickle = pytest.importorskip("cloudpickle")
        from jitmlp import Activation

        model = network(activation=Activation(lambda z: z / (1 + abs(z)))).fit(X, Y)
        back = cloudpickle.loads(cloudpickle.dumps(model))
        np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
