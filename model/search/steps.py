"""One step of the decoder for the compiled search: of any architecture by torch, of one kind mostly by kernels.

Both hold the states of all hypotheses. A step moves each to where its hypothesis goes on, feeds it a token, and returns
logits without their bias.

Shapes: N hypotheses (Y of each sentence side by side), B sentences, S source positions, V vocabulary, E embedding
units, K units of a key, H decoder units, A annotation units, R units of a readout, U units that a cell multiplies, X
units of a row (what stands beside the hidden state, then it), G units of all gates, I units of a product's rows; T is
2, the states before and after a step.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState, InputFeedingDecoder
from ..kernels.load import Kernels, array
from ..recurrent import LstmCell
from ..scores import ProductScore, is_product
from ..seq2seq import Seq2Seq
from ..unrolled.cells import CellState

FEW = 8
"""Rows that a kernel multiplies faster than libraries do, which first copy the weights into an order of their own."""
MULTIPLE = 8
"""Of more rows, a multiple of this many is computed: oneDNN compiles a kernel for every new shape."""


class Steps(Protocol):
    """The decoder and its states, one row per hypothesis."""

    def step(self, parents_N: Any, tokens_N: Any, sentences_B: Any) -> tuple[Tensor, Tensor]:
        """Return the logits (N, V) without their bias, perhaps with rows beyond N, and the weights (N, S).

        Takes arrays of int64. parents_N: the rows of the step before that the hypotheses go on from, at the first step
        the sentences'. sentences_B: those still searched, each with as many hypotheses.
        """


def make_steps(model: Seq2Seq, memory: SourceMemory, state: DecoderState, kernels: Kernels) -> Steps:
    """Return the fastest steps for the architecture. memory, state: of the sentences, each with one row."""
    decoder = model.decoder
    kind = FeedingSteps if isinstance(decoder, InputFeedingDecoder) and _has_kernels(decoder) else TorchSteps
    return kind(model, memory, state, kernels)


def _has_kernels(decoder: InputFeedingDecoder) -> bool:
    cells_are_lstms = all(type(cell) is LstmCell for cell in decoder.layers.cells)
    return decoder.unrolls and cells_are_lstms and is_product(type(decoder.attention.score))


def multiply(kernels: Kernels, rows_NI: Tensor, weights_GI: Tensor, sums_NG: Tensor) -> None:
    """Add rows_NI weights_GI' to `sums_NG`."""
    if len(rows_NI) <= FEW:
        kernels.multiply_few(array(rows_NI), array(weights_GI), array(sums_NG))
    else:
        sums_NG.addmm_(rows_NI, weights_GI.T)


def _read_out(kernels: Kernels, readouts_NR: Tensor, weights_VR: Tensor, logits_NV: Tensor) -> Tensor:
    if len(readouts_NR) > FEW:
        return torch.mm(readouts_NR, weights_VR.T, out=logits_NV)
    multiply(kernels, readouts_NR, weights_VR, logits_NV.zero_())
    return logits_NV


class TorchSteps:
    """Any decoder, by the call that search by torch makes too."""

    def __init__(self, model: Seq2Seq, memory: SourceMemory, state: DecoderState, kernels: Kernels) -> None:
        """See `make_steps`."""
        self._model, self._all, self._memory, self._state, self._kernels = model, memory, memory, state, kernels
        self._sentences, self._weights_VR = memory.lengths_B.shape[0], model.output.weight.contiguous()

    def step(self, parents_N: Any, tokens_N: Any, sentences_B: Any) -> tuple[Tensor, Tensor]:
        """See `Steps`."""
        if len(sentences_B) < self._sentences:
            self._memory, self._sentences = self._all.select(torch.from_numpy(sentences_B)), len(sentences_B)
        embedded_N1E = self._model.target_embedding(torch.from_numpy(tokens_N)).unsqueeze(1)
        state = self._state.select(torch.from_numpy(parents_N))
        self._state, readouts_N1R, weights_N1S = self._model.decoder(embedded_N1E, state, self._memory)
        readouts_NR = readouts_N1R.squeeze(1).contiguous()
        logits_NV = readouts_NR.new_empty(len(readouts_NR), len(self._weights_VR))
        return _read_out(self._kernels, readouts_NR, self._weights_VR, logits_NV), weights_N1S.squeeze(1)


class _Layer:
    """The buffers of an LSTM layer for a number of rows."""

    def __init__(self, weights_GU: Tensor, bias_G: Tensor, beside: int, rows: int) -> None:
        """Make buffers for `rows` hypotheses; `beside` each hidden state are so many units before it."""
        self.weights_GU, self.bias_G, self.beside, size = weights_GU, bias_G, beside, len(weights_GU) // 4
        self.fed = weights_GU.shape[1] - size
        self.inputs_NU = weights_GU.new_zeros(rows, weights_GU.shape[1])
        self.gates_1NG = weights_GU.new_zeros(1, rows, 4 * size)
        self.rows_TNX = weights_GU.new_zeros(2, rows, beside + size)
        self.cells_TNH = weights_GU.new_zeros(2, rows, size)
        tensors = (self.inputs_NU, self.gates_1NG, self.rows_TNX, self.cells_TNH)
        self.inputs, self.gates, self.rows, self.cells = map(array, tensors)

    def resized(self, rows: int) -> "_Layer":
        """Return buffers for another number of rows."""
        return _Layer(self.weights_GU, self.bias_G, self.beside, rows)

    def start(self, state: CellState) -> None:
        """Begin with the state that a step before would have left."""
        self.rows_TNX[1, :, self.beside :], self.cells_TNH[1] = state

    def step(self, kernels: Kernels) -> None:
        """Take a step, once the gates hold what else they are made of, and the inputs what the layer is fed."""
        multiply(kernels, self.inputs_NU, self.weights_GU, self.gates_1NG[0])
        kernels.lstm_step(self.gates, self.cells, self.rows, self.beside, 0)


class FeedingSteps:
    """LSTMs with input feeding, and attention by the product of query and key (the equations are in decoder.py)."""

    def __init__(self, model: Seq2Seq, memory: SourceMemory, state: DecoderState, kernels: Kernels) -> None:
        """See `make_steps`."""
        decoder = model.decoder
        assert isinstance(decoder, InputFeedingDecoder)
        assert isinstance(decoder.attention.score, ProductScore)
        self._kernels, self._scale, stack = kernels, decoder.attention.score.scale, decoder.layers
        self._from_word_GE, self._combine_HX = stack.from_embedding.weight.contiguous(), decoder.combine.weight
        self._weights_VR = model.output.weight.contiguous()
        self._table = array(model.target_embedding.weight.contiguous())
        self._source = tuple(
            map(array, (memory.keys_BSK.contiguous(), memory.annotations_BSA.contiguous(), memory.lengths_B))
        )
        biases, rows = (stack.from_embedding.bias, *stack.biases), len(state.fed_NH)
        self._layers = []
        for number, (cell, bias_G, layer) in enumerate(zip(stack.cells, biases, state.layers, strict=True)):
            assert isinstance(cell, LstmCell)
            beside = memory.annotations_BSA.shape[2] if number == len(biases) - 1 else 0
            self._layers.append(_Layer(cell.from_state.weight.contiguous(), bias_G, beside, rows))
            self._layers[-1].start(layer)
        self._make_buffers(rows)
        self._readouts_1NH[0] = state.fed_NH

    def _make_buffers(self, rows: int) -> None:
        new = self._weights_VR.new_zeros
        self._words_NE = new(rows, self._from_word_GE.shape[1])
        self._readouts_1NH, self._logits_NV = new(1, rows, len(self._combine_HX)), new(rows, len(self._weights_VR))
        self._words, self._readouts = array(self._words_NE), array(self._readouts_1NH)

    def step(self, parents_N: Any, tokens_N: Any, sentences_B: Any) -> tuple[Tensor, Tensor]:
        """See `Steps`."""
        kernels, count = self._kernels, len(parents_N)
        self._go_on(parents_N, tokens_N)
        below, gates_NG = self._layers[0], self._layers[0].gates_1NG[0]
        gates_NG.copy_(below.bias_G)
        multiply(kernels, self._words_NE, self._from_word_GE, gates_NG)
        below.step(kernels)
        for layer in self._layers[1:]:
            layer.gates_1NG.copy_(layer.bias_G)
            layer.inputs_NU[:, : layer.fed] = below.rows_TNX[1]
            layer.step(kernels)
            below = layer
        weights_NS = gates_NG.new_empty(count, self._source[0].shape[1])
        beam = count // len(sentences_B)
        kernels.attend(below.rows, *self._source, sentences_B, beam, self._scale, array(weights_NS))
        readouts_NH = self._readouts_1NH[0].zero_()
        multiply(kernels, below.rows_TNX[1], self._combine_HX, readouts_NH)
        kernels.readout_step(self._readouts, readouts_NH.shape[1], 0)
        return _read_out(kernels, readouts_NH, self._weights_VR, self._logits_NV), weights_NS

    def _go_on(self, parents_N: Any, tokens_N: Any) -> None:
        """Move the states to where their hypotheses go on, and feed those their tokens."""
        kernels, count, readouts, before = self._kernels, len(parents_N), self._readouts, self._layers
        rows = count if count <= FEW else -(-count // MULTIPLE) * MULTIPLE
        if rows != len(self._words_NE):
            self._make_buffers(rows)
            self._layers = [layer.resized(rows) for layer in before]
        for old, new in zip(before, self._layers, strict=True):
            kernels.follow(parents_N, old.rows, old.beside, old.cells, new.inputs, new.fed, new.cells, count)
        kernels.feed(parents_N, tokens_N, self._table, self._words, readouts[0], self._layers[0].inputs, count)
