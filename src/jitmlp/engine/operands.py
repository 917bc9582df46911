"""The operands of a network's calls: the layout with addresses."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitmlp.engine.layout import KnotsPlace, Layout, LookupPlace
from jitmlp.model.bins import RANK_RANGE, Bins
from jitmlp.model.model import Embedding
from jitmlp_kernels.pieces.batch_norm import D_BETA, D_GAMMA
from jitmlp_kernels.pieces.knots import KNOTS, PANELS
from jitmlp_kernels.pieces.records import new

CACHED = 2**14  # bytes of what numbers add at their knots that are used for all rows of a group before others


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
        self.bin_tables: tuple[np.ndarray, ...] = ()  # kept alive
        self.knots: dict[str, Any] | None = None
        if layout.knots is not None:
            self._set_knots(layout, layout.knots)
        self.layers = [LayerOperands(self, layout, l) for l in range(len(layout.layers))]
        if layout.lookup is not None and layout.model.embedding is not None:
            self._set_lookup(layout, layout.lookup, layout.model.embedding)
        if layout.model.bins is not None and layout.knots is None:
            self._set_bins(layout, layout.model.bins)

    def _set_bins(self, layout: Layout, bins: Bins) -> None:
        """Those of the call that adds numbers' places in their bins to the inputs."""
        counts, starts, (features, lower, slopes, wholes) = _bin_tables(bins, layout, behind_edges=0.0)
        for first, count, whole in zip(features[:, 2], counts, wholes):
            slopes[first : first + count] *= whole
        features[:, 1] = starts + layout.model.n_read
        sizes = np.column_stack([wholes, RANK_RANGE / (counts * wholes)]).astype(layout.model.dtype)
        self.bin_tables = features, lower, slopes, sizes
        addresses = (table.ctypes.data for table in self.bin_tables)
        self.bins = {
            "target": self.at(layout.layers[0].inputs),
            "row": layout.layers[0].inputs_row,
            "n_features": len(counts),
            **dict(zip(("places", "edges", "slopes", "sizes"), addresses)),
        }

    def _set_knots(self, layout: Layout, place: KnotsPlace) -> None:
        """Those of the calls that interpolate between knots, and the record of them that the weights' calls have."""
        model, first, at = layout.model, layout.layers[0], self.at
        assert model.bins is not None
        counts, starts, (features, lower, slopes, wholes) = _bin_tables(model.bins, layout, behind_edges=np.inf)
        rows = np.full((first.fan_in_padded - model.n_read, 2), -1, np.int64)
        for number, (start, count) in enumerate(zip(starts, counts)):
            rows[start : start + count + 1, 0] = number
            rows[start : start + count + 1, 1] = np.arange(-1, count)  # the rank, and the parts
        sizes = np.column_stack([wholes, RANK_RANGE / counts]).astype(model.dtype)
        tables = dict(features=features, rows=rows, edges=lower, slopes=slopes, sizes=sizes)
        panel = first.fan_in_padded * layout.lanes
        self.knots = {
            **{name: table.ctypes.data for name, table in tables.items()},
            "n_features": len(counts),
            "n_plain": model.n_read,
            "inputs": at(first.inputs),
            "inputs_row": first.inputs_row,
            "knots": at(place.knots),
            "fractions": at(place.fractions),
            "weights": at(first.weights + model.n_read * layout.lanes),
            "panel": panel,
            "panels": first.panels,
            "values": at(place.values),
            "values_panel": model.bins.n_added * layout.lanes,
            "together": max(1, CACHED // (PANELS * layout.lanes * model.dtype.itemsize * model.bins.most_parts)),
            "linear": at(first.linear),
            "linear_row": first.row,
            "ends": at(place.ends),
            "ends_row": model.bins.most_parts,
            "entry_rows": at(place.entry_rows),
            "entry_fractions": at(place.entry_fractions),
            "entries_row": layout.block_rows,
        }
        self.knots_record = new(KNOTS, **self.knots)
        self.bin_tables = *tables.values(), self.knots_record

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


def _bin_tables(bins: Bins, layout: Layout, behind_edges: float) -> tuple[np.ndarray, np.ndarray, tuple]:
    """What the kernels know of encoded features.

    Returns
    -------
    counts, starts : ndarray of int64
        Parts of each feature, and the place of its rank behind the inputs.
    tables : tuple of ndarray
        Of each feature its place among the inputs, that of its rank, that of its edges in the tables, and its parts; the
        lower edges of all parts, in whole vectors filled up with ``behind_edges``; one over their widths; the size of a
        feature's whole part.
    """
    own, lanes, dtype = [bins.edges[j] for j in bins.features], layout.lanes, layout.model.dtype
    counts = np.array([len(edges) - 1 for edges in own], np.int64)
    widths = -(-counts // lanes) * lanes
    firsts, starts = np.cumsum(widths) - widths, np.array(bins.starts(0), np.int64)
    features = np.column_stack([np.array(bins.features, np.int64), starts, firsts, counts])
    lower, slopes = np.full(int(widths.sum()), behind_edges, dtype), np.zeros(int(widths.sum()), dtype)
    for edges, first, count in zip(own, firsts, counts):
        lower[first : first + count] = edges[:-1]
        slopes[first : first + count] = 1 / np.diff(edges)
    return counts, starts, (features, lower, slopes, (counts + 1.0) ** -0.5)


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
            "depth": place.fan_in if l else layout.model.n_multiplied,
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
            "knots": 0 if l or operands.knots is None else operands.knots_record.ctypes.data,
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
