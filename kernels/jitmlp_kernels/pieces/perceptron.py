"""Rosenblatt's perceptron rule."""

from __future__ import annotations

import numpy as np

from jitmlp_kernels.pieces.records import ADDRESS, FLOAT, INT, kernel, record

PERCEPTRON = record(
    x=ADDRESS,  # float64 [row][feature]
    sign=ADDRESS,  # float64, -1 or 1 a row
    order=ADDRESS,  # int64
    n_rows=INT,
    n_features=INT,
    weights=ADDRESS,
    intercept=ADDRESS,
    rate=FLOAT,
    fit_intercept=INT,
    mistakes=INT,  # found
    loss=FLOAT,  # sum over the mistakes of -sign (w.x + b)
)


@kernel(PERCEPTRON)
def perceptron_epoch(m, job, unit, op):
    """One pass of the perceptron rule over the rows, in the order given.

    A row with ``sign * (w.x + b) <= 0`` is a mistake and adds ``rate * sign * x`` to the weights
    (Rosenblatt 1958).
    """
    x, signs, weights, intercept = (a.cast(np.float64) for a in (op.x, op.sign, op.weights, op.intercept))
    order, n_features, rate, learns = op.order.cast(np.int64), op.n_features, op.rate, op.fit_intercept
    mistakes, loss, score = m.variable(m.whole(0)), m.variable(m.double(0.0)), m.variable(m.double(0.0))
    for i in m.loop(op.n_rows):
        number = m.read(order.at(i))
        row, sign = x.at(number * n_features), m.read(signs.at(number))
        score.set(m.double(0.0))
        for j in m.loop(n_features):
            score.set(score.get() + m.read(row.at(j)) * m.read(weights.at(j)))
        margin = sign * (score.get() + m.read(intercept))
        for _ in m.when(margin <= 0.0):
            mistakes.set(mistakes.get() + 1)
            loss.set(loss.get() - margin)
            step = rate * sign
            for j in m.loop(n_features):
                m.write(m.read(weights.at(j)) + step * m.read(row.at(j)), weights.at(j))
            for _ in m.when(learns != 0):
                m.write(m.read(intercept) + step, intercept)
    op.mistakes = mistakes.get()
    op.loss = loss.get()
