"""Piecewise-linear encoding of numbers: behind a row's inputs, how far each value lies in each of its feature's bins.

For networks that need all inputs as they are: dropped, rounded, or with embeddings' deltas. Others go by
:mod:`jitmlp_kernels.pieces.knots`.
"""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.records import ADDRESS, INT, kernel, record
from jitmlp_kernels.trace.functions import where

BINS = record(
    target=ADDRESS,  # inputs
    row=INT,
    n_features=INT,  # that are encoded
    places=ADDRESS,  # int64 [feature][4]: its place, the place of its rank, of its edges in the tables, parts
    edges=ADDRESS,  # of each feature in whole vectors, filled up with zeros
    slopes=ADDRESS,  # likewise
    sizes=ADDRESS,  # [feature][2]: of a whole part, and what the sum of the parts is multiplied by
)


@kernel(BINS)
def encode_numbers(m, job, unit, op):
    """Ranks and parts of the group's rows.

    Features follow each other: what a feature's last vector of parts writes behind them is written over by the next one,
    and behind the last one are zeros.
    """
    row, lanes = op.row, m.lanes
    target = op.target.cast(m.dtype).at(unit.place * row)
    places = op.places.cast(np.int64)
    edges, slopes, sizes = (a.cast(m.dtype) for a in (op.edges, op.slopes, op.sizes))
    total = m.variable(m.zero())
    for r in m.loop(unit.count):
        to = target.at(r * row)
        for k in m.loop(op.n_features):
            source, place, first, n_parts = (m.read(places.at(k * 4 + i)) for i in range(4))
            value, whole = m.broadcast(to.at(source)), m.broadcast(sizes.at(k * 2))
            total.set(m.zero())
            for i in m.loop(m.vectors(n_parts)):
                at = first + i * lanes
                part = (value - m.load(edges.at(at))) * m.load(slopes.at(at))
                part = where(part < 0.0, 0.0, part)
                part = where(part < whole, part, whole)
                m.store(part, to.at(place + 1 + i * lanes))
                total.set(total.get() + part)
            rank = m.sum_lanes(total.get()) * m.read(sizes.at(k * 2 + 1)) - 1.5
            m.write(rank, to.at(place))
