"""What a search takes and what it finds.

Shapes: B sentences, N hypotheses, S source positions, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..seq2seq import Seq2Seq
from .config import SearchConfig


@dataclass(frozen=True)
class Hypothesis:
    """One translation: its tokens without `start` and `end`, and its score."""

    tokens: list[int]
    score: float
    """Log-probability / length penalty + coverage penalty."""
    attention: list[list[float]]
    """The weights of all source positions for each token, and for `end` if it ended; empty if not asked for."""
    ended: bool
    """False if the limit cut it off."""


@dataclass(frozen=True)
class SearchRequest:
    """What greedy search, beam search and sampling take, beside the encoded sentences."""

    model: Seq2Seq
    config: SearchConfig
    lengths_B: Tensor
    limits_B: Tensor
    attention: bool
    """Whether to return the attention weights."""
    never: tuple[int, ...] = ()
    """Tokens that no translation has."""

    def attended(self, weights_NS: Tensor) -> Tensor:
        """Return the weights for the coverage penalty; without one (N, 0), which costs nothing."""
        return weights_NS if self.config.coverage_penalty else weights_NS[:, :0]

    def rule_out(self, logp_NV: Tensor, length: int) -> Tensor:
        """Rule out, in place, the tokens that cannot follow `length` tokens."""
        tokens = self.model.tokens
        early = [tokens.end] if length < self.config.min_length else []
        logp_NV[:, [tokens.padding, tokens.start, *self.never, *early]] = -torch.inf
        return logp_NV
