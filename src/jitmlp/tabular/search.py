"""What is worth searching for a table."""

from __future__ import annotations

from typing import Any

from scipy.stats import loguniform, uniform

SIZES = {"2 x 128": (128, 128), "3 x 256": (256, 256, 256), "2 x 512": (512, 512), "5 x 64": (64,) * 5}
ACTIVATIONS = ["selu", "mish", "relu"]
BATCHES = [64, 128, 256, 512]
BINS = [None, 8, 24, 96]


def search_space(trial: Any = None) -> dict[str, Any]:
    """Parameters that are worth searching, in ranges like those of Holzmüller, Grinsztajn & Steinwart (2024).

    Parameters
    ----------
    trial : optuna.Trial, default=None
        One that suggests.

    Returns
    -------
    space : dict
        Distributions, for :class:`sklearn.model_selection.RandomizedSearchCV`; with ``trial`` the parameters of a trial.

    Examples
    --------
    >>> from jitmlp import TabularClassifier
    >>> sorted(TabularClassifier.search_space())[:3]
    ['activation', 'alpha', 'batch_size']
    """
    if trial is None:
        return {
            "hidden_layer_sizes": list(SIZES.values()),
            "activation": ACTIVATIONS,
            "learning_rate_init": loguniform(0.01, 0.3),
            "dropout": uniform(0.0, 0.4),
            "alpha": loguniform(1e-6, 1.0),
            "batch_size": BATCHES,
            "numeric_bins": BINS,
        }
    return {
        "hidden_layer_sizes": SIZES[trial.suggest_categorical("hidden_layer_sizes", list(SIZES))],
        "activation": trial.suggest_categorical("activation", ACTIVATIONS),
        "learning_rate_init": trial.suggest_float("learning_rate_init", 0.01, 0.3, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "alpha": trial.suggest_float("alpha", 1e-6, 1.0, log=True),
        "batch_size": trial.suggest_categorical("batch_size", BATCHES),
        "numeric_bins": trial.suggest_categorical("numeric_bins", BINS),
    }
