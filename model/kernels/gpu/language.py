"""Triton, if it is there, and what its kernels share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # torch for GPUs brings it on Linux; without it, these files can still be read.
    triton, tl = None, SimpleNamespace(constexpr=int)

__all__ = ["UNITS", "jit", "launch_cells", "tanh", "tile", "tl"]

UNITS = 128
"""Units of a row that a program computes at once."""


def jit(function: Callable[..., Any]) -> Any:
    """Mark a function as a kernel, or as a part of one; it is compiled when it is first launched."""
    # The source positions of a batch are any number: no version of a kernel for multiples of 16.
    return function if triton is None else triton.jit(function, do_not_specialize=["positions"])


@jit
def tanh(values):
    """Return the hyperbolic tangent to 1e-7 of any value: exp of a large one is infinite, and the quotient 0."""
    return 1.0 - 2.0 / (1.0 + tl.exp(2.0 * values))


def launch_cells(kernel: Any, rows: int, size: int, *arguments: Any) -> None:
    """Launch a kernel over the rows and units of a state."""
    kernel[rows, -(-size // UNITS)](*arguments, size, UNITS=UNITS)


def tile(positions: int) -> dict[str, int]:
    """Return what a program has at once of a sentence's positions and their units: 4,096 numbers or so."""
    padded = max(16, 1 << (positions - 1).bit_length())
    return {"POSITIONS": padded, "UNITS": max(16, min(UNITS, 4096 // padded))}
