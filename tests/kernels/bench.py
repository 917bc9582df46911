"""Running a traced body by itself: compiled, and on the interpreter."""

import numpy as np

from jitmlp_kernels.link.pieces import callable_of, interpret, piece
from jitmlp_kernels.pieces.records import ADDRESS, INT, JOB, UNIT, kernel, new, record
from jitmlp_kernels.rules.activations import ActivationRule
from jitmlp_kernels.trace.target import VECTOR_BYTES

MACHINES = ["compiled", "interpreted"]
VECTORS = record(source=ADDRESS, target=ADDRESS, count=INT, parameter=np.float64)


@kernel(VECTORS)
def apply_to_vectors(m, job, unit, op, activation):
    """``activation.function`` of every number of an array."""
    source, target = op.source.cast(m.dtype), op.target.cast(m.dtype)
    for i in m.loop(m.vectors(op.count)):
        z = m.load(source.at(i * m.lanes))
        m.store(activation.function(z, m.spread(op.parameter)), target.at(i * m.lanes))


def call(body, dtype, operands, machine="compiled", job=None, unit=None, **arguments):
    """Run one piece with these records; a dict of operands becomes one."""
    wanted = piece(body, dtype, **arguments)
    run = interpret(wanted) if machine == "interpreted" else callable_of(wanted)
    records = [new(JOB, **(job or {})), new(UNIT, **(unit or {})), new(body.operands, **operands)]
    run(*(r.ctypes.data for r in records))
    return records


def mapped(function, x, machine="compiled", parameter=0.0):
    """``function(x, parameter)`` as a kernel computes it, in the dtype of ``x``."""
    lanes = max(1, VECTOR_BYTES // x.itemsize)
    padded = np.zeros(-(-len(x) // lanes) * lanes, x.dtype)
    padded[: len(x)] = x
    out = np.empty_like(padded)
    rule = ActivationRule(getattr(function, "__name__", "f").strip("<>"), function, built_in=False)
    call(
        apply_to_vectors, x.dtype, {"source": padded.ctypes.data, "target": out.ctypes.data, "count": len(x),
        "parameter": parameter}, machine, activation=rule,
    )  # fmt: skip
    return out[: len(x)]
