"""One layer's cell through all steps, forward and back, in buffers: LSTM and GRU.

Shapes: B sentences, T steps, P all steps of all sentences, F units fed, H decoder units, U what a cell multiplies
(F + H), X units of a row, G units of all gates.

A row holds what the step is fed, the hidden state and, in the top layer, what else the caller keeps beside it: products
read where it lies. Step t reads row t and writes the hidden state to row t + 1. The equations are in unroll.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kernels.load import array, kernels_for
from ..rounding import ROUNDING
from .run import product

_aten = torch.ops.aten

CellState = tuple[Tensor, ...]
"""The state of one layer: (hidden,) of a GRU, (hidden, cell) of an LSTM, each of shape (B, D) or (N, H)."""


@dataclass(frozen=True)
class LayerStart:
    """A layer's state before the first step, and its weights."""

    state: CellState
    weights: tuple[Tensor, ...]
    """Of an LSTM those of all inputs (G, U); of a GRU of what is fed (G, F), of the state (G, H), and its bias."""
    bias_G: Tensor
    """Of the first layer, the bias that the tokens' part has."""
    mask_B1H: Tensor | None
    """Dropout mask of the layer below; None without dropout and for the first layer."""


class _Rows:
    """What both cells have in common."""

    def __init__(self, gates_TBG: Tensor, fed: int, beside: int, start: LayerStart) -> None:
        """Take what the gates begin with, the tokens' part or the bias, which each step completes in place.

        fed: units fed at each step. beside: units that the caller keeps in a row.
        """
        hidden_BH = start.state[0]
        (steps, sentences), self.size = gates_TBG.shape[:2], hidden_BH.shape[1]
        self.fed, self.gates_TBG, self.start = fed, gates_TBG, start
        self.rows_TBX = hidden_BH.new_empty(steps + 1, sentences, fed + self.size + beside)
        self.inputs_TBU = self.rows_TBX[:, :, : fed + self.size]
        self.rows_TBX[0, :, fed : fed + self.size] = hidden_BH
        self._inputs, self._gates = self.inputs_TBU.unbind(), gates_TBG.unbind()
        self.fed_rows = self.rows_TBX[:, :, :fed].unbind()
        self.hidden_rows = self.rows_TBX[:, :, fed : fed + self.size].unbind()
        self._kernels = kernels_for(gates_TBG)
        self._arrays: tuple[Any, ...] = (array(gates_TBG), array(self.rows_TBX)) if self._kernels else ()

    def _parts(self, values_TBG: Tensor) -> list[tuple[Tensor, ...]]:
        """Return each gate's part of every step."""
        return [part.unbind() for part in torch.split(values_TBG, self.size, dim=2)]

    def states(self) -> tuple[Tensor, ...]:
        """Return the hidden states (T + 1, B, H) before and after all steps, and an LSTM's cells."""
        return (self.rows_TBX[:, :, self.fed : self.fed + self.size],)

    def prepare_backward(self) -> None:
        """Allocate the gradients that are handed from step to step."""
        self.d_inputs_BU = torch.zeros_like(self.inputs_TBU[0], memory_format=torch.contiguous_format)
        self.d_fed_BF, self.d_hidden_BH = self.d_inputs_BU[:, : self.fed], self.d_inputs_BU[:, self.fed :]


class LstmSteps(_Rows):
    """An LSTM layer."""

    def __init__(self, gates_TBG: Tensor, fed: int, beside: int, start: LayerStart) -> None:
        """See `_Rows`."""
        super().__init__(gates_TBG, fed, beside, start)
        (weights_GU,), (_, cell_BH) = start.weights, start.state
        self._weights_GU = ROUNDING.factor(weights_GU)
        self._cells_TBH = cell_BH.new_empty(gates_TBG.shape[0] + 1, *cell_BH.shape)
        self._cells_TBH[0] = cell_BH
        if self._kernels:
            self._arrays = (self._arrays[0], array(self._cells_TBH), self._arrays[1])
        else:
            self._cells = self._cells_TBH.unbind()
            self._in, self._forget, self._candidate, self._out = self._parts(gates_TBG)

    def states(self) -> tuple[Tensor, ...]:
        """Return the hidden states and the cells (T + 1, B, H) before and after all steps."""
        return *super().states(), self._cells_TBH

    def step(self, t: int) -> None:
        """Take step t, once the fed part of row t is written."""
        ROUNDING.addmm(self._gates[t], self._inputs[t], self._weights_GU.T)
        if self._kernels:
            self._kernels.lstm_step(*self._arrays, self.fed, t)
            return
        self._in[t].sigmoid_()
        self._forget[t].sigmoid_()
        candidate_BH, out_BH = self._candidate[t].tanh_(), self._out[t].sigmoid_()
        cell_BH = torch.mul(self._forget[t], self._cells[t], out=self._cells[t + 1])
        cell_BH.addcmul_(self._in[t], candidate_BH)
        torch.mul(out_BH, cell_BH.tanh(), out=self.hidden_rows[t + 1])

    def prepare_backward(self) -> None:
        """Allocate the gradients that are handed from step to step."""
        super().prepare_backward()
        self.d_cell_BH = torch.zeros_like(self._cells_TBH[0])

    def back(self, t: int, d_hidden_BH: Tensor) -> None:
        """Go back over step t; the gates' gradients overwrite them."""
        if self._kernels:
            self._kernels.lstm_back(*self._arrays[:2], array(d_hidden_BH), array(self.d_cell_BH), t)
        else:
            self._back(t, d_hidden_BH)
        ROUNDING.mm(self._gates[t], self._weights_GU, out=self.d_inputs_BU)

    def _back(self, t: int, d_hidden_BH: Tensor) -> None:
        in_BH, forget_BH, candidate_BH, out_BH = self._in[t], self._forget[t], self._candidate[t], self._out[t]
        tanh_BH, d_cell_BH = self._cells[t + 1].tanh(), self.d_cell_BH
        d_cell_BH += _aten.tanh_backward(d_hidden_BH * out_BH, tanh_BH)
        d_in_BH, d_candidate_BH = d_cell_BH * candidate_BH, d_cell_BH * in_BH
        d_forget_BH, d_out_BH = d_cell_BH * self._cells[t], d_hidden_BH * tanh_BH
        d_cell_BH *= forget_BH
        _aten.sigmoid_backward.grad_input(d_in_BH, in_BH, grad_input=in_BH)
        _aten.sigmoid_backward.grad_input(d_forget_BH, forget_BH, grad_input=forget_BH)
        _aten.tanh_backward.grad_input(d_candidate_BH, candidate_BH, grad_input=candidate_BH)
        _aten.sigmoid_backward.grad_input(d_out_BH, out_BH, grad_input=out_BH)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of the first state, of the weights, by one product over all steps, and of the bias."""
        d_weights_GU = product(self.gates_TBG, self.inputs_TBU[:-1])
        return self.d_hidden_BH, self.d_cell_BH, d_weights_GU, self.gates_TBG.flatten(0, 1).sum(0)


class GruSteps(_Rows):
    """A GRU layer. What the state adds to the gates is `inner`, by itself: the reset gate multiplies a part of it."""

    def __init__(self, gates_TBG: Tensor, fed: int, beside: int, start: LayerStart) -> None:
        """See `_Rows`."""
        super().__init__(gates_TBG, fed, beside, start)
        from_fed_GF, from_hidden_GH, self._inner_bias_G = start.weights
        self._from_fed_GF, self._from_hidden_GH = ROUNDING.factor(from_fed_GF), ROUNDING.factor(from_hidden_GH)
        self._inner_TBG = self._inner_bias_G.expand_as(gates_TBG).clone()
        self._inner = self._inner_TBG.unbind()
        if self._kernels:
            self._arrays = (self._arrays[0], array(self._inner_TBG), self._arrays[1])
        else:
            self._reset, self._update, self._candidate = self._parts(gates_TBG)
            self._inner_reset, self._inner_update, self._inner_candidate = self._parts(self._inner_TBG)

    def step(self, t: int) -> None:
        """Take step t, once the fed part of row t is written."""
        if self.fed:
            ROUNDING.addmm(self._gates[t], self.fed_rows[t], self._from_fed_GF.T)
        ROUNDING.addmm(self._inner[t], self.hidden_rows[t], self._from_hidden_GH.T)
        if self._kernels:
            self._kernels.gru_step(*self._arrays, self.fed, t)
            return
        reset_BH = self._reset[t].add_(self._inner_reset[t]).sigmoid_()
        update_BH = self._update[t].add_(self._inner_update[t]).sigmoid_()
        candidate_BH = self._candidate[t].addcmul_(reset_BH, self._inner_candidate[t]).tanh_()
        torch.lerp(candidate_BH, self.hidden_rows[t], update_BH, out=self.hidden_rows[t + 1])

    def back(self, t: int, d_hidden_BH: Tensor) -> None:
        """Go back over step t; the gradients of gates and inner sums overwrite them."""
        if self._kernels:
            self._kernels.gru_back(*self._arrays, self.fed, array(d_hidden_BH), array(self.d_inputs_BU), t)
        else:
            self._back(t, d_hidden_BH)
        if self.fed:
            ROUNDING.mm(self._gates[t], self._from_fed_GF, out=self.d_fed_BF)
        ROUNDING.addmm(self.d_hidden_BH, self._inner[t], self._from_hidden_GH)

    def _back(self, t: int, d_hidden_BH: Tensor) -> None:
        reset_BH, update_BH, candidate_BH = self._reset[t], self._update[t], self._candidate[t]
        d_candidate_BH = _aten.tanh_backward(d_hidden_BH * (1 - update_BH), candidate_BH)
        d_update_BH = d_hidden_BH * (self.hidden_rows[t] - candidate_BH)
        d_reset_BH = d_candidate_BH * self._inner_candidate[t]
        torch.mul(d_hidden_BH, update_BH, out=self.d_hidden_BH)
        torch.mul(d_candidate_BH, reset_BH, out=self._inner_candidate[t])
        candidate_BH.copy_(d_candidate_BH)
        _aten.sigmoid_backward.grad_input(d_reset_BH, reset_BH, grad_input=reset_BH)
        _aten.sigmoid_backward.grad_input(d_update_BH, update_BH, grad_input=update_BH)
        self._inner_reset[t].copy_(reset_BH)
        self._inner_update[t].copy_(update_BH)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of the first state, of the weights, by one product each over all steps, and of the bias."""
        d_gates_TBG, d_inner_TBG, inputs_TBU = self.gates_TBG, self._inner_TBG, self.inputs_TBU[:-1]
        weights = product(d_gates_TBG, inputs_TBU[..., : self.fed]), product(d_inner_TBG, inputs_TBU[..., self.fed :])
        return self.d_hidden_BH, *weights, *(each.flatten(0, 1).sum(0) for each in (d_inner_TBG, d_gates_TBG))
