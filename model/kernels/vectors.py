"""What the kernels are made of: exponential, hyperbolic tangent and logistic function, in forms that vectorise.

numba hands the loops over these to LLVM, which computes 8 or 16 numbers at once if nothing in them branches or calls.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

f4 = np.float32
F = TypeVar("F", bound=Callable[..., Any])

# Not `nnan` and `ninf`: a training that has diverged must be seen to have no number for a loss.
_FLAGS = {"nsz", "contract", "reassoc", "arcp"}
# numba takes machine code for current while its own file is unchanged, though what it calls may have changed.
_CACHED = not __name__.partition(".")[0].endswith("_uncached")
_OPTIONS: dict[str, Any] = {"fastmath": _FLAGS, "error_model": "numpy", "nogil": True}


def kernel(function: F) -> F:
    """Compile a function that torch code calls; its machine code is kept, where load.py has copied the code."""
    try:
        return numba.njit(cache=_CACHED, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # Nowhere to keep it.
        return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


def inline(function: F) -> F:
    """Compile a function that kernels call."""
    return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


def _largest(_context: Any, _a: Any, _b: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = ir.FloatType()
        function = builder.module.declare_intrinsic("llvm.maxnum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(function, arguments, fastmath=("nnan", "nsz"))

    return types.float32(types.float32, types.float32), generate


largest: Any = intrinsic(_largest)
"""Returns the larger of two float32: LLVM vectorises a maximum in this form alone."""


def _float_of(_context: Any, _bits: Any) -> Any:

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


_from_bits: Any = intrinsic(_float_of)
"""Returns the float32 that these bits, an int32, are."""


@inline
def exponential(x: Any) -> Any:
    """Return e to the power of x, at most 0, to 2 units in the last place.

    The power of 2 next to it, times a polynomial on what is left (Cephes, expf.c).
    """
    x = f4(-87.0) if x < f4(-87.0) else x  # In this order, what is not a number stays so.
    power = np.int32(x * f4(1.44269504) - f4(0.5))
    rest = x - f4(power) * f4(0.693359375) + f4(power) * f4(2.12194440e-4)
    p = f4(1.9875691500e-4)
    p = p * rest + f4(1.3981999507e-3)
    p = p * rest + f4(8.3334519073e-3)
    p = p * rest + f4(4.1665795894e-2)
    p = p * rest + f4(1.6666665459e-1)
    p = p * rest + f4(5.0000001201e-1)
    return (p * rest * rest + rest + f4(1.0)) * _from_bits(np.int32((power + np.int32(127)) << np.int32(23)))


@inline
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent to 3e-7: a quotient of polynomials, as in Eigen (MathFunctionsImpl.h)."""
    x = f4(-7.90531110763549805) if x < f4(-7.90531110763549805) else x
    x = f4(7.90531110763549805) if x > f4(7.90531110763549805) else x
    y = x * x
    p = f4(-2.76076847742355e-16)
    p = p * y + f4(2.00018790482477e-13)
    p = p * y + f4(-8.60467152213735e-11)
    p = p * y + f4(5.12229709037114e-08)
    p = p * y + f4(1.48572235717979e-05)
    p = p * y + f4(6.37261928875436e-04)
    p = p * y + f4(4.89352455891786e-03)
    q = f4(1.19825839466702e-06)
    q = q * y + f4(1.18534705686654e-04)
    q = q * y + f4(2.26843463243900e-03)
    q = q * y + f4(4.89352518554385e-03)
    return x * p / q


@inline
def logistic(x: Any) -> Any:
    """Return 1 / (1 + e^-x) to 2e-7."""
    return f4(0.5) * tanh(f4(0.5) * x) + f4(0.5)
