"""The sections of the data: corpus, tokenizer and batches.

What says where sentence pairs come from is in source_config.py.
"""

import math
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.amounts import Amount
from pipeline.source_config import CurriculumStage, NamedSource, Section, SourceConfig


class CorpusConfig(SourceConfig):
    """Where the sentence pairs come from, and in which shares if from several sources."""

    sources: tuple[NamedSource, ...] = Field(
        (), description="several sources, each with a name, a weight if wanted, and the fields above of its own"
    )
    temperature: float | None = Field(
        None,
        ge=1.0,
        allow_inf_nan=False,
        description="share of a source: its pairs to the power of 1 / temperature; 1: by size; null: by weight if the "
        "sources have weights, else every pair once an epoch",
    )
    curriculum: tuple[CurriculumStage, ...] = Field(
        (), description="stages with weights of their own, each until an amount of training; then the sources' own"
    )
    leaks: Literal["remove", "refuse", "keep"] = Field(
        "remove",
        description="training pairs that are scored, too, or nearly so: take them out, stop, or keep them",
    )

    @model_validator(mode="after")
    def _sources_stand_alone(self) -> Self:
        names = [source.name for source in self.sources]
        if not names:
            if self.temperature is not None or self.curriculum:
                given = f"temperature={self.temperature}" if self.temperature is not None else "curriculum"
                raise ValueError(f"{given} mixes several sources; list them in corpus.sources")
            return self
        for name, field in SourceConfig.model_fields.items():
            if name not in OF_ALL_SOURCES and (value := getattr(self, name)) != field.default:
                raise ValueError(
                    f"{name}={value} and sources={', '.join(names)}: every source has its own {name}; "
                    f"set it in corpus.sources, and leave out corpus.{name}"
                )
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"sources: two are called {name}; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        for field in OF_ALL_SOURCES:
            tags = {name: tag for name, tag in [("", getattr(self, field)), *_tags(self.sources, field)] if tag}
            if len({*tags.values()}) > 1:
                told = ", ".join(f"{tag} {name and f'in source {name}'}".strip() for name, tag in tags.items())
                raise ValueError(f"{field}: {told}; a model has one pair of languages: name the same, or leave it out")
        return self

    @model_validator(mode="after")
    def _shares_are_clear(self) -> Self:
        weights = {source.name: source.weight for source in self.sources if source.weight is not None}
        lacking = [source.name for source in self.sources if source.weight is None]
        if weights and lacking:
            raise ValueError(
                f"sources: {', '.join(weights)} {'have' if len(weights) > 1 else 'has'} a weight, "
                f"{', '.join(lacking)} none; give all a weight, or none"
            )
        if weights and self.temperature is not None:
            raise ValueError(
                f"temperature={self.temperature} and the weight of {next(iter(weights))}: both say what the sources' "
                "shares are; leave one out"
            )
        self._check_curriculum()
        return self

    def _check_curriculum(self) -> None:
        known = [source.name for source in self.sources]
        last: dict[str, Amount] = {}
        for stage in self.curriculum:
            for name in stage.weights:
                if name not in known:
                    raise ValueError(
                        f"curriculum: until {stage.until}, {name} has a weight, but there is no such source; "
                        f"choose from {', '.join(known)}"
                    )
            amount = Amount.parse(stage.until)
            if (before := last.get(amount.unit)) is not None and amount.number <= before.number:
                raise ValueError(
                    f"curriculum: a stage until {stage.until} after one until {before} never comes; amounts count from "
                    "the training's start: put the stages in order"
                )
            last[amount.unit] = amount


OF_ALL_SOURCES = ("source_language", "target_language")
"""Fields of a corpus that hold for all of its sources."""


def _tags(sources: tuple[NamedSource, ...], field: str) -> list[tuple[str, str | None]]:
    return [(source.name, getattr(source, field)) for source in sources]


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
        description="sentences that the model learns from, drawn from those of a larger corpus; at most 64 MB",
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


def corpus_name(config: SourceConfig) -> str:
    """Return the name of the corpus in messages: that of the file or folder, of the data set, or of all sources."""
    if isinstance(config, CorpusConfig) and config.sources:
        return " + ".join(source.name for source in config.sources)
    return Path(config.path).resolve().name if config.path else config.dataset
