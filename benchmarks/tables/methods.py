"""What is compared: each method from a split to predictions, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.tables.data import Split


def _categories(X: pd.DataFrame) -> list[str]:
    return [name for name in X if X[name].dtype == "category"]


def _ready(classes: bool, X: pd.DataFrame, network: Any) -> Any:
    """A network of scikit-learn's behind the usual preprocessing."""
    words = _categories(X)
    numbers = [name for name in X if name not in words]
    columns = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
    ])  # fmt: skip
    model = make_pipeline(columns, network)
    return model if classes else TransformedTargetRegressor(model, transformer=StandardScaler())


def scikit_mlp(classes: bool, s: Split, seed: int) -> Any:
    return _ready(classes, s.X, (MLPClassifier if classes else MLPRegressor)(random_state=seed)).fit(s.X, s.y)


def hist_gradient_boosting(classes: bool, s: Split, seed: int) -> Any:
    model = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return model(random_state=seed).fit(s.X, s.y)


def lightgbm(classes: bool, s: Split, seed: int) -> Any:
    import lightgbm

    model = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return model(random_state=seed, n_jobs=1, verbose=-1).fit(s.X, s.y)


class _CatBoost:
    """Its categories are words, missing ones included."""

    def __init__(self, model: Any, words: list[str]) -> None:
        self.model, self.words = model, words

    def _plain(self, X: pd.DataFrame) -> pd.DataFrame:
        X = X.copy()
        for name in self.words:
            X[name] = X[name].astype(object).where(X[name].notna(), "missing").astype(str)
        return X

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Any:
        self.model.fit(self._plain(X), y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict(self._plain(X)).ravel()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self._plain(X))


def catboost(classes: bool, s: Split, seed: int) -> Any:
    import catboost

    words = _categories(s.X)
    model = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    options = dict(random_seed=seed, thread_count=1, verbose=0, allow_writing_files=False)
    return _CatBoost(model(cat_features=words, **options), words).fit(s.X, s.y)


class _Filled:
    """pytabkit's networks refuse missing numbers."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Any:
        self.medians = X.median(numeric_only=True)
        self.model.fit(X.fillna(self.medians), y, cat_col_names=_categories(X))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.model.predict(X.fillna(self.medians))).ravel()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(X.fillna(self.medians))


def _pytabkit(name: str) -> Callable:
    def fit(classes: bool, s: Split, seed: int) -> Any:
        import pytabkit

        model = getattr(pytabkit, f"{name}_{'Classifier' if classes else 'Regressor'}")
        return _Filled(model(device="cpu", random_state=seed, n_cv=1, n_refit=0, n_threads=1)).fit(s.X, s.y)

    return fit


def jitmlp(n_members: int | None = None, **parameters: Any) -> Callable:
    """A method of this package's, as many members as are the default or as are asked for."""

    def fit(classes: bool, s: Split, seed: int) -> Any:
        from jitmlp import TabularClassifier, TabularRegressor

        given = parameters if n_members is None else {"n_members": n_members, **parameters}
        model = TabularClassifier if classes else TabularRegressor
        return model(random_state=seed, n_jobs=1, **given).fit(s.X, s.y)

    return fit


METHODS: dict[str, Callable] = {
    "jitmlp": jitmlp(),
    "jitmlp, 1 member": jitmlp(1),
    "scikit-learn MLP": scikit_mlp,
    "HistGradientBoosting": hist_gradient_boosting,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "RealMLP-TD-S": _pytabkit("RealMLP_TD_S"),
    "RealMLP-TD": _pytabkit("RealMLP_TD"),
    "TabM": _pytabkit("TabM_D"),
}
NEEDS = {
    "LightGBM": "lightgbm", "CatBoost": "catboost",
    "RealMLP-TD-S": "pytabkit", "RealMLP-TD": "pytabkit", "TabM": "pytabkit",
}  # fmt: skip
