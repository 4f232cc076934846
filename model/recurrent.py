"""LSTM and GRU: a layer that runs through whole sentences in one call, and a cell that takes one step.

Shapes: in the encoder B sentences, S positions, D units; in the decoder N hypotheses, T positions, H units. E embedding
units, I input units of a layer, F units fed from the step before or the layer below, G units of all gates (4H of an
LSTM, 3H of a GRU).

LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000):
    i, f, g, o = W x + U h + b;  c' = sigmoid(f) c + sigmoid(i) tanh(g);  h' = sigmoid(o) tanh(c')
GRU (Cho et al. 2014, with the reset gate after the product, as cuDNN and torch have it; Bahdanau et al. swap z):
    r, z = sigmoid(W x + U h + b);  n = tanh(W x + b + r (U h + b));  h' = (1 - z) n + z h
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import CellKind
from .cost import Matmul, linear
from .kernels.load import kernels_for
from .unrolled.cells import CellState, LayerStart
from .unrolled.layer import unroll_layer

_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def last_tokens(outputs_BSD: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the output (B, D) at the last token of each sentence."""
    index_B1D = (lengths_B - 1).view(-1, 1, 1).expand(-1, 1, outputs_BSD.shape[-1])
    return outputs_BSD.gather(1, index_B1D).squeeze(1)


def side_by_side(weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return copies of weights that lie in one piece of memory, in their order; gradients go through.

    That is how cuDNN takes them. Others it copies at every call, with a warning (torch's RNN.cpp,
    `try_get_weight_buf`); torch's own modules lay theirs out like that by `flatten_parameters`.
    """
    flat = torch.cat([weight.flatten() for weight in weights])
    parts = torch.split(flat, [weight.numel() for weight in weights])
    return tuple(part.view_as(weight) for part, weight in zip(parts, weights, strict=True))


def _unrolls(inputs_NTI: Tensor) -> bool:
    """Return whether training goes step by step with kernels.

    It is as fast as torch's fused calls or faster, and its gradients do not hang on the number of threads, as those of
    the fused LSTM do, which oneDNN sums up otherwise.
    """
    return torch.is_grad_enabled() and inputs_NTI.device.type == "cpu" and kernels_for(inputs_NTI) is not None


class LstmLayer(nn.Module):
    """One layer in one direction, by unrolled/layer.py or on torch's fused path for plain padded tensors."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.fused = nn.LSTM(input_size, size, batch_first=True)

    def read(self, inputs_BSI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, S, D), and the one at the last token of each sentence.

        The fused call returns the cell after the last position alone, which may be padding: see HoldingLstmLayer.
        """
        outputs_BSD = self.unrolled(inputs_BSI)[0] if _unrolls(inputs_BSI) else self.fused(inputs_BSI)[0]
        return outputs_BSD, (last_tokens(outputs_BSD, lengths_B),)

    def unrolled(self, inputs_NTI: Tensor, state: CellState | None = None) -> tuple[Tensor, Tensor]:
        """Run from a state or from zero, step by step; return the hidden states and the cells of all positions."""
        from_input_GI, from_hidden_GH, *biases = (getattr(self.fused, name) for name in _WEIGHTS)
        zeros_NH = inputs_NTI.new_zeros(len(inputs_NTI), self.fused.hidden_size)
        start = LayerStart(state or (zeros_NH, zeros_NH), (from_hidden_GH,), biases[0] + biases[1], None)
        hidden_NTH, cells_NTH = unroll_layer(inputs_NTI, from_input_GI, start)
        return hidden_NTH, cells_NTH

    def forward(self, inputs_NTI: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Run from a state; return the hidden states of all positions and the state after the last."""
        if _unrolls(inputs_NTI):
            outputs_NTH, cells_NTH = self.unrolled(inputs_NTI, state)
            return outputs_NTH, (outputs_NTH[:, -1], cells_NTH[:, -1])
        hidden_NH, cell_NH = state
        outputs_NTH, (hidden_1NH, cell_1NH) = self.fused(inputs_NTI, (hidden_NH.unsqueeze(0), cell_NH.unsqueeze(0)))
        return outputs_NTH, (hidden_1NH.squeeze(0), cell_1NH.squeeze(0))


class HoldingLstmLayer(LstmLayer):
    """An LSTM layer that also returns the cell at the last token.

    The fused call returns no others than the last. So there one more input unit marks padding, and its fixed weights
    shut the input gate and open the forget gate: the cell after the last position is that of the last token.
    """

    # Far beyond any sum of inputs: its sigmoid is exactly 0 or 1.
    HOLD = 1e4

    def read(self, inputs_BSI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, S, D), and both states at the last token of each sentence."""
        if _unrolls(inputs_BSI):
            outputs_BSD, cells_BSD = self.unrolled(inputs_BSI)
            return outputs_BSD, (last_tokens(outputs_BSD, lengths_B), last_tokens(cells_BSD, lengths_B))
        size = self.fused.hidden_size
        from_input_GI, from_hidden_GH, *biases = (getattr(self.fused, name) for name in _WEIGHTS)
        is_padding_BS = torch.arange(inputs_BSI.shape[1], device=lengths_B.device) >= lengths_B.unsqueeze(1)
        marked_BSI = torch.cat([inputs_BSI, is_padding_BS.unsqueeze(-1).to(inputs_BSI.dtype)], dim=-1)
        mark_G1 = from_input_GI.new_zeros(4 * size, 1)  # Filled where it is: a copy from the host would wait.
        mark_G1[:size], mark_G1[size : 2 * size] = -self.HOLD, self.HOLD
        weights: tuple[Tensor, ...] = (torch.cat([from_input_GI, mark_G1], dim=1), from_hidden_GH, *biases)
        if inputs_BSI.is_cuda:
            weights = side_by_side(weights)
        zeros_1BD = inputs_BSI.new_zeros(1, inputs_BSI.shape[0], size)
        outputs_BSD, _, cell_1BD = torch.lstm(
            marked_BSI,
            (zeros_1BD, zeros_1BD),
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=True,
        )
        return outputs_BSD, (last_tokens(outputs_BSD, lengths_B), cell_1BD.squeeze(0))


class GruLayer(nn.Module):
    """One layer in one direction, by unrolled/layer.py or on torch's fused path for plain padded tensors."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.fused = nn.GRU(input_size, size, batch_first=True)

    def read(self, inputs_BSI: Tensor, lengths_B: Tensor) -> tuple[Tensor, CellState]:
        """Run from zero; return the hidden states (B, S, D), and the one at the last token of each sentence."""
        outputs_BSD = self.unrolled(inputs_BSI) if _unrolls(inputs_BSI) else self.fused(inputs_BSI)[0]
        return outputs_BSD, (last_tokens(outputs_BSD, lengths_B),)

    def unrolled(self, inputs_NTI: Tensor, state: CellState | None = None) -> Tensor:
        """Run from a state or from zero, step by step; return the hidden states of all positions."""
        from_input_GI, from_hidden_GH, input_bias_G, hidden_bias_G = (getattr(self.fused, name) for name in _WEIGHTS)
        state = state or (inputs_NTI.new_zeros(len(inputs_NTI), self.fused.hidden_size),)
        weights = from_hidden_GH.new_empty(len(from_hidden_GH), 0), from_hidden_GH, hidden_bias_G
        (hidden_NTH,) = unroll_layer(inputs_NTI, from_input_GI, LayerStart(state, weights, input_bias_G, None))
        return hidden_NTH

    def forward(self, inputs_NTI: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Run from a state; return the hidden states of all positions and the state after the last."""
        if _unrolls(inputs_NTI):
            outputs_NTH = self.unrolled(inputs_NTI, state)
            return outputs_NTH, (outputs_NTH[:, -1],)
        outputs_NTH, hidden_1NH = self.fused(inputs_NTI, state[0].unsqueeze(0))
        return outputs_NTH, (hidden_1NH.squeeze(0),)


class LstmCell(nn.Module):
    """One step of an LSTM, given what its input and bias add to the gates."""

    gates = 4
    states = 2
    """Tensors that make up a state."""

    def __init__(self, fed_size: int, size: int) -> None:
        super().__init__()
        # What is fed and the hidden state, side by side in one product.
        self.from_state = nn.Linear(fed_size + size, 4 * size, bias=False)

    def forward(self, gates_NG: Tensor, fed_NF: Tensor, state: CellState) -> CellState:
        """Return the next state."""
        hidden_NH, cell_NH = state
        gates_NG = gates_NG + self.from_state(torch.cat([fed_NF, hidden_NH], dim=-1))
        in_NH, forget_NH, candidate_NH, out_NH = gates_NG.chunk(4, dim=-1)
        cell_NH = forget_NH.sigmoid() * cell_NH + in_NH.sigmoid() * candidate_NH.tanh()
        return out_NH.sigmoid() * cell_NH.tanh(), cell_NH

    def weights(self) -> tuple[Tensor, ...]:
        """Return the weights as unrolled/cells.py reads them."""
        return (self.from_state.weight,)

    @staticmethod
    def matmuls(rows: int, fed_size: int, size: int, steps: int) -> Iterator[Matmul]:
        """Yield the matrix products of a training step but those of the input."""
        yield from linear(rows, fed_size + size, 4 * size, steps)


class GruCell(nn.Module):
    """One step of a GRU, given what its input and bias add to the gates."""

    gates = 3
    states = 1
    """Tensors that make up a state."""

    def __init__(self, fed_size: int, size: int) -> None:
        super().__init__()
        self.from_fed = nn.Linear(fed_size, 3 * size, bias=False)
        self.from_hidden = nn.Linear(size, 3 * size)

    def forward(self, gates_NG: Tensor, fed_NF: Tensor, state: CellState) -> CellState:
        """Return the next state."""
        (hidden_NH,) = state
        reset_NH, update_NH, candidate_NH = (gates_NG + self.from_fed(fed_NF)).chunk(3, dim=-1)
        # Not added to the input's part yet: the reset gate multiplies this one alone.
        hidden_reset_NH, hidden_update_NH, hidden_candidate_NH = self.from_hidden(hidden_NH).chunk(3, dim=-1)
        reset_NH = (reset_NH + hidden_reset_NH).sigmoid()
        update_NH = (update_NH + hidden_update_NH).sigmoid()
        candidate_NH = (candidate_NH + reset_NH * hidden_candidate_NH).tanh()
        return (candidate_NH + update_NH * (hidden_NH - candidate_NH),)

    def weights(self) -> tuple[Tensor, ...]:
        """Return the weights as unrolled/cells.py reads them."""
        return self.from_fed.weight, self.from_hidden.weight, self.from_hidden.bias

    @staticmethod
    def matmuls(rows: int, fed_size: int, size: int, steps: int) -> Iterator[Matmul]:
        """Yield the matrix products of a training step but those of the input."""
        yield from linear(rows, fed_size, 3 * size, steps)
        yield from linear(rows, size, 3 * size, steps)


@dataclass(frozen=True)
class Recurrence:
    """The three forms of a recurrent cell."""

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
    """Layers that run through all positions in one call each, for inputs that are known in advance."""

    def __init__(self, cell: CellKind, input_size: int, size: int, layers: int) -> None:
        super().__init__()
        layer = RECURRENCES[cell].layer
        self.layers = nn.ModuleList(layer(size if number else input_size, size) for number in range(layers))

    def forward(
        self, inputs_NTI: Tensor, states: tuple[CellState, ...], layer_masks: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """Return the top layer's hidden states (N, T, H) and the state of every layer after the last position.

        layer_masks: dropout masks (N, 1, H) for the input of each layer but the first; empty without dropout.
        """
        after: list[CellState] = []
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            outputs_NTH, last = layer(inputs_NTI, state)
            after.append(last)
            inputs_NTI = outputs_NTH * layer_masks[number] if number < len(layer_masks) else outputs_NTH
        return outputs_NTH, tuple(after)


class CellStack(nn.Module):
    """Layers that advance together by one position, for inputs that depend on the step before."""

    def __init__(self, cell: CellKind, embedding_size: int, fed_size: int, size: int, layers: int) -> None:
        super().__init__()
        kind = RECURRENCES[cell].cell
        self.from_embedding = nn.Linear(embedding_size, kind.gates * size)
        self.cells = nn.ModuleList(kind(size if number else fed_size, size) for number in range(layers))
        # The first layer's bias is in `from_embedding`; the others read only the hidden state below.
        self.biases = nn.ParameterList(torch.zeros(kind.gates * size) for _ in range(layers - 1))

    def gates(self, embedded_NTE: Tensor) -> tuple[Tensor, ...]:
        """Return what each of T inputs adds to the first layer's gates, (N, G) each, by one product for all."""
        gates_NTG: Tensor = self.from_embedding(embedded_NTE)
        return gates_NTG.unbind(1)

    def forward(
        self, gates_NG: Tensor, fed_NF: Tensor, states: tuple[CellState, ...], layer_masks: tuple[Tensor, ...]
    ) -> tuple[CellState, ...]:
        """Return the next state of every layer, the top one last.

        gates_NG: one of `gates`. fed_NF: what the first layer is fed beside it.
        layer_masks: dropout masks (N, 1, H) for the input of each layer but the first; empty without dropout.
        """
        after = [self.cells[0](gates_NG, fed_NF, states[0])]
        for number, bias_G in enumerate(self.biases):
            below_NH = after[-1][0]
            fed_NF = below_NH * layer_masks[number].squeeze(1) if layer_masks else below_NH
            after.append(self.cells[number + 1](bias_G, fed_NF, states[number + 1]))
        return tuple(after)
