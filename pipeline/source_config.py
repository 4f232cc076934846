"""Where sentence pairs come from: a data set or files, one source of several, a test set; stages of a curriculum."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.amounts import UntilData
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
LEVELS = ("off", "mild", "strict")


def _check_rules(given: Any) -> Any:
    rules = get_args(RuleName)
    if given not in LEVELS and not (isinstance(given, list | tuple) and all(name in rules for name in given)):
        raise ValueError(f"choose off, mild or strict, or a list of these rules in quotes: {', '.join(rules)}")
    return given


Clean = Annotated[Literal["off", "mild", "strict"] | tuple[RuleName, ...], BeforeValidator(_check_rules)]
LanguageTag = Annotated[str, AfterValidator(checked_tag)]


def _check_source_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError("a source's name has letters of a to z, digits, - _ and . only; choose such a one")
    return name


SourceName = Annotated[str, AfterValidator(_check_source_name)]


class Section(BaseModel):
    """Base of all sections: frozen, refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(Section):
    """Where sentence pairs come from: one data set, or local files."""

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

    @model_validator(mode="after")
    def _pair_is_whole(self) -> Self:
        if self.target_path is not None and self.path is None:
            raise ValueError(f"target_path={self.target_path} needs the source side; set corpus.path as well")
        if self.source_column == self.target_column:
            raise ValueError(f"source_column and target_column are both {self.source_column!r}; name two columns")
        return self


class NamedSource(SourceConfig):
    """One of several sources."""

    name: SourceName = Field(description="what the source is called in the curriculum, in figures and in reports")
    weight: float | None = Field(
        None, gt=0.0, allow_inf_nan=False, description="the source's share of training, relative to the others' weights"
    )


def _check_set_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", name):
        raise ValueError("a test set's name has at most 50 letters of a to z, digits, - and _; choose such a one")
    if name.lower() in RESERVED:
        raise ValueError(f"the corpus's own are {', '.join(RESERVED[:-1])}; choose another name")
    return name


RESERVED = ("train", "validation", "test", "signatures")
"""Beside the splits, what is in the figures of an evaluation."""


class NamedTestSet(SourceConfig):
    """Pairs that are scored by themselves, beside those of the corpus."""

    name: Annotated[str, AfterValidator(_check_set_name)] = Field(
        description="what the set is called in figures and reports"
    )
    split: str = Field(
        "test", min_length=1, description="which split of a data set or a folder; a single file is taken whole"
    )

    @model_validator(mode="after")
    def _says_where_it_is(self) -> Self:
        if self.model_fields_set.isdisjoint({"path", "dataset"}):
            raise ValueError(
                f"{self.name} has neither path nor dataset; name the file, folder or data set of its pairs"
            )
        return self


class CurriculumStage(Section):
    """A part of the training with weights of its own."""

    until: UntilData = Field(description="when it ends, counted from the training's start: epochs, updates or tokens")
    weights: dict[SourceName, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = Field(
        description="weight of each source by its name; of one that is not named 0"
    )

    @model_validator(mode="after")
    def _something_is_read(self) -> Self:
        if not any(self.weights.values()):
            raise ValueError(f"weights={self.weights}: all are 0; give at least one source a weight")
        return self
