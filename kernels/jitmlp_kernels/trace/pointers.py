"""Where the emitter's values lie: pointers, the records at them, and values that change."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

BYTE = ir.IntType(8)


ADDRESS = ir.PointerType()


DOUBLE = ir.DoubleType()


def element_type(dtype: np.dtype) -> ir.Type:
    """LLVM's type of one element of a NumPy dtype."""
    if dtype.kind == "f":
        return ir.FloatType() if dtype.itemsize == 4 else DOUBLE
    return ir.IntType(8 * dtype.itemsize)


class Pointer:
    """An address with the dtype of what lies there; ``align`` is what can be relied on."""

    __slots__ = ("machine", "address", "dtype", "align")

    def __init__(self, machine, address, dtype, align=None):
        self.machine = machine
        self.address = address
        self.dtype = np.dtype(dtype)
        self.align = align or self.dtype.itemsize

    def at(self, offset):
        """The pointer ``offset`` elements on."""
        return self._moved(offset, element_type(self.dtype))

    def byte(self, offset):
        """The pointer ``offset`` bytes on."""
        return self._moved(offset, BYTE)

    def _moved(self, offset, unit):
        builder = self.machine.builder
        typed = builder.gep(self.address, [self.machine.whole(offset).value], source_etype=unit)
        return Pointer(self.machine, typed, self.dtype, self.align)

    def cast(self, dtype, align=None):
        """The same address, seen as another dtype."""
        return Pointer(self.machine, self.address, dtype, align)


class Fields:
    """The record at a pointer: its fields as attributes, read and written."""

    __slots__ = ("_pointer", "_dtype")

    def __init__(self, pointer, dtype):
        object.__setattr__(self, "_pointer", pointer)
        object.__setattr__(self, "_dtype", dtype)

    def pointer_to(self, name):
        """Where a field lies."""
        dtype, offset = self._dtype.fields[name][:2]
        return self._pointer.byte(offset).cast(dtype)

    def __getattr__(self, name):
        field = self.pointer_to(name)
        if field.dtype.kind == "u":
            return self._pointer.machine.follow(field)
        return self._pointer.machine.read(field)

    def __setattr__(self, name, value):
        self._pointer.machine.write(value, self.pointer_to(name))


class Variable:
    """A value that changes, kept in a stack slot that LLVM turns into a register."""

    def __init__(self, machine, initial):
        self.machine = machine
        self.like = initial
        with machine.builder.goto_entry_block():
            self.slot = machine.builder.alloca(initial.type)
        self.set(initial)

    def get(self):
        """The value now."""
        return self.like.same(self.machine.builder.load(self.slot, typ=self.like.type))

    def set(self, value):
        """Replace the value."""
        self.machine.builder.store(self.like.lift(value).value, self.slot)
