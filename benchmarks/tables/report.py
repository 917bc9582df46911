"""From results to tables: normalized means and ranks."""

from __future__ import annotations

import numpy as np

MEASURES = {"error": "error, classes", "log_loss": "log loss", "rmse": "RMSE, numbers"}
BASE = "scikit-learn MLP"
LEAST = 1e-3  # below which an error counts as this: a single row decides there


def means(results: dict, tables: list[str], splits: int, measure: str) -> dict[str, np.ndarray]:
    """The measure of every method on the tables that all methods have run on, the mean over the splits."""
    methods = list(dict.fromkeys(key.split("|")[2] for key in results))
    found: dict[str, list] = {name: [] for name in methods}
    for table in tables:
        runs = {name: [results.get(f"{table}|{seed}|{name}", {}) for seed in range(splits)] for name in methods}
        if all(measure in run for of_method in runs.values() for run in of_method):
            for name, of_method in runs.items():
                found[name].append(np.mean([run[measure] for run in of_method]))
    return {name: np.maximum(values, LEAST if measure == "error" else 0) for name, values in found.items()}


def ranks(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean rank of every method, 1 the best; equal values share their ranks."""
    from scipy.stats import rankdata

    table = rankdata(np.array(list(values.values())), axis=0)
    return {name: float(row.mean()) for name, row in zip(values, table)}


def of(results: dict, tables: list[str], splits: int) -> str:
    """The report in Markdown: geometric means relative to scikit-learn's network, mean ranks, CPU seconds."""
    by_measure = {measure: means(results, tables, splits, measure) for measure in MEASURES}
    cpu = means(results, tables, splits, "cpu")
    methods = list(cpu)
    head = [f"{title} (rank)" for title in MEASURES.values()]
    lines = [f"| | {' | '.join(head)} | CPU s |", f"|---|{'---|' * (len(head) + 1)}"]
    for name in methods:
        cells = []
        for values in by_measure.values():
            if not values[name].size:
                cells.append("-")
                continue
            base = values.get(BASE, values[name])
            cells.append(f"{np.exp(np.mean(np.log(values[name] / base))):.3f} ({ranks(values)[name]:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} | {cpu[name].sum():.0f} |")
    n_classes, n_numbers = (by_measure[m][methods[0]].size for m in ("error", "rmse"))
    lines.append(f"\n{n_classes} tables of classes, {n_numbers} of numbers, {splits} splits each, one thread.")
    return "\n".join(lines)
