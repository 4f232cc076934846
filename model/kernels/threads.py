"""Shares a kernel's rows out among the threads of torch's products, which wait for it otherwise.

numba's own threads would be a second pool beside OpenMP's, and each pool spins while the other works. So a kernel forks
by the OpenMP that torch has loaded (GOMP_parallel of libgomp, which LLVM's and Intel's libraries have too), into the
threads that torch was told to use. Rows are computed alike by any number of threads.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler
from numba.extending import intrinsic

from .vectors import inline

GRAIN = 4096
"""Logistic functions, or as much work, that are worth waking a thread: some microseconds."""
_PREFIX = "nmt_"
_cgutils: Any = cgutils
_compiler: Any = compiler
_FORK, _NUMBER, _TEAM, _MOST = "GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads", "omp_get_max_threads"
_I32, _I64, _POINTER, _VOID = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer(), ir.VoidType()
_NO_OPENMP = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)
"""Stands in for `omp_get_max_threads`, so that no kernel forks, and for the functions that are never called then."""


def _register() -> bool:
    """Give compiled code the addresses of torch's OpenMP; return whether it was found."""
    try:
        process: Any = ctypes.CDLL(None)
        functions = {name: getattr(process, name) for name in (_FORK, _NUMBER, _TEAM, _MOST)}
        found = bool(functions[_MOST]() == torch.get_num_threads())  # Another library's OpenMP has other settings.
    except (AttributeError, OSError, TypeError):  # Another OpenMP or none, or no such handle (Windows).
        found = False
    for name in (_FORK, _NUMBER, _TEAM, _MOST):
        function = functions[name] if found else _NO_OPENMP
        llvm.add_symbol(_PREFIX + name, ctypes.cast(function, ctypes.c_void_p).value)
    return found


FOUND = _register()
"""Whether kernels fork in this process."""


def _declare(module: Any, name: str, result: Any, parameters: list[Any]) -> Any:
    kind = ir.FunctionType(result, parameters)
    return _cgutils.get_or_insert_function(module, kind, _PREFIX + name)


def _lower(context: Any, dispatcher: Any, kinds: tuple[Any, ...]) -> Any:
    """Add a function to the library that is being made: in one of its own, LLVM would optimise it twice."""
    flags = _compiler.Flags()
    dispatcher.targetdescr.options.parse_as_flags(flags, dispatcher.targetoptions)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    library, function = context.active_code_library, dispatcher.py_func
    return _compiler.compile_internal(context.typing_context, context, library, function, kinds, None, flags, {})


def _run(_typing: Any, function: Any, _work: Any, arguments: Any) -> Any:

    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _, work, packed = values
        part_function = _lower(context, function.dispatcher, (types.int64, types.int64, *arguments.types))

        def call(builder: Any, part: Any, parts: Any, packed: Any) -> None:
            arguments = [part, parts, *_cgutils.unpack_tuple(builder, packed)]
            # Kernels raise nothing: there is no error to propagate.
            context.call_internal_no_propagate(builder, part_function.fndesc, part_function.signature, arguments)

        threads = builder.call(_declare(builder.module, _MOST, _I32, []), [])
        is_worth_it = builder.icmp_signed(">=", work, work.type(GRAIN))
        forks = builder.and_(is_worth_it, builder.icmp_signed(">", threads, _I32(1)))
        with builder.if_else(forks) as (then, otherwise):
            with then:
                _fork(builder, threads, packed, call)
            with otherwise:
                call(builder, _I64(0), _I64(1), packed)
        return context.get_dummy_value()

    return types.void(function, types.int64, arguments), generate


run: Any = intrinsic(_run)
"""Calls function(part, parts, *arguments) for every part: at once in all threads, if it is worth it.

Takes the function, how much work it is, in logistic functions, and a tuple of the arguments.
"""


def _fork(builder: Any, threads: Any, packed: Any, call: Callable[..., None]) -> None:
    """Let each thread call its part: it finds the arguments on the stack of the one that forks, which waits for all."""
    module = builder.module
    body = ir.Function(module, ir.FunctionType(_VOID, [_POINTER]), module.get_unique_name("part"))
    body.linkage = "internal"
    inside = ir.IRBuilder(body.append_basic_block())
    part, parts = (inside.sext(inside.call(_declare(module, name, _I32, []), []), _I64) for name in (_NUMBER, _TEAM))
    call(inside, part, parts, inside.load(inside.bitcast(body.args[0], packed.type.as_pointer())))
    inside.ret_void()
    stack = builder.bitcast(_cgutils.alloca_once_value(builder, packed), _POINTER)
    fork = _declare(module, _FORK, _VOID, [body.type, _POINTER, _I32, _I32])
    builder.call(fork, [body, stack, threads, _I32(0)])


@inline
def share(count: int, part: int, parts: int) -> Any:
    """Return the rows of a part."""
    return range(count * part // parts, count * (part + 1) // parts)
