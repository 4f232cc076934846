"""Compiles every Triton kernel for graphics cards that are not there, in a process that does not interpret them."""

import inspect
import sys
from importlib import import_module

from model.kernels.load import GPU_SOURCES

ARCHITECTURES = (80, 90)
"""A100 and H100."""
WARP = 32
FLOATS, INTEGERS = {"scale", "smoothing"}, {"lengths", "targets"}
"""The arguments that are numbers with a point, and the tensors of whole numbers."""
SIZES = {"positions", "size", "notes", "vocabulary"}
"""The arguments that are whole numbers, beside those that end in `_row`."""


def kind_of(argument: str) -> str:
    """Return the type of a kernel's argument, by its name."""
    if argument.isupper():
        return "constexpr"
    if argument in SIZES or argument.endswith("_row"):
        return "i32"
    return "fp32" if argument in FLOATS else "*i64" if argument in INTEGERS else "*fp32"


def kernels() -> dict[str, object]:
    """Return what is launched, by name: what takes a size of its tile."""
    values = [item for name in GPU_SOURCES for item in vars(import_module(f"model.kernels.gpu.{name}")).items()]
    return {name: value for name, value in values if any(argument.isupper() for argument in parameters(value))}


def parameters(value: object) -> list[str]:
    """Return the arguments of what Triton compiles; none of anything else."""
    return list(inspect.signature(value.fn).parameters) if hasattr(value, "fn") else []


def compile_all() -> list[str]:
    """Return the names of what has been compiled to machine code."""
    import triton  # Here: this file is looked at where Triton is not installed, too.
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    done = []
    for name, kernel in kernels().items():
        signature = {argument: kind_of(argument) for argument in parameters(kernel)}
        constants = {argument: 32 for argument, kind in signature.items() if kind == "constexpr"}
        for architecture in ARCHITECTURES:
            source = ASTSource(kernel, signature, constants)
            assert triton.compile(source, target=GPUTarget("cuda", architecture, WARP)).asm["cubin"]
            done.append(f"{name} sm_{architecture}")
    return done


if __name__ == "__main__":
    sys.stdout.write("\n".join(compile_all()))
