"""What holds the packages apart and in order, and the tables, signatures and documentation together."""

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import BaseEstimator

import jitmlp
import jitmlp_kernels
from jitmlp.estimators.parameters import PARAMETERS, table_of

KERNELS = Path(jitmlp_kernels.__file__).parent
PACKAGE = Path(jitmlp.__file__).parent
FILES = [*sorted(KERNELS.rglob("*.py")), *sorted(PACKAGE.rglob("*.py"))]
ALLOWED = {"jitmlp_kernels", "numpy", "numba", "llvmlite", "filelock", "platformdirs"}
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "pictures"))
import draw  # noqa: E402

FLOORS = list(draw.FLOORS)  # imports point downward only: a package may use those before it


def module_name(path):
    """The dotted name of one of the packages' files."""
    root = KERNELS if KERNELS in path.parents else PACKAGE
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """The modules that a file imports while it runs."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(name):
    """The number of the floor that a module is on; -1 for what lies outside of all."""
    return next((i for i, prefix in enumerate(FLOORS) if name == prefix or name.startswith(prefix + ".")), -1)


@pytest.mark.parametrize("path", [p for p in FILES if KERNELS in p.parents], ids=module_name)
def test_kernels_import_what_compiles_and_little_else(path):
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots - set(sys.stdlib_module_names) <= ALLOWED


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downward(path):
    own = floor(module_name(path))
    if own >= 0:
        above = [name for name in imported(path) if floor(name) > own]
        assert above == []


def test_every_folder_is_packaged():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for path in FILES:
        if path.name == "__init__.py":
            assert f'"{module_name(path)}"' in text, path


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_can_be_read_in_one_sitting(path):
    limit = 500 if path.name == "parameters.py" else 620  # the table of parameters is prose
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_public_object_is_documented(path):
    tree = ast.parse(path.read_text())
    for node in [tree, *tree.body]:
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            name = getattr(node, "name", path.name)
            if not name.startswith("_"):
                assert ast.get_docstring(node) or not path.read_text(), name


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_signatures_are_those_of_the_table(name):
    """The constructor has the table's parameters and defaults, in the table's order; scikit-learn's come first."""
    rows, signature = table_of(name), inspect.signature(getattr(jitmlp, name)).parameters
    theirs = inspect.signature(getattr(sklearn.neural_network, name)).parameters
    assert list(rows) == list(signature)
    for parameter, row in rows.items():
        assert signature[parameter].default == row.default
        if parameter in theirs and not row.added:
            assert theirs[parameter].default == row.default and signature[parameter].kind == theirs[parameter].kind
        else:
            assert row.added and signature[parameter].kind is inspect.Parameter.KEYWORD_ONLY
    mine = [parameter for parameter, row in rows.items() if not row.added]
    assert mine == [p for p in theirs if p in mine]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_parameter_and_attribute_is_documented(name):
    cls, documentation = getattr(jitmlp, name), inspect.getdoc(getattr(jitmlp, name))
    heads = [line.split(" : ")[0].replace(",", "").split() for line in documentation.splitlines() if " : " in line]
    documented = {word for words in heads for word in words}
    assert set(inspect.signature(cls).parameters) <= documented
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    model = cls(max_iter=2, tol=10.0, n_iter_no_change=1).fit(X, y)
    fitted = {a for a in vars(model) if a.endswith("_") and not a.startswith("_")}
    assert fitted <= documented


def test_constraints_are_made_from_the_table():
    assert all(isinstance(row.allowed, list) and row.text.endswith(".") for row in PARAMETERS)
    for name in ("MLPClassifier", "MLPRegressor"):
        assert set(getattr(jitmlp, name)._parameter_constraints) == set(table_of(name))


def test_what_is_exported_is_there_and_public():
    for name in jitmlp.__all__:
        assert getattr(jitmlp, name) is not None
    estimators = [
        n
        for n in jitmlp.__all__
        if isinstance(getattr(jitmlp, n), type) and issubclass(getattr(jitmlp, n), BaseEstimator)
    ]
    assert {"MLPClassifier", "MLPRegressor", "Perceptron"} <= set(estimators)


def test_nothing_is_left_running_or_open_by_an_import():
    code = "import jitmlp, threading, warnings; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "1" and done.stderr == ""


def test_the_pictures_show_what_is_there():
    """Every package is a floor, every station of a row's way exists, the array's numbers are the layout's."""
    packages = {module_name(p) for p in FILES if p.name == "__init__.py"} - {"jitmlp", "jitmlp_kernels"}
    assert packages == set(FLOORS)
    for name, _ in draw.WAY:
        assert pydoc.locate(name) is not None, name
    layout = draw.example_layout()
    figure = draw.draw_array()
    texts = " ".join(t.get_text() for axes in figure.axes for t in axes.texts)
    assert f"parameters {layout.state_stride}" in texts and f"padded to {layout.layers[0].fan_in_padded}" in texts
    for name, make in draw.PICTURES.items():
        assert make().axes and (Path(draw.__file__).parent / f"{name}.svg").stat().st_size > 5000
