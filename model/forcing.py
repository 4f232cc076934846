"""Teacher forcing: how often the decoder is fed the reference, and how often its own tokens.

Shapes: B sentences of this share, T target positions.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .philox import LEVELS, draw

STREAM = 1
"""What teacher forcing draws; see philox.py."""


@dataclass(frozen=True)
class TeacherForcing:
    """Draws which tokens of a training step are fed from the reference (Bengio et al. 2015, "Scheduled Sampling").

    Like dropout, a draw depends on the sentence's place in the global batch: the number of workers changes nothing.
    """

    ratio: float
    """Probability of feeding the reference, in [0, 1]; it is rounded to a multiple of 2^-16."""
    per: Literal["step", "sentence"]
    """Whether to draw for each token, or once for a whole sentence."""
    seed: int
    """Of the run."""
    step: int | Tensor
    """A different one for every training step."""
    rows: Tensor
    """int64 (B,): places of this share's sentences in the global batch."""

    def draw(self, length: int) -> Tensor:
        """Return bool (B, T): whether the token at a position is fed from the reference."""
        count = length if self.per == "step" else 1
        draws_BT = draw(self.seed, self.step, STREAM, self.rows, count)
        # In a type that has room for the bounds of the ratio: none, and all.
        forced_BT = draws_BT.to(torch.int32) < round(self.ratio * LEVELS) - LEVELS // 2
        return forced_BT.expand(-1, length)
