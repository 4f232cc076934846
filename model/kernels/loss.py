"""Softmax, likelihood and their gradients of a chunk of tokens, a row at a time while it is in the cache.

Shapes: C tokens, K blocks of them, V vocabulary.
"""

import math
from typing import Any

from .threads import run, share
from .vectors import exponential, f4, inline, kernel, largest

__all__ = ["BLOCK", "cross_entropy"]

BLOCK = 32
"""Tokens whose gradients of the bias are added up by themselves, so that threads change no sum."""


@inline
def _cross_entropy(
    part: int,
    parts: int,
    logits_CV: Any,
    bias_V: Any,
    target_C: Any,
    tokens: int,
    kept: float,
    d_bias_KV: Any,
    nll_C: Any,
    own_C: Any,
) -> None:
    for k in share(len(d_bias_KV), part, parts):
        d_bias_V, first, last = d_bias_KV[k], k * BLOCK, min((k + 1) * BLOCK, len(target_C))
        d_bias_V[:] = f4(0.0)
        for c in range(first, min(last, tokens)):
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
        for c in range(max(first, tokens), last):
            logits_CV[c] = f4(0.0)


@kernel
def cross_entropy(*arguments: Any) -> None:
    """Write each token's negative log-likelihood and own logit, and overwrite its logits by their gradients.

    The bias is added first; its gradient is that of all blocks. kept: 1 less the label smoothing; the term that
    smoothing adds to all gradients alike is left to the caller. Rows beyond `tokens` become zero.
    """
    run(_cross_entropy, arguments[0].size, arguments)
