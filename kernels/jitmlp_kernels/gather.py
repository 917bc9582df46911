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
    Accumulator,
    Memory,
    int64,
    integers,
    lane_mask,
    loop,
    masked_load,
    switch,
    vector_kernel,
)
from jitmlp_kernels.lanes import INT32, Lanes, fma


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


def _gather_twin(
    memory, target, target_stride, data, start, row_stride, order, first, count, units, stride, code, status
):
    for i in range(count):
        row = target + i * target_stride
        memory[row : row + units] = _view(data, start + order[first + i] * row_stride, units, stride, code)
        memory[status] += (memory[row : row + units] * 0).sum()


@vector_kernel(_gather_twin)
def gather_rows(
    typing, memory, target, target_stride, data, start, row_stride, order, first, count, units, stride, code,
    status,
):  # fmt: skip
    """Cast rows ``order[first : first + count]`` of a matrix into rows of ``memory``.

    Row 0 begins at byte ``start`` of ``data``; ``row_stride`` and ``stride`` are the bytes
    from row to row and from column to column. Where columns are neighbours the padding of
    the target becomes 0, and the vector at ``status`` NaN if a number is not finite.
    """
    if not integers(target, target_stride, start, row_stride, first, count, units, stride, code, status):
        return None
    signature = types.void(
        memory, types.intp, types.intp, data, types.intp, types.intp, order, *[types.intp] * 6
    )

    def generate(context, builder, signature, arguments):
        (
            array, target, target_stride, data, start, row_stride, order, first, count, units, stride, code,
            status,
        ) = arguments  # fmt: skip
        memory = Memory(context, builder, signature.args[0], array)
        base = _bytes_at(context, builder, signature.args[3], data, start)
        rows = context.make_array(signature.args[6])(context, builder, order).data
        status_pointer = memory.at(status)
        zeros = Accumulator(memory, memory.load(status_pointer))

        def keep(values, element, pointer):
            """Store converted numbers; 0 times them is NaN where one is not finite."""
            lanes = Lanes(builder, _convert(builder, values, element, memory.vector))
            if element.kind == "f":
                zeros.set(fma(lanes, 0.0, zeros.get()))
            memory.store(lanes, pointer)

        def case(element):
            source = _source_type(element)
            wide = ir.VectorType(source, memory.lanes)
            size = element.bits // 8

            def emit():
                contiguous = builder.icmp_signed("==", stride, int64(size))
                with loop(builder, count) as i:
                    place = builder.gep(rows, [builder.add(first, i)], source_etype=INT64)
                    row = builder.load(place, typ=INT64)
                    begin = builder.gep(base, [builder.mul(row, row_stride)], source_etype=BYTE)
                    to = memory.at(builder.add(target, builder.mul(i, target_stride)))
                    with builder.if_else(contiguous) as (near, apart):
                        with near:
                            whole = builder.sdiv(units, int64(memory.lanes))
                            with loop(builder, whole) as j:
                                across = builder.mul(j, int64(memory.lanes))
                                pointer = builder.gep(begin, [across], source_etype=source)
                                typed = builder.bitcast(pointer, wide.as_pointer())
                                values = builder.load(typed, align=1)
                                keep(values, element, memory.at(across, to))
                            across = builder.mul(whole, int64(memory.lanes))
                            with builder.if_then(builder.icmp_signed("<", across, units)):
                                pointer = builder.gep(begin, [across], source_etype=source)
                                inside = lane_mask(memory, across, units)
                                values = masked_load(builder, pointer, wide, inside)
                                keep(values, element, memory.at(across, to))
                        with apart, loop(builder, units) as j:
                            pointer = builder.gep(begin, [builder.mul(j, stride)], source_etype=BYTE)
                            typed = builder.bitcast(pointer, source.as_pointer())
                            value = builder.load(typed, align=1)
                            converted = _convert(builder, value, element, memory.element)
                            builder.store(converted, memory.at(j, to))

            return emit

        switch(builder, code, {number: case(element) for number, element in enumerate(ELEMENTS)})
        memory.store(zeros.get(), status_pointer)
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


def _normalize_twin(memory, target, rows, stride, units, shift, scale):
    cells = target + np.arange(rows)[:, None] * stride + np.arange(units)
    shifted = memory[cells] - memory[shift : shift + units]
    memory[cells] = shifted * memory[scale : scale + units]


@vector_kernel(_normalize_twin)
def normalize_rows(typing, memory, target, rows, stride, units, shift, scale):
    """``(x - shift) * scale`` feature by feature, in place."""
    if not integers(target, rows, stride, units, shift, scale):
        return None
    signature = types.void(memory, *[types.intp] * 6)

    def generate(context, builder, signature, arguments):
        array, target, rows, stride, units, shift, scale = arguments
        memory = Memory(context, builder, signature.args[0], array)
        start, shifts, scales = (memory.at(offset) for offset in (target, shift, scale))
        with loop(builder, rows) as r:
            down = builder.mul(r, stride)
            with loop(builder, memory.vectors(units)) as i:
                first = builder.mul(i, int64(memory.lanes))
                pointer = memory.at(builder.add(down, first), start)
                centred = memory.load(pointer) - memory.load(memory.at(first, shifts))
                memory.store(centred * memory.load(memory.at(first, scales)), pointer)
        return context.get_dummy_value()

    return signature, generate
