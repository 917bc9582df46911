"""A network in the kernels' memory: one flat array, laid out once.

Weights live in panels of one vector's width, ``[panel][fan_in][lane]``, with a
transposed copy for the backward pass, so nothing is packed in a step. Every size is
padded to whole vectors and tiles; the padding is zero and stays zero.
"""

from __future__ import annotations

import numpy as np

from jitmlp.data import Source
from jitmlp.threads import parallel_region
from jitmlp_kernels import activations, batchnorm, losses, optimizers, plan, step
from jitmlp_kernels.call import address_of
from jitmlp_kernels.host import TILE_PANELS, TILE_ROWS, VECTOR_BYTES
from jitmlp_kernels.team import LINE

MAX_BLOCK_ROWS = 1024  # larger mini-batches go through in blocks, whose buffers stay in the cache
_addresses: dict[np.dtype, int] = {}  # of the kernel, by the dtype of the network
NO_TABLE = np.empty((0, optimizers.MAX_COEFFICIENTS))
NO_TOTAL = np.empty(0)
NO_OUTPUT = {np.dtype(kind): np.empty((0, 0), kind) for kind in ("float32", "float64")}


class NonFiniteInputs(ValueError):
    """Rows of X or y hold NaN, infinity or a number too large for the dtype of the network."""


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


class _Arena:
    """Hands out stretches of the flat array, each starting on a cache line."""

    def __init__(self, itemsize: int):
        self.line = 64 // itemsize
        self.size = 0

    def take(self, count: int) -> int:
        start = self.size
        self.size = _up(start + count, self.line)
        return start


def _aligned_zeros(count: int, dtype: np.dtype) -> np.ndarray:
    """Zeros that start on a cache line and are touched by nobody yet."""
    line = 64 // dtype.itemsize
    raw = np.zeros(count + line, dtype)
    shift = -(raw.ctypes.data // dtype.itemsize) % line
    return raw[shift : shift + count]


class Network:
    """Parameters, buffers and plan of one network.

    Parameters
    ----------
    spec : NetworkSpec
    rows : int
        Rows of the largest mini-batch.
    n_threads : int
    optimizer : str, optional
        A row of the table of optimizers; its state is laid out behind the parameters.
    accumulate : bool
        Keep room for gradients that wait for the end of the mini-batch, which a clipped
        norm needs.
    keep_preactivations : bool
        Keep the preactivations of every layer, not only where a derivative needs them.
    """

    def __init__(self, spec, rows=1, n_threads=1, optimizer=None, accumulate=False, keep_preactivations=False):
        self.spec = spec
        self.n_threads = n_threads
        self.lanes = VECTOR_BYTES // spec.dtype.itemsize
        self.optimizer = optimizer
        self.slots = optimizers.OPTIMIZERS[optimizers.CODES[optimizer]].slots if optimizer else ()
        self.n_layers = len(spec.layer_units) - 1
        self.layers = plan.records(self.n_layers, plan.LAYER)
        self.plan = plan.records(1, plan.PLAN)
        arena = _Arena(spec.dtype.itemsize)
        self._lay_out_parameters(arena)
        # batch normalization needs the sums over all rows before it can go on with any
        blocks = 1 if spec.batch_norm else -(-rows // MAX_BLOCK_ROWS)
        self.block_rows = _up(-(-rows // blocks), TILE_ROWS)
        self._lay_out_state(arena, accumulate or blocks > 1)
        self._lay_out_buffers(arena, keep_preactivations)
        self.memory = _aligned_zeros(arena.size, spec.dtype)
        self.memory[self.plan["ones"][0]] = 1
        self._status = self.memory[self.plan["status"][0] :][: n_threads * arena.line]
        self.row_loss = np.zeros(rows)
        self.row_weight = np.zeros(rows)
        self.penalty = np.zeros(2 * int(self.plan["n_strips"][0]) + self.n_layers)
        if spec.shift is not None:
            for name, values in (("shift", spec.shift), ("scale", spec.scale)):
                self.memory[self.plan[name][0] :][: len(values)] = values
        self._shares = {}
        self._prediction = plan.records(1, plan.RUN)
        for name, value in {"predict": 1, "blocks": 1, "phases": 2}.items():
            self._prediction[name] = value

    def _lay_out_parameters(self, arena):
        lanes = self.lanes
        strips = 0
        units = self.spec.layer_units
        for l, (fan_in, fan_out, activation) in enumerate(zip(units, units[1:], self.spec.activations)):
            layer, hidden = self.layers[l], l < self.n_layers - 1
            layer["fan_in"], layer["fan_out"] = fan_in, fan_out
            layer["fan_in_padded"] = _up(fan_in, TILE_ROWS)
            layer["panels"] = -(-fan_out // lanes)
            layer["activation"], layer["parameter"] = activation.code, activation.parameter
            layer["weights"] = arena.take(layer["panels"] * layer["fan_in_padded"] * lanes)
            for name in ("bias", "gamma", "beta") if hidden and self.spec.batch_norm else ("bias",):
                layer[name] = arena.take(layer["panels"] * lanes)
            layer["batch_norm"] = hidden and self.spec.batch_norm
            layer["first_strip"] = strips
            strips += layer["fan_in_padded"] // TILE_ROWS
        self.plan["n_strips"] = strips
        self.plan["n_normalized"] = int(self.layers["batch_norm"].sum())

    def _lay_out_state(self, arena, accumulate):
        # An odd number of cache lines, so that a parameter and its state never fall
        # into the same set of the first-level cache.
        lines = arena.size // arena.line
        stride = (lines + 1 - lines % 2) * arena.line
        copies = len(self.slots) + accumulate
        arena.size = (copies + 1) * stride
        self.plan["state_stride"] = stride
        self.plan["accumulators"] = copies * stride
        self.accumulates = accumulate
        lanes = self.lanes
        self.layers["transposed"] = -1
        for layer in self.layers[1:]:
            panels = -(-layer["fan_in_padded"] // lanes)
            layer["transposed"] = arena.take(panels * layer["panels"] * lanes * lanes)

    def _lay_out_buffers(self, arena, keep_preactivations):
        lanes, record = self.lanes, self.plan[0]
        rows = max(self.block_rows, self.n_threads * step.GROUP_ROWS)

        def stride_of(units):
            """An odd number of vectors: rows a power of two apart would collide in L1."""
            vectors = -(-_up(units, TILE_ROWS) // lanes)
            return (vectors + 1 - vectors % 2) * lanes

        stride = stride_of(self.spec.layer_units[0])
        inputs = arena.take(rows * stride)
        rates = self.spec.dropout or (0.0,) * self.n_layers
        record["input_dropout"], record["smoothing"] = rates[0], self.spec.smoothing
        if self.spec.shift is not None:
            record["normalize"] = 1
            record["shift"], record["scale"] = arena.take(stride), arena.take(stride)
        for layer, rate in zip(self.layers, (*rates[1:], 0.0)):
            layer["inputs"], layer["inputs_stride"] = inputs, stride
            stride = stride_of(layer["panels"] * lanes)
            inputs = layer["outputs"] = arena.take(rows * stride)
            layer["stride"] = stride
            layer["deltas"] = arena.take(rows * stride)
            code = layer["activation"]
            needed = code < len(activations.ACTIVATIONS) and activations.ACTIVATIONS[code].from_preactivation
            apart = needed or keep_preactivations
            layer["preactivations"] = arena.take(rows * stride) if apart else inputs
            layer["dropout"] = rate
            inputs = layer["dropped"] = arena.take(rows * stride) if rate else inputs
            layer["linear"] = layer["preactivations"]
            if layer["batch_norm"]:
                layer["linear"] = arena.take(rows * stride)
                layer["statistics"] = arena.take(batchnorm.VECTORS * layer["panels"] * lanes)
            layer["slope_values"] = layer["preactivations"] if needed else layer["outputs"]
        record["n_layers"], record["block_rows"] = self.n_layers, self.block_rows
        record["targets"], record["targets_stride"] = arena.take(rows * stride), stride
        record["zeros"] = arena.take(2 * TILE_PANELS * lanes)
        record["ones"] = arena.take(1)
        record["scratch_stride"] = _up(TILE_ROWS * TILE_PANELS * lanes, arena.line) + 2 * arena.line
        record["scratch"] = arena.take(record["scratch_stride"] * self.n_threads)
        record["status_stride"] = arena.line
        record["status"] = arena.take(arena.line * self.n_threads)
        record["loss"] = losses.CODES[self.spec.loss]
        record["loss_parameter"] = self.spec.loss_parameter
        record["canonical"] = losses.is_canonical(self.spec.loss, self.spec.activations[-1].code)

    def _share_strips(self, n_threads):
        """Rows of each layer's weights that each thread owns, of nearly equal work.

        Strips of TILE_ROWS rows are dealt out in order along all layers, each thread
        getting a stretch of equal cost; the biases go with a layer's first strip.
        """
        costs, places = [], []
        for l, layer in enumerate(self.layers):
            for i in range(0, layer["fan_in_padded"], TILE_ROWS):
                costs.append(layer["panels"] * (1.5 if i == 0 else 1.0))
                places.append((l, i))
        middle = np.cumsum(costs) - np.asarray(costs) / 2
        owner = np.minimum(middle * n_threads / sum(costs), n_threads - 1).astype(int)
        shares = np.zeros((n_threads, self.n_layers, 2), np.int64)
        for thread, (l, i) in zip(owner, places):
            if shares[thread, l, 1] == 0:
                shares[thread, l, 0] = i
            shares[thread, l, 1] = i + TILE_ROWS
        return shares

    # Parameters in and out

    def _weights(self, layer, slot):
        start = layer["weights"] + slot * self.plan["state_stride"][0]
        count = layer["panels"] * layer["fan_in_padded"] * self.lanes
        panels = self.memory[start : start + count].reshape(layer["panels"], -1, self.lanes)
        return panels.transpose(1, 0, 2)  # (fan_in_padded, panels, lanes)

    def _bias(self, layer, slot):
        start = layer["bias"] + slot * self.plan["state_stride"][0]
        return self.memory[start : start + layer["fan_out"]]

    def unpack(self, slot=0):
        """Copies of ``(coefs, intercepts)``, or of the state slot ``slot`` (from 1)."""
        coefs, intercepts = [], []
        for layer in self.layers:
            full = self._weights(layer, slot).reshape(layer["fan_in_padded"], -1)
            # a copy even where one panel makes this contiguous: training goes on beneath
            coefs.append(np.array(full[: layer["fan_in"], : layer["fan_out"]], order="C"))
            intercepts.append(self._bias(layer, slot).copy())
        return coefs, intercepts

    def pack(self, coefs, intercepts, slot=0):
        """Lay parameters, or a slot of the optimizer's state, into the kernels' memory."""
        lanes = self.lanes
        for layer, coef, intercept in zip(self.layers, coefs, intercepts):
            padded = np.zeros((layer["fan_in_padded"], layer["panels"] * lanes), self.spec.dtype)
            padded[: layer["fan_in"], : layer["fan_out"]] = coef
            self._weights(layer, slot)[...] = padded.reshape(layer["fan_in_padded"], -1, lanes)
            self._bias(layer, slot)[...] = intercept
            if layer["transposed"] >= 0 and slot == 0:
                panels = -(-layer["fan_in_padded"] // lanes)
                across = np.zeros((padded.shape[1], panels * lanes), self.spec.dtype)
                across[:, : layer["fan_in_padded"]] = padded.T
                view = self.memory[layer["transposed"] :][: across.size].reshape(panels, -1, lanes)
                view[...] = across.reshape(-1, panels, lanes).transpose(1, 0, 2)

    def _normalization_views(self, layer, slot):
        """Gamma, beta, running mean and running variance of a layer; the first two of a slot."""
        width = layer["panels"] * self.lanes
        shift = slot * self.plan["state_stride"][0]
        running = [
            layer["statistics"] + k * width for k in (batchnorm.RUNNING_MEAN, batchnorm.RUNNING_VARIANCE)
        ]
        starts = [layer["gamma"] + shift, layer["beta"] + shift, *running]
        return [self.memory[start : start + layer["fan_out"]] for start in starts]

    def unpack_normalization(self, slot=0):
        """Copies of gamma, beta, running mean and variance of every normalized layer."""
        normalized = [layer for layer in self.layers if layer["batch_norm"]]
        return [[view.copy() for view in self._normalization_views(layer, slot)] for layer in normalized]

    def pack_normalization(self, values, slot=0):
        """Lay gamma, beta, running mean and variance into the kernels' memory."""
        normalized = [layer for layer in self.layers if layer["batch_norm"]]
        for layer, arrays in zip(normalized, values):
            for view, array in zip(self._normalization_views(layer, slot), arrays):
                view[...] = array
            start = layer["statistics"] + batchnorm.RUNNING_INVERSE * layer["panels"] * self.lanes
            inverse = 1 / np.sqrt(arrays[3] + batchnorm.EPSILON)
            self.memory[start : start + layer["fan_out"]] = inverse

    def buffer(self, layer: int, field: str, rows: int):
        """View of the first rows of a layer's ``preactivations``, ``outputs`` or ``deltas``."""
        record = self.layers[layer]
        start, stride = record[field], record["stride"]
        return self.memory[start : start + rows * stride].reshape(rows, stride)[:, : record["fan_out"]]

    # Running

    def train(self, source, order, batch_size, table, constraints, first_step=0, seed=0, n_threads=None):
        """Run one mini-batch step for each row of ``table`` over the rows ``order``.

        Parameters
        ----------
        source : Source
        order : ndarray of int64
        batch_size : int
        table : ndarray
            From :func:`jitmlp_kernels.optimizers.coefficient_table`.
        constraints : Constraints
        first_step, seed : int
            The number of steps before, and the seed, of what dropout drops.
        n_threads : int, optional

        Returns
        -------
        float
            The loss, penalties included, summed over the rows.
        """
        run = plan.records(1, plan.RUN)
        run["batch_size"], run["optimizer"] = batch_size, optimizers.CODES[self.optimizer]
        run["slots"] = len(self.slots)
        for name, value in vars(constraints).items():
            run[name] = value
        blocks = run["blocks"] = -(-batch_size // self.block_rows)
        parts = 4 * self.plan["n_normalized"] + 2
        run["phases"] = parts * blocks + (constraints.clip_norm < np.inf) + (constraints.max_norm < np.inf)
        run["first_step"], run["seed"] = first_step, seed
        total = np.zeros(1)
        self.penalty[:] = 0
        wanted = self.n_threads if n_threads is None else n_threads
        no_output = NO_OUTPUT[self.spec.dtype]
        n_phases = int(run["phases"][0]) * len(table)
        self._run(n_phases, wanted, source, order, run, table, total, no_output)
        self._check_status()
        share = 1 / self.spec.layer_units[-1] if losses.LOSSES[self.plan["loss"][0]].mean_outputs else 1.0
        return float(total[0] * share + self.penalty[: self.plan["n_strips"][0]].sum())

    def predict(self, source: Source, order=None):
        """Outputs for the rows ``order`` (all by default), shape (n_rows, n_outputs)."""
        if order is None:
            order = np.arange(source.n_samples)
        out = np.empty((len(order), self.spec.layer_units[-1]), self.spec.dtype)
        self._prediction["batch_size"] = len(order)
        wanted = min(self.n_threads, -(-len(order) // step.GROUP_ROWS))
        self._run(1, wanted, source, order, self._prediction, NO_TABLE, NO_TOTAL, out)
        self._check_status()
        return out

    def _check_status(self):
        """Raise if a number that the kernels have read since is not finite."""
        if self._status.dot(self._status) != 0:  # then it is NaN; ndarray.any takes longer
            self._status[:] = 0
            raise NonFiniteInputs(
                f"X or y contains NaN, infinity or a value too large for {self.spec.dtype.name}"
            )

    def _run(self, n_phases, wanted, source, order, run, table, total, out):
        """Run phases of work on up to ``wanted`` threads."""
        if wanted == 1:
            return self._run_serial(n_phases, source, order, run, table, total, out)
        with parallel_region(wanted) as n_threads:
            if n_threads == 1:
                return self._run_serial(n_phases, source, order, run, table, total, out)
            arguments = self._arguments(n_threads, source, order, run, table, total, out)
            team = _aligned_zeros(LINE * n_threads, np.dtype(np.int64))
            step.run_team(self._address(arguments), n_phases, n_threads, team, *arguments)

    def _address(self, arguments):
        """Address of the kernel for this dtype; the first time, both kernels are made ready.

        Together, so that a later step on several threads has nothing left to compile.
        """
        dtype = self.spec.dtype
        if dtype not in _addresses:
            _addresses[dtype] = address_of(step.run_units, 0, 1, 0, 1, *arguments)
            address_of(step.run_team, 0, 1, 1, _aligned_zeros(LINE, np.dtype(np.int64)), *arguments)
        return _addresses[dtype]

    def _run_serial(self, n_phases, source, order, run, table, total, out):
        arguments = self._arguments(1, source, order, run, table, total, out)
        if self.optimizer and self.n_threads > 1:
            self._address(arguments)
        step.run_units(0, n_phases, 0, 1, *arguments)

    def _arguments(self, n_threads, source, order, run, table, total, out):
        """What the kernels take, behind the phases and threads."""
        if n_threads not in self._shares:
            self._shares[n_threads] = self._share_strips(n_threads)
        return (
            self.memory, self.plan, self.layers, self._shares[n_threads], *source.inputs(), source.y,
            source.classes, source.weights, order, run, table, self.row_loss, self.row_weight,
            self.penalty, total, out,
        )  # fmt: skip
