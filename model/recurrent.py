"""LSTM and GRU: a layer that runs through whole sentences in one call, and a cell that takes one step.

Shapes: B sentences, T positions, I input units, F units fed from the step before or the layer below, H units,
G units of all gates (4H of an LSTM, 3H of a GRU).

LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
    i, f, g, o = W x + U h + b;  c' = sigmoid(f) c + sigmoid(i) tanh(g);  h' = sigmoid(o) tanh(c')
GRU (Cho et al. 2014, with the reset gate after the product, as cuDNN and torch have it; Bahdanau et al. swap z):
    r, z = sigmoid(W x + U h + b);  n = tanh(W x + b + r (U h + b));  h' = (1 - z) n + z h
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import CellKind
from .cost import Matmul, linear

CellState = tuple[Tensor, ...]
"""State of one layer: (hidden_BH,) of a GRU, (hidden_BH, cell_BH) of an LSTM."""


def last_words(outputs_BTH: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the output (B, H) at the last word of each sentence."""
    index_B1H = (lengths_B - 1).view(-1, 1, 1).expand(-1, 1, outputs_BTH.shape[-1])
    return outputs_BTH.gather(1, index_B1H).squeeze(1)


class LstmLayer(nn.Module):
    """One layer in one direction, on torch's fused path for plain padded tensors."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.fused = nn.LSTM(input_size, size, batch_first=True)

    def read(self, inputs_BTI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, T, H), and the one at the last word of each sentence.

        The fused call keeps no cell but that after the last position, which may be padding: see HoldingLstmLayer.
        """
        outputs_BTH, _ = self.fused(inputs_BTI)
        return outputs_BTH, (last_words(outputs_BTH, lengths_B),)

    def forward(self, inputs_BTI: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Run from a state; return the hidden states of all positions and the state after the last."""
        hidden_BH, cell_BH = state
        outputs_BTH, (hidden_1BH, cell_1BH) = self.fused(inputs_BTI, (hidden_BH.unsqueeze(0), cell_BH.unsqueeze(0)))
        return outputs_BTH, (hidden_1BH.squeeze(0), cell_1BH.squeeze(0))


class HoldingLstmLayer(LstmLayer):
    """An LSTM layer that knows the cell at the last word too.

    Padding is marked by one more input unit, whose fixed weights shut the input gate and open the forget gate: the
    cell after the last position is then that of the last word.
    """

    # Far beyond what any input adds up to; the sigmoid of it is exactly 0 or 1.
    HOLD = 1e4

    def read(self, inputs_BTI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, T, H), and both states at the last word of each sentence."""
        size = self.fused.hidden_size
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        from_input_GI, from_hidden_GH, *biases = (getattr(self.fused, name) for name in names)
        is_padding_BT = torch.arange(inputs_BTI.shape[1], device=lengths_B.device) >= lengths_B.unsqueeze(1)
        marked_BTI = torch.cat([inputs_BTI, is_padding_BT.unsqueeze(-1).to(inputs_BTI.dtype)], dim=-1)
        mark_G1 = from_input_GI.new_tensor([-self.HOLD, self.HOLD, 0.0, 0.0]).repeat_interleave(size).unsqueeze(1)
        zeros_1BH = inputs_BTI.new_zeros(1, inputs_BTI.shape[0], size)
        outputs_BTH, _, cell_1BH = torch.lstm(
            marked_BTI,
            (zeros_1BH, zeros_1BH),
            (torch.cat([from_input_GI, mark_G1], dim=1), from_hidden_GH, *biases),
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=True,
        )
        return outputs_BTH, (last_words(outputs_BTH, lengths_B), cell_1BH.squeeze(0))


class GruLayer(nn.Module):
    """One layer in one direction, on torch's fused path for plain padded tensors."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.fused = nn.GRU(input_size, size, batch_first=True)

    def read(self, inputs_BTI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, T, H), and the one at the last word of each sentence."""
        outputs_BTH, _ = self.fused(inputs_BTI)
        return outputs_BTH, (last_words(outputs_BTH, lengths_B),)

    def forward(self, inputs_BTI: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Run from a state; return the hidden states of all positions and the state after the last."""
        outputs_BTH, hidden_1BH = self.fused(inputs_BTI, state[0].unsqueeze(0))
        return outputs_BTH, (hidden_1BH.squeeze(0),)


class LstmCell(nn.Module):
    """One step of an LSTM whose input's share of the gates, with the bias, was computed before."""

    gates = 4
    states = 2
    """Tensors of a state."""

    def __init__(self, fed_size: int, size: int) -> None:
        super().__init__()
        # What is fed and the hidden state, side by side in one product.
        self.from_state = nn.Linear(fed_size + size, 4 * size, bias=False)

    def forward(self, gates_BG: Tensor, fed_BF: Tensor, state: CellState) -> CellState:
        """Return the next state."""
        hidden_BH, cell_BH = state
        gates_BG = gates_BG + self.from_state(torch.cat([fed_BF, hidden_BH], dim=-1))
        in_BH, forget_BH, candidate_BH, out_BH = gates_BG.chunk(4, dim=-1)
        cell_BH = forget_BH.sigmoid() * cell_BH + in_BH.sigmoid() * candidate_BH.tanh()
        return out_BH.sigmoid() * cell_BH.tanh(), cell_BH

    @staticmethod
    def matmuls(rows: int, fed_size: int, size: int, steps: int) -> Iterator[Matmul]:
        """Yield the matrix products of a training step, without those of the input."""
        yield from linear(rows, fed_size + size, 4 * size, steps)


class GruCell(nn.Module):
    """One step of a GRU whose input's share of the gates, with the bias, was computed before."""

    gates = 3
    states = 1
    """Tensors of a state."""

    def __init__(self, fed_size: int, size: int) -> None:
        super().__init__()
        self.from_fed = nn.Linear(fed_size, 3 * size, bias=False)
        self.from_hidden = nn.Linear(size, 3 * size)

    def forward(self, gates_BG: Tensor, fed_BF: Tensor, state: CellState) -> CellState:
        """Return the next state."""
        (hidden_BH,) = state
        reset_BH, update_BH, candidate_BH = (gates_BG + self.from_fed(fed_BF)).chunk(3, dim=-1)
        # Apart from the input's share: the reset gate weighs this one alone.
        hidden_reset_BH, hidden_update_BH, hidden_candidate_BH = self.from_hidden(hidden_BH).chunk(3, dim=-1)
        reset_BH = (reset_BH + hidden_reset_BH).sigmoid()
        update_BH = (update_BH + hidden_update_BH).sigmoid()
        candidate_BH = (candidate_BH + reset_BH * hidden_candidate_BH).tanh()
        return (candidate_BH + update_BH * (hidden_BH - candidate_BH),)

    @staticmethod
    def matmuls(rows: int, fed_size: int, size: int, steps: int) -> Iterator[Matmul]:
        """Yield the matrix products of a training step, without those of the input."""
        yield from linear(rows, fed_size, 3 * size, steps)
        yield from linear(rows, size, 3 * size, steps)


@dataclass(frozen=True)
class Recurrence:
    """A cell in its three forms."""

    layer: type[LstmLayer] | type[GruLayer]
    """Runs through whole sentences in one call."""
    holding_layer: type[LstmLayer] | type[GruLayer]
    """The same, with the whole state at the last token of each sentence."""
    cell: type[LstmCell] | type[GruCell]
    """Takes one step."""


RECURRENCES: dict[CellKind, Recurrence] = {
    "lstm": Recurrence(LstmLayer, HoldingLstmLayer, LstmCell),
    "gru": Recurrence(GruLayer, GruLayer, GruCell),
}


class LayerStack(nn.Module):
    """Layers that each run through all positions in one call: for inputs that are known beforehand."""

    def __init__(self, cell: CellKind, input_size: int, size: int, layers: int) -> None:
        super().__init__()
        layer = RECURRENCES[cell].layer
        self.layers = nn.ModuleList(layer(size if number else input_size, size) for number in range(layers))

    def forward(
        self, inputs_BTI: Tensor, states: tuple[CellState, ...], layer_masks: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """Return the top layer's hidden states (B, T, H) and the state of every layer after the last position.

        layer_masks: dropout masks (B, 1, H) of what each layer but the first reads; none, where nothing is dropped.
        """
        after: list[CellState] = []
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            outputs_BTH, last = layer(inputs_BTI, state)
            after.append(last)
            inputs_BTI = outputs_BTH * layer_masks[number] if number < len(layer_masks) else outputs_BTH
        return outputs_BTH, tuple(after)


class CellStack(nn.Module):
    """Layers that advance together by one position: for inputs that depend on the step before."""

    def __init__(self, cell: CellKind, embedding_size: int, fed_size: int, size: int, layers: int) -> None:
        super().__init__()
        kind = RECURRENCES[cell].cell
        self.from_embedding = nn.Linear(embedding_size, kind.gates * size)
        self.cells = nn.ModuleList(kind(size if number else fed_size, size) for number in range(layers))
        # The first layer's bias is in `from_embedding`; the others read the hidden state below and nothing else.
        self.biases = nn.ParameterList(torch.zeros(kind.gates * size) for _ in range(layers - 1))

    def gates(self, embedded_BTE: Tensor) -> tuple[Tensor, ...]:
        """Return what each of T inputs adds to the first layer's gates, (B, G) each: one product for all."""
        gates_BTG: Tensor = self.from_embedding(embedded_BTE)
        return gates_BTG.unbind(1)

    def forward(
        self, gates_BG: Tensor, fed_BF: Tensor, states: tuple[CellState, ...], layer_masks: tuple[Tensor, ...]
    ) -> tuple[CellState, ...]:
        """Return the next state of every layer, the top one last.

        gates_BG: one of `gates`. fed_BF: what the first layer is fed beside it.
        layer_masks: dropout masks (B, 1, H) of what each layer but the first reads; none, where nothing is dropped.
        """
        after = [self.cells[0](gates_BG, fed_BF, states[0])]
        for number, bias_G in enumerate(self.biases):
            below_BH = after[-1][0]
            fed_BF = below_BH * layer_masks[number].squeeze(1) if layer_masks else below_BH
            after.append(self.cells[number + 1](bias_G, fed_BF, states[number + 1]))
        return tuple(after)
