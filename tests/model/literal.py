"""The whole network on one sentence, put together from the equations: what `model/` must equal.

Only the names and the layout of the weights are taken from the network; see `equations` for the mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from model.config import ModelConfig
from model.seq2seq import Seq2Seq
from tests.model import equations as eq
from tests.model.equations import Gates, State


@dataclass(frozen=True)
class Masks:
    """What one sentence's units are multiplied with by dropout, the same at every position; 1 changes nothing."""

    source_word: Tensor | float = 1.0
    encoder_layers: Sequence[Tensor | float] = (1.0,) * 9
    """Of what the encoder's layer n + 2 reads."""
    annotation: Tensor | float = 1.0
    decoder_layers: Sequence[Tensor | float] = (1.0,) * 9
    target_word: Tensor | float = 1.0
    readout: Tensor | float = 1.0


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of a sentence."""

    annotations: list[Tensor]
    last: list[list[State]]
    """Of every layer and direction."""

    @property
    def summary(self) -> Tensor:
        """c = [forwards h_S; backwards h_1] of the top layer (after Cho et al. 2014, section 2.2)."""
        return torch.cat([state[0] for state in self.last[-1]])


@dataclass(frozen=True)
class Carried:
    """What a step of the decoder takes from the one before."""

    layers: list[State]
    fed: Tensor
    coverage: list[Tensor]


@dataclass(frozen=True)
class Step:
    """What a step of the decoder makes."""

    weights: Tensor
    context: Tensor
    readout: Tensor
    logp: Tensor


@dataclass(frozen=True)
class Decoded:
    """The first state of every layer, and all steps."""

    first: list[State]
    steps: list[Step] = field(default_factory=list)


class LiteralNetwork:
    """The equations with a network's weights."""

    def __init__(self, network: Seq2Seq, masks: Masks | None = None) -> None:
        self.config: ModelConfig = network.config
        self.masks = masks or Masks()
        self.w = {name: p.detach() for name, p in network.named_parameters(remove_duplicate=False)}
        score = "decoder.attention.score."
        self.score_weights = {name.removeprefix(score): p for name, p in self.w.items() if name.startswith(score)}
        self.coverage_weight = torch.zeros((), dtype=torch.float64)
        if self.config.coverage:
            self.coverage_weight = self.w["decoder.attention.from_coverage.weight"][:, 0]
        self.recur = eq.lstm_step if self.config.cell == "lstm" else eq.gru_step
        self.decoder_step = {
            (False, "luong", False): self.fixed_step,
            (True, "luong", False): self.luong_step,
            (True, "luong", True): self.input_feeding_step,
            (True, "bahdanau", False): self.bahdanau_step,
        }[self.config.attention != "none", self.config.decoder, self.config.input_feeding]

        fused = "decoder.layers.layers.0.fused.weight_hh_l0" in self.w
        self.decoder_gates = [
            self.fused_gates(f"decoder.layers.layers.{n}") if fused else self.cell_gates(n)
            for n in range(self.config.layers)
        ]

    def zeros(self, size: int) -> State:
        """Return the state that is all zero."""
        return (torch.zeros(size, dtype=torch.float64),) * (2 if self.config.cell == "lstm" else 1)

    def fused_gates(self, name: str) -> Gates:
        """Read the weights of one of torch's layers."""
        return Gates(*(self.w[f"{name}.fused.{part}_l0"] for part in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")))

    def cell_gates(self, number: int) -> Gates:
        """Read the weights of a decoder's cell; the first layer's input is [y; what is fed], another's h below."""
        name = f"decoder.layers.cells.{number}"
        if self.config.cell == "lstm":
            # W [fed; h] is stored as one matrix.
            both = self.w[f"{name}.from_state.weight"]
            split = both.shape[1] - self.config.decoder_size
            W, U, d = both[:, :split], both[:, split:], torch.zeros(len(both), dtype=torch.float64)
        else:
            hidden = f"{name}.from_hidden"
            W, U, d = self.w[f"{name}.from_fed.weight"], self.w[f"{hidden}.weight"], self.w[f"{hidden}.bias"]
        if number:
            return Gates(W, self.w[f"decoder.layers.biases.{number - 1}"], U, d)
        word = "decoder.layers.from_embedding"
        return Gates(torch.cat([self.w[f"{word}.weight"], W], dim=1), self.w[f"{word}.bias"], U, d)

    def encode(self, source: Sequence[int]) -> Encoded:
        """Read a sentence layer by layer; a layer reads the states of all directions of the one below."""
        words = [self.w["source_embedding.weight"][token] * self.masks.source_word for token in source]
        directions = (False, True) if self.config.bidirectional else (self.config.reversed_source,)
        zeros, last = self.zeros(self.config.encoder_size), []
        for n in range(self.config.layers):
            if n:
                words = [word * self.masks.encoder_layers[n - 1] for word in words]
            read = [
                eq.encode_direction(words, zeros, self.recur, self.fused_gates(f"encoder.layers.{n}.{k}"), backwards)
                for k, backwards in enumerate(directions)
            ]
            words = [torch.cat(states) for states in zip(*(hidden for hidden, _ in read), strict=True)]
            last.append([state for _, state in read])
        return Encoded([word * self.masks.annotation for word in words], last)

    def bridge(self, last: list[State], n: int) -> State:
        """Return the first state of layer n of the decoder."""
        kind = self.config.bridge
        if kind == "zero":
            return self.zeros(self.config.decoder_size)
        if kind == "projection":
            weights = [f"bridge.projections.{n}.{part}" for part in range(len(last[0]))]
            hidden, *cell = (
                eq.bridge_projection([h for h, *_ in last], self.w[f"{w}.weight"], self.w[f"{w}.bias"]) for w in weights
            )
            return (torch.tanh(hidden), *cell)
        combine = {"concat": eq.bridge_concat, "mean": eq.bridge_mean, "max": eq.bridge_max}[kind]
        return tuple(combine(parts) for parts in zip(*last, strict=True))

    def score(self, h: Tensor, a: Tensor, coverage: Tensor) -> Tensor:
        """Return the score of one annotation; `coverage` is the attention that its word has had."""
        w, covered = self.score_weights, self.coverage_weight * coverage
        match self.config.attention:
            case "dot":
                return eq.score_dot(h, a, covered)
            case "scaled-dot":
                return eq.score_scaled_dot(h, a, covered)
            case "general":
                return eq.score_general(h, a, w["keys.weight"], covered)
            case "concat":
                W = torch.cat([w["queries.weight"], w["keys.weight"]], dim=1)
                return eq.score_concat(h, a, W, w["energy.weight"][0], covered)
            case "mlp":
                first = torch.cat([w["queries.weight"], w["keys.weight"]], dim=1), w["keys.bias"]
                second = w["hidden.weight"], w["hidden.bias"]
                return eq.score_mlp(h, a, first, second, w["energy.weight"][0], covered)
            case kind:
                raise NotImplementedError(f"attention={kind} has no transcription; add it here and to equations.py")

    def attend(self, h: Tensor, encoded: Encoded, coverage: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return the weights, the context vector, and c_s + a(s): See et al. 2017, eq. 10."""
        scores = [self.score(h, a, c) for a, c in zip(encoded.annotations, coverage, strict=True)]
        if self.config.local_window:
            W, v = (self.w[f"decoder.attention.weigh.{part}.weight"] for part in ("hidden", "place"))
            weights = eq.local_p(scores, h, W, v[0], self.config.local_window)
        else:
            weights = eq.global_weights(scores)
        context = eq.context_vector(weights, encoded.annotations)
        return weights, context, [c + a for c, a in zip(coverage, weights, strict=True)]

    def advance(self, x: Tensor, layers: list[State]) -> list[State]:
        """h^n_t = f(h^{n-1}_t, h^n_{t-1}), with x in the place of h^0_t."""
        after: list[State] = []
        for n, (state, p) in enumerate(zip(layers, self.decoder_gates, strict=True)):
            below = after[-1][0] * self.masks.decoder_layers[n - 1] if n else x
            after.append(self.recur(below, state, p))
        return after

    def read_out(self, readout: Tensor, weights: Tensor, context: Tensor) -> Step:
        """Return the step that ends with this readout."""
        readout = readout * self.masks.readout
        return Step(
            weights, context, readout, eq.log_probabilities(readout, self.w["output.weight"], self.w["output.bias"])
        )

    def fixed_step(self, y: Tensor, carried: Carried, encoded: Encoded) -> tuple[Carried, Step]:
        """h_t = f(y, h_{t-1}), the readout; peeky: h_t = f([y; c], h_{t-1}) and [h_t; c] (Cho et al. 2014, 2.2)."""
        c = encoded.summary if self.config.peeky else encoded.summary[:0]
        layers = self.advance(torch.cat([y, c]), carried.layers)
        return replace(carried, layers=layers), self.read_out(torch.cat([layers[-1][0], c]), c[:0], c)

    def luong_step(self, y: Tensor, carried: Carried, encoded: Encoded) -> tuple[Carried, Step]:
        """h_t = f(y, h_{t-1});  c_t from h_t;  h~_t = tanh(W [c_t; h_t]) (Luong et al. 2015, section 3)."""
        layers = self.advance(y, carried.layers)
        weights, c, coverage = self.attend(layers[-1][0], encoded, carried.coverage)
        readout = eq.attentional_vector(c, layers[-1][0], self.w["decoder.combine.weight"])
        return Carried(layers, carried.fed, coverage), self.read_out(readout, weights, c)

    def input_feeding_step(self, y: Tensor, carried: Carried, encoded: Encoded) -> tuple[Carried, Step]:
        """h_t = f([y; h~_{t-1}], h_{t-1}), the rest as `luong_step` (Luong et al. 2015, section 3.3)."""
        layers = self.advance(torch.cat([y, carried.fed]), carried.layers)
        weights, c, coverage = self.attend(layers[-1][0], encoded, carried.coverage)
        fed = eq.attentional_vector(c, layers[-1][0], self.w["decoder.combine.weight"])
        return Carried(layers, fed, coverage), self.read_out(fed, weights, c)

    def bahdanau_step(self, y: Tensor, carried: Carried, encoded: Encoded) -> tuple[Carried, Step]:
        """c_i from s_{i-1};  s_i = f([y; c_i], s_{i-1});  t = maxout(U s_i + V y + C c_i) (2015, 3.1 and A.2.2)."""
        weights, c, coverage = self.attend(carried.layers[-1][0], encoded, carried.coverage)
        layers = self.advance(torch.cat([y, c]), carried.layers)
        U, V, C = (self.w[f"decoder.from_{part}.weight"] for part in ("state", "word", "context"))
        t = U @ layers[-1][0] + self.w["decoder.from_state.bias"] + V @ y + C @ c
        return Carried(layers, carried.fed, coverage), self.read_out(eq.maxout(t), weights, c)

    def decode(self, encoded: Encoded, tokens: Sequence[int]) -> Decoded:
        """Feed `tokens`, one after the other."""
        first = [self.bridge(last, n) for n, last in enumerate(encoded.last)]
        nothing = torch.zeros((), dtype=torch.float64)
        carried = Carried(first, torch.zeros_like(first[0][0]), [nothing] * len(encoded.annotations))
        decoded = Decoded(first)
        for token in tokens:
            y = self.w["target_embedding.weight"][token] * self.masks.target_word
            carried, step = self.decoder_step(y, carried, encoded)
            decoded.steps.append(step)
        return decoded
