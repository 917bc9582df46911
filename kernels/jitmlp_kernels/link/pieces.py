"""Pieces: kernels that are compiled, kept and loaded one by one, when a network needs them.

A piece is a traced body with a name. Its arguments that are known when a network is laid out
(which activation, which element type) are part of what it is; what is known only at run time lies
in records: the job, the thread's unit of work, and the piece's own operands. The address of the
machine code goes into the network's table of calls; nothing about an address is in a file.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import util
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import llvmlite
import numba
import numpy as np

import jitmlp_kernels
from jitmlp_kernels.link import compile as compiler
from jitmlp_kernels.link import folder, progress, store
from jitmlp_kernels.trace.interpreter import Interpreter, Pointer
from jitmlp_kernels.trace.target import VECTOR_BYTES, cpu_name, feature_string

INTERPRETED = bool(numba.config.DISABLE_JIT)


def _code_digest() -> Any:
    """Digest of the code of all kernels as Python loads it, so that it is right where there are no source files too."""
    digest = hashlib.blake2b(digest_size=20)
    for module in sorted(walk_packages(jitmlp_kernels.__path__, "jitmlp_kernels."), key=lambda m: m.name):
        loader = util.find_spec(module.name).loader  # type: ignore[union-attr]
        source = loader.get_source(module.name)  # type: ignore[union-attr]
        if source is None:
            import marshal

            digest.update(marshal.dumps(loader.get_code(module.name)))  # type: ignore[union-attr]
        else:
            digest.update(source.encode())
    return digest


# Now, since the files may be those of another version once the first kernel is compiled, and this one's code, kept under
# the other's name, would make the other write where it must not
_CODE = _code_digest()


@cache
def sources_digest() -> str:
    """Digest of the code of all kernels and of all that shapes the machine code made from it."""
    digest = _CODE.copy()
    for part in (numba.__version__, llvmlite.__version__, sys.version, cpu_name(), feature_string(), VECTOR_BYTES):
        digest.update(repr(part).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Piece:
    """One kernel for one dtype, with the arguments that are part of it."""

    body: Callable
    dtype: str
    arguments: tuple[tuple[str, object], ...] = ()

    @property
    def label(self) -> str:
        """A name that people can read, and files can have."""
        words = [self.body.__name__, *(_word(name, value) for name, value in self.arguments), self.dtype]
        return "-".join(word for word in words if word)

    @property
    def is_built_in(self) -> bool:
        """Whether the package's own sources say all that it computes."""
        return all(getattr(value, "built_in", True) for _, value in self.arguments)


def _word(name, value) -> str:
    if isinstance(value, bool):
        return name if value else ""
    word = str(getattr(value, "name", value))
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in word)[:40]


def piece(body: Callable, dtype, **arguments) -> Piece:
    """The piece of a body for a dtype and these arguments."""
    return Piece(body, np.dtype(dtype).name, tuple(sorted(arguments.items())))


class FormulaError(ValueError):
    """A formula of the user's own cannot be compiled; the message names the line."""


def _place(error: Exception) -> str:
    """The line of the user's code in which an error arose."""
    own = Path(jitmlp_kernels.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if own not in Path(f.filename).parents and not _is_ours(f.filename)]
    return f"{theirs[-1].filename}, line {theirs[-1].lineno}, in {theirs[-1].name}: " if theirs else ""


def _is_ours(filename: str) -> bool:
    """Whether a file is of the packages rather than the user's."""
    return any(part in ("jitmlp", "llvmlite", "numba") for part in Path(filename).parent.parts[-3:])


_addresses: dict[Piece, int] = {}
_by_key: dict[str, int] = {}
_interpreted: dict[int, Callable] = {}
compiled: list[str] = []  # labels of what this process has compiled rather than loaded
_handles = itertools.count(1)


def interpret(wanted: Piece, allowed=None) -> Callable:
    """A Python function that runs the piece on the interpreter, given three addresses."""
    m = Interpreter(wanted.dtype, _interpreted, allowed)

    def run(*addresses):
        with np.errstate(all="ignore"):  # compiled arithmetic is silent too
            wanted.body(m, *(Pointer(m, address or 0, np.uint8) for address in addresses), **dict(wanted.arguments))

    return run


def _interpret(wanted: Piece) -> int:
    handle = next(_handles)
    _interpreted[handle] = interpret(wanted)
    return handle


@dataclass
class _Request:
    """A piece on its way to an address."""

    wanted: Piece
    key: str = ""
    module: object = None
    symbol: str = field(default="")

    def __post_init__(self):
        digest = hashlib.blake2b(f"{sources_digest()} {self.wanted.label}".encode(), digest_size=20)
        if not self.wanted.is_built_in:  # the trace itself says what a user's formula computes
            digest.update(str(self._trace("formula")).encode())
        self.key = digest.hexdigest()
        self.symbol = f"jitmlp_{self.key}"

    def compile(self) -> store.Code:
        """Machine code of the piece, which is not on disk yet."""
        label, symbol = self.wanted.label, self.symbol
        return compile_or_wait(label, self.key, lambda: compiler.compile_module(self._trace(symbol), symbol))

    def _trace(self, symbol):
        try:
            return compiler.trace_piece(self.wanted.body, self.wanted.dtype, symbol, dict(self.wanted.arguments))
        except Exception as error:
            if self.wanted.is_built_in:
                raise
            raise FormulaError(f"{self.wanted.label} cannot be compiled: {_place(error)}{error}") from error


def compile_or_wait(label: str, key: str, make: Callable[[], store.Code]) -> store.Code:
    """Compile with ``make`` and keep what comes of it, or take it from the process that does so now."""
    with store.locked(label, key):
        code = store.load(label, key)
        if code is None:
            code = make()
            compiled.append(label)
            store.save(label, key, code)
    return code


def _install(request: _Request, code: store.Code) -> None:
    """Load machine code, to be found by its piece and by what it computes."""
    try:
        address = compiler.install(code)
    except (ValueError, RuntimeError) as error:  # not machine code of this machine after all
        raise RuntimeError(f"the kernel {request.wanted.label} cannot be loaded: {error}") from error
    _addresses[request.wanted] = _by_key[request.key] = address


def link(pieces: Iterable[Piece]) -> list[int]:
    """Addresses of pieces, loaded from disk or compiled where they have not been.

    A user's formula is traced anew: what it refers to may have changed.
    """
    pieces = list(pieces)
    if INTERPRETED:
        for wanted in pieces:
            if wanted not in _addresses:
                _addresses[wanted] = _interpret(wanted)
        return [_addresses[wanted] for wanted in pieces]
    missing = list(dict.fromkeys(wanted for wanted in pieces if wanted not in _addresses or not wanted.is_built_in))
    if missing:
        with compiler.LOCK:
            _link(missing)
    return [_addresses[wanted] for wanted in pieces]


def _link(missing):
    to_compile = []
    for wanted in missing:
        if wanted in _addresses and wanted.is_built_in:  # another thread was faster
            continue
        request = _Request(wanted)
        if request.key in _by_key:
            _addresses[wanted] = _by_key[request.key]
            continue
        code = store.load(wanted.label, request.key)
        if code is None:
            to_compile.append(request)
        else:
            _install(request, code)
    with progress.waiting(len(to_compile), folder.writable_folder if to_compile else None) as step:
        for request in to_compile:
            step(request.wanted.label)
            _install(request, request.compile())


def callable_of(wanted: Piece) -> Callable:
    """A Python function that calls one piece with three addresses."""
    return interpret(wanted) if INTERPRETED else compiler.callable_piece(link([wanted])[0])


def compile_piece(wanted: Piece) -> bool:
    """Make sure that a piece is on disk, without loading it; whether it had to be compiled."""
    request = _Request(wanted)
    if store.load(wanted.label, request.key) is not None:
        return False
    request.compile()
    return True


def linked() -> list[Piece]:
    """The pieces that this process has loaded."""
    return list(_addresses)
