"""All steps of the input-feeding decoder at once, for training: the loop of decoder.py with a backward by hand.

Autograd through that loop keeps a graph of some thirty nodes a step, and adds a gradient as large as the weights at
each of them. Here the steps write into buffers, the backward runs over them in the other direction, and the gradient of
each weight is one product over all steps, afterwards. What bounds the rest is memory that is not in the cache: so rows
are laid out for the products to read them where they are, and gradients take the place of what they were made from.
decoder.py stays the reference: tests hold both to the same results.

Shapes as in decoder.py, and F units fed, P those of an input of a cell (F + H), X those that make the readout (H + A),
G those of all four gates.

Forward, at step t, of one layer (of several, each next one reads the masked h_t below it in place of a_{t-1}):

    z_t = x_t + U [a_{t-1}; h_{t-1}]                     x_t = V w_t + b: the word's share, one product for all steps
    i, f, o = sigmoid(z), g = tanh(z)                    the gates
    c_t = f c_{t-1} + i g;  k_t = tanh(c_t);  h_t = o k_t
    p_t = softmax(s K h_t + mask);  v_t = M' p_t         K: keys, M: annotations, s: 1, or 1 / sqrt(H) where scaled
    a_t = tanh(W [v_t; h_t])                             the readout

Backward, with D x for the derivative of the loss by x, and D a_t, D h_t, D c_t begun with what step t + 1 handed down:

    D u = D a (1 - a^2)                                  u: what the tanh of the readout is of
    [D v; D h] = W' D u  (added to D h)
    D e = p (D p - p' D p) with D p = M D v              e: the scores
    D h += s K' D e
    D c += D h o (1 - k^2)
    D z = [D c g i (1 - i); D c c_{t-1} f (1 - f); D c i (1 - g^2); D h k o (1 - o)]
    [D a_{t-1}; D h_{t-1}] = U' D z;  D c_{t-1} = D c f
    D w_t = V' D z, and over all steps
    D U = sum D z [a_{t-1}; h_{t-1}]';  D V = sum D z w';  D b = sum D z
    D W = sum D u [v; h]';  D K = s sum D e h';  D M = sum p D v'
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
    """What every step attends to: softmax(scale keys h + mask) over the annotations."""

    keys_BSK: Tensor
    annotations_BSA: Tensor
    mask_BS: Tensor
    scale: float


@dataclass(frozen=True)
class LayerStart:
    """Of one LSTM layer, the state before the first step and its weights."""

    state: CellState
    weights_GP: Tensor
    bias_G: Tensor
    mask_B1H: Tensor | None
    """Dropout of what the layer reads from the one below; None where nothing is dropped, and of the first layer."""


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
    Differentiable, once, in every tensor but the masks.
    """
    tensors = [tensor for layer in layers for tensor in (*layer.state, layer.weights_GP, layer.bias_G)]
    masks = [None if layer.mask_B1H is None else layer.mask_B1H.squeeze(1) for layer in layers]
    readouts_TBH: Tensor = _Unroll.apply(  # type: ignore[no-untyped-call]
        masks,
        source.scale,
        source.mask_BS,
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

    A row is what the step is fed, the hidden state, and, of the top layer, the context vector, side by side: products
    read the first two, or the last two, where they are.
    """

    def __init__(self, gates_TBG: Tensor, fed: int, context: int, start: tuple[Tensor, ...]) -> None:
        """Take what the gates begin with, which each step completes in place: the words' share, or the bias."""
        hidden_BH, cell_BH, self.weights_GP, _ = start
        (steps, rows), size = gates_TBG.shape[:2], hidden_BH.shape[1]
        rows_TBR = hidden_BH.new_empty(steps + 1, rows, fed + size + context)
        self.fed, self.hidden = fed, size
        self.inputs_TBP, self.attended_TBX = rows_TBR[:, :, : fed + size], rows_TBR[1:, :, fed:]
        self.cells_TBH = hidden_BH.new_empty(steps + 1, rows, size)
        self.gates_TBG = gates_TBG
        self.inputs_TBP[0, :, fed:] = hidden_BH
        self.cells_TBH[0] = cell_BH
        self._inputs, self._cells, self._gates = self.inputs_TBP.unbind(), self.cells_TBH.unbind(), gates_TBG.unbind()
        self.fed_rows = self.inputs_TBP[:, :, :fed].unbind()
        self._hidden_rows = self.inputs_TBP[:, :, fed:].unbind()
        # Gates i, f, g and o lie side by side; the first two are both sigmoids, taken at once.
        self._in_forget, self._candidate, self._out, self._in, self._forget = (
            gates_TBG[:, :, first * size : last * size].unbind()
            for first, last in ((0, 2), (2, 3), (3, 4), (0, 1), (1, 2))
        )

    def step(self, t: int) -> Tensor:
        """Take step t, for which the fed part of row t is there; return the hidden state (B, H)."""
        with ROUNDING:
            self._gates[t].addmm_(self._inputs[t], self.weights_GP.T)
        self._in_forget[t].sigmoid_()
        candidate_BH, out_BH = self._candidate[t].tanh_(), self._out[t].sigmoid_()
        cell_BH = torch.mul(self._forget[t], self._cells[t], out=self._cells[t + 1])
        cell_BH.addcmul_(self._in[t], candidate_BH)
        return torch.mul(out_BH, cell_BH.tanh(), out=self._hidden_rows[t + 1])

    def prepare_backward(self) -> None:
        """Make room for the gradients of the inputs of a step and of its cell before; the others take places."""
        self._d_inputs_BP = torch.zeros_like(self.inputs_TBP[0])
        self.d_cell_BH = torch.zeros_like(self.cells_TBH[0])
        self.d_fed_BF, self.d_hidden_BH = self._d_inputs_BP[:, : self.fed], self._d_inputs_BP[:, self.fed :]

    def back(self, t: int, d_hidden_BH: Tensor) -> None:
        """Go back over step t, with the gradient of its hidden state; the gates' own take their place."""
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
            torch.mm(self._gates[t], self.weights_GP, out=self._d_inputs_BP)

    def gradients(self) -> tuple[Tensor, ...]:
        """Return those of the state at the start, of the weights, in one product over all steps, and of the bias."""
        d_gates_NG = self.gates_TBG.flatten(0, 1)
        d_weights_GP = d_gates_NG.T @ self.inputs_TBP[:-1].flatten(0, 1)
        return self.d_hidden_BH, self.d_cell_BH, d_weights_GP, d_gates_NG.sum(0)


class _Unroll(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        masks: list[Tensor | None],
        scale: float,
        mask_BS: Tensor,
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
            # What the gates begin with: the words' share, with the bias, or the bias alone.
            gates_TBG = (
                bias_G.expand(steps, rows, -1).clone() if first else F.linear(embedded_TBE, from_word_GE, bias_G)
            )
            tail = context if first + 4 == len(tensors) else 0
            layers.append(_Layer(gates_TBG, size if first else fed_BF.shape[1], tail, tensors[first : first + 4]))
        bottom, top = layers[0], layers[-1]
        weights_TB1S = keys_BSK.new_empty(steps, rows, 1, keys_BSK.shape[1])
        contexts_TB1A = top.attended_TBX[:, :, size:].unsqueeze(2)
        swapped_XH = torch.cat([combine_HX[:, context:], combine_HX[:, :context]], dim=1).T
        bottom.fed_rows[0].copy_(fed_BF)
        for t in range(steps):
            hidden_BH = bottom.step(t)
            for layer, mask_BH in zip(layers[1:], masks[1:], strict=True):
                layer.fed_rows[t].copy_(hidden_BH if mask_BH is None else hidden_BH * mask_BH)
                hidden_BH = layer.step(t)
            weights_B1S = weights_TB1S[t]
            torch.baddbmm(mask_BS.unsqueeze(1), hidden_BH.unsqueeze(1), keys_BSK.mT, alpha=scale, out=weights_B1S)
            torch.softmax(weights_B1S, dim=-1, out=weights_B1S)
            contexts_TB1A[t].copy_(torch.bmm(weights_B1S, annotations_BSA))
            with ROUNDING:
                torch.mm(top.attended_TBX[t], swapped_XH, out=bottom.fed_rows[t + 1]).tanh_()
        ctx.save_for_backward(embedded_TBE, from_word_GE, keys_BSK, annotations_BSA, combine_HX)
        ctx.masks, ctx.scale, ctx.layers, ctx.weights_TB1S = masks, scale, layers, weights_TB1S
        return bottom.inputs_TBP[1:, :, : bottom.fed]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_readouts_TBH: Tensor) -> tuple[Tensor | None, ...]:
        embedded_TBE, from_word_GE, keys_BSK, annotations_BSA, combine_HX = ctx.saved_tensors
        layers: list[_Layer] = ctx.layers
        if not layers:
            raise RuntimeError("unroll can be gone back over once: the gates became gradients")
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
        d_words_TBE, d_from_word_GE = bottom.gates_TBG @ from_word_GE, _product(bottom.gates_TBG, embedded_TBE)
        # Of keys and annotations, a product a sentence over all steps; of W, with its columns in their order again.
        hidden_TBH = top.attended_TBX[:, :, : top.hidden]
        d_keys_BSK = torch.bmm(d_scores_TB1S.squeeze(2).permute(1, 2, 0), hidden_TBH.transpose(0, 1)) * ctx.scale
        d_annotations_BSA = torch.bmm(weights_TB1S.squeeze(2).permute(1, 2, 0), d_contexts_TBA.transpose(0, 1))
        d_combine_HX = _product(d_sums_TBH, top.attended_TBX).roll(annotations_BSA.shape[2], dims=1)
        d_layers = [gradient for layer in layers for gradient in layer.gradients()]
        gradients = (d_words_TBE, d_from_word_GE, d_keys_BSK, d_annotations_BSA, bottom.d_fed_BF, d_combine_HX)
        return None, None, None, *gradients, *d_layers


def _product(left_TBL: Tensor, right_TBR: Tensor) -> Tensor:
    """Return the sum over all steps and sentences of left right', (L, R)."""
    return left_TBL.flatten(0, 1).T @ right_TBR.flatten(0, 1)
