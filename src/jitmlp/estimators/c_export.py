"""A fitted estimator as one C header that needs nothing but the standard library: C99, and C++ too.

To add an activation, add its formula to ``ACTIVATIONS``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from jitmlp._version import __version__
from jitmlp.estimators.conversion import clipping, formula_of, plain_bins, plain_parameters
from jitmlp.estimators.prediction import Prediction
from jitmlp.estimators.tasks import Multiclass, Regression
from jitmlp.model.model import Layer
from jitmlp_kernels.pieces.gather import BOUND
from jitmlp_kernels.rules.activations import SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI

# name: formula of the preactivation z, with p for the parameter; {f} is the suffix of math.h's functions
ACTIVATIONS = {
    "identity": "z",
    "logistic": "1 / (1 + exp{f}(-z))",
    "tanh": "tanh{f}(z)",
    "relu": "z < 0 ? 0 : z",
    "leaky_relu": "z > 0 ? z : p * z",
    "elu": "z > 0 ? z : p * expm1{f}(z)",
    "selu": f"(T){SELU_SCALE!r} * (z > 0 ? z : (T){SELU_ALPHA!r} * expm1{{f}}(z))",
    "swish": "z / (1 + exp{f}(-p * z))",
    "gelu": "(T)0.5 * z * (1 + erf{f}(z * (T)0.7071067811865476))",
    "gelu_tanh": f"(T)0.5 * z * (1 + tanh{{f}}((T){SQRT_2_OVER_PI!r} * (z + (T)0.044715 * z * z * z)))",
    "softplus": "(z > 0 ? z : 0) + log1p{f}(exp{f}(-fabs{f}(z)))",
    "mish": "z * tanh{f}((z > 0 ? z : 0) + log1p{f}(exp{f}(-fabs{f}(z))))",
    "exp": "exp{f}(z)",
    "erf": "erf{f}(z)",
    "step": "z > 0 ? 1 : 0",
}

LAYER = """\
    for (j = 0; j < {fan_out}; j++) {target}[j] = {name}_b{l}[j];
    for (i = 0; i < {fan_in}; i++)
        for (j = 0; j < {fan_out}; j++) {target}[j] += {source}[i] * {name}_w{l}[i * {fan_out} + j];
"""
COPY = """\
    for (i = 0; i < {n_features}; i++) in[i] = x[i];
"""
CLIP = """\
    for (i = 0; i < {n_features}; i++) {{
        T z = (x[i] - {name}_shift[i]) * {name}_scale[i];
        in[i] = z / hypot(1, z / {bound});
    }}
"""
BINS = """\
    for (i = 0; i < {n_parts}; i++) {{
        T part = (in[{name}_source[i]] - {name}_lower[i]) / {name}_width[i];
        in[{n_features} + i] = part < 0 ? 0 : part > 1 ? 1 : part;
    }}
"""
SOFTMAX = """\
    largest = {target}[0];
    for (j = 1; j < {fan_out}; j++) if ({target}[j] > largest) largest = {target}[j];
    for (j = 0, sum = 0; j < {fan_out}; j++) sum += ({target}[j] = exp{f}({target}[j] - largest));
    for (j = 0; j < {fan_out}; j++) {target}[j] /= sum;
"""
ELEMENTS = """\
    for (j = 0; j < {fan_out}; j++) {{ T z = {target}[j]; {target}[j] = {formula}; }}
"""


def _numbers(values: Any, suffix: str) -> str:
    """An initializer, each number in the fewest digits that give it back."""
    written = [np.format_float_scientific(value, unique=True, trim="0") + suffix for value in np.ravel(values)]
    lines = [", ".join(written[i : i + 8]) for i in range(0, len(written), 8)]
    return "{" + ",\n    ".join(lines) + "}"


def _quoted(text: str) -> str:
    """A string literal of UTF-8; whatever is more than a plain character is written by its number."""
    plain = re.compile(r"[A-Za-z0-9 _.,:;+*/=<>()\[\]{}#%&!|~^@$'-]")
    return '"' + "".join(c if plain.match(c) else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + '"'


def _activation(layer: Layer, target: str, fan_out: int, f: str) -> str:
    template = formula_of(layer, {**ACTIVATIONS, "softmax": ""}, "to_c")
    if layer.activation.coupled:
        return SOFTMAX.format(target=target, fan_out=fan_out, f=f)
    if layer.activation.name == "identity":
        return ""
    formula = re.sub(r"\bp\b", f"(T){layer.parameter!r}", template.format(f=f))
    return ELEMENTS.format(target=target, fan_out=fan_out, formula=formula)


def _class_function(name: str, estimator: Any, n_outputs: int) -> str:
    """The function that says which class a row has, and the names of the classes."""
    task = estimator._task()
    if isinstance(task, Regression) or (n_outputs > 1 and not isinstance(task, Multiclass)):
        return ""
    labels = ", ".join(_quoted(str(label)) for label in task.classes)
    chosen = (
        f"    return {min(len(task.classes), 2) - 1} * (out[0] > (T)0.5);\n"
        if n_outputs == 1
        else f"    for (j = 1; j < {n_outputs}; j++) if (out[j] > out[best]) best = j;\n    return best;\n"
    )
    counter = "" if n_outputs == 1 else "    int j, best = 0;\n"
    return (
        f"\n/* The labels, in the order of classes_. */\n"
        f"static const char *const {name}_classes[{len(task.classes)}] = {{{labels}}};\n\n"
        f"/* Which of the classes a row has: an index of {name}_classes. */\n"
        f"static inline int {name}_predict_class(const T *x)\n{{\n    T out[{n_outputs}];\n{counter}"
        f"    {name}_predict(x, out);\n{chosen}}}\n"
    )


def to_c(estimator: Prediction, name: str = "model") -> str:
    """The header; see :meth:`jitmlp.estimators.prediction.Prediction.to_c`."""
    check_is_fitted(estimator)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be an identifier of C, got {name!r}")
    model, parameters = estimator._fitted_model(), plain_parameters(estimator)
    if not parameters.all_finite():
        raise ValueError("to_c needs finite weights")
    double = parameters.weights[0].dtype == np.float64
    kind, f = ("double", "") if double else ("float", "f")  # what the type is called, and what its functions end in
    n = len(model.layers)
    widest = max(model.layer_units[1:-1], default=1)
    data, code = [], []
    bins, scaling = plain_bins(estimator), clipping(estimator)
    prepares = bins is not None or scaling is not None
    if scaling is not None:
        for which, values in (("shift", scaling.shift), ("scale", scaling.scale)):
            data.append(f"static const T {name}_{which}[{len(values)}] = {_numbers(values, f)};\n")
        code.append(CLIP.format(name=name, n_features=model.n_features, bound=BOUND))
    elif prepares:
        code.append(COPY.format(n_features=model.n_features))
    if bins is not None:
        sources, *tables = bins.parts()
        places = ", ".join(map(str, sources.tolist()))
        data.append(f"static const int {name}_source[{len(sources)}] = {{{places}}};\n")
        for which, values in zip(("lower", "width"), tables):
            numbers = _numbers(values.astype(parameters.weights[0].dtype), f)
            data.append(f"static const T {name}_{which}[{len(values)}] = {numbers};\n")
        code.append(BINS.format(name=name, n_features=model.n_features, n_parts=len(sources)))
    for l, layer in enumerate(model.layers):
        fan_in, fan_out = parameters.weights[l].shape
        source = ("in" if prepares else "x") if l == 0 else f"h{(l - 1) % 2}"
        target = "out" if l == n - 1 else f"h{l % 2}"
        for letter, values in (("w", parameters.weights[l]), ("b", parameters.biases[l])):
            data.append(f"static const T {name}_{letter}{l}[{values.size}] = {_numbers(values, f)};\n")
        code.append(LAYER.format(name=name, l=l, source=source, target=target, fan_in=fan_in, fan_out=fan_out))
        code.append(_activation(layer, target, fan_out, f))
    softmax = any(layer.activation.coupled for layer in model.layers)
    guard = f"JITMLP_{name.upper()}_H"
    features = getattr(estimator, "feature_names_in_", ())
    names = ", ".join(re.sub(r"[^A-Za-z0-9 _.-]", "_", str(feature)) for feature in features)
    order = f" * Inputs: {names}\n" if names else ""
    body = "".join(code)
    return (
        f"/* {type(estimator).__name__} {'-'.join(map(str, model.layer_units))}, written by jitmlp {__version__}.\n"
        f" * Weights of shape (fan_in, fan_out), row by row; normalization of inputs and layers is folded into them.\n"
        f"{order} */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <math.h>\n\n#define T {kind}\n\n"
        f"enum {{ {name}_n_inputs = {model.n_features}, {name}_n_outputs = {model.n_outputs} }};\n\n"
        + "".join(data)
        + "\n/* The network's outputs for one row: probabilities of a classifier, predictions of a regressor. */\n"
        + f"static inline void {name}_predict(const T *x, T *out)\n{{\n    int i, j;\n"
        + (f"    T in[{parameters.weights[0].shape[0]}];\n" if prepares else "")
        + "".join(f"    T h{k}[{widest}];\n" for k in range(min(n - 1, 2)))
        + ("    T largest, sum;\n" if softmax else "")
        + body
        + "}\n"
        + _class_function(name, estimator, model.n_outputs)
        + "\n#undef T\n#endif\n"
    )
