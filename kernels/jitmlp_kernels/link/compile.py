"""From a traced body to machine code, and from machine code to an address."""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock

from jitmlp_kernels.link.store import Code
from jitmlp_kernels.trace.emitter import PIECE, Emitter
from jitmlp_kernels.trace.pointers import Pointer
from jitmlp_kernels.trace.target import cpu_name, feature_string

# LLVM's compiler and loader take one thread at a time
LOCK = threading.RLock()


def _locks():
    """What other threads may hold while the process is copied, and a child could then never take."""
    return LOCK, global_compiler_lock, np.random.get_bit_generator().lock  # the last for random_state=None


_held: list = []


def _before_fork():
    for lock in _locks():
        lock.acquire()
        _held.append(lock)


def _after_fork():
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


@cache
def _machine():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=cpu_name(), features=feature_string(), opt=3, reloc="default", codemodel="jitdefault", jit=True
    )


@cache
def _engine():
    machine = _machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def trace_piece(body, dtype, symbol: str, arguments: dict) -> ir.Module:
    """LLVM's form of a piece: ``body(m, job, unit, operands, **arguments)`` run on an emitter."""
    module = ir.Module(symbol)
    module.triple = _machine().triple
    module.data_layout = str(_machine().target_data)
    function = ir.Function(module, PIECE, symbol)
    function.attributes.add("nounwind")
    m = Emitter(function, dtype)
    job, unit, operands = (Pointer(m, argument, np.uint8) for argument in function.args)
    body(m, job, unit, operands, **arguments)
    m.builder.ret_void()
    return module


def compile_module(module: ir.Module, symbol: str) -> Code:
    """Optimized machine code of a module with one function."""
    with LOCK:
        machine = _machine()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_vectorization = tuning.slp_vectorization = False  # the vectors are explicit
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(parsed, builder)
        return Code(symbol, machine.emit_object(parsed))


def compile_numba(function, n_arguments: int) -> Code:
    """Machine code of a parallel Numba kernel that takes whole numbers of 64 bits."""
    signature = (numba.types.int64,) * n_arguments
    dispatcher = numba.njit(parallel=True, nogil=True, error_model="numpy")(function)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    data = compiled.library.serialize_using_object_code()[2][0]
    return Code(compiled.fndesc.llvm_func_name, data)


def install(code: Code) -> int:
    """Load machine code into the process; returns the function's address."""
    with LOCK:
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code.data))
        engine.finalize_object()
        address = engine.get_function_address(code.symbol)
    if not address:
        raise ValueError(f"the machine code has no function {code.symbol}")
    return address


_piece_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def callable_piece(address: int):
    """A Python function that calls the piece at an address."""
    return _piece_type(address)
