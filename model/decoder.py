"""One step of the decoder, and its teacher-forced unroll.

Shapes: B sentences, T target positions, E embedding units, H decoder units, A annotation units, S source positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import GeneralAttention, Memory


@dataclass(frozen=True)
class DecoderState:
    """What one step hands to the next."""

    hidden_BH: Tensor
    cell_BH: Tensor
    attentional_BH: Tensor
    """The attentional vector of the step before, fed back as input (zeros at the start)."""

    def select(self, rows: Tensor) -> "DecoderState":
        """Return the state of the sentences (or hypotheses) `rows`, int64 (B',), in that order."""
        return DecoderState(self.hidden_BH[rows], self.cell_BH[rows], self.attentional_BH[rows])


class Bridge(nn.Module):
    """Summary of the source to the first decoder state: tanh(W summary) (Bahdanau et al. 2015, appendix A.2.2).

    The cell state gets a projection of its own, linear since a cell is not bounded.
    """

    def __init__(self, annotation_size: int, decoder_size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(annotation_size, decoder_size)
        self.cell = nn.Linear(annotation_size, decoder_size)

    def forward(self, summary_BA: Tensor) -> DecoderState:
        """Return the state before the first target word."""
        hidden_BH = torch.tanh(self.hidden(summary_BA))
        return DecoderState(hidden_BH, self.cell(summary_BA), torch.zeros_like(hidden_BH))


class InputFeedingDecoder(nn.Module):
    """LSTM decoder in Luong's order with input feeding (Luong et al. 2015, sections 3 and 3.3).

    h_t = LSTM([y_{t-1}; a_{t-1}], h_{t-1});  c_t = attention(h_t);  a_t = tanh(W [c_t; h_t])
    """

    def __init__(self, embedding_size: int, decoder_size: int, annotation_size: int) -> None:
        super().__init__()
        self.from_embedding = nn.Linear(embedding_size, 4 * decoder_size)
        # The fed attentional vector and the hidden state, side by side in one product.
        self.from_state = nn.Linear(2 * decoder_size, 4 * decoder_size, bias=False)
        self.attention = GeneralAttention(decoder_size, annotation_size)
        self.combine = nn.Linear(annotation_size + decoder_size, decoder_size, bias=False)

    def step(self, embedded_gates_B4H: Tensor, state: DecoderState, memory: Memory) -> tuple[DecoderState, Tensor]:
        """Advance by one word; its input's share of the gates is `from_embedding(embedded)`.

        Returns the next state, whose attentional vector predicts the next word, and the attention weights (B, S).
        """
        fed_B2H = torch.cat([state.attentional_BH, state.hidden_BH], dim=-1)
        gates_B4H = embedded_gates_B4H + self.from_state(fed_B2H)
        in_BH, forget_BH, candidate_BH, out_BH = gates_B4H.chunk(4, dim=-1)
        cell_BH = forget_BH.sigmoid() * state.cell_BH + in_BH.sigmoid() * candidate_BH.tanh()
        hidden_BH = out_BH.sigmoid() * cell_BH.tanh()
        context_BA, weights_BS = self.attention(hidden_BH, memory)
        attentional_BH = torch.tanh(self.combine(torch.cat([context_BA, hidden_BH], dim=-1)))
        return DecoderState(hidden_BH, cell_BH, attentional_BH), weights_BS

    def forward(self, embedded_BTE: Tensor, state: DecoderState, memory: Memory) -> Tensor:
        """Unroll over given target words; return the attentional vectors (B, T, H)."""
        gates_BT4H = self.from_embedding(embedded_BTE)
        attentional: list[Tensor] = []
        for gates_B4H in gates_BT4H.unbind(1):
            state, _ = self.step(gates_B4H, state, memory)
            attentional.append(state.attentional_BH)
        return torch.stack(attentional, dim=1)
