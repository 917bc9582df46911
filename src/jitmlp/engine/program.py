"""The table of what a step, or a prediction, consists of.

A program is a list of phases, each a list of calls, each a piece and its operands. The kernels'
driver goes through it and decodes nothing. To add a phase, add it where the step is put together
below; to add a kind of layer, add its calls on the way forward and on the way back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jitmlp.engine.data import DENSITIES, Kind
from jitmlp.engine.operands import LayerOperands, Operands
from jitmlp.model.model import Layer, Model
from jitmlp_kernels.link.pieces import Piece, link, piece
from jitmlp_kernels.pieces import batch_norm, bins, embedding, gather, knots, rows, vectors, weights
from jitmlp_kernels.pieces.bfloat16 import pack_columns, pack_rows, pack_weights, rounded_product
from jitmlp_kernels.pieces.product import product
from jitmlp_kernels.pieces.records import CALL, PHASE, new
from jitmlp_kernels.pieces.share import QUARTERS
from jitmlp_kernels.pieces.sparse import sort_entries, sparse_product
from jitmlp_kernels.pieces.zeros import find_rows, product_of_some
from jitmlp_kernels.rules.optimizers import OptimizerRule
from jitmlp_kernels.trace.target import TILE_PANELS, VECTOR_BYTES

# To look for zeros takes this share of what a first layer of one tile's width takes; up to what is left of the inputs, the
# look included, it pays (benchmarks/lab/density.py)
LOOK, MOST_FILLED = 0.45, 0.65


class Plan(NamedTuple):
    """What decides which phases a training step has.

    Attributes
    ----------
    blocks : int
        Into how many blocks of rows a mini-batch is cut.
    l1, clip_norm, max_norm : bool
        Whether there is an L1 penalty, a limit on the gradients' norm, on the units' norms.
    frozen : tuple of (bool, bool)
        For each layer, whether its weights and its vectors stay as they are; empty for none.
    exchanges : bool
        Whether other processes add to the gradients before the update.
    found_by : {"", "weights", "rows"}
        Whether each quarter of a block's rows has a gradient of its own, and what of these a thread finds: those of the weights
        that it owns, or of the rows that it takes, in a team of which four is a multiple.
    """

    blocks: int = 1
    l1: bool = False
    clip_norm: bool = False
    max_norm: bool = False
    frozen: tuple[tuple[bool, bool], ...] = ()
    exchanges: bool = False
    found_by: str = ""

    @property
    def direct(self) -> bool:
        """Whether the optimizer takes a gradient as soon as it is known, and none is accumulated."""
        return self.blocks == 1 and not self.clip_norm and not self.exchanges and not self.found_by

    def trains(self, l: int) -> tuple[bool, bool]:
        """Whether a layer's weights, and its vectors, change."""
        weights, vectors = self.frozen[l] if self.frozen else (False, False)
        return not weights, not vectors


class Exchange(NamedTuple):
    """What the processes tell each other between two phases.

    Attributes
    ----------
    phase : int
        Before which.
    what : {"moments", "norm_gradients", "gradients"}
    layer : int
        Whose, -1 for all.
    """

    phase: int
    what: str
    layer: int


class Program:
    """Phases and calls under construction.

    Parameters
    ----------
    dtype : numpy dtype
        Of the network.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.phases: list[tuple[int, int, int]] = []  # by_rows, block, first call
        self.ends_of_rows: dict[int, int] = {}  # of phases, the first of the calls that follow those for rows
        self.calls: list[tuple[Piece, np.ndarray]] = []
        self.exchanges: list[Exchange] = []

    def exchange(self, what: str, layer: int = -1) -> None:
        """End the last phase with an exchange."""
        self.exchanges.append(Exchange(len(self.phases), what, layer))

    def phase(self, by_rows: bool, block: int = 0) -> None:
        """Begin a phase."""
        self.phases.append((by_rows, block, len(self.calls)))

    def after_rows(self) -> None:
        """Go on in the phase with calls that each thread makes once, when it is through its rows."""
        self.ends_of_rows[len(self.phases) - 1] = len(self.calls)

    def call(self, body: Any, operands: dict[str, Any] | None = None, **arguments: Any) -> None:
        """Add a call of a piece to the phase."""
        record = new(body.operands, **(operands or {}))
        self.calls.append((piece(body, self.dtype, **arguments), record))

    @property
    def pieces(self) -> list[Piece]:
        """The pieces called, each once."""
        return list(dict.fromkeys(wanted for wanted, _ in self.calls))

    def tables(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """The records of the phases and of the calls, linked, and what they point to."""
        addresses = link([wanted for wanted, _ in self.calls])
        calls, operands = np.zeros(len(self.calls), CALL), [record for _, record in self.calls]
        calls["piece"] = addresses
        calls["operands"] = [record.ctypes.data for record in operands]
        phases = np.zeros(len(self.phases), PHASE)
        ends = [*(first for *_, first in self.phases[1:]), len(self.calls)]
        for number, (record, (by_rows, block, first), end) in enumerate(zip(phases, self.phases, ends)):
            record["by_rows"], record["block"], record["first_call"] = by_rows, block, first
            record["last_call"], record["end_call"] = self.ends_of_rows.get(number, end), end
        return phases, calls, operands


def _entries(model: Model, kind: Kind) -> dict[str, str]:
    """Element and index type of sparse rows that the first layer goes through entry by entry; else nothing."""
    narrow = model.layers[0].units * model.dtype.itemsize <= VECTOR_BYTES
    if (
        not kind.indices
        or model.embedding is not None
        or model.bins is not None
        or kind.density > DENSITIES[0 if narrow else 1]
        or model.scaling is not None
        or model.input_dropout
    ):
        return {}
    return {"element": kind.element, "index": kind.indices}


def leaves_out_zeros(model: Model, kind: Kind) -> bool:
    """Whether the first layer leaves out what of dense rows is zero, which takes a look at all."""
    if kind.indices or model.bfloat16 or model.bins is not None:
        return False
    shifted = 0.0 if model.scaling is None else np.mean(model.scaling.shift != 0)
    tiles = -(-model.layers[0].units * model.dtype.itemsize // (TILE_PANELS * VECTOR_BYTES))
    return bool(kind.density + shifted + LOOK / tiles <= MOST_FILLED)


def gradients_found_by(model: Model, kind: Kind, n_threads: int) -> str:
    """What of the gradients of quarters each thread of a team finds: see ``Plan``."""
    return "rows" if QUARTERS % n_threads == 0 and _inputs_way(model, kind) != "entries" else "weights"


def _inputs_way(model: Model, kind: Kind) -> str:
    """What of the inputs the first layer multiplies: see ``GRADIENTS``."""
    if model.interpolates:
        return "knots"
    if _entries(model, kind):
        return "entries"
    return "some" if leaves_out_zeros(model, kind) else _products(model)


def _products(model: Model) -> str:
    """What of the inputs of all other layers: see ``GRADIENTS``."""
    return "bfloat16" if model.bfloat16 else "all"


def _read_inputs(program: Program, model: Model, places: Operands, kind: Kind) -> None:
    normalize = "" if model.scaling is None else "clipped" if model.scaling.clips else "scaled"
    if model.embedding is not None:
        program.call(embedding.gather_embedded, places.lookup, element=kind.element, index=kind.indices)
    elif kind.indices:
        program.call(
            gather.gather_csr, places.inputs_place, element=kind.element, index=kind.indices, normalize=normalize
        )
    else:
        program.call(
            gather.gather_inputs,
            places.inputs_place,
            element=kind.element,
            contiguous=kind.contiguous,
            normalize=normalize,
        )
    if model.interpolates:
        program.call(knots.find_knots, places.knots)
    elif model.bins is not None:
        program.call(bins.encode_numbers, places.bins)


def _find_inputs(program: Program, model: Model, places: Operands, kind: Kind, plan: Plan) -> None:
    """What the first layer's gradient needs to know of where its inputs are not zero."""
    way = _inputs_way(model, kind)
    if way == "entries":
        program.call(sort_entries, places.layers[0].weights, **_entries(model, kind))
    elif way == "some":
        program.call(find_rows, places.layers[0].weights, found_by=plan.found_by)
    elif way == "knots":
        program.call(knots.sort_knots, places.layers[0].weights)


def _read_targets(program: Program, places: Operands, kind: Kind) -> None:
    if kind.target == "classes":
        program.call(gather.spread_classes, places.targets_place)
    else:
        program.call(
            gather.gather_targets, places.targets_place, element=kind.target, contiguous=kind.target_contiguous
        )


def _forward(
    program: Program, model: Model, places: Operands, kind: Kind, training: bool, exchanges: bool = False
) -> None:
    """Inputs, and all layers' calls on the way forward; a batch normalization begins phases of its own."""
    entries = _entries(model, kind)
    if not entries:
        _read_inputs(program, model, places, kind)
    if model.input_dropout and training:
        program.call(rows.dropout, places.input_dropout)
    for l, layer in enumerate(model.layers):
        place = places.layers[l]
        if l == 0 and entries:
            program.call(sparse_product, place.forward, **entries)
        elif l == 0 and leaves_out_zeros(model, kind):
            program.call(product_of_some, place.forward)
        elif model.bfloat16:
            program.call(pack_columns, place.input_columns)
            if training:
                program.call(pack_rows, place.input_rows)
            program.call(rounded_product, place.rounded_forward)
        else:
            program.call(product, place.forward)
        if l == 0 and model.interpolates:
            program.call(knots.add_values, places.knots)
        if layer.batch_norm:
            if training:
                program.phase(by_rows=False)
                program.call(batch_norm.own_moments if exchanges else batch_norm.batch_statistics, place.batch_norm)
                if exchanges:
                    program.exchange("moments", l)
                program.phase(by_rows=True)
            program.call(batch_norm.batch_norm_forward, place.batch_norm, running=not training)
        if layer.activation.coupled:
            program.call(rows.softmax_forward, place.activation)
        elif layer.activation.name != "identity" or place.copies:
            program.call(rows.activation_forward, place.activation, activation=layer.activation)
        if layer.dropout:
            program.call(rows.dropout, place.dropout if training else {**place.dropout, "rate": 0.0})


def _backward(program: Program, model: Model, places: Operands, kind: Kind, lowest: int, exchanges: bool) -> None:
    """The deltas of all layers, from the loss down to the lowest that changes."""
    output = places.layers[-1]
    program.call(rows.loss_rows, places.loss_place, loss=model.loss, canonical=model.is_canonical)
    if not model.is_canonical:
        _activation_backward(program, model.layers[-1], output)
    for l in range(len(model.layers) - 1, -1, -1):
        place = places.layers[l]
        if model.layers[l].batch_norm:
            program.phase(by_rows=False)
            program.call(batch_norm.batch_norm_gradients, place.batch_norm)
            if exchanges:
                program.exchange("norm_gradients", l)
            program.phase(by_rows=True)
            program.call(batch_norm.batch_norm_backward, place.batch_norm, shared=exchanges)
        if model.bfloat16 and not (l == 0 and _entries(model, kind)):
            program.call(pack_rows, place.delta_rows)
        if l == lowest:
            break
        _product_back(program, model, place)
        below, below_place = model.layers[l - 1], places.layers[l - 1]
        if below.dropout:
            program.call(rows.dropout, below_place.dropout_backward)
        _activation_backward(program, below, below_place)


def _product_back(program: Program, model: Model, place: LayerOperands) -> None:
    if model.bfloat16:
        program.call(pack_columns, place.delta_columns)
        program.call(rounded_product, place.rounded_backward)
    else:
        program.call(product, place.backward)


def _activation_backward(program: Program, layer: Layer, place: LayerOperands) -> None:
    if layer.activation.coupled:
        program.call(rows.softmax_backward, place.slope)
    elif layer.activation.name != "identity":
        program.call(rows.activation_backward, place.slope, activation=layer.activation)


def _looks_up(model: Model, plan: Plan) -> bool:
    """Whether there are embeddings, and they change: as the first layer's weights do."""
    return model.embedding is not None and plan.trains(0)[0]


def _update(program: Program, model: Model, places: Operands, kind: Kind, optimizer: OptimizerRule, plan: Plan) -> None:
    """The update, in one phase or in several; it takes the gradients as they come, or as they have been accumulated."""
    if plan.direct and plan.trains(0)[0]:
        _find_inputs(program, model, places, kind, plan)
    if plan.clip_norm:
        if _looks_up(model, plan):
            program.phase(by_rows=False)  # all threads' embeddings have their gradients
            program.call(vectors.square_vector, places.lookup_square)
        for l, layer in enumerate(model.layers):
            place, (trains_weights, trains_vectors) = places.layers[l], plan.trains(l)
            if trains_vectors:
                program.call(vectors.square_vector, {**place.bias_gradients, "starts_square": 1})
                for vector in place.batch_norm_vectors if layer.batch_norm else ():
                    program.call(vectors.square_vector, vector)
            if trains_weights:
                program.call(weights.square_weights, place.weights)
        program.phase(by_rows=False)
        program.call(weights.clip_factor)
    for l, layer in enumerate(model.layers):
        inputs = _products(model) if l else _inputs_way(model, kind)
        _update_layer(program, l, layer, places.layers[l], optimizer, plan, inputs)
    if _looks_up(model, plan):
        program.call(embedding.update_embeddings, places.looked_up, optimizer=optimizer)
    if plan.max_norm:
        program.phase(by_rows=False)
        for l, place in enumerate(places.layers):
            if plan.trains(l)[0]:
                program.call(weights.limit_norms, place.norms)
    _follow_weights(program, model, places, [l for l in range(len(model.layers)) if plan.trains(l)[0]])


def _follow_weights(program: Program, model: Model, places: Operands, layers: Iterable[int]) -> None:
    """What follows from the weights of some layers, in a phase of its own: of all threads' weights."""
    if model.bfloat16:
        program.phase(by_rows=False)
        for l in layers:
            for packed in places.layers[l].packed:
                program.call(pack_weights, packed)
    elif model.interpolates and 0 in layers:
        program.phase(by_rows=False)
        program.call(knots.set_values, places.knots)


def _accumulate(program: Program, model: Model, places: Operands, kind: Kind, plan: Plan) -> None:
    """The gradients of a block's rows, added to those of the blocks before."""
    if plan.trains(0)[0]:
        _find_inputs(program, model, places, kind, plan)
    for l, place in enumerate(places.layers):
        trains_weights, trains_vectors = plan.trains(l)
        inputs = _products(model) if l else _inputs_way(model, kind)
        if trains_vectors:
            program.call(vectors.accumulate_bias, place.bias, found_by=plan.found_by)
        if trains_weights:
            operands = _weights_place(place, inputs)
            program.call(weights.accumulate_weights, operands, inputs=inputs, found_by=plan.found_by)


def _weights_place(place: LayerOperands, inputs: str) -> dict[str, Any]:
    return place.rounded_weights if inputs == "bfloat16" else place.weights


def _update_layer(
    program: Program, l: int, layer: Layer, place: LayerOperands, optimizer: OptimizerRule, plan: Plan, inputs: str
) -> None:
    trains_weights, trains_vectors = plan.trains(l)
    if trains_vectors:
        if plan.direct:
            program.call(vectors.step_bias, place.bias, optimizer=optimizer)
        else:
            in_quarters = bool(plan.found_by)
            program.call(vectors.update_vector, place.bias_gradients, optimizer=optimizer, in_quarters=in_quarters)
        for vector in place.batch_norm_vectors if layer.batch_norm else ():
            program.call(vectors.update_vector, vector, optimizer=optimizer)
    if trains_weights and plan.direct:
        operands = _weights_place(place, inputs)
        program.call(weights.step_weights, operands, optimizer=optimizer, l1=plan.l1, inputs=inputs)
    elif trains_weights:
        in_quarters = bool(plan.found_by)
        program.call(weights.update_weights, place.weights, optimizer=optimizer, l1=plan.l1, in_quarters=in_quarters)


def training_program(model: Model, places: Operands, kind: Kind, optimizer: OptimizerRule, plan: Plan) -> Program:
    """One mini-batch step."""
    program = Program(model.dtype)
    lowest = next(l for l in range(len(model.layers)) if any(plan.trains(l)))
    for block in range(plan.blocks):
        program.phase(by_rows=True, block=block)
        _read_targets(program, places, kind)
        _forward(program, model, places, kind, True, plan.exchanges)
        _backward(program, model, places, kind, lowest, plan.exchanges)
        if _looks_up(model, plan):
            _product_back(program, model, places.layers[0])
            if model.input_dropout:
                program.call(rows.dropout, places.input_dropout_backward)
        if plan.found_by == "rows":
            program.after_rows()
            _accumulate(program, model, places, kind, plan)
            continue
        program.phase(by_rows=False, block=block)
        if _looks_up(model, plan):
            program.call(embedding.accumulate_embeddings, places.looked_up, element=kind.element, index=kind.indices)
        if not plan.direct:
            _accumulate(program, model, places, kind, plan)
    if plan.found_by == "rows":
        program.phase(by_rows=False)
    if plan.exchanges:
        program.exchange("gradients")
        program.phase(by_rows=False)
        program.call(weights.exchanged_scale)
    else:
        program.call(weights.mini_batch_totals)
    _update(program, model, places, kind, optimizer, plan)
    return program


def touching_program(model: Model, places: Operands) -> Program:
    """Zeros where the weights will be, written by the threads that own them, in one phase."""
    program = Program(model.dtype)
    program.phase(by_rows=False)
    for place in places.layers:
        program.call(weights.touch_weights, place.weights)
    return program


def following_program(model: Model, places: Operands) -> Program:
    """What follows from weights that have been loaded."""
    program = Program(model.dtype)
    _follow_weights(program, model, places, range(len(model.layers)))
    return program


def prediction_program(model: Model, places: Operands, kind: Kind) -> Program:
    """Outputs of all rows, in one phase."""
    program = Program(model.dtype)
    program.phase(by_rows=True)
    _forward(program, model, places, kind, training=False)
    program.call(rows.copy_outputs, places.outputs_place)
    return program
