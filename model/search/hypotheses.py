"""What a search takes and what it finds.

Shapes: B sentences, N hypotheses, L tokens so far or of an n-gram, S source positions, V vocabulary.
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


def on_host(*tensors: Tensor) -> list[Tensor]:
    """Return tensors on the CPU; a GPU is waited for once, not for each."""
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
    if any(tensor.is_cuda for tensor in tensors):
        torch.cuda.current_stream().synchronize()
    return copies


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

    def rule_out(self, logp_NV: Tensor, tokens_NL: Tensor) -> Tensor:
        """Rule out, in place, the tokens that cannot follow those of each hypothesis so far (without `start`)."""
        tokens, length = self.model.tokens, tokens_NL.shape[1]
        end_N = logp_NV[:, tokens.end].clone() if self.config.no_repeat_ngram else None
        early = [tokens.end] if length < self.config.min_length else []
        logp_NV[:, [tokens.padding, tokens.start, *self.never, *early]] = -torch.inf
        if end_N is not None:
            rule_out_repeats(logp_NV, tokens_NL, self.config.no_repeat_ngram)
            # Where all else would repeat, a translation ends, even one that is too short.
            stuck_N = logp_NV.amax(dim=1) == -torch.inf
            logp_NV[:, tokens.end] = torch.where(stuck_N, end_N, logp_NV[:, tokens.end])
        return logp_NV


def rule_out_repeats(logp_NV: Tensor, tokens_NL: Tensor, size: int) -> None:
    """Rule out, in place, the tokens that would complete an n-gram of `size` that a hypothesis has already.

    Paulus et al. 2018, "A Deep Reinforced Model for Abstractive Summarization", section 2.5.
    """
    length = tokens_NL.shape[1]
    if length < size:
        return
    ngrams_NLL = tokens_NL.unfold(1, size, 1)
    last_N1L = tokens_NL[:, length - size + 1 :].unsqueeze(1)
    repeats_NL = (ngrams_NLL[:, :, :-1] == last_N1L).all(dim=2)
    ceiling_NL = torch.where(repeats_NL, -torch.inf, torch.inf).to(logp_NV.dtype)
    logp_NV.scatter_reduce_(1, ngrams_NLL[:, :, -1], ceiling_NL, "amin")
