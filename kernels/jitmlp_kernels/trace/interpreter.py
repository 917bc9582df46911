"""The machine that computes at once: a traced body runs on NumPy's numbers.

The living definition of what :class:`~jitmlp_kernels.trace.emitter.Emitter` emits. It is what
runs under ``NUMBA_DISABLE_JIT=1``, so that a whole step can be followed in a debugger, and what
the tests hold the compiled code to. Memory is the same memory, reached by address; with
``allowed`` every access is checked to lie in it.
"""

from __future__ import annotations

import ctypes

import numpy as np

from jitmlp_kernels.trace.pointers import Fields
from jitmlp_kernels.trace.target import VECTOR_BYTES

LOW_BITS = 2**64 - 1


class Pointer:
    """An address with the dtype of what lies there."""

    __slots__ = ("machine", "address", "dtype")

    def __init__(self, machine, address, dtype):
        self.machine = machine
        self.address = int(address)
        self.dtype = np.dtype(dtype)

    def at(self, offset):
        """The pointer ``offset`` elements on."""
        return Pointer(self.machine, self.address + int(offset) * self.dtype.itemsize, self.dtype)

    def byte(self, offset):
        """The pointer ``offset`` bytes on."""
        return Pointer(self.machine, self.address + int(offset), self.dtype)

    def cast(self, dtype, align=None):
        """The same address, seen as another dtype."""
        return Pointer(self.machine, self.address, dtype)

    def view(self, count):
        """``count`` elements as an array over this memory."""
        size = count * self.dtype.itemsize
        self.machine.check(self.address, size)
        return np.frombuffer((ctypes.c_char * size).from_address(self.address), self.dtype)


class Variable:
    """A value that changes."""

    def __init__(self, initial):
        self.value = initial

    def get(self):
        """The value now."""
        return self.value

    def set(self, value):
        """Replace the value."""
        self.value = value


class Interpreter:
    """See the module.

    Parameters
    ----------
    dtype : numpy dtype
        Of the network: float32 or float64.
    functions : dict
        Python functions by the numbers that stand for their addresses.
    allowed : list of (first, last), optional
        Address ranges outside of which nothing may be read or written.
    """

    def __init__(self, dtype, functions=None, allowed=None):
        self.dtype = np.dtype(dtype)
        self.lanes = max(1, VECTOR_BYTES // self.dtype.itemsize)
        self.functions = {} if functions is None else functions
        self.allowed = allowed

    def check(self, address, size):
        """Raise IndexError unless this memory is known."""
        if self.allowed is None:
            return
        if not any(first <= address and address + size <= last for first, last in self.allowed):
            raise IndexError(f"{size} bytes at {address:#x} lie outside of the network's memory")

    # Numbers

    def whole(self, number):
        """A whole number."""
        return int(number)

    def double(self, number):
        """A float64 scalar."""
        return np.float64(number)

    def spread(self, number, dtype=None):
        """One number, rounded to the network's dtype, in every lane."""
        return np.full(self.lanes, number, dtype or self.dtype)

    def spread_bits(self, number):
        """The low 32 bits of a whole number in every lane."""
        return np.full(self.lanes, int(number) & 0xFFFFFFFF, np.uint32)

    def lane_numbers(self):
        """0, 1, 2 ... as whole numbers of 32 bits."""
        return np.arange(self.lanes, dtype=np.uint32)

    def fraction_bits(self, rate):
        """``rate * 2**24`` as a whole number of 32 bits in every lane."""
        return np.full(self.lanes, int(rate * 2**24), np.uint32)

    def bits(self, lanes):
        """The bits of float32 lanes as whole numbers of 32 bits."""
        return np.asarray(lanes, np.float32).view(np.uint32)

    def floats(self, bits):
        """The float32 lanes of such bits."""
        return np.asarray(bits, np.uint32).view(np.float32)

    def not_below(self, left, right):
        """``left >= right`` for unsigned whole numbers."""
        return left >= right

    def wrap(self, number):
        """The low 64 bits."""
        return number & LOW_BITS

    def round(self, number):
        """A number or vector rounded to the network's dtype."""
        return np.asarray(number).astype(self.dtype)[()]

    def choose(self, condition, if_true, if_false):
        """One of two whole numbers or pointers."""
        return if_true if condition else if_false

    def least(self, left, right):
        """The smaller of two whole numbers."""
        return min(int(left), int(right))

    def most(self, left, right):
        """The larger of two whole numbers."""
        return max(int(left), int(right))

    def variable(self, initial):
        """A value that changes."""
        return Variable(initial)

    # Vectors

    def vectors(self, units):
        """How many vectors hold ``units`` elements."""
        return -(-units // self.lanes)

    def zero(self):
        """The vector of zeros."""
        return np.zeros(self.lanes, self.dtype)

    def inside(self, first, units):
        """Which lanes of the vector at index ``first`` of a row hold one of its ``units``."""
        return np.arange(self.lanes) < units - first

    def nonzero_lanes(self, lanes):
        """A whole number with a bit for each lane, the first one lowest: whether it is not zero, NaN included."""
        return sum(1 << int(i) for i in np.flatnonzero(lanes))

    def count_bits(self, number):
        """How many bits of a whole number are set."""
        return int(number).bit_count()

    def lane(self, lanes, number):
        """The number in one lane."""
        return lanes[number]

    def sum_lanes(self, lanes):
        """Sum of the lanes."""
        return lanes.sum()

    def largest_lane(self, lanes):
        """Largest lane that is a number."""
        return np.fmax.reduce(lanes)

    def shuffle(self, left, right, indices):
        """The lanes of two vectors, one behind the other, picked by number."""
        return np.concatenate([left, right])[list(indices)]

    def dot_pairs(self, a, b, total):
        """``total`` and the products of two numbers a lane, each a bfloat16 in half of a word; float32."""
        for low in (True, False):
            x, y = (self.floats(word << 16 if low else word & 0xFFFF0000) for word in (a, b))
            total = x * y + total  # the product is exact
        return total

    # Memory

    def fields(self, pointer, dtype):
        """The record at ``pointer``."""
        return Fields(pointer, dtype)

    def follow(self, pointer):
        """The address that lies at ``pointer``, as that of bytes."""
        return Pointer(self, pointer.view(1)[0], np.uint8)

    def load(self, pointer):
        """One vector of the pointer's floats, or of its whole numbers as they are."""
        return pointer.view(self.lanes).copy()

    def store(self, lanes, pointer):
        """Write a vector."""
        pointer.view(len(lanes))[:] = lanes

    def load_as(self, pointer, dtype, mask=None):
        """One vector of the user's elements as floats; zeros outside of ``mask``, which is not read."""
        count = self.lanes if mask is None else int(mask.sum())
        result = np.zeros(self.lanes, dtype)
        result[:count] = pointer.view(count)
        return result

    def read_as(self, pointer, dtype):
        """One of the user's elements as a float."""
        return pointer.view(1).astype(dtype)[0]

    def read(self, pointer):
        """One float as it is, or one whole number."""
        value = pointer.view(1)[0]
        return value if pointer.dtype.kind == "f" else int(value)

    def write(self, number, pointer):
        """Write one float or whole number, converted to the pointer's dtype."""
        pointer.view(1)[0] = number.address if isinstance(number, Pointer) else number

    def broadcast(self, pointer):
        """The float at ``pointer``, rounded to the network's dtype, in every lane; or the low 32 bits of a whole number."""
        return (self.spread if pointer.dtype.kind == "f" else self.spread_bits)(self.read(pointer))

    def prefetch(self, pointer, write=False):
        """Nothing to ask for."""

    # Control

    def loop(self, start, stop=None, step=1):
        """``for i in range(start, stop, step)``."""
        return range(int(start)) if stop is None else range(int(start), int(stop), int(step))

    def when(self, condition):
        """Run the body if the condition holds."""
        return range(1 if condition else 0)

    def either(self, condition):
        """Run the body for True or for False, as the condition is."""
        return (bool(condition),)

    def repeat(self, condition):
        """Run the body as long as ``condition()`` holds."""
        while condition():
            yield None

    def call(self, fields, name, *operands):
        """Call the piece whose number stands for its address in a field of a record."""
        self.functions[getattr(fields, name).address](*(operand.address for operand in operands))

    # Threads: there is one

    def read_shared(self, pointer):
        """Read a counter."""
        return self.read(pointer.cast(np.int64))

    def write_shared(self, number, pointer):
        """Write a counter."""
        self.write(number, pointer.cast(np.int64))

    def add_shared(self, number, pointer):
        """Add to a counter."""
        self.write_shared(self.read_shared(pointer) + number, pointer)

    def raise_shared(self, pointer, expected):
        """Raise a counter from ``expected`` by one; whether nobody did before."""
        won = self.read_shared(pointer) == expected
        if won:
            self.write_shared(expected + 1, pointer)
        return won

    def pause(self):
        """Nobody to wait for."""

    def give_way(self):
        """Nobody to give way to."""

    def flush_subnormals(self):
        """NumPy has no such mode."""
        return 0

    def restore_subnormals(self, mode):
        """Nothing to put back."""
