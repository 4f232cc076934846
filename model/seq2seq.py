"""The whole network: source and target tokens in, loss out; or one decoding step at a time.

Legend of the shape letters that end a tensor's name in this folder (a digit is a size, B' another size of that kind):

    B  sentences of a batch                     E  embedding units
    S  source positions                         D  units of one encoder direction
    T  target positions                         A  annotation units, D or 2D
    N  hypotheses of a batch: N = B x Y         H  decoder units
    Y  hypotheses of a sentence, 1 or a beam    K  units of a key
    Z  queries of a sentence: Y x T             R  units of a readout, which the output layer reads
    P  positions of all sentences               I  input units of a layer
    M  target tokens, without padding           F  units fed from the step before
    C  tokens of a chunk of the loss            G  units of all gates of a cell
    L  tokens of a hypothesis so far            U  units that a cell multiplies: F + H
    J  candidates for the next hypotheses       X  units that make a readout: H + A
    V  vocabulary                               Q  blocks, of the vocabulary or of draws
    O  random draws of a sentence               W  tokens of a block
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import SourceMemory
from .bridge import COMBINATIONS, make_bridge
from .config import ModelConfig
from .decoder import DecoderState, make_decoder
from .dropout import DropoutNoise, drop
from .embeddings import look_up
from .encoder import Encoder
from .forcing import TeacherForcing
from .loss import Loss, summed_cross_entropy


@dataclass(frozen=True)
class SpecialTokens:
    """Tokens that have the same index in both vocabularies."""

    padding: int = 0
    unknown: int = 1
    start: int = 2
    end: int = 3


SPECIAL_TOKENS = SpecialTokens()


@dataclass(frozen=True)
class Batch:
    """Padded token indices. Source sentences end with `end`; target ones start with `start` and end with `end`."""

    source_BS: Tensor
    source_lengths_B: Tensor
    target_BT: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with all of its tensors changed."""
        return Batch(change(self.source_BS), change(self.source_lengths_B), change(self.target_BT))


class Seq2Seq(nn.Module):
    """Encoder, bridge, decoder and output projection."""

    def __init__(
        self,
        config: ModelConfig,
        source_vocabulary: int,
        target_vocabulary: int,
        tokens: SpecialTokens = SPECIAL_TOKENS,
    ) -> None:
        super().__init__()
        _set_up_vector_functions()
        self.config = config
        self.tokens = tokens
        self.source_embedding = nn.Embedding(source_vocabulary, config.embedding_size)
        self.encoder = Encoder(config, with_cells=config.bridge in COMBINATIONS)
        self.bridge = make_bridge(config)
        self.target_embedding = nn.Embedding(target_vocabulary, config.embedding_size)
        self.decoder = make_decoder(config)
        self.output = nn.Linear(config.readout_size, target_vocabulary)
        _initialise(self, config)
        if config.tied_embeddings != "none":
            self.output.weight = self.target_embedding.weight
        if config.tied_embeddings == "all":
            self.source_embedding.weight = self.target_embedding.weight

    @property
    def mask_units(self) -> int:
        """Units of all dropout masks of a sentence: on words, between layers, on annotations and readouts."""
        config = self.config
        words, layers = 2 * config.embedding_size, config.layers
        return words + layers * config.annotation_size + (layers - 1) * config.decoder_size + config.readout_size

    def encode(
        self, source_BS: Tensor, lengths_B: Tensor, noise: DropoutNoise | None = None
    ) -> tuple[SourceMemory, DecoderState]:
        """Read the source; return what the decoder reads at every step and its first state."""
        return self._read(self.source_embedding(source_BS), lengths_B, noise)

    def _read(
        self, embedded_BSE: Tensor, lengths_B: Tensor, noise: DropoutNoise | None
    ) -> tuple[SourceMemory, DecoderState]:
        encoding = self.encoder(drop(embedded_BSE, noise), lengths_B, noise)
        layers = self.bridge(encoding.last)
        layer_masks = () if noise is None else tuple(noise.mask(state[0].unsqueeze(1)) for state in layers[1:])
        memory: SourceMemory = self.decoder.remember(encoding, lengths_B, layer_masks)
        return memory, self.decoder.start(layers, memory)

    def step(self, token_N: Tensor, state: DecoderState, memory: SourceMemory) -> tuple[Tensor, DecoderState, Tensor]:
        """Feed one target token; return log-probabilities (N, V), the next state, attention weights (N, S).

        Without attention there are no positions to attend to: the weights are (N, 0).
        """
        embedded_N1E = self.target_embedding(token_N).unsqueeze(1)
        state, readout_N1R, weights_N1S = self.decoder(embedded_N1E, state, memory)
        return torch.log_softmax(self.output(readout_N1R.squeeze(1)), dim=-1), state, weights_N1S.squeeze(1)

    def forward(
        self,
        batch: Batch,
        noise: DropoutNoise | None = None,
        label_smoothing: float = 0.0,
        forcing: TeacherForcing | None = None,
    ) -> Loss:
        """Return the summed loss of the batch; without `forcing`, the reference's tokens are all fed."""
        embedded_BSE, embedded_BTE, projection_VR = self._look_up(batch.source_BS, batch.target_BT[:, :-1])
        memory, state = self._read(embedded_BSE, batch.source_lengths_B, noise)
        if forcing is None:
            readouts_BTR = drop(self.decoder.read_out(drop(embedded_BTE, noise), state, memory), noise)
        else:
            readouts_BTR = self._sample(batch.target_BT, state, memory, noise, forcing)
        return summed_cross_entropy(
            readouts_BTR, projection_VR, self.output.bias, batch.target_BT[:, 1:], self.tokens.padding, label_smoothing
        )

    def _look_up(self, source_BS: Tensor, target_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both sides' embeddings and the output projection (V, R), with one gradient for a shared table."""
        source_VE, target_VE = self.source_embedding.weight, self.target_embedding.weight
        if source_VE is target_VE:
            shared_VE, embedded_BSE, embedded_BTE = look_up(target_VE, source_BS, target_BT)
        else:
            _, embedded_BSE = look_up(source_VE, source_BS)
            shared_VE, embedded_BTE = look_up(target_VE, target_BT)
        return embedded_BSE, embedded_BTE, shared_VE if self.output.weight is target_VE else self.output.weight

    def _sample(
        self,
        target_BT: Tensor,
        state: DecoderState,
        memory: SourceMemory,
        noise: DropoutNoise | None,
        forcing: TeacherForcing,
    ) -> Tensor:
        """Return the readouts (B, T, R), feeding tokens of the reference or, where not forced, the likeliest ones."""
        mask_E = drop(torch.ones_like(self.target_embedding.weight[:1]).unsqueeze(0), noise)
        mask_R = drop(torch.ones_like(self.output.weight[:1]).unsqueeze(0), noise)
        forced_BT = forcing.draw(target_BT.shape[1] - 1)
        token_B = target_BT[:, 0]
        readouts: list[Tensor] = []
        for reference_B, forced_B in zip(target_BT.unbind(1), forced_BT.unbind(1), strict=False):
            token_B = torch.where(forced_B, reference_B, token_B)
            embedded_B1E = self.target_embedding(token_B).unsqueeze(1) * mask_E
            state, readout_B1R, _ = self.decoder(embedded_B1E, state, memory)
            readouts.append(readout_B1R * mask_R)
            token_B = self.output(readouts[-1].detach().squeeze(1)).argmax(dim=-1)
        return torch.cat(readouts, dim=1)


def _set_up_vector_functions() -> None:
    """Make the first call of MKL's vector functions, which sets them up, in a single thread.

    When two threads made it at once, in one process of thirty the first tanh was off by 4e-6 in one thread's half, and
    the same training ended with other weights.
    """
    one = torch.ones(1, device="cpu")
    for function in (torch.tanh, torch.exp, torch.log):
        function(one)


def _initialise(model: Seq2Seq, config: ModelConfig) -> None:
    """Set the weights at the start of training."""
    if config.initialisation == "uniform":
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)
        return
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    # Embeddings of norm about 1: large enough to tell apart, small enough to serve as the output layer.
    for embedding in (model.source_embedding, model.target_embedding):
        nn.init.normal_(embedding.weight, std=config.embedding_size**-0.5)
