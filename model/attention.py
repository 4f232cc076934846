"""From scores to weights and the context vector: the padding bias, Luong's window, coverage.

Shapes: B sentences, N hypotheses (Y of each sentence side by side), S source positions, T target positions, Z queries
of a sentence (Y x T), A annotation units, H decoder units, K units of a key.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .encoder import Encoding
from .scores import SCORES, Score


@dataclass(frozen=True)
class SourceMemory:
    """What the decoder reads at every step, computed once per sentence."""

    annotations_BSA: Tensor
    """Without attention none are kept: S is 0 here and below."""
    keys_BSK: Tensor
    padding_bias_BS: Tensor
    """Added to the scores: 0 at a token, minus infinity at padding."""
    lengths_B: Tensor
    summary_BA: Tensor
    """The fixed context vector."""
    layer_masks: tuple[Tensor, ...] = ()
    """Dropout masks (B, 1, H) for the input of each decoder layer but the first; empty without dropout."""

    def select(self, rows: Tensor) -> "SourceMemory":
        """Return the memory of the sentences `rows`, int64 (B',), in that order."""
        annotations_BSA = self.annotations_BSA.index_select(0, rows)
        # With the dot scores the keys are the annotations: keep them one tensor.
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
    """Return (B, S): 0 at a token, minus infinity at padding.

    >>> padding_bias(torch.zeros(2, 3, 4), torch.tensor([3, 1])).tolist()
    [[0.0, 0.0, 0.0], [0.0, -inf, -inf]]
    """
    is_padding_BS = torch.arange(annotations_BSA.shape[1], device=lengths_B.device) >= lengths_B.unsqueeze(1)
    return torch.zeros_like(is_padding_BS, dtype=annotations_BSA.dtype).masked_fill(is_padding_BS, -torch.inf)


class Softmax(nn.Module):
    """Global attention: a_t(s) = exp score(s) / sum exp score (Luong et al. 2015, eq. 7)."""

    def forward(self, scores_BZS: Tensor, queries_BZH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the weights (B, Z, S)."""
        return scores_BZS.softmax(dim=-1)


class LocalWindow(nn.Module):
    """Local attention with predictive alignment, local-p (Luong et al. 2015, eqs. 9 and 10).

    p_t = |S| sigmoid(v' tanh(W h_t));  a_t(s) = softmax of the scores in [p_t - w, p_t + w]
    * exp(-(s - p_t)^2 / (2 sigma^2)) with sigma = w / 2. Positions count from 0.
    """

    def __init__(self, decoder_size: int, window: int) -> None:
        """Make the layers; `window` is the half width w, the paper's D."""
        super().__init__()
        self._window = window
        self.hidden = nn.Linear(decoder_size, decoder_size, bias=False)
        self.place = nn.Linear(decoder_size, 1, bias=False)

    def forward(self, scores_BZS: Tensor, queries_BZH: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the weights (B, Z, S), exactly 0 outside the window."""
        fraction_BZ1 = torch.sigmoid(self.place(torch.tanh(self.hidden(queries_BZH))))
        centres_BZ1 = lengths_B.view(-1, 1, 1) * fraction_BZ1
        distances_BZS = torch.arange(scores_BZS.shape[-1], device=scores_BZS.device) - centres_BZ1
        inside_BZS = scores_BZS.masked_fill(distances_BZS.abs() > self._window, -torch.inf)
        sigma = self._window / 2
        return inside_BZS.softmax(dim=-1) * torch.exp(-(distances_BZS**2) / (2 * sigma**2))


class Attention(nn.Module):
    """Weights of all annotations for each query, and their weighted sum, the context vector."""

    def __init__(self, score: Score, weigh: Softmax | LocalWindow) -> None:
        super().__init__()
        self.score = score
        self.weigh = weigh

    def memory(self, encoding: Encoding, lengths_B: Tensor, layer_masks: tuple[Tensor, ...] = ()) -> SourceMemory:
        """Compute the keys and the padding bias, both once per sentence."""
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
        """Return the coverage before the first token: (B, S), or (B, 0) where none is kept."""
        return memory.padding_bias_BS[:, :0]

    def forward(self, queries_NTH: Tensor, memory: SourceMemory, coverage_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the contexts (N, T, A), the weights (N, T, S), exactly 0 at padding, and the coverage after them."""
        queries_BZH = queries_NTH.reshape(memory.keys_BSK.shape[0], -1, queries_NTH.shape[-1])
        weights_BZS = self._weights(queries_BZH, memory.keys_BSK, memory.padding_bias_BS, memory.lengths_B)
        weights_NTS = weights_BZS.reshape(*queries_NTH.shape[:2], -1)
        return self._contexts(weights_NTS, memory), weights_NTS, coverage_NS

    def _weights(self, queries_BZH: Tensor, keys_BSK: Tensor, padding_bias_BS: Tensor, lengths_B: Tensor) -> Tensor:
        scores_BZS = self.score(queries_BZH, keys_BSK) + padding_bias_BS.unsqueeze(1)
        weights_BZS: Tensor = self.weigh(scores_BZS, queries_BZH, lengths_B)
        return weights_BZS

    @staticmethod
    def _contexts(weights_NTS: Tensor, memory: SourceMemory) -> Tensor:
        """Return the weighted sums (N, T, A)."""
        weights_BZS = weights_NTS.reshape(memory.annotations_BSA.shape[0], -1, weights_NTS.shape[2])
        return torch.bmm(weights_BZS, memory.annotations_BSA).reshape(*weights_NTS.shape[:2], -1)


class CoverageAttention(Attention):
    """Attention whose keys include the attention that their positions have received.

    key_s = key(a_s) + w c_s with c_s the sum of a_i(s) over the tokens before; with the concat score this is eq. 11 of
    See et al. 2017, "Get To The Point". Each token's weights depend on those of all before it: so there is one query
    at a time, and each hypothesis has keys of its own.
    """

    def __init__(self, score: Score, weigh: Softmax | LocalWindow) -> None:
        super().__init__(score, weigh)
        self.from_coverage = nn.Linear(1, score.key_size, bias=False)

    def nothing_covered(self, memory: SourceMemory) -> Tensor:
        """Return zeros (B, S)."""
        return torch.zeros_like(memory.padding_bias_BS)

    def forward(self, queries_NTH: Tensor, memory: SourceMemory, coverage_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the contexts (N, T, A), the weights (N, T, S), exactly 0 at padding, and the coverage after them."""
        weights: list[Tensor] = []
        copies = queries_NTH.shape[0] // memory.keys_BSK.shape[0]
        padding_bias_NS, lengths_N = memory.padding_bias_BS, memory.lengths_B
        if copies > 1:
            padding_bias_NS, lengths_N = (
                each.repeat_interleave(copies, dim=0) for each in (padding_bias_NS, lengths_N)
            )
        for query_NH in queries_NTH.unbind(1):
            covered_BYSK = self.from_coverage(coverage_NS.unsqueeze(-1)).unflatten(0, (-1, copies))
            keys_NSK = (memory.keys_BSK.unsqueeze(1) + covered_BYSK).flatten(0, 1)
            weights.append(self._weights(query_NH.unsqueeze(1), keys_NSK, padding_bias_NS, lengths_N))
            coverage_NS = coverage_NS + weights[-1].squeeze(1)
        weights_NTS = torch.cat(weights, dim=1)
        return self._contexts(weights_NTS, memory), weights_NTS, coverage_NS


def make_attention(config: ModelConfig) -> Attention:
    """Return the attention that the configuration describes."""
    score = SCORES[config.attention](config.decoder_size, config.annotation_size)
    weigh = LocalWindow(config.decoder_size, config.local_window) if config.local_window else Softmax()
    return (CoverageAttention if config.coverage else Attention)(score, weigh)
