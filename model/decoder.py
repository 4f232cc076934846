"""Decoders: from the tokens so far to the readouts that predict the next ones.

All have one interface: `remember` what the encoder made, `start`, and a call over any number of target positions: all
of a sentence under teacher forcing, one in search. `read_out` is that call for training, which needs the readouts alone
and is faster where unrolled/ computes the decoder.

Shapes: B sentences, N hypotheses (in training, the reference of each sentence: N = B), T target positions, S source
positions, E embedding units, H decoder units, A annotation units, K units of a key, R units of a readout, G units of
all gates.
"""

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn

from .attention import Attention, Softmax, SourceMemory, make_attention
from .config import ModelConfig
from .encoder import Encoding
from .recurrent import CellStack, GruCell, LayerStack, LstmCell
from .scores import SCORES, ConcatScore, MlpScore, Score, is_product
from .unrolled.attention import AttendedSource
from .unrolled.cells import CellState, LayerStart
from .unrolled.unroll import unroll_bahdanau, unroll_luong


@dataclass(frozen=True)
class DecoderState:
    """What one step hands to the next."""

    layers: tuple[CellState, ...]
    fed_NH: Tensor
    """The attentional vector of the step before, zeros at the start; (N, 0) without input feeding."""
    coverage_NS: Tensor
    """The attention that every source position has received; (N, 0) without coverage."""

    def select(self, rows: Tensor) -> "DecoderState":
        """Return the state of the hypotheses `rows`, int64 (N',), in that order."""
        layers = tuple(tuple(part.index_select(0, rows) for part in layer) for layer in self.layers)
        return DecoderState(layers, self.fed_NH.index_select(0, rows), self.coverage_NS.index_select(0, rows))


Decoded = tuple[DecoderState, Tensor, Tensor]
"""The state after the last position, the readouts (N, T, R), the attention weights (N, T, S)."""


class Decoder(nn.Module):
    """What all decoders have in common."""

    def read_out(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Tensor:
        """Return the readouts (N, T, R) of T tokens and nothing else, for training."""
        readouts_NTR: Tensor = self(embedded_NTE, state, memory)[1]
        return readouts_NTR


class FixedContextDecoder(Decoder):
    """No attention: the first state holds all that is known of the source (Sutskever et al. 2014, section 2).

    h_t = LSTM(y_{t-1}, h_{t-1}), which is the readout.
    """

    def __init__(self, config: ModelConfig, inputs: int | None = None) -> None:
        """Make the layers, which read `inputs` units, by default those of an embedding."""
        super().__init__()
        self.layers = LayerStack(config.cell, inputs or config.embedding_size, config.decoder_size, config.layers)

    def remember(self, encoding: Encoding, lengths_B: Tensor, layer_masks: tuple[Tensor, ...]) -> SourceMemory:
        """Keep the fixed context vector, and no position to attend to."""
        nothing_B0A = encoding.annotations_BSA[:, :0]
        return SourceMemory(nothing_B0A, nothing_B0A, nothing_B0A[:, :, 0], lengths_B, encoding.summary, layer_masks)

    def start(self, layers: tuple[CellState, ...], memory: SourceMemory) -> DecoderState:
        """Return the state before the first target token."""
        return DecoderState(layers, layers[0][0][:, :0], memory.padding_bias_BS)

    def forward(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Decoded:
        """Read the embeddings of T tokens."""
        hidden_NTH, layers = self.layers(embedded_NTE, state.layers, memory.layer_masks)
        return DecoderState(layers, state.fed_NH, state.coverage_NS), hidden_NTH, hidden_NTH[:, :, :0]


class PeekyDecoder(FixedContextDecoder):
    """The fixed context vector c at every step, for the layers and for the output (after Cho et al. 2014, section 2.2).

    h_t = LSTM([y_{t-1}; c], h_{t-1}); the readout is [h_t; c]. Cho's output layer also sees y_{t-1}.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.embedding_size + config.annotation_size)

    def forward(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Decoded:
        """Read the embeddings of T tokens."""
        copies = embedded_NTE.shape[0] // memory.summary_BA.shape[0]  # The hypotheses of a beam.
        summary_BA = memory.summary_BA if copies == 1 else memory.summary_BA.repeat_interleave(copies, dim=0)
        context_NTA = summary_BA.unsqueeze(1).expand(-1, embedded_NTE.shape[1], -1)
        state, hidden_NTH, weights_NT0 = super().forward(torch.cat([embedded_NTE, context_NTA], -1), state, memory)
        return state, torch.cat([hidden_NTH, context_NTA], dim=-1), weights_NT0


class AttentiveDecoder(Decoder):
    """What decoders with attention have in common."""

    def __init__(self, config: ModelConfig, layers: LayerStack | CellStack) -> None:
        super().__init__()
        self.layers: LayerStack | CellStack = layers
        self.attention = make_attention(config)
        self.unrolls = isinstance(layers, CellStack) and self._is_what_unrolled_computes()
        """Whether training takes all steps at once, by unrolled/; not what a subclass of its parts computes."""
        assert self.unrolls == (isinstance(layers, CellStack) and plain_loop_because(config) is None), (
            "plain_loop_because must name the option that unrolled/ does not compute"
        )

    def _is_what_unrolled_computes(self) -> bool:
        """Compare the types of all parts: a subclass that computes something else must not be trained as its base."""
        parts, score = (type(self.attention), type(self.attention.weigh)), self.attention.score
        return (
            type(self) in (InputFeedingDecoder, BahdanauDecoder)
            and parts == (Attention, Softmax)
            and _unrolls_score(type(score))
            and isinstance(getattr(score, "scale", 1.0), float)  # A weight would get no gradient.
        )

    def _unrolled(
        self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory
    ) -> tuple[tuple[Tensor, Tensor], list[LayerStart], AttendedSource]:
        """Return what unrolled/ takes: words and their weights, the layers, the source."""
        assert isinstance(self.layers, CellStack)
        from_word, cells = self.layers.from_embedding, self.layers.cells
        masks = (None, *(memory.layer_masks or (None,) * len(self.layers.biases)))
        weights = [cell.weights() for cell in cells if isinstance(cell, LstmCell | GruCell)]
        biases = (from_word.bias, *self.layers.biases)
        starts = [LayerStart(*parts) for parts in zip(state.layers, weights, biases, masks, strict=True)]
        source = AttendedSource(
            self.attention.score, memory.keys_BSK, memory.annotations_BSA, memory.padding_bias_BS, memory.lengths_B
        )
        return (embedded_NTE.transpose(0, 1).contiguous(), from_word.weight), starts, source

    def remember(self, encoding: Encoding, lengths_B: Tensor, layer_masks: tuple[Tensor, ...]) -> SourceMemory:
        """Compute what attention needs once per sentence."""
        return self.attention.memory(encoding, lengths_B, layer_masks)

    def start(self, layers: tuple[CellState, ...], memory: SourceMemory) -> DecoderState:
        """Return the state before the first target token."""
        return DecoderState(layers, layers[0][0][:, :0], self.attention.nothing_covered(memory))


class LuongDecoder(AttentiveDecoder):
    """The new state attends (Luong et al. 2015, section 3). No state depends on attention, so one call runs them all.

    h_t = LSTM(y_{t-1}, h_{t-1});  c_t = attention(h_t);  readout = tanh(W [c_t; h_t])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, self._make_layers(config))
        self.combine = nn.Linear(config.annotation_size + config.decoder_size, config.decoder_size, bias=False)

    @staticmethod
    def _make_layers(config: ModelConfig) -> LayerStack | CellStack:
        return LayerStack(config.cell, config.embedding_size, config.decoder_size, config.layers)

    def forward(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Decoded:
        """Read the embeddings of T tokens."""
        hidden_NTH, layers = self.layers(embedded_NTE, state.layers, memory.layer_masks)
        readouts_NTH, weights_NTS, coverage_NS = self._attend(hidden_NTH, memory, state.coverage_NS)
        return DecoderState(layers, state.fed_NH, coverage_NS), readouts_NTH, weights_NTS

    def _attend(self, hidden_NTH: Tensor, memory: SourceMemory, coverage_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the attentional vectors (N, T, H), the weights (N, T, S) and the coverage after them."""
        context_NTA, weights_NTS, coverage_NS = self.attention(hidden_NTH, memory, coverage_NS)
        return torch.tanh(self.combine(torch.cat([context_NTA, hidden_NTH], dim=-1))), weights_NTS, coverage_NS


class InputFeedingDecoder(LuongDecoder):
    """Luong's order with input feeding (Luong et al. 2015, section 3.3): every step waits for the attention before.

    h_t = LSTM([y_{t-1}; a_{t-1}], h_{t-1});  c_t = attention(h_t);  a_t = tanh(W [c_t; h_t]), which is the readout.
    """

    layers: CellStack

    @staticmethod
    def _make_layers(config: ModelConfig) -> CellStack:
        return CellStack(config.cell, config.embedding_size, config.decoder_size, config.decoder_size, config.layers)

    def start(self, layers: tuple[CellState, ...], memory: SourceMemory) -> DecoderState:
        """Return the state before the first target token, with zeros to feed."""
        return DecoderState(layers, torch.zeros_like(layers[0][0]), self.attention.nothing_covered(memory))

    def forward(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Decoded:
        """Read the embeddings of T tokens, one after the other."""
        readouts, weights = [], []
        layers, fed_NH, coverage_NS = state.layers, state.fed_NH, state.coverage_NS
        for gates_NG in self.layers.gates(embedded_NTE):
            layers = self.layers(gates_NG, fed_NH, layers, memory.layer_masks)
            fed_N1H, weights_N1S, coverage_NS = self._attend(layers[-1][0].unsqueeze(1), memory, coverage_NS)
            fed_NH = fed_N1H.squeeze(1)
            readouts.append(fed_N1H)
            weights.append(weights_N1S)
        return DecoderState(layers, fed_NH, coverage_NS), torch.cat(readouts, dim=1), torch.cat(weights, dim=1)

    def read_out(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Tensor:
        """Return the readouts (N, T, H), by unrolled/ where it computes this decoder, else by the loop above."""
        if not self.unrolls:
            return super().read_out(embedded_NTE, state, memory)
        words, starts, source = self._unrolled(embedded_NTE, state, memory)
        return unroll_luong(*words, starts, source, state.fed_NH, self.combine.weight)


def plain_loop_because(config: ModelConfig) -> str | None:
    """Return the option that makes training run the decoder's plain loop, step by step; None where it does not."""
    if config.coverage:
        return "coverage=true"
    if config.decoder == "luong" and not config.input_feeding:
        return None  # One call runs all steps, without a loop.
    if config.local_window is not None:
        return f"local_window={config.local_window}"
    return None if _unrolls_score(SCORES[config.attention]) else f"attention={config.attention}"


def _unrolls_score(score: type[Score]) -> bool:
    return score in (ConcatScore, MlpScore) or is_product(score)


class BahdanauDecoder(AttentiveDecoder):
    """The old state attends, and the context enters the new one (Bahdanau et al. 2015, section 3.1, appendix A.2.2).

    c_t = attention(s_{t-1});  s_t = GRU([y_{t-1}; c_t], s_{t-1});
    readout = maxout(U s_t + V y_{t-1} + C c_t), each unit the larger of two.

    The readout takes the new state, as the paper's eq. 4 and later systems do; its appendix prints the old one. The
    cell is that of recurrent.py. Of several layers, the top one attends and the first one reads the context.
    """

    layers: CellStack

    def __init__(self, config: ModelConfig) -> None:
        size, annotation_size = config.decoder_size, config.annotation_size
        super().__init__(config, CellStack(config.cell, config.embedding_size, annotation_size, size, config.layers))
        self.from_state = nn.Linear(size, 2 * size)
        self.from_word = nn.Linear(config.embedding_size, 2 * size, bias=False)
        self.from_context = nn.Linear(annotation_size, 2 * size, bias=False)

    def forward(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Decoded:
        """Read the embeddings of T tokens, one after the other."""
        hidden, contexts, weights = [], [], []
        layers, coverage_NS = state.layers, state.coverage_NS
        for gates_NG in self.layers.gates(embedded_NTE):
            query_N1H = layers[-1][0].unsqueeze(1)
            context_N1A, weights_N1S, coverage_NS = self.attention(query_N1H, memory, coverage_NS)
            layers = self.layers(gates_NG, context_N1A.squeeze(1), layers, memory.layer_masks)
            hidden.append(layers[-1][0])
            contexts.append(context_N1A)
            weights.append(weights_N1S)
        readouts_NTH = self._read_out(torch.stack(hidden, dim=1), embedded_NTE, torch.cat(contexts, dim=1))
        return DecoderState(layers, state.fed_NH, coverage_NS), readouts_NTH, torch.cat(weights, dim=1)

    def read_out(self, embedded_NTE: Tensor, state: DecoderState, memory: SourceMemory) -> Tensor:
        """Return the readouts (N, T, H), by unrolled/ where it computes this decoder, else by the loop above."""
        if not self.unrolls:
            return super().read_out(embedded_NTE, state, memory)
        words, starts, source = self._unrolled(embedded_NTE, state, memory)
        hidden_NTH, contexts_NTA = unroll_bahdanau(*words, starts, source)
        return self._read_out(hidden_NTH, embedded_NTE, contexts_NTA)

    def _read_out(self, hidden_NTH: Tensor, embedded_NTE: Tensor, context_NTA: Tensor) -> Tensor:
        pairs_NT2H = self.from_state(hidden_NTH) + self.from_word(embedded_NTE) + self.from_context(context_NTA)
        readouts_NTH: Tensor = pairs_NT2H.unflatten(-1, (-1, 2)).amax(dim=-1)
        return readouts_NTH


def make_decoder(config: ModelConfig) -> FixedContextDecoder | AttentiveDecoder:
    """Return the decoder that the configuration describes."""
    if config.attention == "none":
        return PeekyDecoder(config) if config.peeky else FixedContextDecoder(config)
    match config.decoder:
        case "luong":
            return InputFeedingDecoder(config) if config.input_feeding else LuongDecoder(config)
        case "bahdanau":
            return BahdanauDecoder(config)
        case _:
            assert_never(config.decoder)
