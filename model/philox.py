"""Random bits from a counter: what is drawn at a place depends on the place alone, on any device and in any order.

Philox 4x32-10 of Salmon, Moraes, Dror and Shaw 2011, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC11), section 3.3:
ten rounds turn a counter of four words of 32 bits into four random words, under a key of two. CUDA's own generators use
it. Here it is arithmetic of whole numbers in torch, or in a kernel on a CPU, exact wherever it runs: a GPU draws what a
CPU draws, without a state to keep, a copy from the host or a wait for it.

Shapes: B sentences of this share, O draws of each, Q blocks of them, or pairs of words, W words.
"""

import torch
from torch import Tensor

from .kernels.load import array, kernels_for

LEVELS = 2**16
"""Of a draw."""
_WORD = 2**32 - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_DRAWS = 8
"""In the four words that one counter gives."""


def draw(seed: int, step: int | Tensor, stream: int, rows_B: Tensor, count: int) -> Tensor:
    """Return int16 (B, O): `count` draws for each row, each of all numbers of 16 bits alike; more begin with fewer.

    seed: of the run, less than 2^64. step: of the run; an int64 tensor () on the device of `rows_B` if a CUDA graph is
    to read it whenever it runs. stream: what is drawn. rows_B: int64, places of this share's sentences in the global
    batch. These are less than 2^32, and draws that differ in any of them are independent.
    """
    blocks = -(-count // _DRAWS)
    kernels = kernels_for(rows_B)
    if kernels is not None:
        pairs_BQ = rows_B.new_empty(len(rows_B), 2 * blocks)
        words_BW = array(pairs_BQ).view("uint32")
        kernels.philox_words(array(rows_B), int(step), stream, seed & _WORD, seed >> 32, words_BW)
    else:
        pairs_BQ = _pairs(seed, step, stream, rows_B, blocks)
    return pairs_BQ.view(torch.int16)[:, :count]


def _pairs(seed: int, step: int | Tensor, stream: int, rows_B: Tensor, blocks: int) -> Tensor:
    """Return int64 (B, Q): the random words of all blocks, two of a block and then the other two."""
    even_2BQ = rows_B.new_empty(2, len(rows_B), blocks)
    odd_2BQ = torch.empty_like(even_2BQ)
    even_2BQ[0] = torch.arange(blocks, device=rows_B.device)
    even_2BQ[1] = stream
    odd_2BQ[0] = rows_B.unsqueeze(1)
    odd_2BQ[1] = step
    philox(even_2BQ, odd_2BQ, seed)
    pairs_2BQ = even_2BQ.bitwise_left_shift_(32).bitwise_or_(odd_2BQ)
    return pairs_2BQ.permute(1, 2, 0).contiguous().flatten(1)


def philox(even_2BQ: Tensor, odd_2BQ: Tensor, key: int) -> None:
    """Turn counters into random words, in place: words 0 and 2 of each are `even`, words 1 and 3 `odd`, both int64.

    A round multiplies words 0 and 2; the products' upper halves become words 2 and 0, with words 3 and 1 and the key,
    and their lower halves words 3 and 1. Here they stay where they are, and the two constants change places.
    """
    multipliers_311 = _alternating(even_2BQ, *_MULTIPLIERS).view(3, 1, 1)
    steps_3, starts_3 = _alternating(even_2BQ, *_KEY_STEPS[::-1]), _alternating(even_2BQ, key >> 32, key & _WORD)
    rounds = torch.arange(_ROUNDS, device=even_2BQ.device).unsqueeze(1)
    keys = (rounds * steps_3 + starts_3).bitwise_and_(_WORD).view(_ROUNDS, 3, 1, 1)
    product_2BQ = torch.empty_like(even_2BQ)
    for number in range(_ROUNDS):
        lanes = slice(0, 2) if number % 2 == 0 else slice(1, 3)
        torch.mul(even_2BQ, multipliers_311[lanes], out=product_2BQ)
        torch.bitwise_right_shift(product_2BQ, 32, out=even_2BQ)
        even_2BQ.bitwise_xor_(keys[number, lanes])
        even_2BQ[0].bitwise_xor_(odd_2BQ[1])
        even_2BQ[1].bitwise_xor_(odd_2BQ[0])
        even_2BQ.bitwise_and_(_WORD)
        product_2BQ, odd_2BQ = odd_2BQ, product_2BQ
    # Ten rounds are an even number: `odd` is the caller's again. It has the upper halves of the products, too.
    odd_2BQ.bitwise_and_(_WORD)


def _alternating(like: Tensor, first: int, second: int) -> Tensor:
    """Return int64 (3): first, second, first; made on the device of `like` without a copy from the host."""
    values_3 = like.new_empty(3)
    values_3.fill_(first)
    values_3[1].fill_(second)
    return values_3
