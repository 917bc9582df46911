"""``jitmlp compile``: kernels compiled ahead, for container images and machines without time to spare."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np

from jitmlp.engine.data import DENSITIES, FILLS, Kind
from jitmlp.engine.job import DRIVER
from jitmlp.engine.layout import Layout, aligned_zeros
from jitmlp.engine.operands import Operands
from jitmlp.engine.program import Plan, prediction_program, training_program
from jitmlp.model.bins import bins_of
from jitmlp.model.model import Embedding, Layer, Model, Scaling
from jitmlp_kernels.link import folder, progress
from jitmlp_kernels.link.pieces import Piece, compile_piece, piece
from jitmlp_kernels.pieces.gather import ELEMENTS
from jitmlp_kernels.pieces.perceptron import perceptron_epoch
from jitmlp_kernels.rules.activations import ACTIVATIONS
from jitmlp_kernels.rules.activations import BY_NAME as ACTIVATION_NAMES
from jitmlp_kernels.rules.losses import BY_NAME as LOSS_NAMES
from jitmlp_kernels.rules.losses import LOSSES
from jitmlp_kernels.rules.optimizers import BY_NAME as OPTIMIZER_NAMES
from jitmlp_kernels.rules.optimizers import GRADIENT, OPTIMIZERS, OptimizerRule
from jitmlp_kernels.step.run import team_runner

# What scikit-learn's estimators can ask for
USUAL_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
USUAL_OPTIMIZERS = ("adam", "nesterov", "momentum", "gradient_descent", "gradient")
USUAL_PAIRS = (
    ("log_loss", "softmax"),
    ("binary_log_loss", "logistic"),
    ("squared_error", "identity"),
    ("poisson", "exp"),
)
SIMPLE = Plan()
# of rows: the type of a sparse matrix's indices, whether columns are neighbours, how many entries are stored
LAYOUTS = (
    *(("", contiguous, 1.0) for contiguous in (True, False)),
    *((index, True, density) for index in ("int32", "int64") for density in (DENSITIES[0], 1.0)),
)
PARALLEL_FROM = 30  # pieces, from which more processes pay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=["float32", "float64"],
        default=["float32", "float64"],
        help="precisions of the networks, by default both",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="everything that any network can use, not only what scikit-learn's estimators have",
    )


def _model(dtype: Any, hidden: str, loss: Any, output: Any, **more: Any) -> Model:
    layer = Layer(4, ACTIVATION_NAMES[hidden], **more)
    return Model(4, (layer, Layer(2, ACTIVATION_NAMES[output])), LOSS_NAMES[loss], np.dtype(dtype))


def _pieces(model: Model, kind: Kind, optimizer: OptimizerRule, plan: Plan = SIMPLE) -> Iterator[Piece]:
    """What a network needs to be trained and to predict."""
    layout = Layout(model, 8, 1, len(optimizer.slots), accumulate=True)
    scaling = (np.zeros(layout.inputs_row),) * 2 if model.scaling else None
    places = Operands(layout, aligned_zeros(layout.arena.size, model.dtype), scaling, None)
    yield from training_program(model, places, kind, optimizer, plan).pieces
    yield from prediction_program(model, places, kind).pieces
    # a fitted network predicts with its batch normalization folded into the weights
    plain = model.for_prediction()
    yield from prediction_program(plain, places, kind).pieces


def wanted_pieces(dtype: str, everything: bool) -> list[Piece]:
    """The pieces for networks of one dtype, each once."""
    dense, classes = Kind("float64", "", True, 1.0, "classes", True), "classes"
    many_zeros = Kind("float64", "", True, FILLS[0], "classes", True)
    few_entries = Kind("float64", "int32", True, DENSITIES[0], "classes", True)
    pairs = (
        list(product([row.name for row in LOSSES], [row.name for row in ACTIVATIONS])) if everything else USUAL_PAIRS
    )
    activations = [row.name for row in ACTIVATIONS if row.hidden] if everything else USUAL_ACTIVATIONS
    optimizers = [*OPTIMIZERS, GRADIENT] if everything else [OPTIMIZER_NAMES[name] for name in USUAL_OPTIMIZERS]
    elements = [e.name for e in ELEMENTS] if everything else ["float32", "float64", "uint8"]
    plans, quarters = [Plan(), Plan(blocks=2)], [Plan(found_by="weights"), Plan(found_by="rows")]
    if everything:
        plans += [Plan(l1=True), Plan(blocks=2, l1=True), Plan(clip_norm=True), Plan(max_norm=True)]
        quarters += [plan._replace(l1=True) for plan in quarters]
    kinds = dense, many_zeros, few_entries
    basic = _model(dtype, "relu", "log_loss", "softmax")
    found: list[Iterable[Piece]] = [
        *(_pieces(_model(dtype, "relu", loss, output), dense, OPTIMIZER_NAMES["adam"]) for loss, output in pairs),
        *(_pieces(_model(dtype, name, "log_loss", "softmax"), dense, OPTIMIZER_NAMES["adam"]) for name in activations),
        *(_pieces(basic, kind, rule, plan) for rule in optimizers for plan in plans for kind in kinds),
        *(_pieces(basic, kind, rule, plan) for rule in optimizers for plan in quarters for kind in (dense, many_zeros)),
        *(_pieces(basic, few_entries, rule, plan) for rule in optimizers for plan in quarters[::2]),
    ]
    scalings = [None, *(Scaling(np.zeros(4), np.ones(4), clips) for clips in (False, True))] if everything else [None]
    for element, scaling in product(elements, scalings):
        model = replace(basic, scaling=scaling)
        for index, contiguous, density in LAYOUTS:
            for target in (classes, element, "uint8"):
                kind = Kind(element, index, contiguous, density, target, contiguous)
                found.append(_pieces(model, kind, OPTIMIZER_NAMES["adam"]))
    if everything:
        special = _model(dtype, "relu", "log_loss", "softmax", dropout=0.5, batch_norm=True)
        found += [_pieces(special, dense, rule) for rule in optimizers]
        found += [_pieces(special, dense, rule, Plan(clip_norm=True)) for rule in optimizers]
        looked_up = replace(basic, embedding=Embedding(2, (2,), 3), bins=bins_of([np.arange(4.0)]))
        in_bins = replace(looked_up, embedding=None)
        found += [_pieces(in_bins, dense, rule, plan) for rule in optimizers for plan in plans]
        sparse_rows = [
            Kind(element, index, True, 1.0, classes, True) for element in elements for index in ("int32", "int64")
        ]
        found += [_pieces(looked_up, kind, rule, plan) for kind in sparse_rows for rule in optimizers for plan in plans]
    pieces = [*DRIVER, piece(perceptron_epoch, np.float64), *(p for group in found for p in group)]
    return list(dict.fromkeys(pieces))


def run(options: argparse.Namespace) -> int:
    """Compile what is not on disk yet."""
    place = folder.writable_folder()
    if place is None:
        print("jitmlp compile: there is no folder to keep compiled kernels in", file=sys.stderr)
        return 1
    pieces = list(dict.fromkeys(p for dtype in options.dtype for p in wanted_pieces(dtype, options.all)))
    n_processes = min(os.cpu_count() or 1, 8) if len(pieces) >= PARALLEL_FROM else 1
    new = 0
    with progress.waiting(len(pieces) + 1) as step:
        step("run_team")
        team_runner()
        if n_processes == 1:
            for wanted in pieces:
                step(wanted.label)
                new += compile_piece(wanted)
        else:
            with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
                for wanted, compiled in zip(pieces, pool.map(compile_piece, pieces, chunksize=4)):
                    step(wanted.label)
                    new += compiled
    print(f"{len(pieces)} kernels in {place}, {new} of them new")
    return 0
