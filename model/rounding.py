"""Matrix products that may round what they multiply: to bf16 on a CPU, to TF32 on a GPU.

Only products of few distinct shapes, in which most of the time goes: for each shape that it meets, oneDNN compiles a
kernel, which takes longer than a product that is done once.
"""

from typing import Any

import torch


class Rounding:
    """What is multiplied inside `with ROUNDING:` is rounded where `enabled`; sums, results and weights stay float32."""

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
        """Return whether the device rounds what it multiplies when asked to, by a product that takes a millisecond.

        Its capabilities do not say: oneDNN follows the request on a CPU with AMX, and multiplies exactly on one that
        has avx512_bf16 alone.
        """
        # Neither bf16 nor TF32 has this number; times the identity it stays itself, unless it was rounded before.
        exact = torch.full((256, 256), 1 + 2**-12, device=device)
        identity = torch.eye(256, device=device)
        self._set("bf16", "tf32")
        try:
            product = exact @ identity
        finally:
            self._set("ieee", "ieee")
        return not torch.equal(product, exact)

    def rows(self, count: int) -> int:
        """Return how many rows to compute for `count`: while rounding, one of few sizes."""
        return -(-count // 64) * 64 if self.enabled else count


ROUNDING = Rounding()
"""Of this process; a training turns it on for its steps."""
