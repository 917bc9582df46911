"""Calling a compiled kernel by its address.

A kernel that calls another contains a second copy of its machine code, and Numba can
keep a kernel that was passed as an argument in no cache. The parallel twin calls the
serial one by address instead: it is one screen of code, compiled in a moment.
"""

from __future__ import annotations

import numba
from numba.core import types
from numba.extending import intrinsic


def address_of(dispatcher, *arguments) -> int:
    """Address of the machine code for these arguments, compiled or loaded if need be.

    0 where Numba is told to compile nothing (NUMBA_DISABLE_JIT).
    """
    if numba.config.DISABLE_JIT:
        return 0
    signature = tuple(numba.typeof(argument) for argument in arguments)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


@intrinsic
def call_address(typing, address, arguments):
    """Call the kernel at ``address``, which returns nothing, with a tuple of arguments."""
    if not isinstance(address, types.Integer) or not isinstance(arguments, types.BaseTuple):
        return None

    def generate(context, builder, signature, values):
        kinds = tuple(signature.args[1])
        unpacked = [builder.extract_value(values[1], i) for i in range(len(kinds))]
        function_type = context.call_conv.get_function_type(types.none, kinds)
        pointer = builder.inttoptr(values[0], function_type.as_pointer())
        context.call_conv.call_function(builder, pointer, types.none, kinds, unpacked)
        return context.get_dummy_value()

    return types.void(types.intp, arguments), generate
