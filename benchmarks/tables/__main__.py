"""Accuracy on tables beside scikit-learn's estimators, boosted trees and PyTorch's networks.

``python -m benchmarks.tables --out results.json`` runs every method on every table that is not in the file yet, on one
thread, and prints the report; with ``--ablation`` one member without this or that part of the recipe instead of methods.
Needs ``pip install -e ".[tables]"``.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from benchmarks.tables.judge import judge_all  # isort: skip  # first, since it says how many threads there are
from benchmarks.tables import ablation, report
from benchmarks.tables.data import TABLES
from benchmarks.tables.methods import METHODS, NEEDS


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
    parser.add_argument("--ablation", action="store_true", help=f"run {', '.join(ablation.PARTS)}")
    args = parser.parse_args()
    known = ablation.methods_of(ablation.PARTS) if args.ablation else METHODS
    for given, names, what in (
        (args.methods, known, "method"), (args.tables or [], [t.name for t in TABLES], "table"),
    ):  # fmt: skip
        for name in given:
            if name not in names:
                parser.error(f"unknown {what} {name!r}; there are {', '.join(names)}")
    chosen = args.methods or [name for name in known if find_spec(NEEDS.get(name, "jitmlp"))]
    tables = [table for table in TABLES if not args.tables or table.name in args.tables]
    suits = ablation.suits if args.ablation else lambda name, table: True
    methods, again = {name: known[name] for name in chosen}, args.again and bool(args.methods)
    results = judge_all(methods, tables, args.splits, args.out, again, suits)
    found = results, [table.name for table in tables], args.splits
    print(ablation.report(*found) if args.ablation else report.of(*found))
    if args.picture:
        report.draw(*found).savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main()
