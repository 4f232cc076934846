"""The matrix products of training in bf16, where a probe shows that the machine multiplies in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.rounding import ROUNDING
from pipeline.config import Precision


@contextmanager
def matmul_precision(precision: Precision, device: torch.device) -> Iterator[bool]:
    """Let the large products of a step round what they multiply to bf16; yield whether this device does it.

    Weights, sums and everything else stay in float32. A GPU rounds to TF32, which is more exact.
    """
    ROUNDING.enabled = precision == "bf16" and ROUNDING.works_on(device)
    try:
        yield ROUNDING.enabled
    finally:
        ROUNDING.enabled = False
