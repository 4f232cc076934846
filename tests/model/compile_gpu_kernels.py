"""Compiles every Triton kernel for graphics cards that are not there, in a process that does not interpret them."""

import inspect
import sys

from model import gpu_kernels

ARCHITECTURES = (80, 90)
"""A100 and H100."""
WARP = 32
TENSORS = {
    "_lstm_forward": 4,
    "_lstm_backward": 5,
    "_gru_forward": 4,
    "_gru_backward": 4,
    "_attend_forward": 6,
    "_attend_backward": 6,
    "_tanh_backward": 4,
}
"""How many of a kernel's arguments are tensors, the first ones; the others are sizes, and the scale."""


def compile_all() -> list[str]:
    """Return the names of what has been compiled to machine code."""
    import triton  # Here: this file is looked at where Triton is not installed, too.
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    done = []
    for name, tensors in TENSORS.items():
        kernel = getattr(gpu_kernels, name)
        names = list(inspect.signature(kernel.fn).parameters)
        constants = {argument: 32 for argument in ("POSITIONS", "UNITS") if argument in names}
        kinds = ["*fp32"] * tensors + ["fp32" if argument == "scale" else "i32" for argument in names[tensors:]]
        signature = {
            argument: "constexpr" if argument in constants else kind
            for argument, kind in zip(names, kinds, strict=True)
        }
        for architecture in ARCHITECTURES:
            source = ASTSource(kernel, signature, constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", architecture, WARP))
            assert compiled.asm["cubin"]
            done.append(f"{name} sm_{architecture}")
    return done


if __name__ == "__main__":
    sys.stdout.write("\n".join(compile_all()))
