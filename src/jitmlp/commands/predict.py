"""``jitmlp predict MODEL DATA``: predictions for the rows of a file, as CSV."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from jitmlp.estimators.model_file import load
from jitmlp.files.table import Table, read_table


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """A saved model, a table, and which columns of an array the model was not trained on."""
    parser.add_argument("model", metavar="MODEL", help="file of a saved model, such as model.jitmlp")
    parser.add_argument("data", metavar="DATA", help="table: .csv, .tsv, .parquet, .npy or IDX")
    text = "columns of .npy that the model was not trained on; where columns have names they are found"
    parser.add_argument("--drop", metavar="COLUMN", nargs="+", default=[], help=text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    add_inputs(parser)
    parser.add_argument("--proba", action="store_true", help="also the probability of each class")
    parser.add_argument("--output", metavar="FILE", help="CSV file, by default standard output")
    parser.add_argument("--json", action="store_true", help="a list of JSON objects instead of CSV")


def rows_for(model: Any, table: Table, drop: Sequence[str]) -> Any:
    """The columns of a table that a model was trained on: by name, or where it knows none all but those to drop.

    Raises
    ------
    ValueError
        If they are not there.
    """
    names = vars(model).pop("feature_names_in_", None)  # the rows are an array of these columns
    if names is None:  # by place
        names = [name for name in table.columns if name not in drop]
        if len(names) != model.n_features_in_:
            raise ValueError(
                f"{table.path} has {len(names)} columns, the model expects {model.n_features_in_}; leave others out with --drop"
            )
    return table.numbers([str(name) for name in names])


def run(options: argparse.Namespace) -> int:
    """Load, predict, write."""
    model = load(options.model)
    if options.proba and not hasattr(model, "predict_proba"):
        raise ValueError("--proba needs a classifier")
    rows = rows_for(model, read_table(options.data), options.drop)
    found = model.predict(rows)
    columns = (
        {"prediction": found} if found.ndim == 1 else {f"prediction_{j}": found[:, j] for j in range(found.shape[1])}
    )
    if options.proba:
        shares = model.predict_proba(rows)
        columns |= {f"probability_{name}": shares[:, j] for j, name in enumerate(model.classes_)}
    lines = zip(*(column.tolist() for column in columns.values()))
    file = open(options.output, "w", newline="") if options.output else sys.stdout
    try:
        if options.json:
            print(json.dumps([dict(zip(columns, line)) for line in lines]), file=file)
        else:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(lines)
    finally:
        if options.output:
            file.close()
    return 0
