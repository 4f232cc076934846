"""From scores to weights and the context vector: the mask, Luong's window, coverage.

Shapes: B sentences, T target positions, S source positions, H decoder units, A annotation units, K units of a key.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .encoder import Encoding
from .scores import SCORES, Score


@dataclass(frozen=True)
class SourceMemory:
    """What the decoder reads at every step, computed once a sentence."""

    annotations_BSA: Tensor
    """Without attention there are none to see: S is 0 here and below."""
    keys_BSK: Tensor
    padding_bias_BS: Tensor
    """Added to the scores: 0 at a word, minus infinity at padding."""
    lengths_B: Tensor
    summary_BA: Tensor
    """The fixed context vector."""
    layer_masks: tuple[Tensor, ...] = ()
    """Dropout masks (B, 1, H) of what each decoder layer but the first reads; none where nothing is dropped."""

    def select(self, rows: Tensor) -> "SourceMemory":
        """Return the memory of the sentences `rows`, int64 (B',), in that order."""
        annotations_BSA = self.annotations_BSA.index_select(0, rows)
        # With the dot scores the keys are the annotations: one copy then, as before.
        shared = self.keys_BSK is self.annotations_BSA
        return SourceMemory(
            annotations_BSA,
            annotations_BSA if shared else self.keys_BSK.index_select(0, rows),
            self.padding_bias_BS.index_select(0, rows),
            self.lengths_B.index_select(0, rows),
            self.summary_BA.index_select(0, rows),
            tuple(mask.index_select(0, rows) for mask in self.layer_masks),
        )


def padding_bias(annotations_BSA: Tensor, lengths_B: Tensor) -> Tensor:
    """Return (B, S): 0 at a word, minus infinity at padding."""
    is_padding_BS = torch.arange(annotations_BSA.shape[1], device=lengths_B.device) >= lengths_B.unsqueeze(1)
    return torch.zeros_like(is_padding_BS, dtype=annotations_BSA.dtype).masked_fill(is_padding_BS, -torch.inf)


class Softmax(nn.Module):
    """Global attention: a_t(s) = exp score(s) / sum exp score (Luong et al. 2015, eq. 7)."""

    def forward(self, scores_BTS: Tensor, queries_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the weights (B, T, S)."""
        return scores_BTS.softmax(dim=-1)


class LocalWindow(nn.Module):
    """Local attention with predictive alignment, local-p (Luong et al. 2015, eqs. 9 and 10).

    p_t = |S| sigmoid(v' tanh(W h_t));  a_t(s) = softmax of the scores in [p_t - D, p_t + D]
    * exp(-(s - p_t)^2 / (2 sigma^2)) with sigma = D / 2. Positions count from 0.
    """

    def __init__(self, decoder_size: int, window: int) -> None:
        """Take the half width D of the window."""
        super().__init__()
        self._window = window
        self.hidden = nn.Linear(decoder_size, decoder_size, bias=False)
        self.place = nn.Linear(decoder_size, 1, bias=False)

    def forward(self, scores_BTS: Tensor, queries_BTH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the weights (B, T, S), exactly 0 outside the window."""
        share_BT1 = torch.sigmoid(self.place(torch.tanh(self.hidden(queries_BTH))))
        centres_BT1 = lengths_B.view(-1, 1, 1) * share_BT1
        distances_BTS = torch.arange(scores_BTS.shape[-1], device=scores_BTS.device) - centres_BT1
        inside_BTS = scores_BTS.masked_fill(distances_BTS.abs() > self._window, -torch.inf)
        sigma = self._window / 2
        return inside_BTS.softmax(dim=-1) * torch.exp(-(distances_BTS**2) / (2 * sigma**2))


class Attention(nn.Module):
    """Weights of all annotations for each query, and their weighted sum, the context vector."""

    def __init__(self, score: Score, weigh: Softmax | LocalWindow) -> None:
        super().__init__()
        self.score = score
        self.weigh = weigh

    def memory(self, encoding: Encoding, lengths_B: Tensor, layer_masks: tuple[Tensor, ...] = ()) -> SourceMemory:
        """Compute the keys and the padding mask, both once a sentence."""
        annotations_BSA = encoding.annotations_BSA
        return SourceMemory(
            annotations_BSA,
            self.score.keys(annotations_BSA),
            padding_bias(annotations_BSA, lengths_B),
            lengths_B,
            encoding.summary,
            layer_masks,
        )

    def nothing_covered(self, memory: SourceMemory) -> Tensor:
        """Return the coverage before the first word: (B, S), or (B, 0) where none is kept."""
        return memory.padding_bias_BS[:, :0]

    def forward(self, queries_BTH: Tensor, memory: SourceMemory, coverage_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the contexts (B, T, A), the weights (B, T, S), exactly 0 at padding, and the coverage after them.

        There may be several rows of queries to each one of the memory, side by side: the hypotheses of a sentence.
        """
        grouped_BTH = queries_BTH.reshape(memory.keys_BSK.shape[0], -1, queries_BTH.shape[-1])
        weights_BTS = self._weights(grouped_BTH, memory.keys_BSK, memory.padding_bias_BS, memory.lengths_B)
        weights_BTS = weights_BTS.reshape(*queries_BTH.shape[:2], -1)
        return self._contexts(weights_BTS, memory), weights_BTS, coverage_BS

    def _weights(self, queries_BTH: Tensor, keys_BSK: Tensor, padding_bias_BS: Tensor, lengths_B: Tensor) -> Tensor:
        scores_BTS = self.score(queries_BTH, keys_BSK) + padding_bias_BS.unsqueeze(1)
        weights_BTS: Tensor = self.weigh(scores_BTS, queries_BTH, lengths_B)
        return weights_BTS

    @staticmethod
    def _contexts(weights_BTS: Tensor, memory: SourceMemory) -> Tensor:
        """Return the weighted sums (B, T, A), of rows side by side that share one row of the memory."""
        grouped_BTS = weights_BTS.reshape(memory.annotations_BSA.shape[0], -1, weights_BTS.shape[2])
        return torch.bmm(grouped_BTS, memory.annotations_BSA).reshape(*weights_BTS.shape[:2], -1)


class CoverageAttention(Attention):
    """Attention whose keys know the attention that their positions have had.

    key_s = key(a_s) + w c_s with c_s the sum of a_i(s) over the words before; with the concat score this is eq. 11 of
    See et al. 2017, "Get To The Point". Each word's weights depend on those of all before: one query at a time, and
    keys of its own for each hypothesis.
    """

    def __init__(self, score: Score, weigh: Softmax | LocalWindow) -> None:
        super().__init__(score, weigh)
        self.from_coverage = nn.Linear(1, score.key_size, bias=False)

    def nothing_covered(self, memory: SourceMemory) -> Tensor:
        """Return zeros (B, S)."""
        return torch.zeros_like(memory.padding_bias_BS)

    def forward(self, queries_BTH: Tensor, memory: SourceMemory, coverage_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the contexts (B, T, A), the weights (B, T, S), exactly 0 at padding, and the coverage after them."""
        weights: list[Tensor] = []
        copies = queries_BTH.shape[0] // memory.keys_BSK.shape[0]
        padding_bias_BS, lengths_B = memory.padding_bias_BS, memory.lengths_B
        if copies > 1:
            padding_bias_BS, lengths_B = (
                each.repeat_interleave(copies, dim=0) for each in (padding_bias_BS, lengths_B)
            )
        for query_BH in queries_BTH.unbind(1):
            covered_BCSK = self.from_coverage(coverage_BS.unsqueeze(-1)).unflatten(0, (-1, copies))
            keys_BSK = (memory.keys_BSK.unsqueeze(1) + covered_BCSK).flatten(0, 1)
            weights.append(self._weights(query_BH.unsqueeze(1), keys_BSK, padding_bias_BS, lengths_B))
            coverage_BS = coverage_BS + weights[-1].squeeze(1)
        weights_BTS = torch.cat(weights, dim=1)
        return self._contexts(weights_BTS, memory), weights_BTS, coverage_BS


def make_attention(config: ModelConfig) -> Attention:
    """Return the attention that the configuration describes."""
    score = SCORES[config.attention](config.decoder_size, config.annotation_size)
    weigh = LocalWindow(config.decoder_size, config.local_window) if config.local_window else Softmax()
    return (CoverageAttention if config.coverage else Attention)(score, weigh)
