"""Both orders of attention and cells in training: the loops of decoder.py with a backward by hand.

Through those loops, autograd keeps a graph of about thirty nodes per step and adds a gradient as large as the weights
at each of them. Here the steps write into buffers and the backward reads them in reverse; the gradient of each weight
is one product over all steps, at the end. The rest is bound by memory outside the cache: so rows are laid out where the
products read them, and gradients overwrite what they were computed from; and between the products, kernels do all that
a step does in one pass, where numba is installed (model/kernels). decoder.py stays the reference: tests hold all to the
same results.

Shapes: B sentences (N = B in training), T target positions, P all of these, S source positions, E embedding units, H
decoder units, A annotation units, K units of a key, F units fed, U units that a cell multiplies (F + H), X units that
make the readout (A + H), G units of all gates.

An LSTM at step t, fed f (each further layer the masked h_t of that below it):

    z_t = x_t + U [f; h_{t-1}]                           x_t = V w_t + b: the token's part, one product for all steps
    i, f, o = sigmoid(z), g = tanh(z)                    the gates
    c_t = f c_{t-1} + i g;  k_t = tanh(c_t);  h_t = o k_t

and back, where dh and dc begin with what step t + 1 handed down:

    dc += dh o (1 - k^2)
    dz = [dc g i (1 - i); dc c_{t-1} f (1 - f); dc i (1 - g^2); dh k o (1 - o)]
    [df; dh_{t-1}] = U' dz;  dc_{t-1} = dc f
    dw_t = V' dz, and over all steps dU = sum dz [f; h_{t-1}]';  dV = sum dz w';  db = sum dz

A GRU, with y = R h_{t-1} + q what the state adds (`inner`):

    r, z = sigmoid(x + W f + y), n = tanh(x + W f + r y);  h_t = n + z (h_{t-1} - n)
    dn = dh (1 - z)(1 - n^2);  dz = dh (h_{t-1} - n) z (1 - z);  dr = dn y r (1 - r)
    dx = [dr; dz; dn];  dy = [dr; dz; r dn];  df = W' dx;  dh_{t-1} = dh z + R' dy

Luong's order with input feeding: f = a_{t-1}; the query of attention (attention.py) is h_t, and the readout
a_t = tanh(W [v_t; h_t]), so that with the gradient of a_t, du = da (1 - a^2) and [dv; dh] += W' du. Bahdanau's order:
the query is h_{t-1}, and f = v_t.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels.load import array, kernels_for
from ..rounding import ROUNDING
from ..scores import ConcatScore, MlpScore
from .attention import AttendedSource, AttentionSteps, Place, ProductSteps
from .cells import GruSteps, LayerStart, LstmSteps
from .hidden_scores import ConcatSteps, MlpSteps, weights_of
from .run import product, unroll

_aten = torch.ops.aten


def unroll_luong(
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
    run = _LuongRun(embedded_TBE, from_word_GE, layers, source, fed_BF, combine_HX)
    (readouts_TBH,) = unroll(run, *run.inputs())
    return readouts_TBH.transpose(0, 1)


def unroll_bahdanau(
    embedded_TBE: Tensor, from_word_GE: Tensor, layers: list[LayerStart], source: AttendedSource
) -> tuple[Tensor, Tensor]:
    """Return the hidden states (B, T, H) and context vectors (B, T, A) of all steps (Bahdanau et al. 2015, 3.1).

    Differentiable in every tensor but the masks; backward() can run only once.
    """
    run = _BahdanauRun(embedded_TBE, from_word_GE, layers, source)
    hidden_TBH, contexts_TBA = unroll(run, *run.inputs())
    return hidden_TBH.transpose(0, 1), contexts_TBA.transpose(0, 1)


class _Stack:
    """The layers of a run, and what they have in common in both orders."""

    def __init__(
        self, embedded_TBE: Tensor, from_word_GE: Tensor, layers: list[LayerStart], source: AttendedSource
    ) -> None:
        self.embedded_TBE, self.from_word_GE, self.starts, self.source = embedded_TBE, from_word_GE, layers, source

    def inputs(self) -> Iterator[Tensor]:
        """Yield all tensors that may have gradients."""
        yield from (self.embedded_TBE, self.from_word_GE, self.source.keys_BSK, self.source.annotations_BSA)
        yield from weights_of(self.source.score)
        for start in self.starts:
            yield from (*start.state, *start.weights, start.bias_G)

    def _make_layers(self, fed: int, beside: int) -> None:
        """Allocate the buffers; the top layer's rows keep `beside` units more."""
        self.layers: list[LstmSteps | GruSteps] = []
        for start in self.starts:
            if self.layers:  # What the gates begin with: the bias, or the tokens' part with the bias.
                gates_TBG = start.bias_G.expand(*self.embedded_TBE.shape[:2], -1).clone()
            else:
                words_PG = ROUNDING.product(self.embedded_TBE.flatten(0, 1), self.from_word_GE.T)
                gates_TBG = words_PG.add_(start.bias_G).view(*self.embedded_TBE.shape[:2], -1)
            kind = LstmSteps if len(start.state) == 2 else GruSteps
            units, top = start.state[0].shape[1] if self.layers else fed, start is self.starts[-1]
            self.layers.append(kind(gates_TBG, units, beside if top else 0, start))
        self.bottom, self.top = self.layers[0], self.layers[-1]

    def _make_attention(self, queries: Place, contexts: Place) -> None:
        score = self.source.score
        kind = {ConcatScore: ConcatSteps, MlpScore: MlpSteps}.get(type(score), ProductSteps)
        self.attention: AttentionSteps = kind(self.source, queries, contexts)

    def _step(self, t: int) -> None:
        """Take step t of all layers, once the bottom one is fed."""
        self.bottom.step(t)
        for below, layer in zip(self.layers, self.layers[1:], strict=False):
            mask_B1H, hidden_BH = layer.start.mask_B1H, below.hidden_rows[t + 1]
            if mask_B1H is None:
                layer.fed_rows[t].copy_(hidden_BH)
            else:
                torch.mul(hidden_BH, mask_B1H.squeeze(1), out=layer.fed_rows[t])
            layer.step(t)

    def _prepare_backward(self) -> None:
        for layer in self.layers:
            layer.prepare_backward()
        self._d_hidden_BH = torch.empty_like(self.starts[0].state[0], memory_format=torch.contiguous_format)

    def _back(self, t: int, d_hidden_BH: Tensor) -> None:
        """Go back over step t of all layers, from the gradient of the top one's hidden state."""
        self.top.back(t, d_hidden_BH)
        for above, below in zip(self.layers[:0:-1], self.layers[-2::-1], strict=True):
            mask_B1H, d_below_BH = above.start.mask_B1H, self._d_hidden_BH
            if mask_B1H is None:
                torch.add(below.d_hidden_BH, above.d_fed_BF, out=d_below_BH)
            else:
                torch.addcmul(below.d_hidden_BH, above.d_fed_BF, mask_B1H.squeeze(1), out=d_below_BH)
            below.back(t, d_below_BH)

    def _gradients(self) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return those of the words, keys, annotations and the score's weights, and those of the layers."""
        d_gates_TBG = self.bottom.gates_TBG
        d_words_PE = ROUNDING.product(d_gates_TBG.flatten(0, 1), self.from_word_GE)
        words = d_words_PE.view_as(self.embedded_TBE), product(d_gates_TBG, self.embedded_TBE)
        layers = [gradient for layer in self.layers for gradient in layer.gradients()]
        return (*words, *self.attention.gradients()), layers


class _LuongRun(_Stack):
    """Luong's order, with input feeding."""

    def __init__(
        self,
        embedded_TBE: Tensor,
        from_word_GE: Tensor,
        layers: list[LayerStart],
        source: AttendedSource,
        fed_BF: Tensor,
        combine_HX: Tensor,
    ) -> None:
        super().__init__(embedded_TBE, from_word_GE, layers, source)
        self.fed_BF, self.combine_HX = fed_BF, combine_HX

    def inputs(self) -> Iterator[Tensor]:
        """Yield all tensors that may have gradients."""
        yield from (self.fed_BF, self.combine_HX)
        yield from super().inputs()

    def forward(self) -> tuple[Tensor, ...]:
        """Return the readouts (T, B, H)."""
        steps, context, fed = len(self.embedded_TBE), self.source.annotations_BSA.shape[2], self.fed_BF.shape[1]
        self._make_layers(fed, context)
        bottom, top, size = self.bottom, self.top, self.top.size
        self._make_attention(
            Place(top.rows_TBX, 1, top.fed, size, steps), Place(top.rows_TBX, 1, top.fed + size, context, steps)
        )
        # In the rows, hidden state and context vector stand the other way round.
        swapped_HX = torch.cat([self.combine_HX[:, context:], self.combine_HX[:, :context]], dim=1)
        swapped_XH = ROUNDING.factor(swapped_HX).T
        self._attended_TBX = top.rows_TBX[1:, :, top.fed :]
        attended = self._attended_TBX.unbind()
        self._kernels = kernels_for(self.embedded_TBE)
        rows = array(bottom.rows_TBX) if self._kernels else None
        bottom.fed_rows[0].copy_(self.fed_BF)
        for t in range(steps):
            self._step(t)
            self.attention.step(t)
            readout_BH = bottom.fed_rows[t + 1]
            ROUNDING.mm(attended[t], swapped_XH, out=readout_BH)
            if self._kernels:
                self._kernels.readout_step(rows, fed, t + 1)
            else:
                readout_BH.tanh_()
        return (bottom.rows_TBX[1:, :, :fed],)

    def backward(self, *d_outputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return the gradients of all inputs, in their order."""
        (d_outside_TBH,), bottom, top, context = d_outputs, self.bottom, self.top, len(self.combine_HX[0])
        assert d_outside_TBH is not None
        d_readouts_TBH = d_outside_TBH.contiguous()
        context -= top.size
        self._prepare_backward()
        d_sums_TBH = torch.empty_like(d_readouts_TBH)
        d_attended_TBX = d_sums_TBH.new_empty(*d_sums_TBH.shape[:2], context + top.size)
        self.attention.prepare_backward(Place(d_attended_TBX, 0, 0, context, len(d_sums_TBH)))
        d_hidden_BH, kernels, combine_HX = self._d_hidden_BH, self._kernels, ROUNDING.factor(self.combine_HX)
        arrays = (
            [array(d_readouts_TBH), array(bottom.rows_TBX), array(bottom.d_inputs_BU), array(d_sums_TBH)]
            if kernels
            else []
        )
        for t in reversed(range(len(d_sums_TBH))):
            d_sum_BH, d_attended_BX = d_sums_TBH[t], d_attended_TBX[t]
            if kernels:
                kernels.readout_back(*arrays, t)
            else:
                d_readout_BH = d_readouts_TBH[t] + bottom.d_fed_BF
                _aten.tanh_backward.grad_input(d_readout_BH, bottom.fed_rows[t + 1], grad_input=d_sum_BH)
            ROUNDING.mm(d_sum_BH, combine_HX, out=d_attended_BX)
            torch.add(top.d_hidden_BH, d_attended_BX[:, context:], out=d_hidden_BH)
            self.attention.back(t, d_hidden_BH)
            self._back(t, d_hidden_BH)
        d_combine_HX = product(d_sums_TBH, self._attended_TBX).roll(context, dims=1)
        shared, layers = self._gradients()
        return bottom.d_fed_BF, d_combine_HX, *shared, *layers


class _BahdanauRun(_Stack):
    """Bahdanau's order."""

    def forward(self) -> tuple[Tensor, ...]:
        """Return the top layer's hidden states (T, B, H) and the context vectors (T, B, A)."""
        steps, context = len(self.embedded_TBE), self.source.annotations_BSA.shape[2]
        self._make_layers(context, 0)
        bottom, top = self.bottom, self.top
        self._make_attention(
            Place(top.rows_TBX, 0, top.fed, top.size, steps), Place(bottom.rows_TBX, 0, 0, context, steps)
        )
        for t in range(steps):
            self.attention.step(t)
            self._step(t)
        return top.rows_TBX[1:, :, top.fed :], bottom.rows_TBX[:-1, :, :context]

    def backward(self, *d_outputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return the gradients of all inputs, in their order."""
        (d_states_TBH, d_outside_TBA), (bottom, top) = d_outputs, (self.bottom, self.top)
        assert d_states_TBH is not None
        assert d_outside_TBA is not None
        self._prepare_backward()
        d_contexts_TBA = torch.empty_like(d_outside_TBA, memory_format=torch.contiguous_format)
        steps, _, context = d_contexts_TBA.shape
        self.attention.prepare_backward(Place(d_contexts_TBA, 0, 0, context, steps))
        d_hidden_BH = torch.empty_like(self._d_hidden_BH)
        d_query_BH = torch.zeros_like(d_hidden_BH)
        for t in reversed(range(steps)):
            torch.add(d_states_TBH[t], d_query_BH, out=d_hidden_BH)
            self._back(t, d_hidden_BH)
            torch.add(d_outside_TBA[t], bottom.d_fed_BF, out=d_contexts_TBA[t])
            d_query_BH.copy_(top.d_hidden_BH)
            self.attention.back(t, d_query_BH)
        top.d_hidden_BH.copy_(d_query_BH)  # The first state is also the first query.
        shared, layers = self._gradients()
        return *shared, *layers
