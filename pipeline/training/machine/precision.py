"""The matrix products of training in bf16, where the machine has instructions for them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.rounding import ROUNDING
from pipeline.config import Precision


@contextmanager
def matmul_precision(precision: Precision, device: torch.device) -> Iterator[bool]:
    """Let the large products of a step multiply bf16 numbers; yield whether they do.

    Weights, sums and everything else stay in float32.
    """
    ROUNDING.enabled = precision == "bf16" and ROUNDING.works_on(device)
    try:
        yield ROUNDING.enabled
    finally:
        ROUNDING.enabled = False
