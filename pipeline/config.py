"""One run as one frozen value: a section per stage, every field described and bounded."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.config import ModelConfig

Precision = Literal["fp32", "bf16"]


class Section(BaseModel):
    """What all sections have in common: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusConfig(Section):
    """Where the sentence pairs come from."""

    dataset: str = Field(
        "captions", min_length=1, description="a data set of the Hugging Face Hub, or captions: the embedded one"
    )
    subset: str | None = Field(None, description="the Hub data set's configuration, where it has several")
    revision: str = Field("main", min_length=1, description="branch, tag or 40-digit commit of the Hub data set")
    path: str | None = Field(
        None, description="a local file or folder instead: JSON lines, CSV/TSV, Parquet or line-aligned text"
    )
    target_path: str | None = Field(None, description="the target side's text file, where path is the source side's")
    source_column: str = Field("de", min_length=1, description="column (or suffix of the text file) to translate from")
    target_column: str = Field("en", min_length=1, description="column (or suffix of the text file) to translate to")
    validation_size: int = Field(
        1000, ge=1, description="pairs held out for validation where the source has no such split"
    )
    test_size: int = Field(1000, ge=1, description="pairs held out for the test where the source has no such split")
    captions_pairs: int = Field(
        20_000, ge=1, le=1_000_000, description="training pairs that the embedded corpus generates"
    )
    seed: int = Field(1, ge=0, description="seed of the embedded corpus and of the pairs held out")

    @model_validator(mode="after")
    def _pair_is_whole(self) -> Self:
        if self.target_path is not None and self.path is None:
            raise ValueError(f"target_path={self.target_path} needs the source side in corpus.path")
        if self.source_column == self.target_column:
            raise ValueError(f"source_column and target_column are both {self.source_column!r}; name two columns")
        return self


class TokenizerConfig(Section):
    """The SentencePiece model."""

    kind: Literal["unigram", "bpe"] = Field("unigram", description="unigram language model or byte-pair encoding")
    vocabulary_size: int = Field(8000, ge=5, description="pieces, of each language where joint is false")
    joint: bool = Field(True, description="one vocabulary for both languages")
    byte_fallback: bool = Field(False, description="spell unknown characters in bytes instead of <unk>")
    character_coverage: float = Field(
        1.0, gt=0.9, le=1.0, description="share of the corpus's characters that get a piece"
    )


class BatchingConfig(Section):
    """Global batches: what all workers together learn from in one step."""

    tokens: int = Field(4096, ge=16, description="source and target tokens of one global step at most, padding counted")
    max_padding: float = Field(
        0.02, ge=0.0, lt=1.0, description="a batch is cut short, to no less than half, to keep padding below this share"
    )
    max_length: int = Field(
        100, ge=2, description="tokens of a sentence at most; longer training pairs are left out and counted"
    )
    worker_tokens: int | None = Field(
        None, ge=16, description="tokens that fit a worker's memory; a larger share is split and accumulated"
    )


class TrainingConfig(Section):
    """The optimizer, the stopping rule and the machines."""

    epochs: int = Field(15, ge=1, description="passes over the corpus at most")
    patience: int = Field(5, ge=1, description="epochs without a better validation BLEU before training stops")
    learning_rate: float = Field(2e-3, gt=0.0, description="Adam's rate at its peak")
    final_learning_rate: float = Field(
        0.02, ge=0.0, le=1.0, description="share of the peak rate that is left at the end"
    )
    warmup_steps: int = Field(400, ge=0, description="steps over which the rate rises to its peak")
    adam_beta2: float = Field(0.98, gt=0.0, lt=1.0, description="decay of Adam's second moment")
    clip_norm: float = Field(1.0, gt=0.0, description="norm that the gradient is scaled down to")
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0, description="mass spread evenly over the vocabulary")
    teacher_forcing: float = Field(
        1.0, ge=0.0, le=1.0, description="share of target words fed from the reference; the rest are the model's own"
    )
    teacher_forcing_schedule: Literal["constant", "linear", "inverse-sigmoid"] = Field(
        "constant", description="how the share falls from 1 to teacher_forcing during training (Bengio et al. 2015)"
    )
    teacher_forcing_decay: float = Field(
        1000.0, ge=1.0, description="k of the inverse sigmoid k / (k + exp(step / k)): half is reached at step k ln k"
    )
    teacher_forcing_per: Literal["step", "sentence"] = Field(
        "step", description="draw for every word, or once for a whole sentence"
    )
    precision: Precision = Field(
        "fp32",
        description="of the largest matrix products; bf16: rounded where the CPU does it (a GPU: to TF32), else fp32",
    )
    seed: int = Field(1, ge=0, le=2**31, description="seed of weights, batches and dropout")
    keep_checkpoints: int = Field(3, ge=1, description="checkpoints kept, those with the best validation BLEU")
    log_every: int = Field(10, ge=1, description="steps between two reports")
    num_workers: int | None = Field(
        None, ge=1, description="processes; null: one per GPU, without GPUs one on all cores of a node"
    )
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto: GPUs where the cluster has them")
    max_failures: int = Field(2, ge=0, description="restarts after a worker was lost, each from the last checkpoint")
    collective_timeout: int = Field(
        300, ge=10, description="seconds that a worker waits for the others before it gives up"
    )

    @model_validator(mode="after")
    def _schedule_has_somewhere_to_go(self) -> Self:
        if self.teacher_forcing_schedule != "constant" and self.teacher_forcing == 1.0:
            raise ValueError(
                f"teacher_forcing_schedule={self.teacher_forcing_schedule} goes from 1 down to teacher_forcing, "
                "which is 1; set teacher_forcing to less, such as 0.5"
            )
        return self


class EvaluationConfig(Section):
    """How the best checkpoint is scored."""

    beam: int = Field(5, ge=1, description="hypotheses kept; 1 is greedy search")
    length_penalty: float = Field(
        1.0, ge=0.0, le=10.0, description="alpha of Wu et al. 2016; 0 prefers short translations"
    )
    coverage_penalty: float = Field(
        0.0, ge=0.0, le=10.0, description="beta of Wu et al. 2016: what unattended source words cost; needs attention"
    )
    min_length: int = Field(0, ge=0, description="target tokens of a translation at least")
    max_length: int | None = Field(
        None, ge=1, description="target tokens at most; null: twice those of the source and ten more"
    )
    replace_unknown: bool = Field(
        False, description="put the source word that attention points at in place of <unk>; needs attention"
    )
    max_source_length: int = Field(
        100, ge=1, le=10_000, description="source tokens translated at once; a longer sentence is translated in parts"
    )
    sampling_temperature: float | None = Field(
        None, gt=0.0, le=100.0, description="null: search; else draw from the probabilities to the power of 1 / this"
    )
    sampling_top_k: int | None = Field(None, ge=1, description="draw from so many of the most probable tokens")
    sampling_seed: int = Field(1, ge=0, description="seed of the draws")
    batch_sentences: int = Field(128, ge=1, description="sentences searched at once; changes speed only")
    samples: int = Field(20, ge=1, description="translations of the test set to show in the registry")

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(
                f"min_length={self.min_length} is more than max_length={self.max_length}; lower it or raise max_length"
            )
        if self.sampling_top_k is not None and self.sampling_temperature is None:
            raise ValueError(
                f"sampling_top_k={self.sampling_top_k} says what to draw from, and nothing is drawn; "
                "set sampling_temperature, such as 1.0, or sampling_top_k=null"
            )
        if self.coverage_penalty and (self.beam == 1 or self.sampling_temperature is not None):
            raise ValueError(
                f"coverage_penalty={self.coverage_penalty} chooses among the hypotheses of a beam, and there is one "
                "translation of each sentence; set coverage_penalty=0, or beam=2 or more and sampling_temperature=null"
            )
        return self


class AblationConfig(Section):
    """How systems are compared: what `nmt ablate` trains and shows."""

    epochs: int | None = Field(
        None, ge=1, description="passes over the corpus that every system gets at most; null: training.epochs"
    )
    seeds: int = Field(1, ge=1, description="trainings of every system, with training.seed and the seeds after it")
    bootstrap_samples: int = Field(
        1000, ge=100, description="resampled test sets of an interval and of a paired significance test"
    )
    sentences: int = Field(3, ge=1, description="test sentences, from short to long, whose attention is drawn")


class RegistryConfig(Section):
    """Where the model is registered."""

    experiment: str = Field("nmt", min_length=1, description="MLflow experiment of the runs")
    model_name: str | None = Field(
        None, min_length=1, pattern=r"^[^/:'\"]+$", description="registered model; null: the preset's name"
    )


class RunConfig(Section):
    """Everything that a run depends on."""

    name: str = Field("custom", min_length=1, pattern=r"^[^/:'\"]+$", description="the preset's name")
    description: str = Field("", description="one line on what the preset is for")
    corpus: CorpusConfig = CorpusConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    batching: BatchingConfig = BatchingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ablation: AblationConfig = AblationConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _what_needs_attention_has_it(self) -> Self:
        if self.model.attention == "none":
            for name, nothing in (("coverage_penalty", "0"), ("replace_unknown", "false")):
                if value := getattr(self.evaluation, name):
                    raise ValueError(
                        f"evaluation.{name}={str(value).lower()} uses attention weights, which model.attention=none "
                        f"does not make; set evaluation.{name}={nothing}, or another model.attention"
                    )
        return self

    @model_validator(mode="after")
    def _tying_needs_joint_vocabulary(self) -> Self:
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            raise ValueError(
                "model.tied_embeddings=all shares one table between both languages and needs tokenizer.joint=true; "
                "set model.tied_embeddings=decoder or tokenizer.joint=true"
            )
        return self


def corpus_name(config: CorpusConfig) -> str:
    """Return a short name of the corpus, for people: the file or folder, or the data set."""
    return Path(config.path).resolve().name if config.path else config.dataset
