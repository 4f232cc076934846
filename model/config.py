"""What the network is made of; everything else about a run is configured elsewhere."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelConfig(BaseModel):
    """Sizes and options of the network. Vocabulary sizes come from the tokenizer, not from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(256, ge=1, description="units of a source or target embedding")
    encoder_size: int = Field(128, ge=1, description="units of each direction of the encoder")
    decoder_size: int = Field(256, ge=1, description="units of the decoder and of its attentional vector")
    tied_embeddings: Literal["none", "decoder", "all"] = Field(
        "all",
        description="share the output projection with the target embedding (decoder), and both with the source's (all)",
    )
    dropout: float = Field(0.3, ge=0.0, lt=1.0, description="share of units dropped, one mask a sentence")

    @model_validator(mode="after")
    def _tied_sizes_agree(self) -> Self:
        if self.tied_embeddings != "none" and self.embedding_size != self.decoder_size:
            raise ValueError(
                f"embedding_size={self.embedding_size} and decoder_size={self.decoder_size} must be equal when "
                f"tied_embeddings={self.tied_embeddings}; make them equal or set tied_embeddings=none"
            )
        return self
