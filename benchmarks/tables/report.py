"""From results to tables: normalized means and ranks."""

from __future__ import annotations

from typing import Any

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


def relative(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Geometric mean of every method's values over those of scikit-learn's network, or its own where that is not there."""
    return {
        name: float(np.exp(np.mean(np.log(own / values.get(BASE, own))))) for name, own in values.items() if own.size
    }


def draw(results: dict, tables: list[str], splits: int) -> Any:
    """A figure of each measure over the CPU seconds that all fits took; lower and further left is better."""
    from matplotlib.figure import Figure

    seconds = means(results, tables, splits, "cpu")
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    drawn = []
    for ax, (measure, title) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items()):
        found = relative(means(results, tables, splits, measure))
        points = {name: (float(seconds[name].sum()), value) for name, value in found.items()}
        for name, point in points.items():
            ax.plot(*point, "o", color=_color(name), gid=name)
        ax.set(xscale="log", xlabel="CPU seconds of all fits", title=f"{title}, relative")
        ax.margins(x=0.45, y=0.15)
        drawn.append((ax, points))
    figure.draw_without_rendering()  # where points lie is known now
    for ax, points in drawn:
        _write_names(ax, points)
    return figure


def _color(name: str) -> str:
    return "C3" if name.startswith("jitmlp") else "C0"


# Where a name may stand beside its point, in points of type, and how it is aligned there
PLACES = (
    (0, 6, "center"),
    (0, -13, "center"),
    (6, -3, "left"),
    (-6, -3, "right"),
    (0, 16, "center"),
    (0, -23, "center"),
)
HEIGHT, LETTER, DOT = 8.0, 4.0, 4.0  # of a name, of a letter's width and of a point, likewise


def _write_names(ax: Any, points: dict[str, tuple[float, float]]) -> None:
    """The names of points, each where it meets the fewest others and their points."""
    scale = 72 / ax.figure.dpi
    at = {name: ax.transData.transform(point) * scale for name, point in points.items()}
    taken = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in at.values()]
    for name, (x, y) in at.items():
        width = LETTER * len(name)
        boxes = []
        for right, up, align in PLACES:
            left = x + right - {"left": 0, "center": width / 2, "right": width}[align]
            boxes.append((left, y + up, left + width, y + up + HEIGHT))
        meets = [sum(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in taken) for a in boxes]
        best = int(np.argmin(meets))
        taken.append(boxes[best])
        right, up, align = PLACES[best]
        place = dict(xytext=(right, up), textcoords="offset points", ha=align)
        ax.annotate(name, points[name], fontsize=7, color=_color(name), **place)


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
            cells.append(f"{relative(values)[name]:.3f} ({ranks(values)[name]:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} | {cpu[name].sum():.0f} |")
    n_classes, n_numbers = (by_measure[m][methods[0]].size for m in ("error", "rmse"))
    lines.append(f"\n{n_classes} tables of classes, {n_numbers} of numbers, {splits} splits each, one thread.")
    return "\n".join(lines)
