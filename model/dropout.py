"""Variational dropout: one mask per sentence, the same on any device and any number of workers.

Shapes: B sentences of this share; O units of all masks; T and H stand for positions and units of either side.
"""

from torch import Tensor

from .philox import LEVELS, draw

STREAM = 0
"""What dropout draws; see philox.py."""


class DropoutNoise:
    """The dropout masks of one training step.

    Whether a unit is kept depends on the seed, the step, the sentence's place in the global batch and the unit alone.
    So a sentence gets the same masks on any device and worker and in any micro-batch: the number of workers changes
    the speed, not the mathematics, and a resumed run needs no saved generator. All positions of a sentence share one
    mask (Gal and Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks", eq.
    7).
    """

    def __init__(self, rate: float, seed: int, step: int | Tensor, rows_B: Tensor, units: int) -> None:
        """Draw all masks of a step at once.

        rate: share of units set to zero, in [0, 1); it is rounded to a multiple of 2^-16. seed, step, rows_B: see
        philox.py. units: of all masks of a sentence together, `Seq2Seq.mask_units`.
        """
        kept = max(1, round((1.0 - rate) * LEVELS))
        self._keep_BO = draw(seed, step, STREAM, rows_B, units) <= kept - 1 - LEVELS // 2
        self._scale = LEVELS / kept
        self._used = 0

    def mask(self, like_BTH: Tensor) -> Tensor:
        """Return the next mask, (B, 1, H), scaled by 1 / (1 - rate) so that expectations stay the same."""
        first, self._used = self._used, self._used + like_BTH.shape[-1]
        assert self._used <= self._keep_BO.shape[1], "units must count every mask"
        mask_BH = self._keep_BO[:, first : self._used].to(like_BTH.dtype).mul_(self._scale)
        return mask_BH.unsqueeze(1)


def drop(values_BTH: Tensor, noise: DropoutNoise | None) -> Tensor:
    """Return `values_BTH` times each sentence's next mask; unchanged without noise."""
    return values_BTH if noise is None else values_BTH * noise.mask(values_BTH)
