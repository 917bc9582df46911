"""One call into the kernels: the table of what to do, and the record that tells the rest."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from jitmlp.engine.layout import aligned_zeros
from jitmlp.engine.program import Program
from jitmlp_kernels.link.pieces import INTERPRETED, callable_of, link, piece
from jitmlp_kernels.pieces.records import JOB, new
from jitmlp_kernels.step import run

if TYPE_CHECKING:
    from jitmlp.engine.workspace import Workspace


def _struct(dtype: np.dtype) -> Any:
    """A ctypes structure over a record: its fields are set three times as fast as NumPy's."""
    kinds = {"u": ctypes.c_uint64, "i": ctypes.c_int64, "f": ctypes.c_double}
    fields = [(name, kinds[dtype[name].kind]) for name in dtype.names or ()]
    return type("Job", (ctypes.Structure,), {"_fields_": fields})


_Job = _struct(JOB)


_entries: dict[str, object] = {}


DRIVER = [piece(body, np.float64) for body in (run.run_phase, run.run_alone, run.run_member)]


def _driver(program: Program, team: bool) -> dict[str, Any]:
    """The driver's pieces, linked with those of the first program: one thread's share of a phase ..."""
    phase, _, member = link([*DRIVER, *program.pieces])[:3]
    if team and not INTERPRETED:
        run.team_runner()
    if not _entries:
        _entries["phase"], _entries["alone"], _entries["member"] = phase, callable_of(DRIVER[1]), member
    return _entries


class Job:
    """What the kernels are told in one call, kept from call to call."""

    def __init__(self, workspace: Workspace, program: Program) -> None:
        entries = _driver(program, workspace.n_threads > 1 and workspace.optimizer is not None)
        self.phases, self.calls, self.operands = program.tables()
        self.exchanges = program.exchanges
        self.wanted = [wanted for wanted, _ in program.calls]
        self.record = new(JOB)
        self.fields = _Job.from_buffer(self.record)
        self.address = self.record.ctypes.data
        self._alone, self._member = entries["alone"], entries["member"]
        self.keeps: tuple = ()  # arrays of the call that the record points to
        self.set(
            phases=self.phases.ctypes.data,
            n_phases=len(self.phases),
            calls=self.calls.ctypes.data,
            run_phase=entries["phase"],
            **workspace.constants,
        )

    def set(self, **values: Any) -> None:
        """Fill in fields."""
        for name, value in values.items():
            setattr(self.fields, name, value)

    def run_alone(self) -> None:
        """Run on this thread."""
        self._alone(self.address, self.address, self.address)

    def run_team(self, n_threads: Any) -> None:
        """Run on several threads of Numba's pool."""
        team = aligned_zeros(run.team_bytes(n_threads), np.uint8)
        self.fields.team, self.fields.team_group = team.ctypes.data, run.group_size(n_threads)
        run.team_runner()(self._member, self.address, n_threads)
