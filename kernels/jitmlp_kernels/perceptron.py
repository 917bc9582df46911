"""Rosenblatt's perceptron rule, compiled."""

from jitmlp_kernels.cache import kernel


@kernel
def perceptron_epoch(X, sign, order, weights, intercept, rate, fit_intercept):
    """One pass of the perceptron rule over the rows ``order``, in that order.

    A row with ``sign * (w.x + b) <= 0`` is a mistake and adds ``rate * sign * x`` to the
    weights (Rosenblatt 1958). ``weights`` and ``intercept[0]`` change.

    Returns
    -------
    mistakes : int
    loss : float
        Sum over the mistakes of ``-sign * (w.x + b)``.
    """
    mistakes, loss = 0, 0.0
    for row in order:
        score = 0.0
        for j in range(X.shape[1]):
            score += X[row, j] * weights[j]
        margin = sign[row] * (score + intercept[0])
        if margin <= 0:
            mistakes += 1
            loss -= margin
            step = rate * sign[row]
            for j in range(X.shape[1]):
                weights[j] += step * X[row, j]
            if fit_intercept:
                intercept[0] += step
    return mistakes, loss
