"""Where compiled pieces are kept, and whether what lies there may be run.

The folder is ``$JITMLP_CACHE_DIR``, else the one that the system has for such files
(``$XDG_CACHE_HOME/jitmlp`` or ``~/.cache/jitmlp`` on Linux), else a private one in the
temporary directory. Machine code is run from a folder only if nobody but this user and the
administrator could have put it there: that holds for the whole path, links included.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "JITMLP_CACHE_DIR"
_chosen = os.environ.get(CACHE_VARIABLE)
# made absolute at once: a relative folder must not follow the process into other directories
CHOSEN = Path(os.path.abspath(_chosen)) if _chosen else None


class KernelCacheWarning(UserWarning):
    """Compiled kernels cannot be kept, or those kept were damaged."""


def _is_private(status: os.stat_result, in_between: bool) -> bool:
    """Whether only this user or the administrator can change a file or folder.

    ``in_between`` folders may be writable by all where the sticky bit keeps names from being
    exchanged, as in the temporary directory.
    """
    if status.st_uid not in (os.geteuid(), 0):
        return False
    if stat.S_ISLNK(status.st_mode):
        return True
    shared = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return not shared or (in_between and bool(status.st_mode & stat.S_ISVTX))


def is_ours(folder: Path) -> bool:
    """Whether nobody else could have put anything below this existing folder."""
    if not hasattr(os, "geteuid"):
        return True
    path, links = Path(os.path.abspath(folder)), 0
    parts, seen = list(reversed(path.parts[1:])), Path(path.anchor)
    while parts:
        seen = seen / parts.pop()
        status = seen.lstat()
        if not _is_private(status, in_between=bool(parts)):
            return False
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > 40:
                return False
            target = Path(os.path.abspath(seen.parent / os.readlink(seen)))
            parts.extend(reversed(target.parts[1:]))
            seen = Path(target.anchor)
    return _is_private(folder.stat(), in_between=False)


def _make(folder: Path) -> None:
    """Make a folder and its parents, for this user alone whatever the umask."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
            path.chmod(0o700)
        except FileExistsError:
            pass


def _candidates() -> Iterator[Path]:
    if CHOSEN is not None:
        yield CHOSEN
        return
    try:
        yield Path(platformdirs.user_cache_dir("jitmlp", appauthor=False))
    except (KeyError, RuntimeError):  # no home
        pass
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    try:
        yield Path(tempfile.gettempdir()) / f"jitmlp-{user}"
    except FileNotFoundError:  # nothing can be written anywhere
        pass


@cache
def readable_folders() -> tuple[Path, ...]:
    """The folders that pieces may be loaded from, first the one that is preferred."""
    found = []
    for folder in _candidates():
        try:
            if folder.is_dir() and is_ours(folder):
                found.append(folder)
        except OSError:
            continue
    return tuple(found)


@cache
def writable_folder() -> Path | None:
    """The folder where new pieces are kept, made if need be; None if there is none."""
    tried = []
    for folder in _candidates():
        try:
            _make(folder)
            if not is_ours(folder):
                raise PermissionError(13, "others can write there, or own it or a folder above it")
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            tried.append(f"{folder} ({error.strerror or error})")
            continue
        if tried:
            _warn(f"compiled kernels are kept in {folder}, not in {', '.join(tried)}; set {CACHE_VARIABLE} to choose")
        readable_folders.cache_clear()
        return folder
    _warn(
        f"compiled kernels cannot be kept and are compiled anew in every process: tried {', '.join(tried) or 'nothing'}; "
        f"set {CACHE_VARIABLE} to a folder that this user alone can write to"
    )
    return None


def _warn(message: str) -> None:
    warnings.warn(message, KernelCacheWarning, stacklevel=2)


def read_private(path: Path) -> bytes:
    """The bytes of a file that nobody else can have written, judged when it is open.

    Raises
    ------
    OSError
        If it cannot be read, or is a link or somebody else's.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if hasattr(os, "geteuid") and not _is_private(os.fstat(descriptor), in_between=False):
            raise PermissionError(13, "belongs to somebody else, or others can write to it", str(path))
        return file.read()


def write_whole(path: Path, data: bytes, private: bool = True) -> None:
    """Write a file at once: whoever reads it sees the old bytes or the new ones."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if not private:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
