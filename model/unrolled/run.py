"""What hands a computation of all steps, with a backward by hand, to autograd.

Shapes: T steps, B sentences, X and Y units.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from ..rounding import ROUNDING


class Run(Protocol):
    """All steps of one batch."""

    def forward(self) -> tuple[Tensor, ...]:
        """Take all steps."""

    def backward(self, *d_outputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return the gradients of all inputs, in their order; None is that of an output that nothing has used."""


def unroll(run: Run, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return what the run computes from its inputs, differentiable in all of them; backward() can run only once."""
    return _Unroll.apply(run, *inputs)  # type: ignore[no-any-return, no-untyped-call]


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.set_materialize_grads(False)
        return run.forward()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        run, ctx.run = ctx.run, None
        if run is None:
            raise RuntimeError("backward() can run only once: it overwrites the saved gates")
        return None, *run.backward(*d_outputs)


def product(left_TBX: Tensor, right_TBY: Tensor) -> Tensor:
    """Return the sum (X, Y) of left right' over all steps and sentences."""
    return ROUNDING.product(left_TBX.flatten(0, 1).T, right_TBY.flatten(0, 1))
