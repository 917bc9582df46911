"""Jobs on the interpreter of kernels, which checks every access to memory."""

from contextlib import contextmanager

import numpy as np

from jitmlp_kernels.link import pieces
from jitmlp_kernels.link.pieces import interpret
from jitmlp_kernels.pieces.records import UNIT, UNIT_BYTES
from jitmlp_kernels.step import run


def ranges(network, job, data, arrays):
    """The stretches of memory that the kernels may touch."""
    known = [
        network.memory, network.row_loss, network.row_weight, network.penalties, network.total, network._squares,
        network._layer_penalties,
        network._units, job.record, job.phases, job.calls, *job.operands, *(a for _, a in network._shares.values()), *data._kept, *arrays,
        *network._entries, *network._lists.values(), *([network.layout.lookup.starts] if network.layout.lookup else []),
        *(a for a in (network._scaling[0] or []) if a is not None), *network.operands.bin_tables,
    ]  # fmt: skip
    known += [] if network._scaling[1] is None else [network._scaling[1]]
    return [np.lib.array_utils.byte_bounds(array) for array in known if array.size]


@contextmanager
def on_interpreter(job, allowed):
    """A job's calls on the interpreter, every access checked; yields the function that runs a thread's phase."""
    kept = dict(pieces._interpreted)
    try:
        numbers = {}
        for number, (wanted, address) in enumerate(zip(job.wanted, job.calls["piece"].copy()), 10_000):
            pieces._interpreted[number] = interpret(wanted, allowed)
            numbers[int(address)] = number
        job.calls["piece"] = [numbers[int(a)] for a in job.calls["piece"]]
        run_phase = interpret(pieces.piece(run.run_phase, np.float64), allowed)
        pieces._interpreted[9_999], job.fields.run_phase = run_phase, 9_999
        yield run_phase
    finally:
        pieces._interpreted.clear()
        pieces._interpreted.update(kept)


def interpreted(job, allowed):
    """Run a job on the interpreter."""
    with on_interpreter(job, allowed):
        interpret(pieces.piece(run.run_alone, np.float64), allowed)(*[job.address] * 3)


def phase_by_phase(network, job, allowed, n_threads, n_phases):
    """Run all phases of a job on the interpreter, on a team of threads that take turns."""
    with on_interpreter(job, allowed) as run_phase:
        for number in range(n_phases):
            for thread in range(n_threads):
                unit = network._units[thread * UNIT_BYTES :][: UNIT.itemsize].view(UNIT)
                unit["thread"], unit["step"] = thread, number
                run_phase(job.address, unit.ctypes.data, job.address)
