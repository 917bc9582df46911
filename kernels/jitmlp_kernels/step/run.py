"""The driver: every thread goes through the table of phases, and makes the calls it finds there.

A step is a sequence of phases, each begun when the one before is done: by rows of the mini-batch,
or by parts of the weights that a thread owns. What a phase consists of is decided where the
network is laid out; nothing is decoded here. Each number is summed in one fixed order, so any
number of threads gives the same bits.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from jitmlp_kernels.link import compile as compiler
from jitmlp_kernels.link import folder, pieces, progress, store
from jitmlp_kernels.pieces.records import CALL, GROUP_ROWS, JOB, LINE, PHASE, UNIT, UNIT_BYTES
from jitmlp_kernels.pieces.share import HALF_ROWS, share

# A tight loop of PAUSE tells a hypervisor that the virtual CPU can be taken away, and a phase
# that lasts 10 us then waits 20 us to be seen; spaced out, it does not.
SPINS_BETWEEN_PAUSES = 64
SPINS_BEFORE_YIELD = 64 * 40  # some microseconds
SPINS_BEFORE_STEALING = 4_000_000
PRESENT, CLAIMED = 0, 1  # a member's counters in its cache line
# That all wait for. Members of larger teams count their finished shares together: one counter of many is written by all of
# them, each time in another core, and up to 16 of their own cost nothing (docs/performance.md, Many cores)
MOST_COUNTERS = 16


def run_phase(m, job_pointer, unit_pointer, _):
    """One thread's share of the phase numbered ``unit.step``, counted over all steps of the job."""
    job, unit = m.fields(job_pointer, JOB), m.fields(unit_pointer, UNIT)
    number, n_phases, thread, n_threads = unit.step, job.n_phases, unit.thread, job.n_threads
    step = number // n_phases
    phase = m.fields(job.phases.byte(number % n_phases * PHASE.itemsize), PHASE)
    batch_size, block_rows, prediction = job.batch_size, job.block_rows, job.prediction
    epoch_rows, epoch_steps = job.epoch_rows, job.epoch_steps
    epoch = step // epoch_steps
    start = (step - epoch * epoch_steps) * batch_size  # of the mini-batch in its epoch
    n_batch = m.least(batch_size, epoch_rows - start)
    before = m.least(phase.block * block_rows, n_batch)
    n_rows = m.choose(prediction != 0, n_batch, m.least(block_rows, n_batch - before))
    unit.step, unit.epoch, unit.block = step, epoch, phase.block
    unit.n_batch, unit.before, unit.n_rows = n_batch, before, n_rows
    unit.first = epoch * epoch_rows + start + before
    unit.factor = 1.0
    calls, first_call, last_call, end_call = job.calls, phase.first_call, phase.last_call, phase.end_call

    def make_calls(first, last):
        for number in m.loop(first, last):
            call = m.fields(calls.byte(number * CALL.itemsize), CALL)
            m.call(call, "piece", job_pointer, unit_pointer, call.operands)

    for by_rows in m.either(phase.by_rows != 0):
        if by_rows:
            start, stop = share(m, n_rows, n_threads, thread)
            stop = m.least(stop, n_rows)
            for first in m.loop(start, stop, GROUP_ROWS):
                count = m.least(GROUP_ROWS, stop - first)
                unit.row, unit.count = first, count
                unit.place = m.choose(prediction != 0, thread * GROUP_ROWS, first)
                unit.padded = (count + (HALF_ROWS - 1)) // HALF_ROWS * HALF_ROWS
                make_calls(first_call, last_call)
        else:
            make_calls(first_call, last_call)
    make_calls(last_call, end_call)


def _run_phase(m, job, number, thread):
    """Run a thread's share of a phase through its piece; ``job`` is the pointer."""
    fields = m.fields(job, JOB)
    unit_pointer = fields.units.byte(thread * UNIT_BYTES)
    unit = m.fields(unit_pointer, UNIT)
    unit.thread, unit.step = thread, number
    m.call(fields, "run_phase", job, unit_pointer, job)


def run_alone(m, job_pointer, _, __):
    """All phases of the job on one thread."""
    job = m.fields(job_pointer, JOB)
    mode = m.flush_subnormals()
    for number in m.loop(job.first_phase, job.last_phase):
        _run_phase(m, job_pointer, number, m.whole(0))
    m.restore_subnormals(mode)


def run_member(m, job_pointer, thread_pointer, _):
    """All phases of the job on one member of a team, whose number is the second operand's address.

    Inside a parallel region the work is a sequence of phases, each of one share a member; a phase
    begins when all shares of the one before are done. A share is claimed before it is run, by its
    own member or, if that member has not arrived (the region got fewer threads than it asked for),
    by another: so the team can never wait for a thread that does not exist. Who runs a share has
    no influence on its result.
    """
    job = m.fields(job_pointer, JOB)
    team, n_threads, first_phase, last_phase = job.team, job.n_threads, job.first_phase, job.last_phase
    thread = m.read(thread_pointer.cast(np.int64))

    size = job.team_group
    n_groups = (n_threads + size - 1) // size

    def counter(member, which):
        return team.byte(member * LINE + 8 * which).cast(np.int64)

    def finished(group):
        return team.byte((n_threads + group) * LINE).cast(np.int64)

    mode = m.flush_subnormals()
    m.write_shared(1, counter(thread, PRESENT))
    for number in m.loop(first_phase, last_phase):
        done = number - first_phase
        mine = m.variable(m.whole(-1))
        for _ in m.when(m.raise_shared(counter(thread, CLAIMED), done)):
            mine.set(thread)
        waiting = m.variable(m.whole(1))
        for _ in m.repeat(lambda waiting=waiting: waiting.get() != 0):
            for _ in m.when(mine.get() >= 0):
                _run_phase(m, job_pointer, number, mine.get())
                m.add_shared(1, finished(mine.get() // size))
                mine.set(m.whole(-1))
            other = m.variable(m.whole(0))
            spins = m.variable(m.whole(0))
            searching = lambda mine=mine, other=other: (mine.get() < 0) & (other.get() < n_groups)  # noqa: E731
            for _ in m.repeat(searching):
                group = other.get()
                members = m.least(size, n_threads - group * size)
                for arrived in m.either(m.read_shared(finished(group)) >= (done + 1) * members):
                    if arrived:
                        other.set(group + 1)
                        spins.set(m.whole(0))
                    else:
                        spun = spins.get() + 1
                        spins.set(spun)
                        member = group * size + spun % members
                        absent = (m.read_shared(counter(member, PRESENT)) == 0) | (spun > SPINS_BEFORE_STEALING)
                        for _ in m.when(absent):
                            for _ in m.when(m.raise_shared(counter(member, CLAIMED), done)):
                                mine.set(member)
                        for _ in m.when(spun % SPINS_BETWEEN_PAUSES == 0):
                            m.pause()
                            for _ in m.when(spun % SPINS_BEFORE_YIELD == 0):
                                m.give_way()
            for _ in m.when(mine.get() < 0):
                waiting.set(m.whole(0))
    m.restore_subnormals(mode)


@intrinsic
def _call_member(typing, address, job, number):
    """Call the piece at ``address`` with the job and the address of a thread's number."""

    def generate(context, builder, signature, arguments):
        slot = cgutils.alloca_once(builder, ir.IntType(64))
        builder.store(arguments[2], slot)
        pointer = ir.PointerType()
        piece = ir.FunctionType(ir.VoidType(), [pointer] * 3)
        job = builder.inttoptr(arguments[1], pointer)
        function = builder.inttoptr(arguments[0], piece.as_pointer())
        builder.call(function, [job, builder.bitcast(slot, pointer), job])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


def group_size(n_threads: int) -> int:
    """How many members of a team count together."""
    return -(-n_threads // MOST_COUNTERS)


def team_bytes(n_threads: int) -> int:
    """Bytes of a team's counters: a cache line a member, and one a group."""
    return LINE * (n_threads - (-n_threads // group_size(n_threads)))


def run_team(address, job, n_threads):
    """Let ``n_threads`` threads of Numba's pool run the piece ``run_member`` at ``address``."""
    for thread in prange(n_threads):
        _call_member(address, job, np.int64(thread))


_team = None


def _load_team():
    """The compiled :func:`run_team`, from disk if it has been compiled before."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys
    from numba.np.ufunc import parallel

    parallel._launch_threads()
    rtsys.initialize(cpu_target.target_context)  # the runtime's symbols, before code that names them
    key = pieces.sources_digest()
    with compiler.LOCK:
        code = store.load("run_team", key)
        if code is None:
            with progress.waiting(1, folder.writable_folder) as step:
                step("run_team")
                code = pieces.compile_or_wait("run_team", key, lambda: compiler.compile_numba(run_team, 3))
        address = compiler.install(code)
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3)
    return kind(address)


def team_runner():
    """``run(member_address, job_address, n_threads)`` in a parallel region; compiled at the first use."""
    global _team
    if _team is None:
        function = _load_team()
        result, error = (ctypes.c_int64 * 4)(), (ctypes.c_int64 * 4)()
        places = ctypes.addressof(result), ctypes.addressof(error)

        def run(member, job, n_threads, keep=(result, error)):
            function(*places, member, job, n_threads)

        _team = run
    return _team
