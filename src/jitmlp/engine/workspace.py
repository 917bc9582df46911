"""A network in the kernels' memory: parameters in, steps and predictions, parameters out."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitmlp.engine import interrupts
from jitmlp.engine.constraints import Constraints
from jitmlp.engine.data import Data, address
from jitmlp.engine.group import ALONE, Group
from jitmlp.engine.job import Job
from jitmlp.engine.layout import Layout, aligned_zeros
from jitmlp.engine.memory import check_memory, memory_nodes
from jitmlp.engine.operands import Operands
from jitmlp.engine.program import (
    Plan,
    Program,
    following_program,
    gradients_found_by,
    leaves_out_zeros,
    prediction_program,
    touching_program,
    training_program,
)
from jitmlp.engine.thread_choice import ThreadChoice
from jitmlp.engine.threads import parallel_region
from jitmlp.model.model import Model
from jitmlp.model.parameters import BatchNorm, Parameters
from jitmlp_kernels.pieces.batch_norm import (
    D_BETA,
    D_GAMMA,
    EPSILON,
    INVERSE,
    MEAN,
    MOMENTUM,
    RUNNING_INVERSE,
    RUNNING_MEAN,
    RUNNING_VARIANCE,
    SQUARES,
    VECTORS,
)
from jitmlp_kernels.pieces.records import GROUP_ROWS, UNIT_BYTES
from jitmlp_kernels.pieces.share import QUARTERS
from jitmlp_kernels.pieces.zeros import BLOCK, COLUMNS, GROUP_TILES, HEAD, NUMBER
from jitmlp_kernels.rules.optimizers import OptimizerRule
from jitmlp_kernels.trace.target import TILE_ROWS

EPOCHS_AT_ONCE = 16  # most epochs of one call whose losses are wanted one by one
FIRST_ROWS = np.arange(GROUP_ROWS)  # the order of a small prediction
FIRST_ADDRESS = FIRST_ROWS.ctypes.data


class NonFiniteInputs(ValueError):
    """Rows of X or y hold NaN, infinity or a number too large for the dtype of the network."""


class Workspace:
    """Memory, tables and parameters of one network.

    Parameters
    ----------
    model : Model
    rows : int
        Rows of the largest mini-batch.
    n_threads : int
        The most that a call uses.
    optimizer : OptimizerRule, optional
        Its state is laid out behind the parameters; None for prediction alone.
    accumulate : bool
        Keep room for gradients that wait for the end of the mini-batch, which a clipped
        norm needs.
    keep_preactivations : bool
        Keep the preactivations of every layer, not only where a derivative needs them.
    exchanges : bool
        Whether steps are those of :meth:`train_with_others`.

    Raises
    ------
    MemoryError
        If the network cannot fit into the memory that this process may use.
    """

    def __init__(
        self,
        model: Model,
        rows: int = 1,
        n_threads: int = 1,
        optimizer: OptimizerRule | None = None,
        accumulate: bool = False,
        keep_preactivations: bool = False,
        exchanges: bool = False,
    ) -> None:
        self.model, self.n_threads, self.optimizer = model, n_threads, optimizer
        self.threads_now = n_threads  # what others leave of them; may change from call to call
        self.exchanges, accumulate = exchanges, accumulate or exchanges
        self.rows = rows
        slots = len(optimizer.slots) if optimizer else 0
        self.layout = layout = Layout(
            model, rows, n_threads, slots, accumulate, optimizer is not None, keep_preactivations
        )
        check_memory(layout)
        self.memory = aligned_zeros(layout.arena.size, model.dtype)
        self.memory[layout.ones] = 1
        self._status = self.memory[layout.status :][: n_threads * layout.arena.line]
        self.row_loss, self.row_weight = np.zeros(rows), np.zeros(rows)
        self._layer_penalties = np.zeros((len(layout.layers), 2))
        self.penalties, self.total = np.zeros((EPOCHS_AT_ONCE, layout.n_strips)), np.zeros(EPOCHS_AT_ONCE)
        self._squares = np.zeros(layout.n_strips + len(layout.layers) + (layout.lookup is not None))
        self._units = aligned_zeros(UNIT_BYTES * n_threads, np.uint8)
        scaling, scratch = None, None
        if model.scaling is not None:
            scaling = [np.zeros(layout.inputs_row) for _ in range(2)]
            for padded, values in zip(scaling, (model.scaling.shift, model.scaling.scale)):
                padded[: len(values)] = values
            scratch = np.zeros(layout.inputs_row * n_threads)
        self._scaling = scaling, scratch  # kept alive
        self.operands = Operands(layout, self.memory, scaling, scratch)
        at = self.operands.at
        self.constants = {
            "units": self._units.ctypes.data,
            "n_layers": len(layout.layers),
            "block_rows": layout.block_rows,
            "smoothing": model.smoothing,
            "row_loss": self.row_loss.ctypes.data,
            "row_weight": self.row_weight.ctypes.data,
            "total": self.total.ctypes.data,
            "penalties": self.penalties.ctypes.data,
            "n_penalties": layout.n_strips,
            "epoch_steps": 1,
            "layer_penalties": self._layer_penalties.ctypes.data,
            "squares": self._squares.ctypes.data,
            "n_squares": len(self._squares),
            "status": at(layout.status),
            "zeros": at(layout.zeros),
            "ones": at(layout.ones),
            "scratch": at(layout.scratch),
            "scratch_stride": layout.scratch_stride,
            "state_stride": layout.state_stride,
            "gradients": layout.gradients,
        }
        self.holds: tuple = ()  # what the last run left here and gave out, compared by identity
        # what a trainer asked for, from which step on, and the optimizer's coefficients
        self.coefficients_ahead: tuple[tuple, int, np.ndarray] | None = None
        self.thread_choice: tuple[int, ThreadChoice] | None = None  # for mini-batches of so many rows
        self._shares: dict[int, tuple[int, np.ndarray]] = {}  # addresses, and what keeps them alive
        self._jobs: dict[object, Job] = {}
        self._prepared: tuple | None = None  # what the training job was filled in for, and the job
        self._entries: list[np.ndarray] = []  # room for those of a mini-batch of sparse rows
        self._lists: dict[str, np.ndarray] = {}  # which columns and rows of a mini-batch are not zero
        if memory_nodes() > 1 and n_threads > 1 and optimizer is not None:
            self._touch()

    # Parameters in and out

    def _weights(self, place: Any, slot: int) -> np.ndarray:
        start = place.weights + slot * self.layout.state_stride
        count = place.panels * place.fan_in_padded * self.layout.lanes
        panels = self.memory[start : start + count].reshape(place.panels, -1, self.layout.lanes)
        return panels.transpose(1, 0, 2)  # (fan_in_padded, panels, lanes)

    def _vector(self, start: Any, place: Any, slot: int = 0) -> np.ndarray:
        start += slot * self.layout.state_stride
        return self.memory[start : start + place.fan_out]

    def _embeddings(self, slot: int) -> list[np.ndarray]:
        """Views of the embeddings of each column."""
        place, embedding = self.layout.lookup, self.model.embedding
        if place is None or embedding is None:
            return []
        start, n = place.embeddings + slot * self.layout.state_stride, len(place.starts)
        table = self.memory[start : start + n * embedding.dim].reshape(n, embedding.dim)
        return np.split(table, np.cumsum(embedding.categories)[:-1])

    def _statistics(self, place: Any) -> np.ndarray:
        """What a batch normalization knows of its columns, one row each."""
        return self.memory[place.statistics :][: VECTORS * place.panels * self.layout.lanes].reshape(VECTORS, -1)

    def _running(self, place: Any, which: int) -> np.ndarray:
        return self._statistics(place)[which, : place.fan_out]

    @property
    def n_bytes(self) -> int:
        """What it takes, with the room for the entries of sparse rows."""
        return self.memory.nbytes + sum(room.nbytes for room in self._entries)

    def let_go(self) -> None:
        """Keep nothing alive of what the last run was given and gave out."""
        self.holds, self._prepared = (), None
        for job in self._jobs.values():
            job.keeps = ()

    def parameters(self, slot: int = 0) -> Parameters:
        """A copy of the parameters, or of the slot (from 1) of the optimizer's state."""
        weights, biases = [], []
        norms: list[BatchNorm | None] = []
        for place, layer in zip(self.layout.layers, self.model.layers):
            # a copy even where one panel is contiguous: training goes on beneath
            full = self._weights(place, slot)[: place.fan_in].copy().reshape(place.fan_in, -1)
            weights.append(np.ascontiguousarray(full[:, : place.fan_out]))
            biases.append(self._vector(place.bias, place, slot).copy())
            if not layer.batch_norm:
                norms.append(None)
                continue
            trained = [self._vector(start, place, slot).copy() for start in (place.gamma, place.beta)]
            running = [self._running(place, which).copy() for which in (RUNNING_MEAN, RUNNING_VARIANCE)]
            norms.append(BatchNorm(*trained, *(running if slot == 0 else (None, None))))
        embeddings = tuple(own.copy() for own in self._embeddings(slot))
        return Parameters(tuple(weights), tuple(biases), tuple(norms), embeddings)

    def state(self) -> tuple[Parameters, ...]:
        """A copy of the optimizer's state, one value a slot."""
        return tuple(self.parameters(slot) for slot in range(1, self.layout.slots + 1))

    def load(self, parameters: Parameters, slot: int = 0) -> None:
        """Lay parameters, or a slot of the optimizer's state, into the kernels' memory.

        Raises
        ------
        ValueError
            If their shapes are not the network's.
        """
        if not parameters.fits(self.model):
            raise ValueError(
                f"the parameters have shapes {[w.shape for w in parameters.weights]}, the network {self.model.shapes}"
            )
        for own, given in zip(self._embeddings(slot), parameters.embeddings):
            own[...] = given
        lanes = self.layout.lanes
        for l, place in enumerate(self.layout.layers):
            weights, bias, norm = parameters.weights[l], parameters.biases[l], parameters.batch_norms[l]
            padded = np.zeros((place.fan_in_padded, place.panels * lanes), self.model.dtype)
            padded[: place.fan_in, : place.fan_out] = weights
            self._weights(place, slot)[...] = padded.reshape(place.fan_in_padded, -1, lanes)
            self._vector(place.bias, place, slot)[...] = bias
            if slot == 0 and place.transposed >= 0:
                panels = -(-place.fan_in_padded // lanes)
                across = np.zeros((padded.shape[1], panels * lanes), self.model.dtype)
                across[:, : place.fan_in_padded] = padded.T
                view = self.memory[place.transposed :][: across.size].reshape(panels, -1, lanes)
                view[...] = across.reshape(-1, panels, lanes).transpose(1, 0, 2)
            if norm is not None:
                self._vector(place.gamma, place, slot)[...] = norm.gamma
                self._vector(place.beta, place, slot)[...] = norm.beta
                if norm.mean is not None and norm.variance is not None:
                    self._running(place, RUNNING_MEAN)[...] = norm.mean
                    self._running(place, RUNNING_VARIANCE)[...] = norm.variance
                    self._running(place, RUNNING_INVERSE)[...] = 1 / np.sqrt(norm.variance + EPSILON)
        if slot == 0 and (self.model.bfloat16 or self.model.interpolates):
            self._run_once(following_program, n_threads=1)

    def clear_state(self) -> None:
        """Set the optimizer's state to its start, zero."""
        stride = self.layout.state_stride
        self.memory[stride : stride * (1 + self.layout.slots)] = 0

    def _snapshot_parts(self, state: bool = False) -> Iterator[np.ndarray]:
        """The stretches of memory that hold the parameters, running values included, and the optimizer's state if asked for."""
        lanes = self.layout.lanes
        yield self.memory[: (1 + self.layout.slots if state else 1) * self.layout.state_stride]
        for place, layer in zip(self.layout.layers, self.model.layers):
            if layer.batch_norm:
                start = place.statistics + RUNNING_MEAN * place.panels * lanes
                yield self.memory[start : start + 3 * place.panels * lanes]

    def snapshot(self, into: Any = None, state: bool = False) -> list[np.ndarray]:
        """A copy of the parameters as they lie, faster than :meth:`parameters`; of the optimizer's ``state`` too if asked for."""
        if into is None:
            return [part.copy() for part in self._snapshot_parts(state)]
        for kept, part in zip(into, self._snapshot_parts()):
            kept[:] = part
        return into

    def restore(self, kept: Any, state: bool = False) -> None:
        """Put back what :meth:`snapshot` gave."""
        for old, part in zip(kept, self._snapshot_parts(state)):
            part[:] = old
        self.load(self.parameters())  # the transposed copies too

    def all_finite(self) -> bool:
        """Whether no parameter and nothing of the optimizer's state is NaN or infinite."""
        # a finite sum has finite terms, and takes half as long; not dot, whose threads would spin beside the kernels'
        with np.errstate(all="ignore"):
            if all(math.isfinite(part.sum()) for part in self._snapshot_parts(state=True)):
                return True
        if all(np.isfinite(part).all() for part in self._snapshot_parts(state=True)):
            return True
        # it may be the padding, which nobody reads
        return all(self.parameters(slot).all_finite() for slot in range(1 + self.layout.slots))

    def buffer(self, l: int, what: str, rows: int) -> np.ndarray:
        """View of the first rows of a layer's ``preactivations``, ``outputs`` or ``deltas``."""
        place = self.layout.layers[l]
        start = getattr(place, what)
        return self.memory[start : start + rows * place.row].reshape(rows, place.row)[:, : place.fan_out]

    # Running

    def training_job(self, data: Data, constraints: Constraints, n_threads: int = 1) -> Job:
        """The job of a step on data of this kind, for a team of so many, made at the first use."""
        found_by = gradients_found_by(self.model, data.kind, n_threads) if self.layout.in_quarters else ""
        limits = constraints.clip_norm < np.inf, constraints.max_norm < np.inf
        l1 = bool(np.any(constraints.l1))
        plan = Plan(self.layout.blocks, l1, *limits, constraints.frozen, self.exchanges, found_by)
        job = self._jobs.get((data.kind, plan))
        if job is None:
            assert self.optimizer is not None, "a network for prediction alone"
            program = training_program(self.model, self.operands, data.kind, self.optimizer, plan)
            with interrupts.deferred():  # compilation may be under way, and its locks held
                job = self._jobs[data.kind, plan] = Job(self, program)
        return job

    def train(
        self,
        data: Data,
        order: np.ndarray,
        batch_size: Any,
        table: np.ndarray,
        constraints: Constraints,
        first_step: int = 0,
        seed: Any = 0,
        n_threads: Any = None,
        n_epochs: int = 1,
    ) -> None:
        """Run one mini-batch step for each row of ``table`` over the rows ``order``.

        The loss, penalties included, is added up: see :meth:`take_loss`.

        Parameters
        ----------
        data : Data
        order : ndarray of int64
        batch_size : int
        table : ndarray
            From :meth:`~jitmlp_kernels.rules.optimizers.OptimizerRule.table`; or such a row for the weights and one
            for the vectors of each layer, of shape (n_steps, n_layers, 2, n_coefficients).
        constraints : Constraints
        first_step, seed : int
            The number of steps before, and the seed, of what dropout drops.
        n_threads : int, optional
        n_epochs : int
            How many there are in ``order``, one behind the other: the last mini-batch of each may be smaller.

        Raises
        ------
        NonFiniteInputs
            If a number that was read is not finite.
        ValueError
            If the data do not fit the network.
        """
        wanted = min(self.n_threads if n_threads is None else n_threads, self.threads_now)
        job = self._begun_job(data, order, batch_size, table, constraints, wanted)
        job.fields.first_step, job.fields.seed = first_step, seed
        job.fields.epoch_rows, job.fields.epoch_steps = len(order) // n_epochs, len(table) // n_epochs
        self._run(job, wanted)
        self._check_status()

    def train_with_others(
        self,
        data: Data,
        order: np.ndarray,
        batch_size: Any,
        table: np.ndarray,
        constraints: Constraints,
        group: Group,
        first_step: int = 0,
        seed: Any = 0,
        exact: bool = False,
    ) -> None:
        """Run one mini-batch step, whose rows ``order`` are this process's; there may be none.

        Parameters and errors as of :meth:`train`; with ``exact`` gradients are not rounded on their way.
        """
        job = self._begun_job(data, order, batch_size, table, constraints)
        fields, n = job.fields, len(order)
        fields.first_step, fields.seed = first_step, seed
        fields.last_phase = 0
        for exchange in job.exchanges:
            fields.first_phase, fields.last_phase = fields.last_phase, exchange.phase
            self._run(job, self.n_threads)
            self._check_status()
            if exchange.what == "moments":
                fields.all_rows = self._merge_moments(group, exchange.layer, n)
            elif exchange.what == "norm_gradients":
                group.total()
                group.add(self._statistics(self.layout.layers[exchange.layer])[D_GAMMA : D_BETA + 1])
            else:
                weight = n if data.sample_weight is None else float(self.row_weight[:n].sum())
                loss, fields.all_weight, n_all = group.total(float(self.row_loss[:n].sum()), weight, n)
                add = group.add if exact else group.add_gradients
                add(self.memory[self.layout.gradients :][: self.layout.state_stride])
        fields.first_phase, fields.last_phase = fields.last_phase, len(job.phases)
        self._run(job, self.n_threads)
        if fields.all_weight:
            self.total[0] += loss / fields.all_weight * n_all

    def _merge_moments(self, group: Group, l: int, n_rows: int) -> float:
        """A layer's mean and variance over the rows of all processes (Chan, Golub & LeVeque 1983), and how many these are."""
        statistics = self._statistics(self.layout.layers[l])
        own = np.zeros((3, statistics.shape[1]))
        if n_rows:
            own[0], own[1:] = n_rows, statistics[[MEAN, SQUARES]]
        counts, means, squares = np.moveaxis(group.stack(own), 1, 0)
        n_all = counts[:, 0].sum()
        mean = (counts * means).sum(axis=0) / n_all
        spread = (squares + counts * (means - mean) ** 2).sum(axis=0)
        statistics[MEAN], statistics[INVERSE] = mean, 1 / np.sqrt(spread / n_all + EPSILON)
        for place, new in ((RUNNING_MEAN, mean), (RUNNING_VARIANCE, spread / max(n_all - 1, 1))):
            statistics[place] = MOMENTUM * statistics[place] + (1 - MOMENTUM) * new
        statistics[RUNNING_INVERSE] = 1 / np.sqrt(statistics[RUNNING_VARIANCE] + EPSILON)
        return n_all

    @contextmanager
    def averaged(self, group: Group, n_rows: int) -> Iterator[None]:
        """Average over the processes, by their rows, how parameters and the optimizer's state change inside; add the losses."""
        loss_before = float(self.total[0])
        state = self.memory[self.layout.state_stride :][: self.layout.slots * self.layout.state_stride]
        parts = [*self._snapshot_parts(), state]
        before = [part.copy() for part in parts]
        yield
        loss, n_all = group.total(float(self.total[0]) - loss_before, n_rows)
        self.total[0] = loss_before + loss
        for part, old in zip(parts, before):
            part -= old  # what is frozen stays to the last bit
            part *= n_rows / n_all
            group.add_gradients(part)
            part += old
        self.load(self.parameters())  # the transposed copies, and what follows from running values

    def _begun_job(
        self, data: Data, order: Any, batch_size: Any, table: Any, constraints: Constraints, n_threads: int = 1
    ) -> Job:
        """The job of a call, all its phases to be run; it keeps the rows' order and the coefficients alive."""
        if data.file is not None:
            data.file.check()
        order = self._checked_order(data, order)
        if not 0 < batch_size <= self.rows or len(table) * batch_size < len(order):
            raise ValueError(f"{len(order)} rows in mini-batches of {batch_size} do not fit this network's memory")
        table = np.ascontiguousarray(table, np.float64)
        job = self._prepared_job(data, constraints, batch_size, table, n_threads)
        fields, job.keeps = job.fields, (order, table)
        fields.order, fields.n_order = address(order), len(order)
        fields.epoch_rows, fields.epoch_steps = len(order), len(table)
        fields.coefficients, fields.first_phase, fields.last_phase = address(table), 0, len(job.phases) * len(table)
        return job

    def _prepared_job(
        self, data: Data, constraints: Constraints, batch_size: Any, table: np.ndarray, n_threads: int
    ) -> Job:
        """The job with all that stays the same from chunk to chunk: most are so small that this would take longer."""
        known = self._prepared
        if (
            known is None
            or known[0]() is not data
            or known[1] is not constraints
            or known[2:5] != (batch_size, table.shape[1:], n_threads)
        ):
            data.check(self.model.n_features, self.model.n_outputs, trained=True)
            job = self.training_job(data, constraints, n_threads)
            self._squares[:] = 0  # of what is frozen now
            job.set(
                **self.asked(constraints, table),
                **data.fields,
                **data.training_fields,
                **self._room_for_entries(data, batch_size),
                **self._room_for_lists(data, training=True),
                batch_size=batch_size,
            )
            self._prepared = known = (weakref.ref(data), constraints, batch_size, table.shape[1:], n_threads, job)
        return known[-1]

    def asked(self, constraints: Constraints, table: np.ndarray) -> dict[str, Any]:
        """Fields of a job for what is asked of the parameters, and the optimizer's coefficients."""
        self._layer_penalties[:, 0], self._layer_penalties[:, 1] = constraints.alpha, constraints.l1
        columns = table.shape[-1] if table.ndim == 4 else 0
        return {
            "clip_value": constraints.clip_value,
            "clip_norm": constraints.clip_norm,
            "max_norm": constraints.max_norm,
            "coefficients": table.ctypes.data,
            "n_coefficients": table[0].size if len(table) else 0,
            "layer_coefficients": 2 * columns,
            "vector_coefficients": columns,
        }

    def _room_for_entries(self, data: Data, batch_size: Any) -> dict[str, int]:
        """Fields for where a mini-batch's entries are put in the order of their columns."""
        if not data.kind.indices:
            return {}
        room = max(1, min(data.fields["n_entries"], batch_size * data.longest_row))
        if not self._entries or len(self._entries[0]) < room:
            # zeros that nobody touches take no memory; whatever is read of them is the number of a row
            columns = np.zeros(self.layout.layers[0].fan_in_padded, np.int64)
            self._entries = [np.zeros(room, np.int64), np.zeros(room, self.model.dtype), columns]
        rows, values, ends = self._entries
        places = {"entry_rows": rows, "entry_values": values, "column_ends": ends}
        return {**{name: array.ctypes.data for name, array in places.items()}, "room": len(rows)}

    def _room_for_lists(self, data: Data, training: bool) -> dict[str, int]:
        """Fields for where it is written which columns and rows are not zero."""
        if not leaves_out_zeros(self.model, data.kind):
            return {}
        place, size = self.layout.layers[0], HEAD + self.layout.block_rows
        if not self._lists:
            blocks = -(-place.fan_in // BLOCK)
            self._lists["columns"] = np.zeros((self.n_threads, GROUP_TILES, blocks, COLUMNS), NUMBER)
        fields = {"columns": self._lists["columns"].ctypes.data}
        if training:
            if "rows" not in self._lists:
                n_parts = QUARTERS if self.layout.in_quarters else 1
                self._lists["rows"] = np.zeros((n_parts, place.fan_in_padded // TILE_ROWS, size), NUMBER)
            fields |= {"strip_rows": self._lists["rows"].ctypes.data, "strip_rows_stride": size}
        return fields

    def _checked_order(self, data: Data, order: np.ndarray) -> np.ndarray:
        order = np.ascontiguousarray(order, np.int64)
        if len(order) and order.view(np.uint64).max() >= data.n_samples:  # negative numbers are large ones
            raise ValueError(f"rows must lie in [0, {data.n_samples}), got {order.min()} to {order.max()}")
        return order

    def take_loss(self, group: Group = ALONE) -> float:
        """The loss, penalties included, summed over the rows since the last call, of a group over all its rows.

        Whatever the chunks in which they were run, and the threads: each sum has one order.
        """
        loss = self._loss_of(0, float(group.total(self.penalties[0].sum())[0]))
        self.forget_loss()
        return loss

    def take_losses(self, n_epochs: int) -> list[float]:
        """The same of each of the epochs of one call."""
        penalties = self.penalties[:n_epochs].sum(axis=1).tolist()
        losses = [self._loss_of(epoch, penalty) for epoch, penalty in enumerate(penalties)]
        self.forget_loss(n_epochs)
        return losses

    def _loss_of(self, epoch: int, penalty: float) -> float:
        share = 1 / self.model.n_outputs if self.model.loss.mean_outputs else 1.0
        return float(self.total[epoch] * share + penalty)

    def forget_loss(self, n_epochs: int = 1) -> None:
        """Begin the sums of the losses anew."""
        self.total[:n_epochs] = 0.0
        self.penalties[:n_epochs] = 0.0

    def predict(self, data: Data, order: np.ndarray | None = None) -> np.ndarray:
        """Outputs for the rows ``order`` (all by default), shape (n_rows, n_outputs)."""
        data.check(self.model.n_features, self.model.n_outputs, trained=False)
        if order is not None:
            order = self._checked_order(data, order)
            count, place = len(order), address(order)
        elif data.n_samples <= GROUP_ROWS:
            count, place = data.n_samples, FIRST_ADDRESS
        else:
            order = np.arange(data.n_samples)
            count, place = len(order), address(order)
        out = np.empty((count, self.model.n_outputs), self.model.dtype)
        job = self._jobs.get(data.reading)
        if job is None:
            program = prediction_program(self.model, self.operands, data.kind)
            with interrupts.deferred():
                job = self._jobs[data.reading] = Job(self, program)
            lists = self._room_for_lists(data, training=False)
            job.set(prediction=1, last_phase=1, out_row=self.model.n_outputs, **lists)
        fields = job.fields
        for name, value in data.fields.items():
            setattr(fields, name, value)
        fields.order, fields.out = place, address(out)
        fields.n_order, fields.epoch_rows, fields.batch_size = count, count, count or 1
        self._run(job, 1 if count <= GROUP_ROWS else min(self.n_threads, -(-count // GROUP_ROWS)))
        self._check_status()
        return out

    def _check_status(self) -> None:
        """Raise if a number that the kernels have read since is not finite."""
        if self._status.dot(self._status) != 0:  # then it is NaN; ndarray.any takes longer
            self._status[:] = 0
            raise NonFiniteInputs(f"X or y contains NaN, infinity or a value too large for {self.model.dtype.name}")

    def _run(self, job: Job, wanted: int) -> None:
        """Run a job on up to ``wanted`` threads."""
        wanted = min(wanted, self.threads_now)
        if wanted <= 1:
            return self._run_alone(job)
        with parallel_region(wanted) as n_threads:
            if n_threads <= 1:
                return self._run_alone(job)
            job.fields.n_threads, job.fields.shares = n_threads, self._share(n_threads)
            job.run_team(n_threads)

    def _run_alone(self, job: Job) -> None:
        job.fields.n_threads, job.fields.shares = 1, self._share(1)
        job.run_alone()

    def _touch(self) -> None:
        """Let the threads be the first to write to the weights that they will own."""
        self._run_once(touching_program, self.n_threads)

    def _run_once(self, make: Callable[[Model, Operands], Program], n_threads: int) -> None:
        """Run a program of one phase that needs no data."""
        job = self._jobs.get(make)
        if job is None:
            with interrupts.deferred():
                job = self._jobs[make] = Job(self, make(self.model, self.operands))
        job.fields.last_phase = 1
        self._run(job, n_threads)

    def _share(self, n_threads: Any) -> int:
        if n_threads not in self._shares:
            shares = self.layout.share_strips(n_threads)
            self._shares[n_threads] = address(shares), shares
        return self._shares[n_threads][0]
