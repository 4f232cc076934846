"""Results that the number of threads changes by no bit, though it may change while a training runs.

Libraries split a product's rows among threads. A part whose rows are no multiple of what their inner loop takes at once
is finished by another loop, which rounds otherwise: MKL's of 5 to 7 and 9 to 11 rows differ with two threads, those of
17 to 19 with sixteen. So batches of so few sentences are computed by one thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

MOST = 64
"""Rows, from which on all products were the same."""
INNER, COLUMNS = 256, 512
"""Of the products tried: others differ for the same rows."""


@contextmanager
def same_with_any_threads(sentences: int, device: torch.device) -> Iterator[None]:
    """Compute a batch of so many sentences, all of whose products have at least as many rows."""
    threads = torch.get_num_threads()
    mkldnn: Any = torch.backends.mkldnn
    if device.type != "cpu" or sentences >= steady_from(threads, mkldnn.matmul.fp32_precision):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def steady_from(threads: int, _precision: str) -> int:
    """Return the number of rows from which on `threads` threads multiply as one does, to the bit; takes milliseconds.

    The setting that chooses a library (see products.py) is taken so that each has its own answer.
    """
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(*shape, generator=generator) for shape in ((MOST, INNER), (COLUMNS, INNER)))
    try:
        products = []
        for count in (1, threads):
            torch.set_num_threads(count)
            products.append([left[:rows] @ right.T for rows in range(1, MOST)])
    finally:
        torch.set_num_threads(before)
    differing = [len(one) for one, other in zip(*products, strict=True) if not torch.equal(one, other)]
    return max(differing, default=0) + 1
