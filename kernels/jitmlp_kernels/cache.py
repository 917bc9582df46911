"""Compilation of the kernels, and where the compiled code is kept.

Numba's on-disk cache notices a change only in the file of the function itself, raises
when a file of its own is damaged and refuses to work without a writable directory. The
kernels therefore have a directory of their own, named after a hash of all kernel
sources, and a cache that recompiles whenever anything is wrong with it.

The directory is ``$JITMLP_CACHE_DIR``, else ``$XDG_CACHE_HOME/jitmlp``, else
``~/.cache/jitmlp`` (``%LOCALAPPDATA%`` on Windows), else a private one in the system's
temporary directory.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import caching

from jitmlp_kernels.host import VECTOR_BYTES, cpu_name

CACHE_VARIABLE = "JITMLP_CACHE_DIR"


class KernelCacheWarning(UserWarning):
    """Compiled kernels cannot be kept, or those kept were damaged."""


@cache
def sources_hash() -> str:
    """Hash of every kernel source, and of all that shapes the code made from them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    for part in (numba.__version__, llvmlite.__version__, sys.version, cpu_name(), VECTOR_BYTES):
        digest.update(repr(part).encode())
    digest.update(repr((numba.config.CPU_FEATURES, numba.config.BOUNDSCHECK, numba.config.OPT)).encode())
    return digest.hexdigest()[:20]


def _candidates():
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        yield Path(chosen)
        return
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        if os.environ.get(variable):
            yield Path(os.environ[variable]) / "jitmlp"
    try:
        yield Path.home() / ".cache" / "jitmlp"
    except RuntimeError:
        pass
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"jitmlp-{user}"


def _is_ours(directory: Path) -> bool:
    """Whether nobody else could have put code there for us to run."""
    if not hasattr(os, "getuid"):
        return True
    status = directory.stat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & 0o002


@cache
def cache_directory() -> Path | None:
    """The directory of the compiled kernels, made if need be; None if none is writable."""
    tried = []
    for parent in _candidates():
        directory = parent / sources_hash()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_ours(directory):
                raise PermissionError(f"{directory} belongs to somebody else")
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            tried.append(f"{parent} ({error.strerror or error})")
            continue
        if tried:
            warnings.warn(
                f"compiled kernels are kept in {directory}, since {', '.join(tried)} cannot be "
                f"written; set {CACHE_VARIABLE} to choose a directory",
                KernelCacheWarning,
                stacklevel=2,
            )
        return directory
    warnings.warn(
        f"compiled kernels cannot be kept and are compiled anew in every process: "
        f"{', '.join(tried)} cannot be written; set {CACHE_VARIABLE} to a writable directory",
        KernelCacheWarning,
        stacklevel=2,
    )
    return None


class _Locator(caching._CacheLocator):
    def __init__(self, py_func):
        self._py_func = py_func

    def get_cache_path(self):
        return str(cache_directory())

    def get_source_stamp(self):
        return sources_hash()

    def get_disambiguator(self):
        return ""

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func)


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]

    def __init__(self, py_func):
        locators = numba.config.CACHE_LOCATOR_CLASSES
        numba.config.CACHE_LOCATOR_CLASSES = ""  # the user's override is for the user's code
        try:
            super().__init__(py_func)
        finally:
            numba.config.CACHE_LOCATOR_CLASSES = locators


_announced = False


def announce_compilation() -> None:
    """Tell the user, once, why the first fit takes its time."""
    global _announced
    if not _announced:
        _announced = True
        where = cache_directory()
        kept = f"; they are kept in {where}" if where else ""
        print(f"jitmlp: compiling kernels for {cpu_name()}, once{kept}", file=sys.stderr, flush=True)


class KernelCache(caching.FunctionCache):
    """Numba's function cache, in a directory of its own and never in the way."""

    _impl_class = _Implementation

    def load_overload(self, sig, target_context):
        try:
            found = super().load_overload(sig, target_context)
        except Exception as error:
            self._discard(error)
            found = None
        if found is None:
            announce_compilation()
        return found

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception as error:
            try:
                self._discard(error)
                super().save_overload(sig, data)
            except Exception:
                pass

    def _discard(self, error):
        warnings.warn(
            f"the compiled kernels in {self.cache_path} are damaged and are compiled anew "
            f"({type(error).__name__}: {error})",
            KernelCacheWarning,
            stacklevel=2,
        )
        for path in Path(self.cache_path).glob(f"{self._impl.filename_base}.*"):
            path.unlink(missing_ok=True)


class _Uncached(caching.NullCache):
    def load_overload(self, sig, target_context):
        announce_compilation()


def kernel(function=None, *, parallel=False):
    """Decorate a module-level function: compiled at its first call, kept on disk."""
    if function is None:
        return lambda function: kernel(function, parallel=parallel)
    dispatcher = njit(nogil=True, error_model="numpy", parallel=parallel)(function)
    if not numba.config.DISABLE_JIT:
        dispatcher._cache = _Uncached() if cache_directory() is None else KernelCache(function)
    return dispatcher


def inlined(function):
    """Decorate a helper that becomes part of the kernels that call it.

    Numba compiles and optimises a called function on its own and once more inside every
    caller; written into its caller, it costs that once.
    """
    if numba.config.DISABLE_JIT:
        return np.errstate(over="ignore")(function)  # compiled integers wrap in silence too
    return njit(inline="always", nogil=True, error_model="numpy")(function)
