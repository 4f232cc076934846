"""Sizes and options of the network; everything else about a run is configured elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

AttentionKind = Literal["none", "dot", "scaled-dot", "general", "concat", "mlp"]
BridgeKind = Literal["projection", "concat", "mean", "max", "zero"]
CellKind = Literal["lstm", "gru"]
DecoderKind = Literal["luong", "bahdanau"]
SCORES_OF_EQUAL_SIZES: frozenset[AttentionKind] = frozenset({"dot", "scaled-dot"})
"""Scores that multiply a state with an annotation as it is: both must have the same size."""
BRIDGED_SIZES: Mapping[BridgeKind, Literal["annotation_size", "encoder_size"]] = {
    "concat": "annotation_size",
    "mean": "encoder_size",
    "max": "encoder_size",
}
"""Bridges without weights, and the size that their states, and so the decoder, must have."""


class ModelConfig(BaseModel):
    """Sizes and options of the network. Vocabulary sizes come from the tokenizer, not from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: CellKind = Field("lstm", description="recurrent cell of encoder and decoder: lstm or gru")
    layers: int = Field(1, ge=1, description="recurrent layers of the encoder, and of the decoder")
    embedding_size: int = Field(256, ge=1, description="units of a source or target embedding")
    encoder_size: int = Field(128, ge=1, description="units of each direction of the encoder")
    bidirectional: bool = Field(True, description="read the source in both directions")
    reversed_source: bool = Field(
        False, description="read the source from its end (Sutskever et al. 2014); needs bidirectional=false"
    )
    bridge: BridgeKind = Field(
        "projection",
        description="how the encoder's last states become the decoder's first: a learnt projection with tanh, both "
        "directions side by side (concat), their mean or maximum, or zero",
    )
    decoder_size: int = Field(256, ge=1, description="units of the decoder and of its attentional vector")
    attention: AttentionKind = Field(
        "general", description="score of attention; none: the decoder sees only the encoder's last state"
    )
    decoder: DecoderKind = Field(
        "luong", description="attend with the new state (luong), or with the old one before it (bahdanau)"
    )
    input_feeding: bool = Field(True, description="feed the attentional vector to the next step (luong)")
    peeky: bool = Field(
        False, description="show the encoder's last state to every step and to the output layer; needs attention=none"
    )
    local_window: int | None = Field(
        None,
        ge=1,
        description="positions to attend to on each side of a predicted one (local-p); null: all",
    )
    coverage: bool = Field(False, description="let the score see how much attention each position has received")
    tied_embeddings: Literal["none", "decoder", "all"] = Field(
        "all",
        description="share the output projection with the target embedding (decoder), and both with the source's (all)",
    )
    dropout: float = Field(0.3, ge=0.0, lt=1.0, description="share of units dropped, with one mask per sentence")
    initialisation: Literal["default", "uniform"] = Field(
        "default", description="uniform: draw every weight between -0.08 and 0.08 (Sutskever et al. 2014)"
    )

    @property
    def annotation_size(self) -> int:
        """Units of an annotation: of all directions together."""
        return self.encoder_size * (2 if self.bidirectional else 1)

    @property
    def readout_size(self) -> int:
        """Units of what the output layer reads."""
        return self.decoder_size + (self.annotation_size if self.peeky else 0)

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        for conflict in (*self._attention_conflicts(), *self._size_conflicts()):
            raise ValueError(conflict)
        return self

    def _attention_conflicts(self) -> Iterator[str]:
        if self.reversed_source and self.bidirectional:
            yield (
                "reversed_source=true: a bidirectional encoder already reads from the end; "
                "set bidirectional=false or reversed_source=false"
            )
        if self.attention == "none":
            if self.input_feeding:
                yield (
                    "input_feeding=true feeds back the attentional vector, and attention=none has none; "
                    "set input_feeding=false or another attention"
                )
            for name, off in (("local_window", "null"), ("coverage", "false")):
                if value := getattr(self, name):
                    yield (
                        f"{name}={str(value).lower()} changes attention, and attention=none has none; "
                        f"set {name}={off} or another attention"
                    )
            if self.decoder == "bahdanau":
                yield (
                    "decoder=bahdanau says when to attend, and attention=none never does; "
                    "set decoder=luong or another attention"
                )
            if self.bridge == "zero" and not self.peeky:
                yield (
                    "bridge=zero with attention=none leaves the decoder without the source; "
                    "set another bridge, peeky=true, or another attention"
                )
        elif self.peeky:
            yield (
                f"peeky=true shows every step the same context vector, but attention={self.attention} gives each its "
                "own; set attention=none and input_feeding=false, or peeky=false"
            )
        if self.decoder == "bahdanau" and self.input_feeding:
            yield (
                "input_feeding=true: decoder=bahdanau already has the context in its recurrent input; "
                "set input_feeding=false"
            )

    def _size_conflicts(self) -> Iterator[str]:
        if self.attention in SCORES_OF_EQUAL_SIZES and self.annotation_size != self.decoder_size:
            yield (
                f"attention={self.attention} multiplies a state of decoder_size={self.decoder_size} units with an "
                f"annotation of {self._annotation_sizes()}; make them equal or set attention=general"
            )
        bridged = BRIDGED_SIZES.get(self.bridge, "decoder_size")
        if getattr(self, bridged) != self.decoder_size:
            units = self._annotation_sizes() if bridged == "annotation_size" else f"encoder_size={self.encoder_size}"
            yield (
                f"bridge={self.bridge} gives the decoder {units} units, but decoder_size={self.decoder_size}; "
                "make them equal or set bridge=projection"
            )
        if self.tied_embeddings == "none":
            return
        if self.peeky:
            yield (
                "peeky=true gives the output layer the state and the context, which are wider than an embedding; "
                f"set tied_embeddings=none, not {self.tied_embeddings}"
            )
        elif self.embedding_size != self.decoder_size:
            yield (
                f"embedding_size={self.embedding_size} and decoder_size={self.decoder_size} must be equal when "
                f"tied_embeddings={self.tied_embeddings}; make them equal or set tied_embeddings=none"
            )

    def _annotation_sizes(self) -> str:
        directions = "2 x " if self.bidirectional else ""
        return f"{directions}encoder_size={self.encoder_size}"
