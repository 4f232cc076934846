"""The matrix products of training in bf16, where the machine has them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model.rounding import ROUNDING
from pipeline.config import Precision


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bf16 (a GPU: in TF32); in software they would be slow."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[bool]:
    """Let the large products of a step round what they multiply to bf16; say whether they do.

    Weights, sums and all else stay in float32. On a GPU what is multiplied is rounded to TF32, which is more exact.
    """
    ROUNDING.enabled = precision == "bf16" and has_bf16(device)
    try:
        yield ROUNDING.enabled
    finally:
        ROUNDING.enabled = False
