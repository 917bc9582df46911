"""The three pictures of the architecture page, drawn from the code, and README's of what was measured.

python docs/pictures/draw.py
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

from jitmlp.engine.data import Data
from jitmlp.engine.layout import Layout
from jitmlp.engine.program import Plan, Program, training_program
from jitmlp.engine.workspace import Workspace
from jitmlp.model.model import Layer, Model
from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATIONS
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZERS

HERE = Path(__file__).parent
# Imports point downward only; a test holds the packages to this order
FLOORS = {
    "jitmlp_kernels.trace": "machines that run a traced body: emitter, interpreter; functions, derivatives",
    "jitmlp_kernels.rules": "tables of activations, losses, optimizers",
    "jitmlp_kernels.pieces": "kernels: gather, product, activations, loss, weights, batch norm ...; records",
    "jitmlp_kernels.link": "compile, keep, load: one file and one lock a piece",
    "jitmlp_kernels.step": "the driver: phases, calls, the team of threads",
    "jitmlp.model": "layers, parameters, names and functions of the user, initializers: no memory",
    "jitmlp.engine": "a network in the kernels' memory: layout, program, workspace, data, threads",
    "jitmlp.training": "recipe, schedules, epochs, callbacks, L-BFGS: gives a Fit back",
    "jitmlp.estimators": "the table of parameters, tasks, classifier, regressor, perceptron",
    "jitmlp.tabular": "tables as they come: encoder, ensembles of networks",
    "jitmlp.displays": "pictures of fitted estimators",
    "jitmlp.files": "readers of files",
    "jitmlp.commands": "the jitmlp command, one file a subcommand",
}
# From the user's array to the weights and back
WAY = [
    ("jitmlp.estimators.base.BaseMLP.fit", "the user's call"),
    (
        "jitmlp.estimators.problem.Preparation._prepare",
        "validate, encode, draw: a Problem; the estimator stays as it is",
    ),
    ("jitmlp.engine.data.Data", "addresses, strides, element types; checked once"),
    ("jitmlp.training.stochastic.train", "epochs, callbacks, stopping"),
    ("jitmlp.training.trainer.Trainer.run_epoch", "chunks of steps, at most 0.2 s"),
    ("jitmlp.engine.workspace.Workspace.train", "fill the job's record, choose alone or team"),
    ("jitmlp_kernels.step.run.run_phase", "a thread's share: the calls of the table, group by group"),
    ("jitmlp_kernels.pieces.gather.gather_inputs", "rows cast into the batch buffer, NaN found"),
    ("jitmlp_kernels.pieces.product.product", "forward, and deltas back"),
    ("jitmlp_kernels.pieces.weights.step_weights", "gradient tile and optimizer in one go"),
    ("jitmlp.engine.workspace.Workspace.parameters", "weights unpacked"),
    ("jitmlp.training.recipe.Fit", "a value: parameters, history, state, reason"),
    ("jitmlp.estimators.fitted.FittedAttributes._store", "the only writer of fitted attributes"),
]


def example_layout() -> Layout:
    """The layout that the third picture shows: 20-24-3 in float64, Adam, one thread."""
    layers = (Layer(24, ACTIVATIONS["relu"]), Layer(3, ACTIVATIONS["softmax"]))
    return Layout(Model(20, layers, LOSSES["log_loss"], np.dtype("float64")), 8, 1, 2)


def example_program() -> Program:
    """A step of 784-128-64-10, ReLU and softmax, Adam, dense rows."""
    layers = (*(Layer(n, ACTIVATIONS["relu"]) for n in (128, 64)), Layer(10, ACTIVATIONS["softmax"]))
    model, adam = Model(784, layers, LOSSES["log_loss"], np.dtype("float32")), OPTIMIZERS["adam"]
    data = Data(np.zeros((2, 784), np.float32), np.zeros(2, int))
    return training_program(model, Workspace(model, 200, 1, adam).operands, data.kind, adam, Plan())


def _sheet(width, height):
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.axis("off")
    return figure, axes


def draw_floors():
    """The packages as floors of a house."""
    figure, axes = _sheet(9, 5.6)
    for i, (name, text) in enumerate(FLOORS.items()):
        kernels = name.startswith("jitmlp_kernels")
        box = FancyBboxPatch(
            (0, i), 10, 0.8, boxstyle="round,pad=0.03", fc="#dbe9f6" if kernels else "#fdebd3", ec="#555555"
        )
        axes.add_patch(box)
        axes.text(0.15, i + 0.4, name, va="center", fontsize=10, weight="bold")
        axes.text(3.1, i + 0.4, text, va="center", fontsize=9)
    axes.annotate("", (10.4, 0.2), (10.4, len(FLOORS) - 0.4), arrowprops={"arrowstyle": "->", "color": "#555555"})
    axes.text(10.55, len(FLOORS) / 2, "imports", rotation=90, va="center", fontsize=9)
    axes.set(xlim=(-0.2, 11), ylim=(-0.3, len(FLOORS)))
    return figure


def draw_way():
    """A row's way as a list of functions."""
    figure, axes = _sheet(9, 6.4)
    for i, (name, text) in enumerate(WAY):
        y = len(WAY) - i
        kernels = name.startswith("jitmlp_kernels")
        axes.text(
            0.1, y, name.split(".", 1)[1], va="center", fontsize=9, family="monospace",
            bbox={"boxstyle": "round", "fc": "#dbe9f6" if kernels else "#fdebd3", "ec": "#555555"},
        )  # fmt: skip
        axes.text(5.2, y, text, va="center", fontsize=9)
        if i + 1 < len(WAY):
            axes.annotate("", (0.25, y - 0.7), (0.25, y - 0.3), arrowprops={"arrowstyle": "->", "color": "#555555"})
    axes.set(xlim=(0, 10.5), ylim=(0.4, len(WAY) + 0.6))
    return figure


def draw_array():
    """The flat array to scale, and one layer's weights in panels."""
    layout = example_layout()
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 5.4), layout="constrained", height_ratios=(1, 2))
    stride, names = layout.state_stride, ["parameters", "first moment", "second moment"]
    parts = [(i * stride, (i + 1) * stride, name) for i, name in enumerate(names)]
    first = layout.layers[0]
    parts += [(layout.layers[1].transposed, first.inputs, "transposed"), (first.inputs, layout.zeros, "buffers of rows"),
              (layout.zeros, layout.arena.size, "scratch, status")]  # fmt: skip
    for i, (start, stop, name) in enumerate(parts):
        top.add_patch(Rectangle((start, 0), stop - start, 1, fc=plt.cm.Pastel1(i), ec="#555555"))
        turned = 90 if stop - start < 0.12 * layout.arena.size else 0
        top.text(
            (start + stop) / 2, 0.5, f"{name} {stop - start}", ha="center", va="center", fontsize=7, rotation=turned
        )
    top.set(
        xlim=(0, layout.arena.size), ylim=(0, 1), yticks=[], xlabel="element of the flat array (20-24-3, float64, Adam)"
    )
    lanes = layout.lanes
    for panel in range(first.panels):
        for row in range(first.fan_in_padded):
            for lane in range(lanes):
                used = row < first.fan_in and panel * lanes + lane < first.fan_out
                x = panel * (lanes + 1) + lane
                bottom.add_patch(Rectangle((x, -row), 1, 1, fc=plt.cm.Pastel1(0) if used else "#eeeeee", ec="white"))
        left = panel * (lanes + 1)
        bottom.text(
            left + lanes / 2,
            1.4,
            f"panel {panel}: units {panel * lanes} to {panel * lanes + lanes - 1}",
            ha="center",
            fontsize=8,
        )
    bottom.text(
        -0.5,
        -first.fan_in / 2,
        f"fan_in: {first.fan_in} rows, padded to {first.fan_in_padded}",
        rotation=90,
        va="center",
        ha="right",
        fontsize=8,
    )
    width = first.panels * (lanes + 1)
    bottom.set(xlim=(-2, width), ylim=(-first.fan_in_padded, 3))
    bottom.axis("off")
    bottom.text(
        width / 2,
        -first.fan_in_padded - 0.2,
        f"a vector of {lanes} lanes is one row of a panel; a tile is 8 rows of 2 panels",
        ha="center",
        va="top",
        fontsize=8,
    )
    return figure


def draw_phases():
    """The phases of a step of a classifier with two hidden layers, and their calls, from the program itself."""
    program = example_program()
    ends = [*(first for *_, first in program.phases[1:]), len(program.calls)]
    names = [
        [wanted.body.__name__ for wanted, _ in program.calls[first:last]]
        for (*_, first), last in zip(program.phases, ends)
    ]
    figure, axes = _sheet(9, 0.27 * max(map(len, names)) + 1.2)
    for i, ((by_rows, *_), calls) in enumerate(zip(program.phases, names)):
        who = "for every 64 rows of a thread's share" if by_rows else "once a thread, for the weights that it owns"
        axes.text(i, 0.6, f"phase {i + 1}: {'rows' if by_rows else 'weights'}", weight="bold", fontsize=10)
        axes.text(i, 0.1, who, fontsize=9)
        for j, name in enumerate(calls):
            axes.text(
                i + 0.02, -0.8 - j, name, family="monospace", fontsize=8, va="center",
                bbox={"boxstyle": "round,pad=0.25", "fc": "#dbe9f6", "ec": "#555555", "lw": 0.5},
            )  # fmt: skip
        if i:
            axes.axvline(i - 0.05, color="#b03030", linestyle="--")
            axes.text(
                i - 0.06, -0.3, "all threads meet", rotation=90, va="top", ha="right", fontsize=8, color="#b03030"
            )
    axes.set(xlim=(-0.05, len(names)), ylim=(-max(map(len, names)) - 0.8, 1.1))
    return figure


def draw_bench():
    """Times beside scikit-learn's, from ``jitmlp bench --json > docs/pictures/bench.json``."""
    rows = json.loads((HERE / "bench.json").read_text())["rows"][::-1]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rows) + 0.6), layout="constrained")
    bars = axes.barh([row["work"] for row in rows], [row["ratio"] for row in rows], color="#4878a8")
    axes.bar_label(bars, [f"{row['ratio']:.1f}" for row in rows], padding=4)
    axes.axvline(1, color="#555555", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel="scikit-learn's time / jitmlp's", xlim=(0, 1.1 * max(row["ratio"] for row in rows)))
    return figure


PICTURES = {"floors": draw_floors, "way": draw_way, "array": draw_array, "phases": draw_phases, "bench": draw_bench}

if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "jitmlp"
    for name, draw in PICTURES.items():
        draw().savefig(HERE / f"{name}.svg", metadata={"Date": None})
        print(HERE / f"{name}.svg")
