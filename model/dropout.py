"""Variational dropout: one mask a sentence, the same on any number of workers.

Shapes: B sentences of this share, T positions, H units.
"""

import torch
from torch import Tensor


class DropoutNoise:
    """Draws the dropout masks of one training step.

    Masks are drawn for all sentences of the *global* batch and then cut to the rows of this share, so
    that a sentence gets the same mask whichever worker, or micro-batch, it lands on: the number of
    workers changes the speed, not the mathematics, and a resumed run needs no saved generator.
    One mask is used at every position of a sentence (Gal and Ghahramani 2016, "A Theoretically
    Grounded Application of Dropout in Recurrent Neural Networks", eq. 7).
    """

    def __init__(self, rate: float, seed: int, rows: Tensor, global_size: int) -> None:
        """Make the noise of one step.

        rate: share of units set to zero, in [0, 1). seed: unique to the step.
        rows: int64 (B,), places of this share's sentences in the global batch of `global_size`.
        """
        self._rate = rate
        self._rows = rows
        self._global_size = global_size
        # On the CPU whatever the device, so that a seed means the same mask everywhere.
        self._generator = torch.Generator().manual_seed(seed)

    def mask(self, like_BTH: Tensor) -> Tensor:
        """Return the next mask, (B, 1, H), scaled by 1 / (1 - rate) to keep the expectation."""
        keep = 1.0 - self._rate
        draw = torch.rand(self._global_size, like_BTH.shape[-1], generator=self._generator)
        mask_BH = (draw[self._rows] < keep).to(like_BTH.dtype) / keep
        return mask_BH.unsqueeze(1).to(like_BTH.device)


def drop(values_BTH: Tensor, noise: DropoutNoise | None) -> Tensor:
    """Return `values_BTH` with the sentence's next mask applied; unchanged without noise."""
    return values_BTH if noise is None else values_BTH * noise.mask(values_BTH)
