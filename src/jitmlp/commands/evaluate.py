"""``jitmlp evaluate MODEL DATA --target COLUMN``: what a model reaches on the rows of a file."""

from __future__ import annotations

import argparse
import json

import numpy as np
from sklearn.metrics import classification_report

from jitmlp.commands.predict import add_inputs, rows_for
from jitmlp.commands.train import scores_of, target_of
from jitmlp.estimators.model_file import load
from jitmlp.files.table import read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    add_inputs(parser)
    parser.add_argument("--target", metavar="COLUMN", required=True, help="the truth; for IDX the file of the labels")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Load, predict, compare."""
    model, table = load(options.model), read_table(options.data, options.target)
    classes = hasattr(model, "classes_")
    truth, rows = target_of(table, options.target, classes), rows_for(model, table, [options.target, *options.drop])
    if classes and model.classes_.dtype.kind in "OSU":
        truth = truth.astype(str)  # words that all look like numbers
    if classes and not np.isin(truth, model.classes_).all():
        unknown = np.setdiff1d(truth, model.classes_)
        raise ValueError(f"{table.path} has classes that the model does not know: {unknown[:5].tolist()}")
    found = model.predict(rows)
    scores = scores_of(model, rows, truth, found)
    if options.json:
        print(json.dumps({"rows": len(truth), **scores}))
        return 0
    if classes:
        print(classification_report(truth, found, digits=4, zero_division=0))
    for name, value in scores.items():
        print(f"{name.replace('_', ' ')}: {value:.4f}")
    return 0
