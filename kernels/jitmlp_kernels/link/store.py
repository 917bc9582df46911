"""Compiled pieces on disk: one file a piece, named by what it holds, and a lock a piece.

A file is a line of JSON and the machine code. The line says what it is and gives its digest;
anything that does not fit is compiled anew, that piece alone. No pickle is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import filelock

from jitmlp_kernels.link import folder

MAGIC = "jitmlp piece 1"
ENDING = ".piece"
LOCK_SECONDS = 120  # after which a piece is compiled without waiting for whoever holds its lock
ABANDONED_SECONDS = 3600  # age of a temporary file that a killed process left


class Code(NamedTuple):
    """Machine code of one function: an object file, and the function's name in it."""

    symbol: str
    data: bytes


def _digest(key: str, code: Code) -> str:
    return hashlib.blake2b(f"{key}\0{code.symbol}\0".encode() + code.data, digest_size=20).hexdigest()


def _decode(raw: bytes, key: str) -> Code:
    head, _, data = raw.partition(b"\n")
    header = json.loads(head)
    code = Code(str(header["symbol"]), data)
    if header["magic"] != MAGIC or header["key"] != key or header["digest"] != _digest(key, code):
        raise ValueError("its contents are not what its name says")
    return code


def _name(label: str, key: str) -> str:
    return f"{label}-{key[:20]}{ENDING}"


def kept(place: Path) -> dict[Path, str]:
    """The files of pieces in a folder, with the labels of the pieces."""
    return {path: path.name.rsplit("-", 1)[0] for path in sorted(place.glob(f"*{ENDING}"))}


def clean(place: Path) -> int:
    """Remove all that was kept in a folder; how many pieces that were."""
    files = kept(place)
    for path in [*files, *place.glob("locks/*.lock")]:
        path.unlink(missing_ok=True)
    sweep(place, age=0)
    return len(files)


def load(label: str, key: str) -> Code | None:
    """The piece from disk, None if it is not there or damaged."""
    for place in folder.readable_folders():
        path = place / _name(label, key)
        try:
            return _decode(folder.read_private(path), key)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (23, 24):  # too many open files: not the piece's fault
                raise
            _complain(path, error)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            _complain(path, error)
    return None


_complained: set[Path] = set()


def _complain(path: Path, error: Exception) -> None:
    if path in _complained:
        return
    _complained.add(path)
    warnings.warn(
        f"the compiled kernel {path} cannot be used and is compiled anew ({error})",
        folder.KernelCacheWarning,
        stacklevel=2,
    )


_swept: list[Path] = []


def save(label: str, key: str, code: Code) -> None:
    """Keep a piece, where there is a place for it; a full disk is no error."""
    place = folder.writable_folder()
    if place is None:
        return
    if not _swept:
        _swept.append(place)
        sweep(place)
    header = {"magic": MAGIC, "key": key, "symbol": code.symbol, "digest": _digest(key, code)}
    try:
        folder.write_whole(place / _name(label, key), json.dumps(header).encode() + b"\n" + code.data)
    except OSError as error:
        warnings.warn(f"a compiled kernel cannot be kept in {place} ({error})", folder.KernelCacheWarning)


@contextmanager
def locked(label: str, key: str):
    """Hold the lock of a piece, so that no other process compiles it meanwhile.

    Without a place for locks, or on a file system that has none, two processes may compile the
    same piece; the result is the same.
    """
    place = folder.writable_folder()
    lock = None
    if place is not None:
        try:
            locks = place / "locks"
            locks.mkdir(mode=0o700, exist_ok=True)
            lock = filelock.FileLock(locks / f"{_name(label, key)}.lock", timeout=LOCK_SECONDS, mode=0o600)
            lock.acquire()
        except (OSError, NotImplementedError, filelock.Timeout):
            lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def sweep(place: Path, age: float = ABANDONED_SECONDS) -> None:
    """Remove the temporary files of processes that were killed while they wrote."""
    now = time.time()
    for path in place.glob(".*.tmp"):
        try:
            if now - path.stat().st_mtime > age:
                os.unlink(path)
        except OSError:
            continue
