"""Rows of the user's arrays into the padded batch buffer, cast on the way.

The only place that meets the user's memory: it is seen as plain bytes with an element
code and byte strides, so that no dtype, layout or flag of an input is a compilation
of its own, and nothing is converted but the rows at hand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types

from jitmlp_kernels.emit import (
    BYTE,
    INT64,
    Memory,
    int64,
    integers,
    loop,
    switch,
    vector_kernel,
)
from jitmlp_kernels.lanes import INT32, Lanes


class Element(NamedTuple):
    """A dtype that is read where it lies."""

    dtype: str
    bits: int
    kind: str  # "f"loat, "i"nteger, "u"nsigned


ELEMENTS = (
    Element("float32", 32, "f"),
    Element("float64", 64, "f"),
    Element("uint8", 8, "u"),
    Element("int8", 8, "i"),
    Element("uint16", 16, "u"),
    Element("int16", 16, "i"),
    Element("uint32", 32, "u"),
    Element("int32", 32, "i"),
    Element("uint64", 64, "u"),
    Element("int64", 64, "i"),
)
CODES = {np.dtype(row.dtype): code for code, row in enumerate(ELEMENTS)}
CODES[np.dtype(bool)] = CODES[np.dtype("uint8")]


def _source_type(element):
    if element.kind == "f":
        return ir.FloatType() if element.bits == 32 else ir.DoubleType()
    return ir.IntType(element.bits)


def _convert(builder, value, element, target):
    """Cast a number, or a vector of numbers, of the source's type to ``target``."""
    if element.kind == "u":
        return builder.uitofp(value, target)
    if element.kind == "i":
        return builder.sitofp(value, target)
    wanted = target.element if isinstance(target, ir.VectorType) else target
    if isinstance(wanted, ir.FloatType):
        return value if element.bits == 32 else builder.fptrunc(value, target)
    return value if element.bits == 64 else builder.fpext(value, target)


def _bytes_at(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset], source_etype=BYTE)


def _view(data, offset, count, stride, code):
    """The twins' look at the user's memory: numbers of a code at a byte stride."""
    dtype = np.dtype(ELEMENTS[code].dtype)
    span = [data[offset + i * stride :][: dtype.itemsize].tobytes() for i in range(count)]
    return np.frombuffer(b"".join(span), dtype)


def _gather_twin(memory, target, data, offset, units, stride, code):
    memory[target : target + units] = _view(data, offset, units, stride, code)


@vector_kernel(_gather_twin)
def gather_row(typing, memory, target, data, offset, units, stride, code):
    """Cast ``units`` numbers, ``stride`` bytes apart, into ``memory`` at ``target``."""
    if not integers(target, offset, units, stride, code):
        return None
    signature = types.void(memory, types.intp, data, *[types.intp] * 4)

    def generate(context, builder, signature, arguments):
        array, target, data, offset, units, stride, code = arguments
        memory = Memory(context, builder, signature.args[0], array)
        to = memory.at(target)
        start = _bytes_at(context, builder, signature.args[2], data, offset)

        def case(element):
            source = _source_type(element)
            wide = ir.VectorType(source, memory.lanes)
            size = element.bits // 8

            def copy_one(i):
                pointer = builder.gep(start, [builder.mul(i, stride)], source_etype=BYTE)
                value = builder.load(builder.bitcast(pointer, source.as_pointer()), align=1)
                builder.store(_convert(builder, value, element, memory.element), memory.at(i, to))

            def emit():
                contiguous = builder.icmp_signed("==", stride, int64(size))
                whole = builder.sdiv(units, int64(memory.lanes))
                whole = builder.select(contiguous, whole, int64(0))
                with loop(builder, whole) as i:
                    first = builder.mul(i, int64(memory.lanes))
                    pointer = builder.gep(start, [first], source_etype=source)
                    values = builder.load(builder.bitcast(pointer, wide.as_pointer()), align=1)
                    lanes = Lanes(builder, _convert(builder, values, element, memory.vector))
                    memory.store(lanes, memory.at(first, to))
                done = builder.mul(whole, int64(memory.lanes))
                with loop(builder, builder.sub(units, done)) as i:
                    copy_one(builder.add(i, done))

            return emit

        switch(builder, code, {number: case(element) for number, element in enumerate(ELEMENTS)})
        return context.get_dummy_value()

    return signature, generate


def _scatter_twin(memory, target, units, data, code, indices, indptr, index_bytes, row):
    memory[target : target + units] = 0
    index = CODES[np.dtype("int64" if index_bytes == 8 else "int32")]
    first, last = _view(indptr, row * index_bytes, 2, index_bytes, index)
    size = np.dtype(ELEMENTS[code].dtype).itemsize
    columns = _view(indices, first * index_bytes, last - first, index_bytes, index)
    values = _view(data, first * size, last - first, size, code)
    np.add.at(memory, target + columns, values.astype(memory.dtype))


@vector_kernel(_scatter_twin)
def scatter_row(typing, memory, target, units, data, code, indices, indptr, index_bytes, row):
    """Spread row ``row`` of a CSR matrix over ``units`` zeros; duplicates add up."""
    if not integers(target, units, code, index_bytes, row):
        return None
    signature = types.void(
        memory, types.intp, types.intp, data, types.intp, indices, indptr, types.intp, types.intp
    )

    def generate(context, builder, signature, arguments):
        array, target, units, data, code, indices, indptr, index_bytes, row = arguments
        memory = Memory(context, builder, signature.args[0], array)
        to = memory.at(target)
        base, columns, pointers = (
            _bytes_at(context, builder, signature.args[i], arguments[i], int64(0)) for i in (3, 5, 6)
        )
        wide_index = builder.icmp_signed("==", index_bytes, int64(8))

        def index_at(start, i):
            """Number ``i`` of an array of 32-bit or 64-bit integers."""
            pointer = builder.gep(start, [builder.mul(i, index_bytes)], source_etype=BYTE)
            low = builder.load(builder.bitcast(pointer, INT32.as_pointer()), align=1)
            with builder.if_else(wide_index) as (long, short):
                with long:
                    full = builder.load(builder.bitcast(pointer, INT64.as_pointer()), align=1)
                    long_block = builder.block
                with short:
                    extended = builder.sext(low, INT64)
                    short_block = builder.block
            number = builder.phi(INT64)
            number.add_incoming(full, long_block)
            number.add_incoming(extended, short_block)
            return number

        with loop(builder, memory.vectors(units)) as i:
            memory.store(memory.zero(), memory.at(builder.mul(i, int64(memory.lanes)), to))
        first, last = index_at(pointers, row), index_at(pointers, builder.add(row, int64(1)))

        def case(element):
            def emit():
                with loop(builder, builder.sub(last, first)) as i:
                    j = builder.add(first, i)
                    source = _source_type(element)
                    pointer = builder.gep(base, [j], source_etype=source)
                    value = builder.load(builder.bitcast(pointer, source.as_pointer()), align=1)
                    cell = memory.at(index_at(columns, j), to)
                    old = builder.load(cell, typ=memory.element)
                    new = builder.fadd(old, _convert(builder, value, element, memory.element))
                    builder.store(new, cell)

            return emit

        switch(builder, code, {number: case(element) for number, element in enumerate(ELEMENTS)})
        return context.get_dummy_value()

    return signature, generate


def _normalize_twin(memory, target, units, shift, scale):
    row = memory[target : target + units]
    row[:] = (row - memory[shift : shift + units]) * memory[scale : scale + units]


@vector_kernel(_normalize_twin)
def normalize_row(typing, memory, target, units, shift, scale):
    """``(x - shift) * scale`` feature by feature, in place."""
    if not integers(target, units, shift, scale):
        return None
    signature = types.void(memory, *[types.intp] * 4)

    def generate(context, builder, signature, arguments):
        array, target, units, shift, scale = arguments
        memory = Memory(context, builder, signature.args[0], array)
        row, shifts, scales = (memory.at(offset) for offset in (target, shift, scale))
        with loop(builder, memory.vectors(units)) as i:
            first = builder.mul(i, int64(memory.lanes))
            pointer = memory.at(first, row)
            centred = memory.load(pointer) - memory.load(memory.at(first, shifts))
            memory.store(centred * memory.load(memory.at(first, scales)), pointer)
        return context.get_dummy_value()

    return signature, generate
