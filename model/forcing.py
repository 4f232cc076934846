"""Teacher forcing: how often the decoder is fed the reference, and how often its own tokens.

Shapes: B sentences of this share, T target positions.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class TeacherForcing:
    """Draws which tokens of a training step are fed from the reference (Bengio et al. 2015, "Scheduled Sampling").

    Like dropout, it draws for all sentences of the global batch, so that the number of workers changes nothing.
    """

    ratio: float
    """Probability of feeding the reference, in [0, 1]."""
    per: Literal["step", "sentence"]
    """Whether to draw for each token, or once for a whole sentence."""
    seed: int
    """A different one for every training step."""
    rows: Tensor
    """int64 (B,): places of this share's sentences in the global batch."""
    global_size: int

    def draw(self, length: int) -> Tensor:
        """Return bool (B, T): whether the token at a position is fed from the reference."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.per == "sentence":
            return self._draw_once(generator).unsqueeze(1).expand(-1, length)
        # One position at a time: the draws do not depend on how long this share's sentences are.
        return torch.stack([self._draw_once(generator) for _ in range(length)], dim=1)

    def _draw_once(self, generator: torch.Generator) -> Tensor:
        return torch.rand(self.global_size, generator=generator)[self.rows] < self.ratio
