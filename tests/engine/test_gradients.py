"""Gradients against central differences of the kernels' own loss, in all combinations.

Dropout masks are a function of seed and step, so the loss is a smooth function of the
parameters with dropout too; batch normalization's running values play no part in it.
"""

import numpy as np
import pytest

import reference
from helpers import HIDDEN, OUTPUTS, Constraints, Data, coefficient_table, make_network, targets_for
from jitmlp_kernels.rules.losses import BY_NAME as LOSSES

TABLE = coefficient_table("gradient", np.ones(1), np.ones(1), {})
VARIANTS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "dropout": {"dropout": (0.2, 0.4)},
    "both": {"batch_norm": True, "dropout": (0.2, 0.4)},
}
N = 7


def largest_error(hidden, loss, output, variant):
    """Largest error of an element, relative to the largest element of its array."""
    rng = np.random.default_rng(5)
    network, coefs, intercepts = make_network((3, 4, 3), hidden, output, loss, optimizer="gradient", rows=N, **variant)
    coefs = [0.5 * coef for coef in coefs]  # off saturation, where differences are all rounding
    normalization = network.unpack_norms()
    for layer in normalization:
        layer[0][:], layer[1][:] = rng.uniform(0.5, 1.5, 4), rng.normal(size=4)
    network.pack_norms(normalization)
    averaged = LOSSES[loss].mean_outputs  # reported as a mean, descended as a sum
    alpha, outputs = (0.0, 3) if averaged else (0.3, 1)
    source = Data(rng.normal(size=(N, 3)), targets_for(loss, N, 3, rng), rng.uniform(0.5, 2.0, N))
    order = np.arange(N)

    def objective():
        network.pack(coefs, intercepts)
        network.pack_norms(normalization)
        return network.run(source, order, N, TABLE, Constraints(alpha), 3, 11) * outputs / N

    objective()
    computed = [*network.unpack(1)[0], *network.unpack(1)[1]]
    computed += [a.copy() for layer in network.unpack_norms(1) for a in layer[:2]]
    trained = [*coefs, *intercepts, *(a for layer in normalization for a in layer[:2])]
    errors = []
    for numeric, gradient in zip(reference.numeric_gradient(objective, trained, 1e-5), computed):
        scale = max(np.abs(numeric).max(), 1e-2)
        errors.append(np.abs(numeric - gradient).max() / scale)
    return max(errors)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_combination(hidden, variant):
    for loss, outputs in OUTPUTS.items():
        for output in outputs:
            error = largest_error(hidden, loss, output, VARIANTS[variant])
            assert error < 1e-6, (loss, output, error)
