"""Matrix products that may round what they multiply: to bf16 on a CPU, to TF32 on a GPU.

Only the products that take most of the time, and have few distinct shapes: oneDNN compiles a kernel for every new
shape, which takes longer than a product that is done once.
"""

from typing import Any

import torch


class Rounding:
    """Rounds what is multiplied inside `with ROUNDING:`, if `enabled`; sums, results and weights stay float32."""

    def __init__(self) -> None:
        self.enabled = False

    def __enter__(self) -> None:
        if self.enabled:
            self._set("bf16", "tf32")

    def __exit__(self, *error: object) -> None:
        if self.enabled:
            self._set("ieee", "ieee")

    @staticmethod
    def _set(cpu: str, gpu: str) -> None:
        mkldnn: Any = torch.backends.mkldnn
        mkldnn.matmul.fp32_precision = cpu
        if torch.cuda.is_available():
            torch.backends.cuda.matmul.fp32_precision = gpu

    def works_on(self, device: torch.device) -> bool:
        """Return whether the device rounds what it multiplies when asked to, from a product that takes a millisecond.

        The flags of a CPU do not tell: when asked, oneDNN rounds with AMX, and multiplies exactly on processors of AMD
        that have avx512_bf16.
        """
        # Neither bf16 nor TF32 can represent this number; times the identity, it stays exact unless it was rounded.
        exact = torch.full((256, 256), 1 + 2**-12, device=device)
        identity = torch.eye(256, device=device)
        mkldnn: Any = torch.backends.mkldnn
        before = mkldnn.matmul.fp32_precision  # products.py may have set it.
        self._set("bf16", "tf32")
        try:
            product = exact @ identity
        finally:
            self._set("ieee", "ieee")
            mkldnn.matmul.fp32_precision = before
        return not torch.equal(product, exact)

    def rows(self, count: int) -> int:
        """Return how many rows to compute for `count`: where oneDNN multiplies, a multiple of 64: few shapes."""
        mkldnn: Any = torch.backends.mkldnn
        return -(-count // 64) * 64 if self.enabled or mkldnn.matmul.fp32_precision == "bf16" else count


ROUNDING = Rounding()
"""This process's switch, which training turns on for its steps."""
