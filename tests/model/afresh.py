"""Functions whose backward may be taken once, for gradcheck, which takes it more often."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Afresh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*tensors)
        return function(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            tensors = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            return None, *torch.autograd.grad(ctx.function(*tensors), tensors, gradient)


def gradients_are_right(function: Callable[..., Tensor], tensors: list[Tensor]) -> bool:
    """Check a function by gradcheck (float64); it is run again for every backward."""
    return torch.autograd.gradcheck(lambda *values: _Afresh.apply(function, *values), tensors)  # type: ignore[no-untyped-call]
