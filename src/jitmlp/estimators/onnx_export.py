"""A fitted estimator as an ONNX graph: normalization, layers, and what the outputs say, labels included.

Only operators that the reference runtimes have in float32 and in float64. To add an activation, add its
formula to ``ACTIVATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from jitmlp._version import __version__
from jitmlp.estimators.conversion import formula_of
from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.tasks import Multiclass, Regression
from jitmlp.model.model import Layer
from jitmlp_kernels.pieces.gather import BOUND, LARGEST
from jitmlp_kernels.rules.activations import SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI

OPSET, IR_VERSION = 18, 10


class Graph:
    """Nodes and constants of a graph under construction; values are the names of tensors."""

    def __init__(self, dtype: Any) -> None:
        import onnx

        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """The output of a new node."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A tensor known beforehand, by default of the network's dtype."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype or self.dtype), name))
        return name

    def cast(self, value: str, dtype: Any) -> str:
        """A tensor in another dtype."""
        return self.add("Cast", value, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _where_positive(g: Graph, z: str, positive: str, other: str) -> str:
    return g.add("Where", g.add("Greater", z, g.constant(0)), positive, other)


def _scaled(g: Graph, z: str, factor: float) -> str:
    return g.add("Mul", z, g.constant(factor))


def _elu(g: Graph, z: str, alpha: float) -> str:
    below = g.add("Sub", g.add("Exp", g.add("Min", z, g.constant(0))), g.constant(1))
    return _where_positive(g, z, z, _scaled(g, below, alpha))


def _softplus(g: Graph, z: str) -> str:
    rest = g.add("Log", g.add("Add", g.add("Exp", g.add("Neg", g.add("Abs", z))), g.constant(1)))
    return g.add("Add", g.add("Max", z, g.constant(0)), rest)


def _erf(g: Graph, z: str) -> str:
    return g.cast(g.add("Erf", g.cast(z, np.float32)), g.dtype)  # runtimes have it in float32 alone


def _gelu(g: Graph, z: str) -> str:
    return g.add("Mul", _scaled(g, z, 0.5), g.add("Add", _erf(g, _scaled(g, z, 0.5**0.5)), g.constant(1)))


def _gelu_tanh(g: Graph, z: str) -> str:
    cube = _scaled(g, g.add("Mul", g.add("Mul", z, z), z), 0.044715)
    inner = g.add("Tanh", _scaled(g, g.add("Add", z, cube), SQRT_2_OVER_PI))
    return g.add("Mul", _scaled(g, z, 0.5), g.add("Add", inner, g.constant(1)))


# name: function of the graph, the preactivation and the parameter
ACTIVATIONS: dict[str, Callable[[Graph, str, float], str]] = {
    "identity": lambda g, z, p: z,
    "logistic": lambda g, z, p: g.add("Sigmoid", z),
    "tanh": lambda g, z, p: g.add("Tanh", z),
    "relu": lambda g, z, p: g.add("Relu", z),
    "leaky_relu": lambda g, z, alpha: _where_positive(g, z, z, _scaled(g, z, alpha)),
    "elu": _elu,
    "selu": lambda g, z, p: _scaled(g, _elu(g, z, SELU_ALPHA), SELU_SCALE),
    # not z Sigmoid(beta z), which older runtimes fuse to an operator that float64 lacks
    "swish": lambda g, z, beta: g.add("Div", z, g.add("Add", g.add("Exp", _scaled(g, z, -beta)), g.constant(1))),
    "gelu": lambda g, z, p: _gelu(g, z),
    "gelu_tanh": lambda g, z, p: _gelu_tanh(g, z),
    "softplus": lambda g, z, p: _softplus(g, z),
    "mish": lambda g, z, p: g.add("Mul", z, g.add("Tanh", _softplus(g, z))),
    "exp": lambda g, z, p: g.add("Exp", z),
    "erf": lambda g, z, p: _erf(g, z),
    "step": lambda g, z, p: g.cast(g.add("Greater", z, g.constant(0)), g.dtype),
    "softmax": lambda g, z, p: g.add("Softmax", z, axis=1),
}


def _activate(g: Graph, z: str, layer: Layer) -> str:
    return formula_of(layer, ACTIVATIONS, "to_onnx")(g, z, layer.parameter)


def _smooth_clip(g: Graph, z: str) -> str:
    one, largest, least = (g.constant(number, np.float64) for number in (1, LARGEST, -LARGEST))
    z = g.add("Max", g.add("Min", z, largest), least)
    part = g.add("Div", z, g.constant(BOUND, np.float64))
    return g.add("Div", z, g.add("Sqrt", g.add("Add", g.add("Mul", part, part), one)))


def _network(g: Graph, estimator: Prediction, rows: str) -> str:
    """The outputs of the network for rows as the user has them."""
    model, parameters, scaling = estimator._fitted_model(), estimator._fitted_parameters(), estimator._fitted_scaling()
    if scaling is not None:  # in float64, as the kernels do it
        shifted = g.add("Sub", rows, g.constant(scaling.shift, np.float64))
        rows = g.add("Mul", shifted, g.constant(scaling.scale, np.float64))
        rows = g.cast(_smooth_clip(g, rows) if scaling.clips else rows, g.dtype)
    parameters = parameters.folded()
    all_weights, biases = list(parameters.weights), list(parameters.biases)
    if model.bins is not None:
        sources, lower, widths = model.bins.parts()
        above = g.add("Sub", g.add("Gather", rows, g.constant(sources, np.int64), axis=1), g.constant(lower))
        parts = g.add("Clip", g.add("Div", above, g.constant(widths)), g.constant(0), g.constant(1))
        rows = g.add("Concat", rows, parts, axis=1)
        all_weights[0], biases[0] = model.bins.of_parts(all_weights[0], biases[0])
    for weights, bias, layer in zip(all_weights, biases, model.layers):
        rows = _activate(g, g.add("Gemm", rows, g.constant(weights), g.constant(bias)), layer)
    return rows


def _clipped(g: Graph, outputs: str, activation: str) -> str:
    if activation in ("softmax", "logistic"):
        return outputs
    return g.add("Clip", outputs, g.constant(0), g.constant(1))


def _answers(g: Graph, estimator: Any, outputs: str, n_outputs: int) -> dict[str, Any]:
    """Outputs of the graph by name, with their dtypes; what ``predict`` and ``predict_proba`` say."""
    task, activation = estimator._task(), estimator._fitted_model().layers[-1].activation.name
    if isinstance(task, Regression):
        shape = [-1] if n_outputs == 1 else [-1, n_outputs]
        g.add("Reshape", outputs, g.constant(shape, np.int64), output="prediction")
        return {"prediction": (g.dtype, shape)}
    shares = _clipped(g, outputs, activation)
    classes = task.classes.astype(object) if task.classes.dtype.kind in "US" else task.classes
    label_dtype = classes.dtype
    if isinstance(task, Multiclass):
        if activation != "softmax":  # each for itself: made to sum up to 1
            total = g.add("ReduceSum", shares, g.constant([1], np.int64), keepdims=1)
            known = g.add("Greater", total, g.constant(0))
            safe = g.add("Where", known, total, g.constant(1))
            shares = g.add("Where", known, g.add("Div", shares, safe), g.constant(1 / n_outputs))
        chosen = g.add("ArgMax", outputs, axis=1, keepdims=0)
        g.add("Gather", g.constant(classes, label_dtype), chosen, output="label")
        columns = n_outputs
    elif n_outputs == 1:
        above = g.add("Greater", outputs, g.constant(0.5))
        chosen = g.add("Reshape", g.cast(above, np.int64), g.constant([-1], np.int64))
        both = classes if len(classes) == 2 else np.repeat(classes, 2)  # the one class there was
        g.add("Gather", g.constant(both, label_dtype), chosen, output="label")
        shares = g.add("Concat", g.add("Sub", g.constant(1), shares), shares, axis=1)
        columns = 2
    else:
        above = g.add("Greater", outputs, g.constant(0.5))
        g.add("Identity", g.cast(above, np.int64), output="label")
        label_dtype, columns = np.dtype(np.int64), n_outputs
    g.add("Identity", shares, output="probabilities")
    several = not isinstance(task, Multiclass) and n_outputs > 1
    return {"label": (label_dtype, [-1, n_outputs] if several else [-1]), "probabilities": (g.dtype, [-1, columns])}


def to_onnx(estimator: Prediction) -> Any:
    """The graph; see :meth:`jitmlp.estimators.prediction.Prediction.to_onnx`."""
    check_is_fitted(estimator)
    model = estimator._fitted_model()
    g = Graph(model.dtype)
    helper = g.onnx.helper
    taken = np.float64 if model.scaling is not None else model.dtype

    def tensor(name: str, dtype: Any, shape: list) -> Any:
        kind = (
            g.onnx.TensorProto.STRING
            if np.dtype(dtype).kind == "O"
            else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        )
        return helper.make_tensor_value_info(name, kind, ["n_samples", *shape[1:]])

    answers = _answers(g, estimator, _network(g, estimator, "X"), model.n_outputs)
    graph = helper.make_graph(
        g.nodes,
        type(estimator).__name__,
        [tensor("X", taken, [-1, model.n_features])],
        [tensor(name, *kind) for name, kind in answers.items()],
        g.constants,
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jitmlp",
        producer_version=__version__,
    )
    g.onnx.checker.check_model(made)
    return made
