"""Rows of an embedding table, and the table for the output layer that shares it, with one gradient for all uses.

For every use autograd would make a gradient as large as the table, zero but for the rows that were read, and add them
up: on a CPU that takes about as long as the optimizer.

Shapes: V vocabulary, E embedding units.
"""

from typing import Any

import torch
from torch import Tensor


def look_up(table_VE: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
    """Return the table, for the layer that shares it, and the rows (..., E) at each of `indices`, int64 (...)."""
    found: tuple[Tensor, ...] = _LookUp.apply(table_VE, *indices)  # type: ignore[no-untyped-call]
    return found


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table_VE: Tensor, *indices: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*indices)
        ctx.shape = table_VE.shape
        ctx.set_materialize_grads(False)
        return table_VE.view_as(table_VE), *(torch.nn.functional.embedding(index, table_VE) for index in indices)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_table_VE: Tensor | None, *d_rows: Tensor | None) -> tuple[Tensor | None, ...]:
        for index, d_row in zip(ctx.saved_tensors, d_rows, strict=True):
            if d_row is not None:
                d_table_VE = d_row.new_zeros(ctx.shape) if d_table_VE is None else d_table_VE
                _add_rows(d_table_VE, index, d_row)
        return d_table_VE, *(None for _ in d_rows)


def _add_rows(d_table_VE: Tensor, index: Tensor, d_row: Tensor) -> None:
    """Add rows (..., E) to those of the table at `index` (...), in place: nothing else holds the gradient.

    A GPU's index_add_ adds in any order, so that the same training would end with other weights every time. Autograd's
    own sum for embeddings sorts the indices first: it adds in one order, in a second table.
    """
    if d_row.is_cuda:
        d_table_VE += torch.ops.aten.embedding_dense_backward(d_row, index, len(d_table_VE), -1, False)
    else:
        d_table_VE.index_add_(0, index.flatten(), d_row.flatten(0, -2))
