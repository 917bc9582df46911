"""The machine that compiles: a traced body leaves LLVM instructions behind.

A kernel is a Python function over a machine. It asks for loops, branches, loads and stores,
and computes with the values it gets. Run on the :class:`Emitter` it emits one LLVM
function; run on the :class:`~jitmlp_kernels.trace.interpreter.Interpreter` it computes at
once, on NumPy's numbers. Loops and branches are generators, so that a body reads the same::

    for i in m.loop(count):      # once for every i, or once with a symbol for i
        for _ in m.when(i < 3):  # once or not at all, or once inside a branch
            m.store(m.load(source.at(i * m.lanes)) * 2.0, target.at(i * m.lanes))

Neither may be left by ``break`` or ``return``. Addresses come from pointers by
``getelementptr`` only: round trips through integers have been miscompiled by recent LLVM.
"""

from __future__ import annotations

import platform
import sys

import numpy as np
from llvmlite import ir

from jitmlp_kernels.trace.functions import fma, where
from jitmlp_kernels.trace.pointers import ADDRESS, DOUBLE, Fields, Pointer, Variable, element_type
from jitmlp_kernels.trace.target import HAS_BFLOAT16_DOT, VECTOR_BYTES
from jitmlp_kernels.trace.values import (
    FASTMATH,
    INT32,
    INT64,
    Lanes,
    Mask,
    Whole,
    call_intrinsic,
    constant,
    type_name,
)

IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
PIECE = ir.FunctionType(ir.VoidType(), [ADDRESS] * 3)  # of job, unit and operands
UPPER_HALF = 0xFFFF0000  # of a word


class BFloat16(ir.Type):
    """LLVM's type of numbers that are the upper half of a float32, which llvmlite does not have."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, BFloat16)

    def __hash__(self):
        return hash(BFloat16)


class Emitter:
    """See the module.

    Parameters
    ----------
    function : llvmlite.ir.Function
        Of type ``PIECE``, without a body yet.
    dtype : numpy dtype
        Of the network: float32 or float64.
    """

    def __init__(self, function, dtype):
        self.dtype = np.dtype(dtype)
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.module = function.module
        self.element = element_type(self.dtype)
        self.lanes = max(1, VECTOR_BYTES // self.dtype.itemsize)
        self.vector = ir.VectorType(self.element, self.lanes)

    # Numbers

    def whole(self, number):
        """A whole number of 64 bits."""
        return number if isinstance(number, Whole) else Whole(self.builder, constant(INT64, int(number)))

    def double(self, number):
        """A float64 scalar."""
        if isinstance(number, Whole):
            return Lanes(self.builder, self.builder.sitofp(number.value, DOUBLE))
        if isinstance(number, Lanes):
            return number if not number.single else Lanes(self.builder, self.builder.fpext(number.value, DOUBLE))
        return Lanes(self.builder, constant(DOUBLE, float(number)))

    def spread(self, number, dtype=None):
        """One number, rounded to the network's dtype, in every lane."""
        element = self.element if dtype is None else element_type(np.dtype(dtype))
        if isinstance(number, Whole):
            number = Lanes(self.builder, self.builder.sitofp(number.value, element))
        elif not isinstance(number, Lanes):
            return Lanes(self.builder, constant(ir.VectorType(element, self.lanes), float(number)))
        return Lanes(self.builder, self._splat(self._round(number, element).value))

    def spread_bits(self, number):
        """The low 32 bits of a whole number in every lane."""
        return Whole(self.builder, self._splat(self.builder.trunc(number.value, INT32)))

    def lane_numbers(self):
        """0, 1, 2 ... as whole numbers of 32 bits."""
        return Whole(self.builder, ir.Constant(ir.VectorType(INT32, self.lanes), list(range(self.lanes))))

    def fraction_bits(self, rate):
        """``rate * 2**24`` as a whole number of 32 bits in every lane."""
        scaled = self.builder.fmul(rate.value, constant(DOUBLE, float(2**24)))
        return Whole(self.builder, self._splat(self.builder.fptoui(scaled, INT32)))

    def bits(self, lanes):
        """The bits of float32 lanes as whole numbers of 32 bits."""
        return Whole(self.builder, self.builder.bitcast(lanes.value, ir.VectorType(INT32, self.lanes)))

    def floats(self, bits):
        """The float32 lanes of such bits."""
        return Lanes(self.builder, self.builder.bitcast(bits.value, ir.VectorType(ir.FloatType(), self.lanes)))

    def not_below(self, left, right):
        """``left >= right`` for unsigned whole numbers."""
        return Mask(self.builder, self.builder.icmp_unsigned(">=", left.value, right.value))

    def wrap(self, number):
        """The low 64 bits, which is all that there is here."""
        return number

    def _splat(self, scalar):
        vector = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        zeros = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def _round(self, number, element):
        """A float, or a vector of floats, in another precision."""
        if number.element == element:
            return number
        wanted = ir.VectorType(element, self.lanes) if isinstance(number.type, ir.VectorType) else element
        change = self.builder.fpext if isinstance(element, ir.DoubleType) else self.builder.fptrunc
        return Lanes(self.builder, change(number.value, wanted))

    def round(self, number):
        """A number or vector rounded to the network's dtype."""
        return self._round(number, self.element)

    def choose(self, condition, if_true, if_false):
        """One of two whole numbers or pointers."""
        if isinstance(if_true, Pointer):
            picked = self.builder.select(condition.value, if_true.address, if_false.address)
            return Pointer(self, picked, if_true.dtype, if_true.align)
        return where(condition, self.whole(if_true), self.whole(if_false))

    def least(self, left, right):
        """The smaller of two whole numbers."""
        left, right = self.whole(left), self.whole(right)
        return self.choose(left < right, left, right)

    def most(self, left, right):
        """The larger of two whole numbers."""
        left, right = self.whole(left), self.whole(right)
        return self.choose(left > right, left, right)

    def variable(self, initial):
        """A value that changes."""
        return Variable(self, self.whole(initial) if isinstance(initial, int) else initial)

    # Vectors

    def vectors(self, units):
        """How many vectors hold ``units`` elements."""
        return (units + (self.lanes - 1)) // self.lanes

    def zero(self):
        """The vector of zeros."""
        return Lanes(self.builder, constant(self.vector, 0.0))

    def inside(self, first, units):
        """Which lanes of the vector at index ``first`` of a row hold one of its ``units``."""
        left = self.spread_bits(units - first)
        return Mask(self.builder, (self.lane_numbers() < left).value, self.vector)

    def nonzero_lanes(self, lanes):
        """A whole number with a bit for each lane, the first one lowest: whether it is not zero, NaN included."""
        mask = self.builder.bitcast((lanes != 0.0).value, ir.IntType(self.lanes))
        return Whole(self.builder, self.builder.zext(mask, INT64))

    def count_bits(self, number):
        """How many bits of a whole number are set."""
        return call_intrinsic("ctpop", number)

    def lane(self, lanes, number):
        """The number in one lane."""
        return lanes.lane(number)

    def _reduce(self, name, lanes):
        arguments, flags = [lanes.value], FASTMATH
        if name == "fadd":
            arguments.insert(0, ir.Constant(lanes.element, -0.0))
            flags = (*FASTMATH, "reassoc")  # a tree instead of a chain
        function = self.module.declare_intrinsic(
            f"llvm.vector.reduce.{name}.{type_name(lanes.type)}",
            (),
            ir.FunctionType(lanes.element, [argument.type for argument in arguments]),
        )
        return Lanes(self.builder, self.builder.call(function, arguments, fastmath=flags))

    def sum_lanes(self, lanes):
        """Sum of the lanes, in a fixed order."""
        return self._reduce("fadd", lanes)

    def largest_lane(self, lanes):
        """Largest lane."""
        return self._reduce("fmax", lanes)

    def shuffle(self, left, right, indices):
        """The lanes of two vectors, one behind the other, picked by number."""
        indices = list(indices)
        mask = ir.Constant(ir.VectorType(INT32, len(indices)), indices)
        return Lanes(self.builder, self.builder.shuffle_vector(left.value, right.value, mask))

    def dot_pairs(self, a, b, total):
        """``total`` and the products of two numbers a lane, each a bfloat16 in half of a word; float32."""
        if HAS_BFLOAT16_DOT:
            words = ir.VectorType(BFloat16(), 2 * self.lanes)
            function = self._declare("llvm.x86.avx512bf16.dpbf16ps.512", total.type, [total.type, words, words])
            halves = (self.builder.bitcast(word.value, words) for word in (a, b))
            return total.same(self.builder.call(function, [total.value, *halves]))
        for low in (True, False):
            x, y = (self.floats(word * 2**16 if low else word & UPPER_HALF) for word in (a, b))
            total = fma(x, y, total)
        return total

    # Memory

    def fields(self, pointer, dtype):
        """The record at ``pointer``."""
        return Fields(pointer, dtype)

    def follow(self, pointer):
        """The address that lies at ``pointer``, as that of bytes."""
        return Pointer(self, self.builder.load(pointer.address, typ=ADDRESS), np.uint8)

    def _declare(self, name, result, kinds):
        """An outside function, declared once a module."""
        known = self.module.globals.get(name)
        return ir.Function(self.module, ir.FunctionType(result, kinds), name) if known is None else known

    def _load(self, pointer, type_):
        return self.builder.load(pointer.address, align=pointer.align, typ=type_)

    def load(self, pointer):
        """One vector of the pointer's floats, or of its whole numbers as they are."""
        kind = Lanes if pointer.dtype.kind == "f" else Whole
        return kind(self.builder, self._load(pointer, ir.VectorType(element_type(pointer.dtype), self.lanes)))

    def store(self, lanes, pointer):
        """Write a vector."""
        self.builder.store(lanes.value, pointer.address, align=pointer.align)

    def _convert(self, value, dtype, target):
        """Cast numbers of the user's dtype to floats of type ``target``."""
        if dtype.kind == "f":
            return self._round(Lanes(self.builder, value), target)
        vector = isinstance(value.type, ir.VectorType)
        wanted = ir.VectorType(target, value.type.count) if vector else target
        change = self.builder.uitofp if dtype.kind in "ub" else self.builder.sitofp
        return Lanes(self.builder, change(value, wanted))

    def load_as(self, pointer, dtype, mask=None):
        """One vector of the user's elements as floats; zeros outside of ``mask``, which is not read."""
        target = element_type(np.dtype(dtype))
        source = ir.VectorType(element_type(pointer.dtype), self.lanes)
        if mask is None:
            return self._convert(self._load(pointer, source), pointer.dtype, target)
        kinds = [ADDRESS, INT32, mask.type, source]
        function = self._declare(f"llvm.masked.load.{type_name(source)}.p0", source, kinds)
        zero = ir.Constant(source, [ir.Constant(source.element, 0)] * self.lanes)
        value = self.builder.call(function, [pointer.address, ir.Constant(INT32, 1), mask.value, zero])
        return self._convert(value, pointer.dtype, target)

    def read_as(self, pointer, dtype):
        """One of the user's elements as a float."""
        value = self._load(pointer, element_type(pointer.dtype))
        return self._convert(value, pointer.dtype, element_type(np.dtype(dtype)))

    def read(self, pointer):
        """One float as it is, or one whole number widened to 64 bits."""
        value = self._load(pointer, element_type(pointer.dtype))
        if pointer.dtype.kind == "f":
            return Lanes(self.builder, value)
        if pointer.dtype.itemsize < 8:
            value = (self.builder.sext if pointer.dtype.kind == "i" else self.builder.zext)(value, INT64)
        return Whole(self.builder, value)

    def write(self, number, pointer):
        """Write one float or whole number, converted to the pointer's dtype."""
        if isinstance(number, Pointer):
            value = self.builder.ptrtoint(number.address, INT64)
        elif pointer.dtype.kind == "f":
            number = number if isinstance(number, Lanes) else self.double(number)
            value = self._round(number, element_type(pointer.dtype)).value
        else:
            value, element = self.whole(number).value, element_type(pointer.dtype)
            value = value if element == INT64 else self.builder.trunc(value, element)
        self.builder.store(value, pointer.address, align=pointer.align)

    def broadcast(self, pointer):
        """The float at ``pointer``, rounded to the network's dtype, in every lane; or the low 32 bits of a whole number."""
        return (self.spread if pointer.dtype.kind == "f" else self.spread_bits)(self.read(pointer))

    def prefetch(self, pointer, write=False):
        """Ask for a cache line; no influence on results."""
        function = self._declare("llvm.prefetch.p0", ir.VoidType(), [ADDRESS, INT32, INT32, INT32])
        keep_close, data = 3, 1
        self.builder.call(function, [pointer.address, *(ir.Constant(INT32, n) for n in (int(write), keep_close, data))])

    # Control

    def loop(self, start, stop=None, step=1):
        """``for i in range(start, stop, step)``, with ``step`` > 0."""
        start, stop = (0, start) if stop is None else (start, stop)
        start, stop, builder = self.whole(start), self.whole(stop), self.builder
        before = builder.block
        body, after = (builder.append_basic_block(name) for name in ("loop", "loop.done"))
        builder.cbranch((start < stop).value, body, after)
        builder.position_at_end(body)
        index = builder.phi(INT64)
        index.add_incoming(start.value, before)
        yield Whole(builder, index)
        following = Whole(builder, builder.add(index, self.whole(step).value, flags=("nsw",)))
        index.add_incoming(following.value, builder.block)
        builder.cbranch((following < stop).value, body, after)
        builder.position_at_end(after)

    def when(self, condition):
        """Run the body if the condition holds."""
        body, after = (self.builder.append_basic_block(name) for name in ("when", "when.done"))
        self.builder.cbranch(condition.value, body, after)
        self.builder.position_at_end(body)
        yield None
        self.builder.branch(after)
        self.builder.position_at_end(after)

    def either(self, condition):
        """Run the body for True or for False, as the condition is."""
        sides = {True: self.builder.append_basic_block("then"), False: self.builder.append_basic_block("else")}
        after = self.builder.append_basic_block("either.done")
        self.builder.cbranch(condition.value, sides[True], sides[False])
        for side, block in sides.items():
            self.builder.position_at_end(block)
            yield side
            self.builder.branch(after)
        self.builder.position_at_end(after)

    def repeat(self, condition):
        """Run the body as long as ``condition()`` holds."""
        head, body, after = (self.builder.append_basic_block(f"repeat.{name}") for name in ("if", "do", "done"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().value, body, after)
        self.builder.position_at_end(body)
        yield None
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def call(self, fields, name, *operands):
        """Call the piece whose address is a field of a record."""
        function = self.builder.load(fields.pointer_to(name).address, typ=PIECE.as_pointer())
        self.builder.call(function, [operand.address for operand in operands])

    # Threads

    def _counter(self, pointer):
        """An address with the type that llvmlite's atomic instructions ask for."""
        typed = ir.instructions.CastInstr(self.builder.block, "bitcast", pointer.address, INT64.as_pointer(), "")
        self.builder._insert(typed)
        return typed

    def read_shared(self, pointer):
        """Read a counter; what its writer did before is visible after."""
        return Whole(self.builder, self.builder.load_atomic(self._counter(pointer), "acquire", 8, typ=INT64))

    def write_shared(self, number, pointer):
        """Write a counter after everything done before."""
        self.builder.store_atomic(self.whole(number).value, self._counter(pointer), "release", 8)

    def add_shared(self, number, pointer):
        """Add to a counter after everything done before."""
        self.builder.atomic_rmw("add", self._counter(pointer), self.whole(number).value, "acq_rel")

    def raise_shared(self, pointer, expected):
        """Raise a counter from ``expected`` by one; whether nobody did before."""
        following = (expected + 1).value
        pair = self.builder.cmpxchg(self._counter(pointer), expected.value, following, "acq_rel", "acquire")
        return Mask(self.builder, self.builder.extract_value(pair, 1))

    def pause(self):
        """Tell the core that this is a spin."""
        if IS_X86:
            self.builder.call(self._declare("llvm.x86.sse2.pause", ir.VoidType(), []), [])
        elif platform.machine().lower() in ("aarch64", "arm64"):
            hint = self._declare("llvm.aarch64.hint", ir.VoidType(), [INT32])
            self.builder.call(hint, [ir.Constant(INT32, 1)])  # the YIELD instruction

    def give_way(self):
        """Give the core to another thread."""
        if sys.platform != "win32":
            self.builder.call(self._declare("sched_yield", INT32, []), [])

    def flush_subnormals(self):
        """Take numbers too small to be normal as 0 from here on; returns the mode before."""
        if not IS_X86:
            return self.whole(0)
        flush_to_zero, zero_for_subnormal = 0x8000, 0x40
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(INT32)
        self._control_word("stmxcsr", slot)
        mode = self.builder.load(slot, typ=INT32)
        flags = ir.Constant(INT32, flush_to_zero | zero_for_subnormal)
        self.builder.store(self.builder.or_(mode, flags), slot)
        self._control_word("ldmxcsr", slot)
        return Whole(self.builder, self.builder.zext(mode, INT64))

    def restore_subnormals(self, mode):
        """Put back what :meth:`flush_subnormals` gave."""
        if not IS_X86:
            return
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(INT32)
        self.builder.store(self.builder.trunc(mode.value, INT32), slot)
        self._control_word("ldmxcsr", slot)

    def _control_word(self, name, slot):
        function = self._declare(f"llvm.x86.sse.{name}", ir.VoidType(), [ADDRESS])
        self.builder.call(function, [self.builder.bitcast(slot, ADDRESS)])
