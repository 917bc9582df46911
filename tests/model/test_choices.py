"""Formulas of the user's own: an activation, a loss, an optimizer, as fast and as right as those of the tables."""

import copy
import pickle
import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits

import reference
from helpers import Constraints, Data, least_disturbed
from jitmlp import Activation, FormulaError, Loss, MLPClassifier, MLPRegressor, Optimizer, formulas
from jitmlp.engine.workspace import Workspace
from jitmlp.model.layers import output_layer
from jitmlp.model.model import Layer, Model
from jitmlp.model.parameters import Parameters, new_batch_norms
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
from jitmlp_kernels.rules.optimizers import GRADIENT

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, Y = load_digits(return_X_y=True)
X = X / 16


def snake(z, a):
    return z + formulas.sin(a * z) ** 2 / a


def bumpy(z):
    return formulas.where(abs(z) < 1.0, z * (1.5 - 0.5 * z * z), formulas.sign(z)) + 0.1 * formulas.tanh(z)


def gaussian(z):
    return formulas.exp(-0.5 * z * z) * formulas.minimum(1.0, formulas.log1p(z * z) + 0.5)


def scaled_relu(z):
    return formulas.maximum(0.0, z) * 1.3


def focal(a, y):
    p = formulas.clamp(a, 1e-6, 1.0 - 1e-6)
    return -y * (1.0 - p) ** 2 * formulas.log(p)


def asymmetric(a, y, weight):
    return formulas.where(a < y, weight, 1.0) * (a - y) ** 2


def log_cosh(a, y):
    return formulas.softplus(2.0 * (a - y)) - (a - y) - 0.6931471805599453


def my_momentum(w, g, state, c):
    velocity = c.mu * state[0] - c.learning_rate * g
    return w + velocity, (velocity,)


def adan(w, g, state, c):
    """Three slots: first moment, moment of the gradient's difference, last gradient."""
    difference = formulas.where(c.step == 1.0, 0.0, g - state[2])
    first = 0.9 * state[0] + 0.1 * g
    change = 0.9 * state[1] + 0.1 * difference
    return w - c.learning_rate * (first + 0.9 * change), (first, change, g)


ACTIVATIONS = [Activation(snake, 0.7), Activation(bumpy), Activation(gaussian), Activation(scaled_relu)]
LOSS_CHOICES = [Loss(focal), Loss(asymmetric, 3.0), Loss(log_cosh)]


def network(activation, loss, output="identity", dtype="float64", **layer):
    rule = activation.rule
    hidden = Layer(5, rule, activation.parameter or 0.0, **layer)
    model = Model(
        3, (hidden, output_layer(3, output)), loss.rule if isinstance(loss, Loss) else LOSSES[loss],
        np.dtype(dtype), getattr(loss, "parameter", None) or 0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    start = Parameters.of(
        [rng.normal(size=s) * 0.7 for s in model.shapes], [rng.normal(size=s[1]) for s in model.shapes]
    )
    return model, Parameters(start.weights, start.biases, new_batch_norms(model))


def check_gradient(model, start, targets, weights=None):
    rng = np.random.default_rng(1)
    data = Data(rng.normal(size=(7, 3)), targets, weights)
    workspace = Workspace(model, 7, 2, GRADIENT)
    table = GRADIENT.table(np.ones(1), np.ones(1), {})

    def objective():
        workspace.load(start)
        workspace.take_loss()
        workspace.train(data, np.arange(7), 7, table, Constraints(0.1), 2, 5)
        return workspace.take_loss() / 7

    objective()
    computed = [*workspace.parameters(1).weights, *workspace.parameters(1).biases]
    arrays = [*start.weights, *start.biases]
    for numeric, mine in zip(reference.numeric_gradient(objective, arrays, 1e-5), computed):
        np.testing.assert_allclose(mine, numeric, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("layer", [{}, {"batch_norm": True}, {"dropout": 0.4}, {"batch_norm": True, "dropout": 0.4}])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_derivatives_of_activations_are_found(activation, layer):
    model, start = network(activation, "log_loss", "softmax", **layer)
    check_gradient(model, start, np.eye(3)[np.arange(7) % 3], np.linspace(0.5, 2, 7))


@pytest.mark.parametrize("loss, output", [(LOSS_CHOICES[0], "softmax"), (LOSS_CHOICES[0], "logistic"),
    (LOSS_CHOICES[1], "identity"), (LOSS_CHOICES[1], "softplus"), (LOSS_CHOICES[2], "tanh")], ids=str)  # fmt: skip
def test_derivatives_of_losses_are_found(loss, output):
    model, start = network(Activation("tanh"), loss, output)
    targets = np.eye(3)[np.arange(7) % 3] if loss.function is focal else np.random.default_rng(3).normal(size=(7, 3))
    check_gradient(model, start, targets, np.linspace(0.5, 2, 7))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "dropout": 0.2}, {"clip_norm": 0.5}, {"solver": "lbfgs"}])
def test_all_modes_train_and_give_the_same_bits_on_any_threads(dtype, options):
    def fit(n_threads):
        model = MLPClassifier(
            (20, 10), activation=(Activation(snake, 0.7), Activation(bumpy)), loss=Loss(focal), dtype=dtype,
            n_threads=n_threads, max_iter=8, random_state=0, **options,
        )  # fmt: skip
        return model.fit(X, Y, sample_weight=1.0 + Y / 9)

    first, second = fit(1), fit(2)
    for a, b in zip(first.coefs_, second.coefs_):
        np.testing.assert_array_equal(a, b)
    assert first.score(X, Y) > 0.5 and first.coefs_[0].dtype == dtype
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).predict_proba(X), first.predict_proba(X))
    np.testing.assert_allclose(first.network_.forward(X), first.predict_proba(X), rtol=1e-6)


def test_an_optimizer_of_ones_own_takes_the_steps_of_its_formula():
    options = dict(hidden_layer_sizes=(15,), max_iter=7, random_state=0, learning_rate_init=0.05)
    mine = MLPClassifier(solver=Optimizer(my_momentum, slots=("velocity",), hyperparameters={"mu": 0.9}), **options)
    theirs = MLPClassifier(solver="momentum", **options)
    np.testing.assert_allclose(mine.fit(X, Y).coefs_[0], theirs.fit(X, Y).coefs_[0], rtol=1e-9, atol=1e-12)
    changed = clone(mine).set_params(solver_params={"mu": 0.5}).fit(X, Y)
    expected = clone(theirs).set_params(solver_params={"momentum": 0.5}).fit(X, Y)
    np.testing.assert_allclose(changed.coefs_[0], expected.coefs_[0], rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="solver_params.*'mu'"):
        clone(mine).set_params(solver_params={"mo": 0.5}).fit(X, Y)


def over_size(w, g, state, c):
    return w - c.learning_rate * g / abs(w), (g / abs(w),)


def over_size_but_0(w, g, state, c):
    size = formulas.where(w == 0.0, 1.0, abs(w))
    return w - c.learning_rate * g / size, (g / size,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}, {"l1": 0.01, "max_norm": 2.0}, {"batch_size": 1100}])
def test_what_an_optimizer_makes_of_the_padding_changes_nothing(dtype, options):
    """0 / 0 in every lane that holds no parameter: the same bits as without, and nothing that is not finite."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1200, 5)), rng.normal(size=(1200, 3))
    one, other = (
        MLPRegressor(
            hidden_layer_sizes=(9,),
            solver=Optimizer(f, ("last",)),
            dtype=dtype,
            max_iter=2,
            learning_rate_init=1e-4,
            random_state=0,
            **options,
        ).fit(X, y)
        for f in (over_size, over_size_but_0)
    )
    assert one.loss_curve_ == other.loss_curve_ and np.isfinite(one.loss_)
    for a, b in zip((*one.coefs_, *one.intercepts_), (*other.coefs_, *other.intercepts_)):
        np.testing.assert_array_equal(a, b)


def root(z):
    return formulas.sign(z) * formulas.sqrt(abs(z))


def test_an_activation_may_have_no_derivative_at_the_paddings_0():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    model = MLPRegressor(hidden_layer_sizes=(9,), activation=Activation(root), max_iter=30, random_state=0).fit(
        X, X @ [1, 2, 0, 0, 1]
    )
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]


def test_three_slots_against_numpy():
    rng = np.random.default_rng(0)
    data, target = rng.normal(size=(32, 6)), rng.normal(size=32)
    rule = Optimizer(adan, slots=("first", "change", "last"))
    model = MLPRegressor(
        hidden_layer_sizes=(), solver=rule, batch_size=8, shuffle=False, max_iter=3, alpha=0.0, random_state=0,
        learning_rate_init=0.01,
    )  # fmt: skip
    start = MLPRegressor(hidden_layer_sizes=(), max_iter=1, random_state=0, learning_rate_init=1e-300).fit(data, target)
    W, b = start.coefs_[0].copy(), start.intercepts_[0].copy()
    slots = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.0)]
    for t in range(1, 13):
        rows = np.arange((t - 1) % 4 * 8, (t - 1) % 4 * 8 + 8)
        delta = data[rows] @ W + b - target[rows, None]
        for i, (w, g) in enumerate(((W, data[rows].T @ delta / 8), (b, delta.mean(axis=0)))):
            first, change, last = slots[i]
            difference = 0 if t == 1 else g - last
            first, change = 0.9 * first + 0.1 * g, 0.9 * change + 0.1 * difference
            w -= 0.01 * (first + 0.9 * change)
            slots[i] = first, change, g
    np.testing.assert_allclose(model.fit(data, target).coefs_[0], W, rtol=1e-10)


def branching(z):
    if z > 0:
        return z
    return 0.0 * z


def with_numpy(z):
    return np.tanh(z)


def with_math(z):
    import math

    return math.exp(z)


def summed(z):
    return z.sum()


def two_at_once(z):
    return z, z


@pytest.mark.parametrize("function", [branching, with_numpy, with_math, summed, two_at_once], ids=lambda f: f.__name__)
def test_what_cannot_be_compiled_is_refused_with_its_line(function):
    line = function.__code__.co_firstlineno
    with pytest.raises(FormulaError) as caught:
        MLPClassifier((4,), activation=Activation(function)).fit(X, Y)
    message = str(caught.value)
    assert "test_choices.py" in message or function is two_at_once, message
    assert function is two_at_once or any(f"line {line + i}," in message for i in range(5)), message
    with pytest.raises(FormulaError):
        MLPRegressor(Loss(lambda a, y: function(a - y)), hidden_layer_sizes=(4,)).fit(X, Y)


def test_a_given_derivative_is_used():
    wrong = Activation(scaled_relu, derivative=lambda z: z * 0.0)
    model, start = network(wrong, "squared_error")
    workspace = Workspace(model, 7, 1, GRADIENT)
    workspace.load(start)
    data = Data(np.ones((7, 3)), np.zeros((7, 3)))
    workspace.train(data, np.arange(7), 7, GRADIENT.table(np.ones(1), np.ones(1), {}), Constraints())
    assert not workspace.parameters(1).weights[0].any() and workspace.parameters(1).weights[1].any()


@pytest.mark.parametrize("name", ["activation", "loss", "solver", "derivative"])
def test_a_number_that_a_formula_refers_to_is_that_of_the_fit(name):
    """The functions stay the same objects; what they refer to changes from fit to fit, and back."""
    X, y = load_diabetes(return_X_y=True)
    factor = 0.0

    def options():
        return {
            "activation": {"activation": Activation(lambda z: formulas.tanh(factor * z))},
            "derivative": {"activation": Activation(formulas.tanh, derivative=lambda z: factor / (1 + z * z))},
            "loss": {"loss": Loss(lambda a, y: factor * (a - y) ** 2)},
            "solver": {
                "solver": Optimizer(lambda w, g, state, c: (w - factor * c.learning_rate * formulas.sign(g), ()))
            },
        }[name]

    def fit(options):
        model = MLPRegressor(**options, hidden_layer_sizes=(5,), max_iter=4, random_state=0).fit(X, y / 100)
        return [*model.coefs_, model.predict(X)]

    kept, found, wanted = options(), [], []
    for now in (1.0, 3.0, 1.0, 0.5):
        factor = now
        found.append(fit(kept))
        wanted.append(fit(options()))
    for ours, new in zip(found, wanted, strict=True):
        for a, b in zip(ours, new, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][0], found[2][0])


def test_equality_clone_copies_and_pickles():
    assert Activation(snake, 0.7) == Activation(snake, 0.7) != Activation(snake, 0.8)
    assert Loss(focal) == Loss(focal) != Loss(log_cosh)
    assert hash(Optimizer(adan, ("a", "b", "c"))) == hash(Optimizer(adan, ["a", "b", "c"]))
    for choice in (Activation(snake, 0.7), Loss(focal), Optimizer(adan, ("a", "b", "c"))):
        assert pickle.loads(pickle.dumps(choice)) == choice == copy.deepcopy(choice)
    model = MLPClassifier(activation=Activation(snake, 0.7), loss=Loss(focal), solver=Optimizer(adan, ("a", "b", "c")))
    assert clone(model).get_params() == model.get_params()
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(Activation(lambda z: z))


def test_one_more_formula_is_ready_in_half_a_second():
    MLPClassifier((8,), max_iter=1).fit(X, Y)
    numbers = iter(np.linspace(0.123, 0.456, 10))

    def ready():
        start = time.process_time()
        MLPClassifier((8,), activation=Activation(gaussian, next(numbers)), max_iter=1).fit(X, Y)
        return time.process_time() - start

    least_disturbed(ready, 0.5)


def test_formulas_reach_what_the_tables_reach():
    D, t = load_diabetes(return_X_y=True)
    model = MLPRegressor(Loss(asymmetric, 9.0), hidden_layer_sizes=(10,), solver="lbfgs", max_iter=200, random_state=0)
    D, t = D * 20, (t - 150) / 80
    assert (model.fit(D, t).predict(D) > t).mean() > 0.7
