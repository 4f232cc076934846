"""Matrix products of numbers rounded to bf16, where a device has instructions for them.

Only what is multiplied is rounded: weights, once a step, and what meets them. Weights, gradients, sums and all else
stay float32 (Micikevicius et al. 2018, "Mixed Precision Training", sections 3.1 and 3.3). Every product adds up in
float32; a CPU then rounds the sums to bf16 once more, since its libraries have no other result for such factors.

Shapes: I, J and K rows and columns.
"""

from typing import Any

import torch
from torch import Tensor


class Rounding:
    """Multiplies, and rounds the factors if `enabled`."""

    def __init__(self) -> None:
        self.enabled = False

    def works_on(self, device: torch.device) -> bool:
        """Return whether the device has instructions for it: a measurement might say otherwise the next time."""
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        mkldnn: Any = torch.backends.mkldnn
        if not (mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
            return False  # torch would multiply them one by one.
        processor = torch.cpu.get_capabilities()
        # On x86, oneDNN takes them on any with AVX-512, and converts them where it has no such instructions.
        return processor["architecture"] != "x86_64" or bool(processor["amx_bf16"] or processor["avx512_bf16"])

    def factor(self, matrix_JK: Tensor) -> Tensor:
        """Return what stands for a matrix in many products: a copy in bf16, or itself."""
        return matrix_JK.bfloat16() if self.enabled else matrix_JK

    def product(self, left_IJ: Tensor, right_JK: Tensor) -> Tensor:
        """Return left right, float32. Either may have come from `factor`."""
        return self._rounded(left_IJ, right_JK).float() if self.enabled else left_IJ @ right_JK

    def mm(self, left_IJ: Tensor, right_JK: Tensor, out: Tensor) -> None:
        """Write left right to `out`, float32 (I, K)."""
        if self.enabled:
            out.copy_(self._rounded(left_IJ, right_JK))
        else:
            torch.mm(left_IJ, right_JK, out=out)

    def addmm(self, sums_IK: Tensor, left_IJ: Tensor, right_JK: Tensor) -> None:
        """Add left right to `sums`."""
        if self.enabled:
            sums_IK += self._rounded(left_IJ, right_JK)
        else:
            sums_IK.addmm_(left_IJ, right_JK)

    @staticmethod
    def _rounded(left_IJ: Tensor, right_JK: Tensor) -> Tensor:
        left_IJ, right_JK = left_IJ.bfloat16(), right_JK.bfloat16()
        if left_IJ.is_cuda:
            return torch.mm(left_IJ, right_JK, out_dtype=torch.float32)
        return left_IJ @ right_JK

    def rows(self, count: int) -> int:
        """Return how many rows to compute for `count`: where oneDNN multiplies, a multiple of 64: few shapes."""
        mkldnn: Any = torch.backends.mkldnn
        return -(-count // 64) * 64 if self.enabled or mkldnn.matmul.fp32_precision == "bf16" else count


ROUNDING = Rounding()
"""This process's products, which training has rounded in its steps."""
