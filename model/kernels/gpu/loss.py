"""Softmax, likelihood and their gradients of a chunk of tokens, in two passes over the logits where torch makes seven.

Shapes: C tokens, V vocabulary.
"""

from torch import Tensor

from .language import jit, tl

__all__ = ["masked_cross_entropy"]

TOKENS = 1024
"""Logits of a row that a program has at once."""


@jit
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


def masked_cross_entropy(
    logits_CV: Tensor, target_C: Tensor, words_C: Tensor, smoothing: float, nll_C: Tensor, own_C: Tensor
) -> None:
    """Overwrite logits by (softmax - (1 - smoothing) onehot) * word, with `word` 1, or 0 at padding.

    Writes the negative log-likelihood and the reference token's logit, both times `word`, too.
    """
    rows, vocabulary = logits_CV.shape
    _cross_entropy[rows,](logits_CV, target_C, words_C, nll_C, own_C, vocabulary, smoothing, TOKENS=TOKENS)
