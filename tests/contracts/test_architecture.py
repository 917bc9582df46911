"""What holds the two packages apart, and the tables and documentation together."""

import ast
import inspect
from pathlib import Path

import pytest

import jitmlp
import jitmlp_kernels

KERNELS = Path(jitmlp_kernels.__file__).parent
PACKAGE = Path(jitmlp.__file__).parent
ALLOWED = {"jitmlp_kernels", "numpy", "numba", "llvmlite"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda path: path.name)
def test_kernels_import_numpy_and_numba_only(path):
    import sys

    assert {m for m in imported(path) if m not in sys.stdlib_module_names} <= ALLOWED


def test_files_can_be_read_in_one_sitting():
    for path in [*KERNELS.glob("*.py"), *PACKAGE.glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 420, path


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_parameter_is_documented(name):
    cls = getattr(jitmlp, name)
    documentation = inspect.getdoc(cls)
    for parameter in inspect.signature(cls).parameters:
        assert any(
            parameter in line.split(" : ")[0].replace(",", "").split()
            for line in documentation.splitlines()
            if " : " in line
        ), parameter


def test_every_public_object_is_documented():
    for path in [*KERNELS.glob("*.py"), *PACKAGE.glob("*.py")]:
        tree = ast.parse(path.read_text())
        for node in [tree, *tree.body]:
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
                name = getattr(node, "name", path.name)
                if not name.startswith("_"):
                    assert ast.get_docstring(node) or not path.read_text(), f"{path.name}: {name}"
