"""Accuracy on tables beside scikit-learn's estimators, boosted trees and PyTorch's networks.

``python -m benchmarks.tables --out results.json`` runs every method on every table that is not in the file yet, on one
thread, and prints the report; needs ``pip install -e ".[tables]"``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and PyTorch are loaded; CPU seconds are those of one core

import numpy as np  # noqa: E402
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error  # noqa: E402

from benchmarks.tables import report  # noqa: E402
from benchmarks.tables.data import TABLES, split  # noqa: E402
from benchmarks.tables.methods import METHODS, NEEDS, fit_quietly  # noqa: E402


def judge(name: str, table, seed: int) -> dict:
    """Errors of one method on one split, and the CPU seconds of its fit."""
    rows = split(table, seed)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cpu, wall = time.process_time(), time.perf_counter()
        model = fit_quietly(name, table.classes, rows, seed)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    found = {"cpu": cpu, "wall": wall, "rows": len(rows.y), "columns": rows.X.shape[1]}
    if not table.classes:
        return {**found, "rmse": float(np.sqrt(mean_squared_error(rows.y_test, model.predict(rows.X_test))))}
    proba = np.asarray(model.predict_proba(rows.X_test), np.float64)
    proba = np.clip(proba, 1e-7, 1)
    proba /= proba.sum(axis=1, keepdims=True)
    classes = np.arange(proba.shape[1])
    error = 1 - accuracy_score(rows.y_test, proba.argmax(axis=1))
    return {**found, "error": float(error), "log_loss": float(log_loss(rows.y_test, proba, labels=classes))}


def main() -> None:
    """Run what is missing and print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("methods", nargs="*", help=f"of {', '.join(METHODS)}; all that are installed by default")
    parser.add_argument("--tables", nargs="+", help=f"of {', '.join(t.name for t in TABLES)}; all by default")
    parser.add_argument("--splits", type=int, default=2, help="of every table (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("tables.json"), help="results so far, and new ones (%(default)s)"
    )
    parser.add_argument("--picture", type=Path, help="where to draw accuracy against CPU seconds")
    parser.add_argument("--again", action="store_true", help="run the methods named anew")
    args = parser.parse_args()
    for given, known, what in (
        (args.methods, METHODS, "method"), (args.tables or [], [t.name for t in TABLES], "table"),
    ):  # fmt: skip
        for name in given:
            if name not in known:
                parser.error(f"unknown {what} {name!r}; there are {', '.join(known)}")
    methods = args.methods or [name for name in METHODS if find_spec(NEEDS.get(name, "jitmlp"))]
    tables = [table for table in TABLES if not args.tables or table.name in args.tables]
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for table in tables:
        for seed in range(args.splits):
            for name in methods:
                key = f"{table.name}|{seed}|{name}"
                if key in results and not (args.again and args.methods):
                    continue
                results[key] = judge(name, table, seed)
                print(key, {k: round(v, 4) for k, v in results[key].items()}, flush=True)
                args.out.write_text(json.dumps(results, indent=0))
    chosen = results, [table.name for table in tables], args.splits
    print(report.of(*chosen))
    if args.picture:
        report.draw(*chosen).savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main()
