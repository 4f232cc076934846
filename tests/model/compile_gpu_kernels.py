"""Compiles every Triton kernel for graphics cards that are not there, in a process that does not interpret them."""

import inspect
import sys

from model import gpu_kernels, gpu_loss

ARCHITECTURES = (80, 90)
"""A100 and H100."""
WARP = 32
FLOAT, INT = "*fp32", "*i64"
TENSORS = {
    "_lstm_forward": [FLOAT] * 4,
    "_lstm_backward": [FLOAT] * 5,
    "_gru_forward": [FLOAT] * 4,
    "_gru_backward": [FLOAT] * 4,
    "_attend_forward": [FLOAT] * 6,
    "_attend_backward": [FLOAT] * 6,
    "_tanh_backward": [FLOAT] * 4,
    "_cross_entropy_kernel": [FLOAT, INT, FLOAT, FLOAT, FLOAT],
}
"""The first arguments of a kernel, which are tensors; the others are sizes, and numbers with a point."""


def compile_all() -> list[str]:
    """Return the names of what has been compiled to machine code."""
    import triton  # Here: this file is looked at where Triton is not installed, too.
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    done = []
    for name, tensors in TENSORS.items():
        kernel = getattr(gpu_kernels, name, None) or getattr(gpu_loss, name)
        names = list(inspect.signature(kernel.fn).parameters)
        constants = {argument: 32 for argument in ("POSITIONS", "UNITS", "TOKENS") if argument in names}
        kinds = tensors + ["fp32" if name in ("scale", "smoothing") else "i32" for name in names[len(tensors) :]]
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
