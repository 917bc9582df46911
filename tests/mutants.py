"""Mutation testing of the rules' formulas: each operator, number and comparison changed in turn.

    python tests/mutants.py [--sample 60] [--seed 0]

A mutant is a copy of the kernels with one change in rules/; it is killed if a test of the formulas fails. Prints
those that live; exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jitmlp_kernels

KERNELS = Path(jitmlp_kernels.__file__).parent
TESTS = Path(__file__).parent
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARISONS = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
FILES = {
    "activations.py": ["kernels/test_activations.py"],
    "losses.py": ["engine/test_workspace.py", "contracts/test_parity.py", "training/test_regularization.py"],
    "optimizers.py": ["kernels/test_optimizers.py"],
}


def places(tree: ast.AST):
    """The changes that can be made: ``(node number, what)``."""
    inside = set()
    for node in ast.walk(tree):  # formulas only: lambdas and functions, not the tables' own numbers
        if isinstance(node, (ast.Lambda, ast.FunctionDef)):
            inside |= {id(n) for n in ast.walk(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in inside:
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
            yield number, f"line {node.lineno}: {type(node.op).__name__} -> {SWAPS[type(node.op)].__name__}"
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            yield (
                number,
                f"line {node.lineno}: {type(node.ops[0]).__name__} -> {COMPARISONS[type(node.ops[0])].__name__}",
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and abs(node.value) > 1e-3:
            yield number, f"line {node.lineno}: {node.value} -> {node.value * 1.5 + 0.25}"


def mutate(source: str, number: int) -> str:
    """The source with one change."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    if isinstance(node, ast.BinOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    else:
        node.value = node.value * 1.5 + 0.25
    return ast.unparse(tree)


def lives(job) -> bool:
    """Whether all tests pass with the change."""
    name, number, _ = job
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(KERNELS, Path(folder) / "jitmlp_kernels", ignore=shutil.ignore_patterns("__pycache__"))
        path = Path(folder) / "jitmlp_kernels" / "rules" / name
        path.write_text(mutate(path.read_text(), number))
        environment = {**os.environ, "PYTHONPATH": folder, "JITMLP_CACHE_DIR": f"{folder}/cache", "JITMLP_SILENT": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
        done = subprocess.run(
            [*command, *(str(TESTS / t) for t in FILES[name])], env=environment, capture_output=True, cwd=TESTS.parent
        )
        return done.returncode == 0


def main() -> int:
    """Try them all, or a sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sample", type=int, help="how many, by default all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    jobs = [
        (name, number, what)
        for name in FILES
        for number, what in places(ast.parse((KERNELS / "rules" / name).read_text()))
    ]
    total = len(jobs)
    if options.sample:
        jobs = random.Random(options.seed).sample(jobs, min(options.sample, total))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        alive = [job for job, lived in zip(jobs, pool.map(lives, jobs)) if lived]
    for name, _, what in alive:
        print(f"lives: {name}, {what}")
    print(f"{len(jobs)} of {total} mutants tried, {len(jobs) - len(alive)} killed, {len(alive)} live")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
