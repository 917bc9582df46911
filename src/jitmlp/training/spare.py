"""Networks in memory that fits leave for the next one of their kind: to lay one out takes longer than an epoch of few rows.

Cross-validation and searches fit one kind of network over and over. Only small ones are kept, and few.
"""

from __future__ import annotations

import numpy as np

from jitmlp.engine.layout import gains_from_quarters
from jitmlp.engine.workspace import Workspace
from jitmlp.model.model import Model
from jitmlp.training.recipe import Recipe

MOST, MOST_BYTES = 4, 2**20

# by identity: to take one out of a dict is one step, of which no other thread sees the half
_spares: dict[int, tuple[tuple, Workspace]] = {}


def kind_of(model: Model, recipe: Recipe) -> tuple | None:
    """What two fits have alike that can use the same memory; None for those whose memory holds what was learned of the rows."""
    if model.scaling is not None or model.bins is not None:
        return None
    return (
        model.layer_units, model.layers, model.loss, model.loss_parameter, model.smoothing, model.input_dropout,
        model.dtype, model.bfloat16, model.embedding, recipe.optimizer, recipe.n_threads, recipe.constraints.clip_norm < np.inf,
        gains_from_quarters(model, recipe.batch_size),
    )  # fmt: skip


def _is_lasting(model: Model, recipe: Recipe) -> bool:
    """Whether its kernels stay what they are: what a user's formula refers to may change from fit to fit."""
    rules = [model.loss, recipe.optimizer, *(layer.activation for layer in model.layers)]
    return all(rule is None or rule.built_in for rule in rules)


def new(model: Model, recipe: Recipe) -> Workspace:
    """One of one's own."""
    clips = recipe.constraints.clip_norm < np.inf
    return Workspace(model, recipe.batch_size, recipe.n_threads, recipe.optimizer, clips)


def take(model: Model, recipe: Recipe) -> Workspace:
    """One that is left, or a new one."""
    kind = kind_of(model, recipe)
    for number, (other, workspace) in list(_spares.items()):
        fits = other == kind and workspace.rows >= recipe.batch_size
        if fits and _spares.pop(number, None) is not None:
            return workspace
    return new(model, recipe)


def give(model: Model, recipe: Recipe, workspace: Workspace) -> None:
    """Leave one whose fit has come to its end with numbers that are finite."""
    kind = kind_of(model, recipe)
    if kind is None or workspace.n_bytes > MOST_BYTES or not _is_lasting(model, recipe):
        return
    workspace.let_go()
    while len(_spares) >= MOST:
        _spares.pop(next(iter(list(_spares)), 0), None)
    _spares[id(workspace)] = kind, workspace
