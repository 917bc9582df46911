"""The tables' formulas on NumPy's numbers against the oracle, and that the oracle notices every change of one.

Mutation testing: each operator, comparison and number of the formulas is changed in turn; a mutant that no check
of this file notices would be a hole in the checks. The compiled formulas are held to the same oracle elsewhere.
"""

import ast
import inspect
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

import reference
from jitmlp_kernels.rules import activations, losses, optimizers

Z = np.concatenate([np.linspace(-6, 6, 61) + 0.013, [-30.0, 30.0, 0.0]])
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARISONS = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def near(mine, theirs, rtol=1e-6, atol=1e-8):
    np.testing.assert_allclose(np.broadcast_to(mine, np.shape(theirs)), theirs, rtol=rtol, atol=atol)


def slope_of(function, x, h=1e-6):
    return (function(x + h) - function(x - h)) / (2 * h)


def check_activations(table):
    """Values, derivatives away from kinks, NaN, and the values at 0."""
    for row in table:
        if row.coupled:
            z = np.random.default_rng(0).normal(size=(4, 5))
            near(row.function(z, 0.0), reference.softmax(z), rtol=1e-12)
            near(row.function(z + 800.0, 0.0), reference.softmax(z), rtol=1e-9)
            continue
        oracle = reference.ACTIVATIONS[row.name]
        for p in {row.default, row.default * 1.7}:
            near(row.function(Z, p), oracle(Z, p), rtol=1e-10, atol=1e-12)
            assert np.isnan(row.function(np.array([np.nan]), p)).all()
            if row.name == "step":
                near(row.derivative(np.array([0.0, 1.0]), p), np.zeros(2))
                continue
            z = Z[np.abs(Z) > 1e-3]
            x = z if row.from_preactivation else row.function(z, p)
            near(row.derivative(x, p), slope_of(lambda v, p=p, f=oracle: f(v, p), z), rtol=1e-5, atol=1e-7)
        if row.name == "relu":
            near(row.derivative(np.array([0.0]), 0.0), [0.0])


def check_losses(table):
    """Values and derivatives, at the edges of what each is defined for too."""
    rng = np.random.default_rng(0)
    for row in table:
        oracle = reference.LOSSES[row.name]
        probabilities = row.name in ("log_loss", "binary_log_loss")
        a = rng.uniform(0.02, 0.98, 60) if probabilities else np.abs(rng.normal(size=60)) + 0.1
        y = rng.choice([0.0, 1.0, 0.3, 0.25], 60) if probabilities else np.round(np.abs(rng.normal(size=60)) * 2, 1)
        if row.name not in ("poisson",) and not probabilities:
            a, y = a * rng.choice([-1, 1], 60), y - 1.0
        y[:3] = 0.0
        for p in {row.default, row.default * 0.6}:
            near(row.value(a, y, p), oracle(a, y, p), rtol=1e-10, atol=1e-12)
            near(row.derivative(a, y, p), slope_of(lambda v, p=p: oracle(v, y, p), a), rtol=1e-5, atol=1e-6)
        assert np.isnan(row.value(np.array([np.nan]), np.array([1.0]), row.default)).all()
        assert np.isnan(row.value(np.array([np.nan]), np.array([0.0]), row.default)).all()
        if probabilities:
            for kind, eps in ((np.float32, np.finfo(np.float32).eps), (np.float64, np.finfo(np.float64).eps)):
                near(row.value(np.array([0.0], kind), np.array([1.0], kind), 0.0), [-np.log(eps)], rtol=1e-5)
                if row.name == "binary_log_loss":
                    near(row.value(np.array([1.0], kind), np.array([0.0], kind), 0.0), [-np.log(eps)], rtol=1e-5)
        if row.name in ("absolute_error", "quantile"):
            near(row.derivative(np.array([1.0]), np.array([1.0]), 0.3), [0.0])
        if row.name == "huber":
            near(row.value(np.array([2.0]), np.array([0.5]), 1.5), [0.5 * 1.5**2])


def check_optimizers(table):
    """Thirty steps of each against the step-by-step reference, with two sets of hyperparameters."""
    from test_optimizers import REFERENCES

    rng = np.random.default_rng(0)
    changed = {
        "momentum": 0.7, "rho": 0.8, "epsilon": 1e-3, "beta_1": 0.6, "beta_2": 0.7, "weight_decay": 0.3, "centered": True,
    }  # fmt: skip
    for row in table:
        for h in (row.defaults, {**row.defaults, **{k: v for k, v in changed.items() if k in row.hyperparameters}}):
            rates = 0.05 / np.arange(1, 31) ** 0.5
            coefficients = row.table(rates, np.arange(1.0, 31), h)
            w = theirs = rng.normal(size=12)
            state, notes = tuple(np.zeros(12) for _ in row.slots), {}
            for t in range(30):
                g = rng.normal(size=12) * (0.3 if t % 7 else 3.0)
                c = SimpleNamespace(**dict(zip(row.names, coefficients[t])))
                w, state = row.update(w, g, state, c)
                theirs = REFERENCES[row.name](theirs, g, notes, t + 1, rates[t], h)
                near(w, theirs, rtol=1e-9, atol=1e-11)
            assert len(state) == len(row.slots)
            if row.name == "rmsprop":
                near(state[1], notes["a"], rtol=1e-9)
            still = SimpleNamespace(
                **dict(zip(row.names, row.table(rates, np.arange(1.0, 31), {**h, "weight_decay": 0.0})[0]))
            )
            nothing = tuple(np.zeros(1) for _ in row.slots)
            near(row.update(np.array([1.5]), np.zeros(1), nothing, still)[0], [1.5])
            assert np.isnan(row.update(np.array([1.5]), np.array([np.nan]), nothing, still)[0]).all()
    near(optimizers.GRADIENT.update(1.0, 2.0, (0.0,), None)[1][0], 2.0)


CHECKS = {
    activations: (check_activations, "ACTIVATIONS"),
    losses: (check_losses, "LOSSES"),
    optimizers: (check_optimizers, "OPTIMIZERS"),
}
NAMES = {module.__name__.rsplit(".", 1)[1]: module for module in CHECKS}


@pytest.mark.parametrize("name", NAMES)
def test_formulas_equal_the_oracle(name):
    check, table = CHECKS[NAMES[name]]
    check(getattr(NAMES[name], table))


def places(tree):
    """The changes that can be made to formulas: functions and lambdas, not the classes of the tables."""
    inside = set()
    for top in tree.body:
        if isinstance(top, ast.ClassDef):
            continue
        for node in ast.walk(top):
            if isinstance(node, (ast.Lambda, ast.FunctionDef)):
                inside |= {id(n) for n in ast.walk(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in inside:
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
            yield number, f"{type(node.op).__name__} -> {SWAPS[type(node.op)].__name__}"
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            yield number, f"{type(node.ops[0]).__name__} -> {COMPARISONS[type(node.ops[0])].__name__}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield number, f"{node.value} -> {node.value * 1.5 + 0.25}"


def mutate(source, number):
    """The source with one change, and its line."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    if isinstance(node, ast.BinOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    else:
        node.value = node.value * 1.5 + 0.25
    return ast.unparse(tree), f"line {node.lineno}"


# Changes that change no number, each with the reason
EQUIVALENT = {
    "z <= 0.0": "what step does not choose where z > 0: only a NaN must not pass it",
    "blend * 0.0": "0 of 0, NaN of NaN, whatever the factor",
    "h.get('epsilon', 0.0)": "what an optimizer without epsilon does not use",
    "where(z > 0.0, 0.0, z)": "what elu and selu do not choose where z > 0: it only must not overflow",
    "where(spread < 0.0, 0.0, spread)": "a variance below 0 by rounding alone",
    "where(y > 0.0, y, 1.0)": "what poisson does not choose where y is 0",
}


def is_equivalent(source, number):
    """Whether a change lies in one of the guards above."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[number]
    for parent in ast.walk(tree):
        if (
            isinstance(parent, ast.expr)
            and ast.unparse(parent) in EQUIVALENT
            and any(n is node for n in ast.walk(parent))
        ):
            return True
    return False


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_mutant_of_the_formulas_is_killed(name):
    module = NAMES[name]
    check, table = CHECKS[module]
    source, alive, tried = inspect.getsource(module), [], 0
    for number, what in places(ast.parse(source)):
        if is_equivalent(source, number):
            continue
        text, line = mutate(source, number)
        key = f"{module.__name__}_mutant"
        mutant = sys.modules[key] = types.ModuleType(key)
        tried += 1
        try:
            namespace = mutant.__dict__
            exec(compile(text, module.__file__, "exec"), namespace)
            check(namespace[table])
        except Exception:
            continue
        finally:
            del sys.modules[key]
        alive.append(f"{line}: {what}")
    assert tried > 40 and alive == []
