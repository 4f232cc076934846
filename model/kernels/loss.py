"""Softmax, likelihood and their gradients of a chunk of tokens, a row at a time while it is in the cache.

Shapes: C tokens, V vocabulary.
"""

import math
from typing import Any

from .vectors import exponential, f4, kernel, largest

__all__ = ["cross_entropy"]


@kernel
def cross_entropy(
    logits_CV: Any, bias_V: Any, target_C: Any, tokens: int, kept: float, d_bias_V: Any, nll_C: Any, own_C: Any
) -> None:
    """Write each token's negative log-likelihood and own logit, and overwrite its logits by their gradients.

    The bias is added first, and its gradients are added up. kept: 1 less the label smoothing; the term that smoothing
    adds to all gradients alike is left to the caller. Rows beyond `tokens` become zero.
    """
    for c in range(tokens):
        row_V, target = logits_CV[c], target_C[c]
        highest = row_V[0] + bias_V[0]
        for v in range(len(bias_V)):
            value = row_V[v] + bias_V[v]
            row_V[v] = value
            highest = largest(highest, value)
        own, total = row_V[target], f4(0.0)
        for v in range(len(bias_V)):
            value = exponential(row_V[v] - highest)
            row_V[v] = value
            total += value
        factor = f4(1.0) / total
        for v in range(len(bias_V)):
            value = row_V[v] * factor
            row_V[v] = value
            d_bias_V[v] += value
        row_V[target] -= f4(kept)
        d_bias_V[target] -= f4(kept)
        nll_C[c], own_C[c] = f4(math.log(total)) + highest - own, own
    logits_CV[tokens:] = f4(0.0)
