"""What each part of the recipe gives: one member with the part left out or put in, beside one as it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks.tables.data import Split, Table
from benchmarks.tables.report import LEAST, MEASURES
from jitmlp import TabularClassifier, TabularRegressor

BASE = "as it is"
CLASSES, NUMBERS = (True,), (False,)


class Part(NamedTuple):
    """One row of the list.

    Attributes
    ----------
    given : dict
        Parameters of the estimator for tables.
    of_member : dict
        Parameters of its member, which the recipe sets.
    kinds : tuple of bool
        Of tables that it is for: of classes, of numbers.
    around : callable
        A context in which the fit runs.
    after : dict
        Attributes that are set after the fit.
    """

    given: dict[str, Any] = {}
    of_member: dict[str, Any] = {}
    kinds: tuple[bool, ...] = CLASSES + NUMBERS
    around: Callable = nullcontext
    after: dict[str, Any] = {}


def _not_clipped() -> Any:
    return mock.patch("jitmlp.tabular.encoder.smooth_clip", lambda x: x)


def _to_the_end() -> Any:
    names = {"PATIENCE": 1.0, "best_epoch": lambda model: model.n_iter_}
    return mock.patch.multiple("jitmlp.tabular.ensemble", **names)


PARTS = {
    BASE: Part(),
    "numbers not clipped": Part(around=_not_clipped),
    "ReLU": Part({"activation": "relu"}),
    "Mish instead of SELU": Part({"activation": "mish"}, kinds=CLASSES),
    "constant learning rate": Part(of_member={"learning_rate": "constant"}),
    "half the learning rate": Part({"learning_rate_init": 0.02}, kinds=CLASSES),
    "beta_2 of 0.999": Part(of_member={"beta_2": 0.999}),
    "one learning rate for all layers": Part({"learning_rate_init": 0.04 / 16}, {"layer_rates": None}),
    "output weights from LeCun's": Part(of_member={"initializer": "lecun_normal"}, kinds=CLASSES),
    "no label smoothing": Part({"label_smoothing": 0.0}, kinds=CLASSES),
    "no temperature": Part(kinds=CLASSES, after={"temperature_": 1.0}),
    "epoch of best accuracy": Part({"scoring": "accuracy"}, kinds=CLASSES),
    "last epoch": Part(of_member={"restore_best": False}, around=_to_the_end),
    "not trained again on all rows": Part({"refit": False}),
    "dropout of 0.15": Part({"dropout": 0.15}),
    "weight decay of 0.02": Part(of_member={"solver": "adamw", "solver_params": {"weight_decay": 0.02}}),
    "numbers in bins": Part({"numeric_bins": "auto"}, kinds=CLASSES),
    "no bins": Part({"numeric_bins": None}, kinds=NUMBERS),
    "128 units a layer": Part({"hidden_layer_sizes": (128, 128, 128)}, kinds=CLASSES),
    "256 units a layer": Part({"hidden_layer_sizes": (256, 256, 256)}, kinds=NUMBERS),
    "five members": Part({"n_members": 5}),
}


def _method(part: Part) -> Callable:
    def fit(classes: bool, s: Split, seed: int) -> Any:
        base: Any = TabularClassifier if classes else TabularRegressor

        class Changed(base):
            def _network(self, *sizes: int) -> Any:
                return super()._network(*sizes).set_params(**part.of_member)

        with part.around():
            model = Changed(**{"n_members": 1, "random_state": seed, "n_jobs": 1, **part.given}).fit(s.X, s.y)
        for name, value in part.after.items():
            setattr(model, name, value)
        return model

    return fit


def methods_of(parts: dict[str, Part]) -> dict[str, Callable]:
    """A method for each part."""
    return {name: _method(part) for name, part in parts.items()}


def suits(name: str, table: Table) -> bool:
    """Whether a part is for a table."""
    return table.classes in PARTS[name].kinds


def report(results: dict, tables: list[str], splits: int) -> str:
    """Each part's errors and CPU seconds over those of a member as it is, geometric means with their standard errors."""
    lines = [f"| | {' | '.join(MEASURES.values())} | CPU s |", f"|---|{'---|' * (len(MEASURES) + 1)}"]
    for name in list(dict.fromkeys(key.split("|")[2] for key in results)):
        cells = []
        for measure in (*MEASURES, "cpu"):
            ratios = _ratios(results, tables, splits, name, measure)
            if not len(ratios):
                cells.append("-")
                continue
            mean = np.exp(ratios.mean())
            wide = mean * ratios.std(ddof=1) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
            cells.append(f"{mean:.2f}" if measure == "cpu" else f"{mean:.3f} ± {wide:.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratios(results: dict, tables: list[str], splits: int, name: str, measure: str) -> np.ndarray:
    """Logarithms of a part's values over those of the base, one a table: means over the splits."""
    found = []
    for table in tables:
        own, base = (
            [results.get(f"{table}|{seed}|{which}", {}).get(measure) for seed in range(splits)]
            for which in (name, BASE)
        )
        if None not in own and None not in base:
            least = LEAST if measure == "error" else 0
            found.append(np.log(max(np.mean(own), least) / max(np.mean(base), least)))
    return np.array(found)
