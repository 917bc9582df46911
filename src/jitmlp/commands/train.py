"""``jitmlp train DATA --target COLUMN``: from a file to a model, a report and a picture."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split

from jitmlp._version import __version__
from jitmlp.commands.progress import fit_with_progress
from jitmlp.estimators.classifier import MLPClassifier
from jitmlp.estimators.regressor import MLPRegressor
from jitmlp.files.table import Table, read_table
from jitmlp_kernels.link.folder import write_whole

MOST_CLASSES = 50  # of whole numbers; more are taken for amounts
TASKS = {"classification": MLPClassifier, "regression": MLPRegressor}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("data", metavar="DATA", help="table: .csv, .tsv, .parquet (with polars installed), .npy or IDX")
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        required=True,
        help="what to predict; a number counts columns of .npy; for IDX the file of the labels",
    )
    parser.add_argument("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out")
    parser.add_argument("--task", choices=[*TASKS], help="by default found from the target")
    parser.add_argument(
        "--hidden", metavar="N", type=int, nargs="+", default=[128, 64], help="units of the hidden layers"
    )
    parser.add_argument("--epochs", metavar="N", type=int, default=200, help="most passes over the rows (200)")
    parser.add_argument("--test-share", metavar="SHARE", type=float, default=0.2, help="of the rows (0.2)")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--threads", metavar="N", type=int, help="threads, by default all")
    parser.add_argument("--output", metavar="FOLDER", default="jitmlp-model", help="for model, report and picture")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and no progress")


def task_of(target: np.ndarray) -> str:
    """Classification for words, truths and few whole numbers; else regression."""
    if target.dtype.kind not in "iuf":
        return "classification"
    whole = bool(np.isfinite(target).all() and (target == np.round(target)).all())
    return "classification" if whole and len(np.unique(target)) <= MOST_CLASSES else "regression"


def scores_of(model: Any, X: Any, y: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """What a model reaches on rows for which it has predicted ``found``, by name."""
    if isinstance(model, MLPRegressor):
        return {
            "r2": float(r2_score(y, found)),
            "rmse": float(root_mean_squared_error(y, found)),
            "mean_absolute_error": float(mean_absolute_error(y, found)),
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes that no row here has, or that are many
        accuracy, balanced = float(accuracy_score(y, found)), float(balanced_accuracy_score(y, found))
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "log_loss": float(log_loss(y, model.predict_proba(X), labels=model.classes_)),
    }


def target_of(table: Table, name: str, classes: Any) -> np.ndarray:
    """The target column, as numbers or as classes.

    Raises
    ------
    ValueError
        If it is missing or incomplete.
    """
    target = table.take(name)
    if target.dtype.kind == "O" and any(value is None for value in target):
        raise ValueError(f"{table.path} has rows without a target in the column {name!r}")
    if target.dtype.kind in "mM" or (target.dtype.kind == "O" and not all(type(v) in (str, bool) for v in target)):
        raise ValueError(f"{name!r} must hold numbers, words or truths, not dates or the like")
    if target.dtype.kind == "O":
        target = target.astype(str)
    if target.dtype.kind == "f" and not np.isfinite(target).all():
        raise ValueError(f"{table.path} has missing or infinite numbers in the column {name!r}")
    if not classes and target.dtype.kind not in "biuf":
        raise ValueError(f"regression needs a target of numbers, {name!r} holds words")
    return target if classes else target.astype(np.float64)


def divide(target: np.ndarray, task: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of rows to train on and to hold out; every class is among the former, and in its share where there is room.

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    rows = np.arange(len(target))
    if len(rows) * min(share, 1 - share) < 2:
        raise ValueError(f"{len(rows)} rows are too few to hold a share of {share:g} out")
    classes, counts = np.unique(target, return_counts=True) if task == "classification" else (np.empty(0), [0])
    room = len(rows) * min(share, 1 - share) >= len(classes) and min(counts) > 1
    kept, held_out = train_test_split(rows, test_size=share, random_state=seed, stratify=target if room else None)
    if task == "classification":
        unknown = ~np.isin(target[held_out], target[kept])
        kept, held_out = np.concatenate([kept, held_out[unknown]]), held_out[~unknown]
    if len(held_out) < 2:
        raise ValueError(f"{len(rows)} rows are too few to hold any of {len(classes)} classes out")
    return kept, held_out


def _fit(kind: type, options: argparse.Namespace, X: Any, y: np.ndarray) -> tuple[Any, float]:
    """The trained model, and the seconds that it took; a regressor learns a target of deviation 1."""
    regression = kind is MLPRegressor
    training, validation = divide(y, "regression" if regression else "classification", 0.15, options.seed)
    mean, deviation = (y[training].mean(), y[training].std() or 1.0) if regression else (0.0, 1.0)
    scaled = (y - mean) / deviation if regression else y
    model = kind(
        hidden_layer_sizes=tuple(options.hidden),
        max_iter=options.epochs,
        batch_size=int(np.clip(len(training) // 30, 1, 200)),  # small tables need steps, not only epochs
        early_stopping=True,
        scoring="loss",
        n_iter_no_change=20,
        normalize="standard",
        random_state=options.seed,
        n_threads=options.threads,
    )
    given = {"X_val": X[validation], "y_val": scaled[validation]}
    seconds = fit_with_progress(model, X[training], scaled[training], options.json, **given)
    if regression:
        model.coefs_[-1] = model.coefs_[-1] * deviation
        model.intercepts_[-1] = model.intercepts_[-1] * deviation + mean
    return model, seconds


def _draw(model: Any, y: np.ndarray, found: np.ndarray, path: Path) -> None:
    """Training and validation loss of every epoch, and predictions of the test rows beside the truth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay, PredictionErrorDisplay

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(model.loss_curve_) + 1)
    left.plot(epochs, model.loss_curve_, label="training loss")
    left.plot(epochs, model.validation_loss_curve_, label="validation loss")
    left.set(xlabel="epoch", ylabel="loss", title="Training")
    left.legend()
    if isinstance(model, MLPRegressor):
        PredictionErrorDisplay.from_predictions(y, found, kind="actual_vs_predicted", ax=right)
    else:
        few = len(model.classes_) <= 12
        ConfusionMatrixDisplay.from_predictions(
            y, found, labels=model.classes_, ax=right, colorbar=False, include_values=few, xticks_rotation="vertical"
        )
    right.set_title("Test rows")
    figure.savefig(path, dpi=110)


def _misused(options: argparse.Namespace) -> str:
    """What is wrong with the options, or nothing."""
    least = {"--epochs": options.epochs, "--hidden": min(options.hidden), "--threads": options.threads}
    for name, value in least.items():
        if value is not None and value < 1:
            return f"{name} must be at least 1, got {value}"
    if not 0 < options.test_share < 1:
        return f"--test-share must lie between 0 and 1, got {options.test_share}"
    return ""


def _in_words(report: dict[str, Any]) -> str:
    """The report for people."""
    rows, scores = report["rows"], report["test"]
    return "\n".join(
        [
            f"{report['task']} of {report['target']} by {len(report['columns'])} columns: "
            f"{rows['train']} rows to train, {rows['test']} to test",
            f"{report['epochs']} epochs in {report['seconds']:.2f} s, ended by {report['stopped_by']}",
            *(f"test {name.replace('_', ' ')}: {value:.4f}" for name, value in scores.items()),
            f"model: {report['model']}",
            f"picture: {report['picture']}",
            f"report: {Path(report['model']).parent / 'report.json'}",
        ]
    )


def run(options: argparse.Namespace) -> int:
    """Read, split, train, report, draw, save."""
    import matplotlib  # noqa: F401  # before an hour of training, not after
    import rich  # noqa: F401

    misused = _misused(options)
    if misused:
        print(f"jitmlp train: {misused}", file=sys.stderr)
        return 2
    table, folder = read_table(options.data, options.target), Path(options.output)
    target = target_of(table, options.target, options.task != "regression")
    task = options.task or task_of(target)
    target = target_of(table, options.target, task == "classification")
    if task == "classification" and len(np.unique(target)) < 2:
        raise ValueError(f"{options.data} has one class alone in the column {options.target!r}")
    for name in options.drop:
        table.take(name)
    names = [name for name in table.columns if name not in {options.target, *options.drop}]
    if not names:
        raise ValueError(f"{options.data} has no columns beside the target")
    X = table.numbers(names)
    folder.mkdir(parents=True, exist_ok=True)  # raises before an hour of training, not after
    training, test = divide(target, task, options.test_share, options.seed)
    model, seconds = _fit(TASKS[task], options, X[training], target[training])
    if table.named:
        model.feature_names_in_ = np.array(names, object)
    model.save(folder / "model.jitmlp")  # whatever comes of the report
    vars(model).pop("feature_names_in_", None)  # the rows here are arrays
    rows, truth = X[test], target[test]
    found = model.predict(rows)
    report = {
        "jitmlp": __version__,
        "data": str(options.data),
        "task": task,
        "target": options.target,
        "columns": names,
        "rows": {"train": len(training), "test": len(test)},
        **({"classes": model.classes_.tolist()} if task == "classification" else {}),
        "test": scores_of(model, rows, truth, found),
        "epochs": model.n_iter_,
        "stopped_by": model.stopped_by_,
        "seconds": round(seconds, 3),
        "parameters": int(sum(a.size for a in (*model.coefs_, *model.intercepts_))),
        "model": str(folder / "model.jitmlp"),
        "picture": str(folder / "training.png"),
    }
    _draw(model, truth, found, folder / "training.png")
    write_whole(folder / "report.json", (json.dumps(report, indent=1) + "\n").encode(), private=False)
    print(json.dumps(report) if options.json else _in_words(report))
    return 0
