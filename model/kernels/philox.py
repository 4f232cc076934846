"""Philox 4x32-10, a block at a time; model/philox.py has the source and the layout.

Shapes: B sentences, Q blocks of draws, W words of all blocks: four of each.
"""

from typing import Any

import numpy as np

from .threads import run, share
from .vectors import inline, kernel

__all__ = ["philox_words"]

_WORD, _HALF = np.uint64(2**32 - 1), np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))


@inline
def _philox_words(
    part: int, parts: int, rows_B: Any, step: int, stream: int, low: int, high: int, words_BW: Any
) -> None:
    for b in share(len(rows_B), part, parts):
        words_W = words_BW[b]
        for q in range(len(words_W) // 4):
            c0, c1, c2, c3 = np.uint64(q), np.uint64(rows_B[b]), np.uint64(stream), np.uint64(step)
            k0, k1 = np.uint64(low), np.uint64(high)
            for _ in range(10):
                p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
                c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _WORD, (p0 >> _HALF) ^ c3 ^ k1, p0 & _WORD
                k0, k1 = (k0 + _KEY_STEPS[0]) & _WORD, (k1 + _KEY_STEPS[1]) & _WORD
            words_W[4 * q], words_W[4 * q + 1] = np.uint32(c1), np.uint32(c0)
            words_W[4 * q + 2], words_W[4 * q + 3] = np.uint32(c3), np.uint32(c2)


@kernel
def philox_words(*arguments: Any) -> None:
    """Write the random words of each row's blocks, uint32: of each block words 1, 0, 3 and 2. low, high: of the key."""
    run(_philox_words, arguments[5].size, arguments)
