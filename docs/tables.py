"""Write the tables of the documentation from those of the code.

    python docs/tables.py

A test holds README.md and docs/tables.md to what this gives.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from jitmlp.estimators.parameters import PARAMETERS
from jitmlp.model.initializers import INITIALIZERS
from jitmlp.training.schedules import SCHEDULES
from jitmlp_kernels.rules.activations import ACTIVATIONS
from jitmlp_kernels.rules.losses import LOSSES
from jitmlp_kernels.rules.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[1]
SCIKIT_LEARNS = {
    "activation": {"identity", "logistic", "tanh", "relu"},
    "solver": {"sgd", "adam", "lbfgs"},
    "learning_rate": {"constant", "invscaling", "adaptive"},
}


def _code(names) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head, rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _defaults(parameters) -> str:
    return ", ".join(f"`{name}` {h.default}" for name, h in parameters.items()) or "none"


def additions() -> str:
    """README's table of what is added to scikit-learn's parameters."""
    own = SCIKIT_LEARNS
    rows = [
        ("`activation`", "also " + _code(r.name for r in ACTIVATIONS if r.hidden and r.name not in own["activation"])
         + "; `Activation(\"elu\", 0.5)`; `Activation(function)` of your own; a tuple with one a hidden layer"),
        ("`solver`", "also " + _code(r.name for r in OPTIMIZERS if r.name not in own["solver"])
         + ", with `solver_params`; `Optimizer(update, slots)` of your own"),
        ("`learning_rate`", "also " + _code(r.name for r in SCHEDULES if r.name not in own["learning_rate"])
         + ", with `learning_rate_params`; a function of the step"),
        ("`loss`", "classifier: `squared_error`; regressor: also "
         + _code(r.name for r in LOSSES if r.regression and r.name not in ("squared_error", "poisson"))
         + "; `Loss(function)` of your own"),
        ("`shuffle`", "also `\"blocks\"`, for memory maps larger than memory: windows of blocks, read ahead"),
        ("`warm_start`", "also `\"continue\"`: with the optimizer's state, so that 10 and 10 epochs are 20"),
    ]  # fmt: skip
    names = list(
        dict.fromkeys(
            r.name for r in PARAMETERS if r.added and r.name not in ("loss", "solver_params", "learning_rate_params")
        )
    )
    for name in names:
        row = next(r for r in PARAMETERS if r.name == name and r.added)
        first = re.split(r"(?<=\.) ", row.text.replace("``", "`"), maxsplit=1)[0]
        choices = re.search(r"\{.*?\}", row.kind)
        rows.append((f"`{name}`", f"`{choices[0]}`: {first}" if choices else first))
    return _table(["parameter", "values"], rows)


def reference() -> str:
    """The page of all tables."""
    parameters = [
        (
            f"`{r.name}`",
            r.kind.replace("``", "`"),
            r.text.replace("``", "`"),
            "" if len(r.estimators) == 2 else r.estimators[0][3:],
            "yes" if r.added else "",
        )
        for r in PARAMETERS
    ]
    activations = [
        (_code((r.name, *r.aliases)), f"`{r.formula}`", f"`{r.parameter}` {r.default}" if r.parameter else "", r.source)
        for r in ACTIVATIONS
    ]
    losses = [
        (f"`{r.name}`", f"`{r.formula}`", f"`{r.parameter}` {r.default}" if r.parameter else "", r.canonical, r.source)
        for r in LOSSES
    ]
    optimizers = [
        (f"`{r.name}`", f"`{r.formula}`", _defaults(r.hyperparameters), _code(r.slots), r.source) for r in OPTIMIZERS
    ]
    schedules = [(f"`{r.name}`", f"`{r.formula}`", _defaults(r.parameters)) for r in SCHEDULES]
    initializers = [
        (f"`{r.name}`", f"`{r.formula}`", f"`{r.parameter}` {r.default}" if r.parameter else "", r.source)
        for r in INITIALIZERS
    ]
    parts = [
        "# Tables\n\nWritten by `docs/tables.py` from the tables of the code.",
        "## Parameters\n\n" + _table(["parameter", "type", "meaning", "only", "added to scikit-learn's"], parameters),
        "## Activations\n\n" + _table(["name", "formula", "parameter", "source"], activations),
        "## Losses\n\n" + _table(["name", "formula", "parameter", "canonical output", "source"], losses),
        "## Optimizers\n\nThe hyperparameters are the keys of `solver_params`.\n\n"
        + _table(["name", "formula", "hyperparameters", "state", "source"], optimizers),
        "## Learning-rate schedules\n\nThe parameters are the keys of `learning_rate_params`.\n\n"
        + _table(["name", "formula", "parameters"], schedules),
        "## Initializers\n\n" + _table(["name", "formula", "parameter", "source"], initializers),
    ]
    return "\n\n".join(parts) + "\n"


def bench() -> str:
    """README's table of times, from ``jitmlp bench --json > docs/pictures/bench.json``."""
    rows = json.loads((ROOT / "docs" / "pictures" / "bench.json").read_text())["rows"]
    cells = [
        (
            r["work"],
            f"{1e3 * r['jitmlp_seconds']:.0f} ms",
            f"{1e3 * r['scikit_learn_seconds']:.0f} ms",
            f"{r['ratio']:.1f}",
        )
        for r in rows
    ]
    return _table(["", "jitmlp", "scikit-learn", "ratio"], cells)


def readme(text: str) -> str:
    """README with its tables written anew."""
    end = "<!-- end of table -->"
    for name, table in (("bench", bench), ("additions", additions)):
        begin = f"<!-- table: {name} -->\n"
        before, rest = text.split(begin)
        text = f"{before}{begin}{table()}\n{end}{rest.split(end, 1)[1]}"
    return text


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text()))
    (ROOT / "docs" / "tables.md").write_text(reference())
