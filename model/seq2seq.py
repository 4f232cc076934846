"""The whole network: source and target tokens in, loss out; or one decoding step at a time.

Legend of the shape letters that end a tensor's name, here and in the files beside this one:

    B  sentences of a batch (in search: hypotheses)   E  embedding units
    S  source positions                               D  units of one encoder direction
    T  target positions                               A  annotation units, 2D
    V  target vocabulary                              H  decoder units
    K  beam                                           N  words that are not padding
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import Memory
from .config import ModelConfig
from .decoder import Bridge, DecoderState, InputFeedingDecoder
from .dropout import DropoutNoise, drop
from .encoder import BidirectionalEncoder
from .loss import Loss, summed_cross_entropy


@dataclass(frozen=True)
class SpecialTokens:
    """Indices that mean the same in both vocabularies."""

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


class Seq2Seq(nn.Module):
    """Encoder, bridge, attentive decoder and output projection (Luong et al. 2015)."""

    def __init__(
        self,
        config: ModelConfig,
        source_vocabulary: int,
        target_vocabulary: int,
        tokens: SpecialTokens = SPECIAL_TOKENS,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        annotation_size = 2 * config.encoder_size
        self.source_embedding = nn.Embedding(source_vocabulary, config.embedding_size)
        self.encoder = BidirectionalEncoder(config.embedding_size, config.encoder_size)
        self.bridge = Bridge(annotation_size, config.decoder_size)
        self.target_embedding = nn.Embedding(target_vocabulary, config.embedding_size)
        self.decoder = InputFeedingDecoder(config.embedding_size, config.decoder_size, annotation_size)
        self.output = nn.Linear(config.decoder_size, target_vocabulary)
        self._initialise(config)

    def _initialise(self, config: ModelConfig) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
        # Embeddings of norm about 1: large enough to be told apart, small enough to serve as an output layer.
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=config.embedding_size**-0.5)
        if config.tied_embeddings != "none":
            self.output.weight = self.target_embedding.weight
        if config.tied_embeddings == "all":
            self.source_embedding.weight = self.target_embedding.weight

    def encode(
        self, source_BS: Tensor, lengths_B: Tensor, noise: DropoutNoise | None = None
    ) -> tuple[Memory, DecoderState]:
        """Read the source; return what the decoder attends to and its first state."""
        embedded_BSE = drop(self.source_embedding(source_BS), noise)
        annotations_BSA, summary_BA = self.encoder(embedded_BSE, lengths_B, noise)
        return self.decoder.attention.memory(annotations_BSA, lengths_B), self.bridge(summary_BA)

    def step(self, token_B: Tensor, state: DecoderState, memory: Memory) -> tuple[Tensor, DecoderState, Tensor]:
        """Feed one target token; return log-probabilities (B, V), the next state, attention weights (B, S)."""
        gates_B4H = self.decoder.from_embedding(self.target_embedding(token_B))
        state, weights_BS = self.decoder.step(gates_B4H, state, memory)
        return torch.log_softmax(self.output(state.attentional_BH), dim=-1), state, weights_BS

    def forward(self, batch: Batch, noise: DropoutNoise | None = None, label_smoothing: float = 0.0) -> Loss:
        """Return the summed loss of the batch under teacher forcing."""
        memory, state = self.encode(batch.source_BS, batch.source_lengths_B, noise)
        embedded_BTE = drop(self.target_embedding(batch.target_BT[:, :-1]), noise)
        attentional_BTH = drop(self.decoder(embedded_BTE, state, memory), noise)
        return summed_cross_entropy(
            attentional_BTH,
            self.output.weight,
            self.output.bias,
            batch.target_BT[:, 1:],
            self.tokens.padding,
            label_smoothing,
        )
