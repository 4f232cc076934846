"""Scores of a decoder state against the annotations, their mask, and the context vector.

Shapes: B sentences, S source positions, H decoder units, A annotation units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Memory:
    """What the decoder attends to, computed once a sentence and kept across steps."""

    annotations_BSA: Tensor
    keys_BSH: Tensor
    padding_BS: Tensor
    """Added to the scores: 0 at a word, minus infinity at padding."""

    def select(self, rows: Tensor) -> "Memory":
        """Return the memory of the sentences `rows`, int64 (B',), in that order."""
        return Memory(self.annotations_BSA[rows], self.keys_BSH[rows], self.padding_BS[rows])


class GeneralAttention(nn.Module):
    """score(h, a) = h' W a (Luong et al. 2015, "Effective Approaches to Attention-based NMT", eq. 8)."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(annotation_size, decoder_size, bias=False)

    def memory(self, annotations_BSA: Tensor, lengths_B: Tensor) -> Memory:
        """Project the keys and make the padding mask, both once a sentence."""
        positions_S = torch.arange(annotations_BSA.shape[1], device=lengths_B.device)
        is_padding_BS = positions_S >= lengths_B.unsqueeze(1)
        padding_BS = torch.zeros_like(is_padding_BS, dtype=annotations_BSA.dtype).masked_fill(is_padding_BS, -torch.inf)
        return Memory(annotations_BSA, self.project(annotations_BSA), padding_BS)

    def forward(self, hidden_BH: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the context vector (B, A) and the weights (B, S), which are exactly 0 at padding."""
        scores_B1S = torch.baddbmm(memory.padding_BS.unsqueeze(1), hidden_BH.unsqueeze(1), memory.keys_BSH.mT)
        weights_B1S = scores_B1S.softmax(dim=-1)
        context_B1A = torch.bmm(weights_B1S, memory.annotations_BSA)
        return context_B1A.squeeze(1), weights_B1S.squeeze(1)
