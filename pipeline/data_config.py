"""The sections of the data: corpus, tokenizer and batches."""

import math
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.language_tags import checked_tag

RuleName = Literal[
    "mojibake",
    "controls",
    "nfc",
    "nfkc",
    "long",
    "copy",
    "letters",
    "addresses",
    "numbers",
    "language",
    "ratio",
    "duplicate",
    "similar",
    "near_duplicate",
    "many_targets",
]
Clean = Literal["off", "mild", "strict"] | tuple[RuleName, ...]
LanguageTag = Annotated[str, AfterValidator(checked_tag)]


class Section(BaseModel):
    """Base of all sections: frozen, refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusConfig(Section):
    """Where the sentence pairs come from."""

    dataset: str = Field(
        "captions", min_length=1, description="data set on the Hugging Face Hub, or captions for the embedded corpus"
    )
    subset: str | None = Field(None, description="configuration of the Hub data set, if it has several")
    revision: str = Field("main", min_length=1, description="branch, tag or 40-digit commit of the Hub data set")
    path: str | None = Field(
        None, description="local file or folder to use instead: JSON lines, CSV, TSV, TMX, Parquet or line-aligned text"
    )
    target_path: str | None = Field(
        None, description="text file of the target side, if path is that of the source side"
    )
    source_column: str = Field(
        "de",
        min_length=1,
        description="column of the source sentences: its name, or its number if the file has no names; "
        "or the language of TMX, or the suffix of the text file",
    )
    target_column: str = Field(
        "en",
        min_length=1,
        description="column of the target sentences: its name, or its number if the file has no names; "
        "or the language of TMX, or the suffix of the text file",
    )
    skip_bad_lines: int = Field(
        0, ge=0, description="bad lines or rows, such as broken JSON, that may be skipped; more are an error"
    )
    clean: Clean = Field(
        "mild",
        description="rules that repair or drop training pairs: off, mild, strict, or a list of rules' names",
    )
    max_dropped: float = Field(
        0.5, ge=0.0, le=1.0, description="share of the pairs that one rule may drop; more is an error"
    )
    source_language: LanguageTag | None = Field(
        None, description="BCP 47 tag, such as de or pt-BR; null: by text, column or data set"
    )
    target_language: LanguageTag | None = Field(
        None, description="likewise, of the target; it chooses BLEU's tokenizer"
    )
    validation_size: int = Field(
        1000, ge=1, description="pairs held out for validation if the corpus has no validation split"
    )
    test_size: int = Field(1000, ge=1, description="pairs held out for testing if the corpus has no test split")
    captions_pairs: int = Field(
        20_000, ge=1, le=1_000_000, description="training pairs to generate for the embedded corpus"
    )
    seed: int = Field(1, ge=0, description="seed of the embedded corpus and of the choice of held-out pairs")
    leaks: Literal["remove", "refuse", "keep"] = Field(
        "remove",
        description="training pairs that are in validation or test too, or nearly so: take them out, stop, or keep them",
    )

    @model_validator(mode="after")
    def _pair_is_whole(self) -> Self:
        if self.target_path is not None and self.path is None:
            raise ValueError(f"target_path={self.target_path} needs the source side; set corpus.path as well")
        if self.source_column == self.target_column:
            raise ValueError(f"source_column and target_column are both {self.source_column!r}; name two columns")
        return self


class TokenizerConfig(Section):
    """The SentencePiece model."""

    kind: Literal["unigram", "bpe"] = Field("unigram", description="unigram language model or byte-pair encoding")
    vocabulary_size: int = Field(8000, ge=5, description="number of pieces; per language if joint is false")
    joint: bool = Field(True, description="one vocabulary for both languages")
    byte_fallback: bool = Field(False, description="encode unknown characters as bytes instead of <unk>")
    character_coverage: float = Field(
        1.0, ge=0.98, le=1.0, description="share of the corpus's characters covered by pieces"
    )
    sample_sentences: int = Field(
        2_000_000,
        ge=1_000,
        description="sentences that the model learns from, drawn from those of a larger corpus; about 3 GB each million",
    )
    normalization: Literal["faithful", "identity", "nfc", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"] = Field(
        "faithful",
        description="faithful: targets as they are, in sources what looks alike is one; or a rule for both sides",
    )
    user_symbols: tuple[str, ...] = Field(
        (), description="placeholders and tags: pieces that stay whole; those that translations lose are counted"
    )
    model: str | None = Field(
        None, min_length=1, description="SentencePiece model to use instead of training one; the source's if not joint"
    )
    target_model: str | None = Field(None, min_length=1, description="the target's model, if joint is false")

    @field_validator("user_symbols", mode="before")
    @classmethod
    def _symbols_are_pieces(cls, symbols: object) -> object:
        if not isinstance(symbols, (list, tuple)) or not all(isinstance(symbol, str) for symbol in symbols):
            raise ValueError('must be a list of texts in quotes, such as ["<br>", "{name}"]')
        for symbol in symbols:
            if not symbol.isprintable() or re.search(r"^$|[\s\u2581\u2585]", symbol):
                raise ValueError(f"{symbol!r} must be one or more characters that are seen, without blanks")
            if re.fullmatch(r"<(pad|unk|/?s|0x[0-9A-F]{2})>", symbol):
                raise ValueError(f"{symbol!r} is a piece of SentencePiece's own; choose another symbol")
            if symbols.count(symbol) > 1:
                raise ValueError(f"{symbol!r} is there twice; leave one out")
        return symbols

    @model_validator(mode="after")
    def _model_replaces_its_training(self) -> Self:
        if self.model is None:
            if self.target_model is not None:
                raise ValueError(f"target_model={self.target_model} needs the source's; set tokenizer.model as well")
            return self
        if self.joint and self.target_model is not None:
            raise ValueError(
                f"target_model={self.target_model} is for two vocabularies; set tokenizer.joint=false, or leave it out"
            )
        if not self.joint and self.target_model is None:
            raise ValueError("joint=false needs a model of the target as well; set tokenizer.target_model")
        for name in ("kind", "vocabulary_size", "byte_fallback", "character_coverage", "normalization"):
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise ValueError(f"{name}={value} is for training a model, and model={self.model} is one; leave it out")
        return self


class BatchingConfig(Section):
    """Global batches: the sentence pairs that all workers together process in one step."""

    tokens: int = Field(4096, ge=16, description="maximum source and target tokens of a global step, padding included")
    max_padding: float = Field(
        0.02, ge=0.0, lt=1.0, description="shorten a batch, by at most half, to keep its share of padding below this"
    )
    max_length: int = Field(
        100, ge=2, description="maximum tokens of a training sentence; longer pairs are left out and counted"
    )
    worker_tokens: int | None = Field(
        None, ge=16, description="maximum tokens of a worker at once; gradients of a larger share are accumulated"
    )
    tokens_per_worker: int | None = Field(
        None,
        ge=16,
        description="a global step has this many tokens for each worker, and the learning rate, meant for "
        "batching.tokens, grows with the root of their ratio; null: batching.tokens, on any number of workers",
    )

    @model_validator(mode="after")
    def _a_share_can_be_split(self) -> Self:
        if self.tokens_per_worker and self.worker_tokens and self.worker_tokens > self.tokens_per_worker:
            raise ValueError(
                f"worker_tokens={self.worker_tokens} would split no share of tokens_per_worker="
                f"{self.tokens_per_worker}; lower it, or leave it out"
            )
        return self

    def step_tokens(self, workers: int) -> int:
        """Return the maximum tokens of a global step, padding included."""
        return self.tokens if self.tokens_per_worker is None else self.tokens_per_worker * workers

    def rate_factor(self, workers: int) -> float:
        """Return what the learning rate is multiplied by: the root of how many times batching.tokens a step is.

        After Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms"; Adam's betas and
        the steps of the warm-up stay as they are configured.

        >>> BatchingConfig(tokens=2048, tokens_per_worker=16384).rate_factor(workers=2)
        4.0
        """
        return math.sqrt(self.step_tokens(workers) / self.tokens)


def corpus_name(config: CorpusConfig) -> str:
    """Return the name of the corpus in messages: that of the file or folder, or of the data set."""
    return Path(config.path).resolve().name if config.path else config.dataset
