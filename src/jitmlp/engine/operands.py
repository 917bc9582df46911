"""The operands of a network's calls: the layout with addresses."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitmlp.engine.layout import Layout, LookupPlace
from jitmlp.model.bins import RANK_RANGE, Bins
from jitmlp.model.model import Embedding
from jitmlp_kernels.pieces.batch_norm import D_BETA, D_GAMMA


class Operands:
    """The operands of the calls of a program: records' values by name.

    Parameters
    ----------
    layout : Layout
    memory : ndarray
        The flat array.
    scaling : tuple of ndarray, optional
        Shift and scale of the inputs in float64, as long as a row of the inputs' buffer.
    scratch : ndarray, optional
        Float64 rows, one a thread, in which sparse rows are put together before scaling.
    """

    def __init__(self, layout: Layout, memory: np.ndarray, scaling: Any, scratch: Any) -> None:
        itemsize, base = memory.itemsize, memory.ctypes.data
        self.at = lambda offset: base + int(offset) * itemsize
        first, last = layout.layers[0], layout.layers[-1]
        shift, scale = (a.ctypes.data for a in scaling) if scaling else (0, 0)
        self.inputs_place = {
            "target": self.at(first.inputs),
            "row": first.inputs_row,
            "units": layout.model.n_read,
            "shift": shift,
            "scale": scale,
            "scratch": 0 if scratch is None else scratch.ctypes.data,
        }
        self.targets_place = {"target": self.at(layout.targets), "row": last.row, "units": last.fan_out}
        self.outputs_place = {"source": self.at(last.outputs), "row": last.row, "units": last.fan_out}
        self.loss_place = {
            "source": self.at(last.outputs),
            "targets": self.at(layout.targets),
            "target": self.at(last.deltas),
            "row": last.row,
            "units": last.fan_out,
            "parameter": layout.model.loss_parameter,
        }
        self.input_dropout = {
            "source": self.at(first.inputs),
            "target": self.at(first.inputs),
            "row": first.inputs_row,
            "units": first.fan_in,
            "layer": 0,
            "rate": layout.model.input_dropout,
        }
        self.bin_tables: tuple[np.ndarray, ...] = ()
        self.layers = [LayerOperands(self, layout, l) for l in range(len(layout.layers))]
        if layout.lookup is not None and layout.model.embedding is not None:
            self._set_lookup(layout, layout.lookup, layout.model.embedding)
        if layout.model.bins is not None:
            self._set_bins(layout, layout.model.bins)

    def _set_bins(self, layout: Layout, bins: Bins) -> None:
        """Those of the call that adds numbers' places in their bins to the inputs."""
        own, lanes, dtype = [bins.edges[j] for j in bins.features], layout.lanes, layout.model.dtype
        counts = np.array([len(edges) - 1 for edges in own], np.int64)
        widths = -(-counts // lanes) * lanes
        firsts = np.cumsum(widths) - widths
        starts = np.array(bins.starts(layout.model.n_read), np.int64)
        places = np.column_stack([np.array(bins.features, np.int64), starts, firsts, counts])
        lower, slopes = np.zeros((2, int(widths.sum())), dtype)
        sizes = np.zeros((len(own), 2), dtype)
        for edges, first, count, size in zip(own, firsts, counts, sizes):
            whole = (count + 1) ** -0.5
            lower[first : first + count] = edges[:-1]
            slopes[first : first + count] = whole / np.diff(edges)
            size[:] = whole, RANK_RANGE / (count * whole)
        self.bin_tables = places, lower, slopes, sizes  # kept alive
        addresses = (table.ctypes.data for table in self.bin_tables)
        self.bins = {
            "target": self.at(layout.layers[0].inputs),
            "row": layout.layers[0].inputs_row,
            "n_features": len(own),
            **dict(zip(("places", "edges", "slopes", "sizes"), addresses)),
        }

    def _set_lookup(self, layout: Layout, place: LookupPlace, embedding: Embedding) -> None:
        """Those of the calls that look categories up, and train what they find."""
        first, at = layout.layers[0], self.at
        self.lookup = {
            "target": at(first.inputs),
            "row": first.inputs_row,
            "units": embedding.n_inputs,
            "n_numbers": embedding.n_numbers,
            "dim": embedding.dim,
            "embeddings": at(place.embeddings),
            "gradients": at(place.gradients),
            "n_categories": len(place.starts),
            "places": place.starts.ctypes.data,
        }
        self.looked_up = {**self.lookup, "target": at(place.input_deltas)}
        vectors = place.count // layout.lanes
        square = layout.n_strips + len(layout.layers)
        self.lookup_square = {
            "vectors": vectors,
            "gradients": at(place.gradients),
            "square": square,
            "starts_square": 1,
        }
        deltas = {"source": at(place.input_deltas), "target": at(place.input_deltas)}
        self.input_dropout_backward = {**self.input_dropout, **deltas}


class LayerOperands:
    """The operands of one layer's calls."""

    def __init__(self, operands: Operands, layout: Layout, l: int) -> None:
        place, layer, lanes, at = layout.layers[l], layout.model.layers[l], layout.lanes, operands.at
        self.copies = place.copies
        panel = place.fan_in_padded * lanes
        rows = {"row": place.row, "units": place.fan_out}
        self.forward = {
            "a": at(place.inputs),
            "a_row": place.inputs_row,
            "b": at(place.weights),
            "b_panel": panel,
            "panels": place.panels,
            "init": at(place.bias),
            "init_panel": lanes,
            "c": at(place.linear),
            "c_row": place.row,
            "depth": place.fan_in,
        }
        self.activation = {
            "source": at(place.preactivations),
            "target": at(place.outputs),
            "parameter": layer.parameter,
            **rows,
        }
        self.slope = {
            "source": at(place.slope_values),
            "target": at(place.deltas),
            "parameter": layer.parameter,
            **rows,
        }
        self.dropout = {
            "source": at(place.outputs),
            "target": at(place.dropped),
            "layer": l + 1,
            "rate": layer.dropout,
            **rows,
        }
        self.dropout_backward = {**self.dropout, "source": at(place.deltas), "target": at(place.deltas)}
        has_transposed = place.transposed >= 0
        transposed = at(place.transposed) if has_transposed else 0
        self.weights = {
            "layer": l,
            "inputs": at(place.inputs),
            "inputs_row": place.inputs_row,
            "deltas": at(place.deltas),
            "deltas_row": place.row,
            "weights": at(place.weights),
            "panels": place.panels,
            "panel": panel,
            "fan_in": place.fan_in,
            "units": place.fan_out,
            "transposed": transposed,
            "has_transposed": has_transposed,
            "first_strip": place.first_strip,
            "prefetch": l == 0,
            "slots": layout.slots,
        }
        self.norms = {
            "weights": at(place.weights),
            "rows": place.fan_in_padded,
            "panels": place.panels,
            "panel": panel,
            "transposed": transposed,
            "has_transposed": has_transposed,
            "below": -(-place.fan_in_padded // lanes),
        }
        vector = {"layer": l, "vectors": place.panels, "units": place.fan_out, "square": layout.n_strips + l}
        self.bias = {**vector, "parameters": at(place.bias), "gradients": at(place.deltas), "deltas_row": place.row}
        self.bias_gradients = {**self.bias, "gradients": at(place.bias + layout.gradients)}
        width = place.panels * lanes
        self.batch_norm_vectors = [
            {**vector, "parameters": at(start), "gradients": at(place.statistics + k * width)}
            for start, k in ((place.gamma, D_GAMMA), (place.beta, D_BETA))
        ]
        if has_transposed:
            if l > 0:
                deltas, row = layout.layers[l - 1].deltas, layout.layers[l - 1].row
            else:
                assert layout.lookup is not None
                deltas, row = layout.lookup.input_deltas, place.inputs_row
            self.backward = {
                "a": at(place.deltas),
                "a_row": place.row,
                "b": transposed,
                "b_panel": place.panels * lanes * lanes,
                "panels": -(-place.fan_in // lanes),
                "init": at(layout.zeros),
                "init_panel": 0,
                "c": at(deltas),
                "c_row": row,
                "depth": place.fan_out,
            }
        if layout.model.bfloat16:
            self._set_words(at, layout, l)
        self.batch_norm = {
            "linear": at(place.linear),
            "normalized": at(place.preactivations),
            "deltas": at(place.deltas),
            "row": place.row,
            "panels": place.panels,
            "statistics": at(place.statistics),
            "gamma": at(place.gamma),
            "beta": at(place.beta),
        }

    def _set_words(self, at: Any, layout: Layout, l: int) -> None:
        """Those of the calls that make and multiply words of two bfloat16."""
        place, lanes = layout.layers[l], layout.lanes
        words, strip = place.words, place.fan_in_padded // 2 * lanes
        inputs = {"source": at(place.inputs), "row": place.inputs_row, "units": place.fan_in}
        deltas = {"source": at(place.deltas), "row": place.row, "units": place.fan_out}
        input_columns, delta_columns = words.input_columns_row, words.delta_columns_row
        self.input_columns = {**inputs, "target": at(words.input_columns), "target_row": input_columns}
        self.input_rows = {**inputs, "target": at(words.input_rows), "target_row": place.inputs_row}
        self.delta_columns = {**deltas, "target": at(words.delta_columns), "target_row": delta_columns}
        self.delta_rows = {**deltas, "target": at(words.delta_rows), "target_row": place.row}
        self.rounded_forward = {
            **self.forward,
            "a": at(words.input_columns),
            "a_row": input_columns,
            "b": at(words.weights),
            "b_panel": strip,
            "depth": -(-place.fan_in // 2),
        }
        self.rounded_weights = {**self.weights, "inputs": at(words.input_rows), "deltas": at(words.delta_rows)}
        vectors = place.panels * place.fan_in_padded
        self.packed = [{"source": at(place.weights), "target": at(words.weights), "vectors": vectors}]
        if place.transposed >= 0:
            self.rounded_backward = {
                **self.backward,
                "a": at(words.delta_columns),
                "a_row": delta_columns,
                "b": at(words.transposed),
                "b_panel": self.backward["b_panel"] // 2,
                "depth": -(-place.fan_out // 2),
            }
            panels = -(-place.fan_in_padded // lanes)
            vectors = panels * place.panels * lanes
            self.packed.append({"source": at(place.transposed), "target": at(words.transposed), "vectors": vectors})
