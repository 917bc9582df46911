"""What the kernels must know of the machine: how wide a vector is, how many fit.

The explicit vectors of the kernels are legalised by LLVM on every target, so
these numbers decide speed and memory layout, never correctness.
"""

from __future__ import annotations

import os

import llvmlite
import llvmlite.binding as llvm
import numba

if llvm.llvm_version_info[0] < 20:  # with an older LLVM pointers have types, and no kernel could be parsed
    raise ImportError(
        f"jitmlp needs Numba 0.62 or later; {numba.__version__} with llvmlite {llvmlite.__version__} is installed"
    )

VECTOR_BYTES_VARIABLE = "JITMLP_VECTOR_BYTES"


def host_features() -> dict[str, bool]:
    """Feature flags of the CPU that Numba compiles for, honouring its overrides."""
    override = numba.config.CPU_FEATURES
    if override is not None:
        flags = [flag.strip() for flag in override.split(",") if flag.strip()]
        return {flag.lstrip("+-"): flag.startswith("+") for flag in flags}
    if numba.config.CPU_NAME is not None:
        return {}
    return dict(llvm.get_host_cpu_features())


def cpu_name() -> str:
    """LLVM's name of the CPU that Numba compiles for."""
    return numba.config.CPU_NAME or llvm.get_host_cpu_name()


def feature_string() -> str:
    """The features as LLVM's target machine takes them."""
    return ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(host_features().items()))


def choose_vector_bytes() -> int:
    """Width in bytes of the vectors that the kernels are written in.

    The environment variable ``JITMLP_VECTOR_BYTES`` (8, 16, 32 or 64) overrides
    the host's own width: 8 is the scalar twin, one float64 a vector.

    Raises
    ------
    ValueError
        If the variable holds anything else.
    """
    override = os.environ.get(VECTOR_BYTES_VARIABLE)
    if override is not None:
        if override not in ("8", "16", "32", "64"):
            raise ValueError(f"{VECTOR_BYTES_VARIABLE} must be 8, 16, 32 or 64, got {override!r}")
        return int(override)
    features = host_features()
    if features.get("avx512f"):
        return 64
    if features.get("avx2") or features.get("avx"):
        return 32
    return 16


VECTOR_BYTES = choose_vector_bytes()

# The CPU's own products of bfloat16 (AVX512_BF16), on vectors of 64 bytes
HAS_BFLOAT16_DOT = bool(VECTOR_BYTES == 64 and host_features().get("avx512bf16"))

# A tile of TILE_ROWS x TILE_PANELS accumulators must fit the register file beside
# the operands: 32 vector registers with AVX-512 (and NEON), 16 with AVX2.
TILE_ROWS = 4 if VECTOR_BYTES == 32 else 8
TILE_PANELS = 2
