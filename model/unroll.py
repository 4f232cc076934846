"""All steps of the input-feeding decoder at once, for training: the loop of decoder.py with a backward by hand.

Through that loop, autograd keeps a graph of about thirty nodes per step and adds a gradient as large as the weights at
each of them. Here the steps write into buffers and the backward reads them in reverse; the gradient of each weight is
one product over all steps, at the end. The rest is bound by memory outside the cache: so rows are laid out where the
products read them, and gradients overwrite what they were computed from. decoder.py stays the reference: tests hold
both to the same results.

Shapes: B sentences (N = B in training), T target positions, P all of these, S source positions, E embedding units,
H decoder units, A annotation units, K units of a key (here K = H), F units fed, U units that a cell multiplies (F + H),
X units that make the readout (H + A), G units of all four gates.

Forward, at step t, of one layer (each further layer reads the masked h_t below it in place of a_{t-1}):

    z_t = x_t + U [a_{t-1}; h_{t-1}]                     x_t = V w_t + b: the token's part, one product for all steps
    i, f, o = sigmoid(z), g = tanh(z)                    the gates
    c_t = f c_{t-1} + i g;  k_t = tanh(c_t);  h_t = o k_t
    p_t = softmax(s K h_t + mask);  v_t = M' p_t         K: keys, M: annotations, s: 1, or 1 / sqrt(H) where scaled
    a_t = tanh(W [v_t; h_t])                             the readout

Backward, with dx for the derivative of the loss by x, where da_t, dh_t and dc_t begin with what step t + 1 handed down:

    du = da (1 - a^2)                                    u: the argument of the readout's tanh
    [dv; dh] = W' du  (added to dh)
    de = p (dp - p' dp) with dp = M dv                   e: the scores
    dh += s K' de
    dc += dh o (1 - k^2)
    dz = [dc g i (1 - i); dc c_{t-1} f (1 - f); dc i (1 - g^2); dh k o (1 - o)]
    [da_{t-1}; dh_{t-1}] = U' dz;  dc_{t-1} = dc f
    dw_t = V' dz, and over all steps
    dU = sum dz [a_{t-1}; h_{t-1}]';  dV = sum dz w';  db = sum dz
    dW = sum du [v; h]';  dK = s sum de h';  dM = sum p dv'
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .recurrent import CellState
from .rounding import ROUNDING

_aten = torch.ops.aten


@dataclass(frozen=True)
class AttendedSource:
    """What every step attends to: softmax(scale keys h + padding bias) over the annotations."""

    keys_BSK: Tensor
    annotations_BSA: Tensor
    padding_bias_BS: Tensor
    scale: float


@dataclass(frozen=True)
class LayerStart:
    """An LSTM layer's state before the first step, and its weights."""

    state: CellState
    weights_GU: Tensor
    bias_G: Tensor
    mask_B1H: Tensor | None
    """Dropout mask of the layer below; None without dropout and for the first layer."""


def unroll(
    embedded_TBE: Tensor,
    from_word_GE: Tensor,
    layers: list[LayerStart],
    source: AttendedSource,
    fed_BF: Tensor,
    combine_HX: Tensor,
) -> Tensor:
    """Return the readouts (B, T, H) of all steps (Luong et al. 2015, section 3.3; the equations are above).

    from_word_GE: V; the first layer's bias is b. fed_BF: a_0. combine_HX: W, with the context vector's columns first.
    Differentiable in every tensor but the masks; backward() can run only once.
    """
    tensors = [tensor for layer in layers for tensor in (*layer.state, layer.weights_GU, layer.bias_G)]
    masks = [None if layer.mask_B1H is None else layer.mask_B1H.squeeze(1) for layer in layers]
    readouts_TBH: Tensor = _Unroll.apply(  # type: ignore[no-untyped-call]
        masks,
        source.scale,
        source.padding_bias_BS,
        embedded_TBE,
        from_word_GE,
        source.keys_BSK,
        source.annotations_BSA,
        fed_BF,
        combine_HX,
        *tensors,
    )
    return readouts_TBH.transpose(0, 1)


class _Layer:
    """The buffers of one LSTM layer: step t reads row t and writes the hidden state to row t + 1.

    A row holds what the step is fed, the hidden state and, in the top layer, the context vector, side by side: products
    read the first two or the last two where they are.
    """

    def __init__(self, gates_TBG: Tensor, fed: int, context: int, start: tuple[Tensor, ...]) -> None:
        """Take what the gates begin with, the tokens' part or the bias, which each step completes in place."""
        hidden_BH, cell_BH, self.weights_GU, _ = start
        (steps, rows), size = gates_TBG.shape[:2], hidden_BH.shape[1]
        buffer = hidden_BH.new_empty(steps + 1, rows, fed + size + context)
        self.fed, self.hidden = fed, size
        self.inputs_TBU, self.attended_TBX = buffer[:, :, : fed + size], buffer[1:, :, fed:]
        self.cells_TBH = hidden_BH.new_empty(steps + 1, rows, size)
        self.gates_TBG = gates_TBG
        self.inputs_TBU[0, :, fed:] = hidden_BH
        self.cells_TBH[0] = cell_BH
        self._inputs, self._cells, self._gates = self.inputs_TBU.unbind(), self.cells_TBH.unbind(), gates_TBG.unbind()
        self.fed_rows = self.inputs_TBU[:, :, :fed].unbind()
        self._hidden_rows = self.inputs_TBU[:, :, fed:].unbind()
        # The gates i, f, g and o lie side by side; the first two are sigmoids, computed at once.
        self._in_forget, self._candidate, self._out, self._in, self._forget = (
            gates_TBG[:, :, first * size : last * size].unbind()
            for first, last in ((0, 2), (2, 3), (3, 4), (0, 1), (1, 2))
        )

    def step(self, t: int) -> Tensor:
        """Take step t, once the fed part of row t is written; return the hidden state (B, H)."""
        with ROUNDING:
            self._gates[t].addmm_(self._inputs[t], self.weights_GU.T)
        self._in_forget[t].sigmoid_()
        candidate_BH, out_BH = self._candidate[t].tanh_(), self._out[t].sigmoid_()
        cell_BH = torch.mul(self._forget[t], self._cells[t], out=self._cells[t + 1])
        cell_BH.addcmul_(self._in[t], candidate_BH)
        return torch.mul(out_BH, cell_BH.tanh(), out=self._hidden_rows[t + 1])

    def prepare_backward(self) -> None:
        """Allocate the gradients of a step's inputs and of the cell before it; others overwrite what they are of."""
        self._d_inputs_BU = torch.zeros_like(self.inputs_TBU[0])
        self.d_cell_BH = torch.zeros_like(self.cells_TBH[0])
        self.d_fed_BF, self.d_hidden_BH = self._d_inputs_BU[:, : self.fed], self._d_inputs_BU[:, self.fed :]

    def back(self, t: int, d_hidden_BH: Tensor) -> None:
        """Go back over step t from the gradient of its hidden state; the gates' gradients overwrite them."""
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
        with ROUNDING:
            torch.mm(self._gates[t], self.weights_GU, out=self._d_inputs_BU)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of the first state, of the weights, by one product over all steps, and of the bias."""
        d_gates_PG = self.gates_TBG.flatten(0, 1)
        d_weights_GU = d_gates_PG.T @ self.inputs_TBU[:-1].flatten(0, 1)
        return self.d_hidden_BH, self.d_cell_BH, d_weights_GU, d_gates_PG.sum(0)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        masks: list[Tensor | None],
        scale: float,
        padding_bias_BS: Tensor,
        embedded_TBE: Tensor,
        from_word_GE: Tensor,
        keys_BSK: Tensor,
        annotations_BSA: Tensor,
        fed_BF: Tensor,
        combine_HX: Tensor,
        *tensors: Tensor,
    ) -> Tensor:
        (steps, rows), size, context = embedded_TBE.shape[:2], tensors[0].shape[1], annotations_BSA.shape[2]
        layers: list[_Layer] = []
        for first in range(0, len(tensors), 4):
            bias_G = tensors[first + 3]
            # What the gates begin with: the tokens' part with the bias, or the bias alone.
            gates_TBG = (
                bias_G.expand(steps, rows, -1).clone() if first else F.linear(embedded_TBE, from_word_GE, bias_G)
            )
            tail = context if first + 4 == len(tensors) else 0
            layers.append(_Layer(gates_TBG, size if first else fed_BF.shape[1], tail, tensors[first : first + 4]))
        bottom, top = layers[0], layers[-1]
        weights_TB1S = keys_BSK.new_empty(steps, rows, 1, keys_BSK.shape[1])
        contexts_TB1A = top.attended_TBX[:, :, size:].unsqueeze(2)
        padding_bias_B1S = padding_bias_BS.unsqueeze(1)
        swapped_XH = torch.cat([combine_HX[:, context:], combine_HX[:, :context]], dim=1).T
        bottom.fed_rows[0].copy_(fed_BF)
        for t in range(steps):
            hidden_BH = bottom.step(t)
            for layer, mask_BH in zip(layers[1:], masks[1:], strict=True):
                layer.fed_rows[t].copy_(hidden_BH if mask_BH is None else hidden_BH * mask_BH)
                hidden_BH = layer.step(t)
            weights_B1S = weights_TB1S[t]
            torch.baddbmm(padding_bias_B1S, hidden_BH.unsqueeze(1), keys_BSK.mT, alpha=scale, out=weights_B1S)
            torch.softmax(weights_B1S, dim=-1, out=weights_B1S)
            contexts_TB1A[t].copy_(torch.bmm(weights_B1S, annotations_BSA))
            with ROUNDING:
                torch.mm(top.attended_TBX[t], swapped_XH, out=bottom.fed_rows[t + 1]).tanh_()
        ctx.save_for_backward(embedded_TBE, from_word_GE, keys_BSK, annotations_BSA, combine_HX)
        ctx.masks, ctx.scale, ctx.layers, ctx.weights_TB1S = masks, scale, layers, weights_TB1S
        return bottom.inputs_TBU[1:, :, : bottom.fed]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_readouts_TBH: Tensor) -> tuple[Tensor | None, ...]:
        embedded_TBE, from_word_GE, keys_BSK, annotations_BSA, combine_HX = ctx.saved_tensors
        layers: list[_Layer] = ctx.layers
        if not layers:
            raise RuntimeError("backward() can run only once: it overwrites the saved gates")
        ctx.layers = []
        bottom, top, weights_TB1S = layers[0], layers[-1], ctx.weights_TB1S
        for layer in layers:
            layer.prepare_backward()
        from_context_HA, from_hidden_HH = combine_HX.split([annotations_BSA.shape[2], top.hidden], dim=1)
        d_sums_TBH = d_readouts_TBH.new_empty(d_readouts_TBH.shape)
        d_contexts_TBA = d_readouts_TBH.new_empty(*d_readouts_TBH.shape[:2], annotations_BSA.shape[2])
        d_scores_TB1S = torch.empty_like(weights_TB1S)
        for t in reversed(range(len(d_sums_TBH))):
            d_sum_BH, d_context_BA, d_scores_B1S = d_sums_TBH[t], d_contexts_TBA[t], d_scores_TB1S[t]
            d_readout_BH = d_readouts_TBH[t] + bottom.d_fed_BF
            _aten.tanh_backward.grad_input(d_readout_BH, bottom.fed_rows[t + 1], grad_input=d_sum_BH)
            torch.mm(d_sum_BH, from_context_HA, out=d_context_BA)
            d_weights_B1S = torch.bmm(d_context_BA.unsqueeze(1), annotations_BSA.mT)
            _aten._softmax_backward_data.out(
                d_weights_B1S, weights_TB1S[t], -1, keys_BSK.dtype, grad_input=d_scores_B1S
            )
            d_hidden_BH = torch.addmm(top.d_hidden_BH, d_sum_BH, from_hidden_HH)
            d_hidden_BH = torch.baddbmm(d_hidden_BH.unsqueeze(1), d_scores_B1S, keys_BSK, alpha=ctx.scale).squeeze(1)
            top.back(t, d_hidden_BH)
            for above, below, mask_BH in zip(layers[:0:-1], layers[-2::-1], ctx.masks[:0:-1], strict=True):
                d_below_BH = above.d_fed_BF if mask_BH is None else above.d_fed_BF * mask_BH
                below.back(t, below.d_hidden_BH + d_below_BH)
        d_embedded_TBE, d_from_word_GE = bottom.gates_TBG @ from_word_GE, _product(bottom.gates_TBG, embedded_TBE)
        # For keys and annotations, one product per sentence over all steps; for W, the columns in their old order.
        hidden_TBH = top.attended_TBX[:, :, : top.hidden]
        d_keys_BSK = torch.bmm(d_scores_TB1S.squeeze(2).permute(1, 2, 0), hidden_TBH.transpose(0, 1)) * ctx.scale
        d_annotations_BSA = torch.bmm(weights_TB1S.squeeze(2).permute(1, 2, 0), d_contexts_TBA.transpose(0, 1))
        d_combine_HX = _product(d_sums_TBH, top.attended_TBX).roll(annotations_BSA.shape[2], dims=1)
        d_layers = [gradient for layer in layers for gradient in layer.gradients()]
        gradients = (d_embedded_TBE, d_from_word_GE, d_keys_BSK, d_annotations_BSA, bottom.d_fed_BF, d_combine_HX)
        return None, None, None, *gradients, *d_layers


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Return the sum of left right' over all steps and sentences, the first two dimensions of both."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)
