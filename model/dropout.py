"""Variational dropout: one mask per sentence, the same on any number of workers.

Shapes: B sentences of this share; T and H stand for positions and units of either side.
"""

import torch
from torch import Tensor


class DropoutNoise:
    """Draws the dropout masks of one training step.

    Masks are drawn for all sentences of the *global* batch and then cut to the rows of this share. So a sentence gets
    the same mask on any worker and in any micro-batch: the number of workers changes the speed, not the mathematics,
    and a resumed run needs no saved generator. All positions of a sentence share one mask (Gal and Ghahramani 2016, "A
    Theoretically Grounded Application of Dropout in Recurrent Neural Networks", eq. 7).
    """

    def __init__(self, rate: float, seed: int, rows: Tensor, global_size: int) -> None:
        """Make the noise of one step.

        rate: share of units set to zero, in [0, 1). seed: unique to the step.
        rows: int64 (B,), places of this share's sentences in the global batch of `global_size`.
        """
        self._rate = rate
        self._rows = rows
        self._global_size = global_size
        # Always on the CPU, so that a seed gives the same mask on every device.
        self._generator = torch.Generator().manual_seed(seed)

    def mask(self, like_BTH: Tensor) -> Tensor:
        """Return the next mask, (B, 1, H), scaled by 1 / (1 - rate) so that expectations stay the same."""
        keep = 1.0 - self._rate
        draw = torch.rand(self._global_size, like_BTH.shape[-1], generator=self._generator)
        mask_BH = (draw[self._rows] < keep).to(like_BTH.dtype) / keep
        return mask_BH.unsqueeze(1).to(like_BTH.device)


def drop(values_BTH: Tensor, noise: DropoutNoise | None) -> Tensor:
    """Return `values_BTH` times each sentence's next mask; unchanged without noise."""
    return values_BTH if noise is None else values_BTH * noise.mask(values_BTH)
