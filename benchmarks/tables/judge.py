"""Methods on splits of tables, on one thread, and what comes of them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and PyTorch are loaded; CPU seconds are those of one core

import numpy as np  # noqa: E402
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error  # noqa: E402

from benchmarks.tables.data import Table, split  # noqa: E402


def judge(method: Callable, table: Table, seed: int) -> dict:
    """Errors of one method on one split, and the CPU seconds of its fit; what its package prints and warns of is left out."""
    rows = split(table, seed)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cpu, wall = time.process_time(), time.perf_counter()
            model = method(table.classes, rows, seed)
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


def judge_all(
    methods: dict[str, Callable], tables: list[Table], splits: int, out: Path, again: bool, suits: Callable
) -> dict:
    """All methods on all splits that are not in a file yet, which has the results so far after each of them.

    Parameters
    ----------
    methods : dict of callable
    tables : list of Table
    splits : int
    out : Path
    again : bool
        Whether those in the file are run anew.
    suits : callable
        ``suits(name, table)``, whether a method is for a table.
    """
    results = json.loads(out.read_text()) if out.exists() else {}
    for table in tables:
        for seed in range(splits):
            for name, method in methods.items():
                key = f"{table.name}|{seed}|{name}"
                if not suits(name, table) or (key in results and not again):
                    continue
                results[key] = judge(method, table, seed)
                print(key, {k: round(v, 4) for k, v in results[key].items()}, flush=True)
                out.write_text(json.dumps(results, indent=0))
    return results
