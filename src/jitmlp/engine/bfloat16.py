"""Numbers of 8 bits of precision, as they travel between processes: the upper half of a float32's bits."""

from __future__ import annotations

import numba
import numpy as np

QUIET_NAN, INFINITY = np.uint32(0x7FC0), np.uint32(0x7F800000)
ONE, HALF, SHIFT, SIZE = np.uint32(1), np.uint32(0x7FFF), np.uint32(16), np.uint32(0x7FFFFFFF)


# NumPy takes ten times as long, longer than the bytes that are saved need on a network of 10 Gbit/s
@numba.njit(nogil=True)
def _round(bits, halves):  # type: ignore[no-untyped-def]
    for i in range(len(bits)):
        b = bits[i]
        # to the even one of two; the bits of NaN would run over into those of a number
        halves[i] = QUIET_NAN if b & SIZE > INFINITY else (b + HALF + ((b >> SHIFT) & ONE)) >> SHIFT


@numba.njit(nogil=True)
def _widen(halves, bits):  # type: ignore[no-untyped-def]
    for i in range(len(halves)):
        bits[i] = np.uint32(halves[i]) << SHIFT


def bfloat16_of(values: np.ndarray) -> np.ndarray:
    """The nearest numbers of 8 bits of precision, the even one of two.

    Parameters
    ----------
    values : ndarray of float of shape (n,)

    Returns
    -------
    halves : ndarray of uint16 of shape (n,)
    """
    halves = np.empty(len(values), np.uint16)
    _round(np.ascontiguousarray(values, np.float32).view(np.uint32), halves)
    return halves


def float32_of(halves: np.ndarray) -> np.ndarray:
    """What :func:`bfloat16_of` has rounded."""
    bits = np.empty(halves.size, np.uint32)
    _widen(halves.reshape(-1), bits)
    return bits.view(np.float32).reshape(halves.shape)
