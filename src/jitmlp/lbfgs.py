"""L-BFGS: SciPy drives, the kernels give loss and gradient of the whole data."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from jitmlp.network import Network
from jitmlp.spec import Constraints
from jitmlp.threads import available_threads
from jitmlp_kernels.optimizers import coefficient_table


def _flatten(coefs, intercepts):
    return np.hstack([array.ravel() for array in (*coefs, *intercepts)]).astype(np.float64)


def _split(flat, spec):
    """Views of a flat vector in the shapes of the coefficients and intercepts."""
    units = spec.layer_units
    shapes = [*zip(units, units[1:]), *((n,) for n in units[1:])]
    arrays, start = [], 0
    for shape in shapes:
        stop = start + int(np.prod(shape))
        arrays.append(flat[start:stop].reshape(shape))
        start = stop
    return arrays[: len(units) - 1], arrays[len(units) - 1 :]


class FullBatchLoss:
    """Loss and gradient of the whole data as a function of the flat parameters."""

    def __init__(self, spec, source, alpha, n_threads):
        self.spec, self.source, self.constraints = spec, source, Constraints(alpha)
        self.order = np.arange(source.n_samples)
        self.table = coefficient_table("gradient", np.ones(1), np.ones(1), {})
        self.network = Network(spec, source.n_samples, n_threads, "gradient")

    def __call__(self, flat):
        self.network.pack(*_split(flat, self.spec))
        n = self.source.n_samples
        loss = self.network.train(self.source, self.order, n, self.table, self.constraints) / n
        return loss, _flatten(*self.network.unpack(slot=1))


def fit_lbfgs(estimator, source) -> None:
    """Minimize the loss of ``estimator`` over ``source`` and store the result on it."""
    spec = estimator._spec
    objective = FullBatchLoss(spec, source, estimator.alpha, available_threads(estimator.n_threads))
    latest: dict = {}

    def report(intermediate_result):
        latest.update(x=intermediate_result.x.copy(), loss=intermediate_result.fun)
        latest["n"] = latest.get("n", 0) + 1
        if estimator.verbose:
            print(f"Iteration {latest['n']}, loss = {latest['loss']:.8f}")

    try:
        result = scipy.optimize.minimize(
            objective,
            _flatten(estimator.coefs_, estimator.intercepts_),
            method="L-BFGS-B",
            jac=True,
            callback=report,
            options={
                "maxfun": estimator.max_fun,
                "maxiter": estimator.max_iter,
                "gtol": estimator.tol,
            },
        )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.")
        if not latest:
            return
        estimator.n_iter_, estimator.loss_, best = latest["n"], latest["loss"], latest["x"]
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
        estimator.loss_, best = result.fun, result.x
    coefs, intercepts = _split(best, spec)
    estimator.coefs_ = [coef.astype(spec.dtype) for coef in coefs]
    estimator.intercepts_ = [intercept.astype(spec.dtype) for intercept in intercepts]
