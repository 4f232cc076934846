"""The softmax of the loss and its gradient on a GPU, in one launch, by Triton where it is installed.

In torch they are seven passes over the logits, which are the largest tensor of a step by far; here they are two.

Shapes: C tokens of a chunk, V vocabulary.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # torch for GPUs on Linux brings it; without, the loss is that in torch.
    triton, tl = None, SimpleNamespace(constexpr=int)

TOKENS = 1024
"""Logits of a row that a program has at once."""


def _cross_entropy(logits, targets, words, nll, own, vocabulary, smoothing, TOKENS: tl.constexpr):
    row, tokens = tl.program_id(0).to(tl.int64), tl.arange(0, TOKENS)
    target, word = tl.load(targets + row), tl.load(words + row)
    first_logit = logits + row * vocabulary
    reference = tl.load(first_logit + target)
    # The largest logit so far of each place in a block, and the sum of exp of all after subtracting it. They begin with
    # a number below all logits: infinity less infinity would be none.
    largest, total = tl.full([TOKENS], -3e38, tl.float32), tl.zeros([TOKENS], tl.float32)
    for first in range(0, vocabulary, TOKENS):
        there = first + tokens < vocabulary
        values = tl.load(first_logit + first + tokens, mask=there, other=-3e38)
        larger = tl.maximum(largest, values)
        total = tl.where(there, total * tl.exp(largest - larger) + tl.exp(values - larger), total)
        largest = larger
    most = tl.max(largest, axis=0)
    total = tl.sum(total * tl.exp(largest - most), axis=0)
    tl.store(nll + row, word * (tl.log(total) + most - reference))
    tl.store(own + row, word * reference)
    for first in range(0, vocabulary, TOKENS):
        token = first + tokens
        values = tl.exp(tl.load(first_logit + token, mask=token < vocabulary, other=0.0) - most) / total
        values = tl.where(token == target, values + (smoothing - 1.0), values)
        tl.store(first_logit + token, word * values, mask=token < vocabulary)


_cross_entropy_kernel: Any = _cross_entropy if triton is None else triton.jit(_cross_entropy)


def fuses_loss(tensor: Tensor) -> bool:
    """Return whether this kernel computes on such a tensor: float32 on a GPU, with Triton."""
    return triton is not None and tensor.is_cuda and tensor.dtype == torch.float32


def cross_entropy_rows(logits_CV: Tensor, target_C: Tensor, words_C: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Turn logits into (softmax - (1 - smoothing) onehot) * word, in place.

    Returns the negative log-likelihood (C) and the reference token's logit (C), both times `word`, which is 1, or 0 at
    padding.
    """
    nll_C, own_C = torch.empty_like(words_C), torch.empty_like(words_C)
    rows, vocabulary = logits_CV.shape
    _cross_entropy_kernel[rows,](logits_CV, target_C, words_C, nll_C, own_C, vocabulary, smoothing, TOKENS=TOKENS)
    return nll_C, own_C
