"""The configuration of a run: one frozen value with a section per stage, every field described and bounded.

The sections of the data are in data_config.py and noise_config.py.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from model.config import ModelConfig
from pipeline.amounts import Amount, Every, Until
from pipeline.data_config import BatchingConfig, CorpusConfig, TokenizerConfig
from pipeline.noise_config import NoiseConfig
from pipeline.source_config import NamedTestSet, Section

Precision = Literal["fp32", "bf16"]
BleuTokenizer = Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"]
Perturbation = Literal["upper_case", "typos", "no_final_punctuation", "emoji"]
SelectBy = Literal["bleu", "chrf", "chrf++", "loss"]


LARGEST = 2**31
"""Largest whole number of a search: a registered model refuses larger ones."""


def _check_name(name: str) -> str:
    if re.search(r"^[\s.]|[/:'\"@?#\x00-\x1f]", name):
        raise ValueError(
            "a model is found by its name in addresses such as models:/name@champion; choose one without "
            "/ : ' \" @ ? # and line breaks, that begins with neither a dot nor a blank"
        )
    return name


ModelName = Annotated[str, Field(min_length=1), AfterValidator(_check_name)]
"""What MLflow registers, and finds again."""


def _check_workers(given: Any) -> Any:
    numbers = given if isinstance(given, list | tuple) else [given]
    sound = all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in numbers)
    if given is not None and not (sound and len(numbers) in (1, 2) and list(numbers) == sorted(numbers)):
        raise ValueError("a number of workers is needed, such as 2, or the fewest and the most, such as [1, 4]")
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


Workers = Annotated[int | tuple[int, int] | None, BeforeValidator(_check_workers)]


class TrainingConfig(Section):
    """The optimizer, the stopping rule and the machines."""

    epochs: int = Field(15, ge=1, description="maximum passes over the corpus; training.until takes its place")
    until: Until | None = Field(
        None,
        min_length=1,
        description="when training ends, if not after training.epochs: 12 epochs, 100k updates, 2G tokens, 6 hours, "
        "or several of these, the first that comes",
    )
    validate_every: Every = Field(
        "1 epoch", description="validate after so many epochs, updates, tokens or minutes, again and again"
    )
    save_every: Every | None = Field(
        None, description="save a checkpoint, from which a run that was stopped continues; null: at validations"
    )
    patience: int = Field(
        5, ge=1, description="validations after which training stops if none was better by training.select_by"
    )
    select_by: SelectBy = Field(
        "bleu", description="validation figure by which checkpoints are kept and training stops"
    )
    learning_rate: float = Field(2e-3, gt=0.0, description="peak of Adam's learning rate")
    final_learning_rate: float = Field(
        0.02, ge=0.0, le=1.0, description="learning rate at the end, as a share of the peak"
    )
    warmup_steps: int = Field(400, ge=0, description="steps over which the learning rate rises to its peak")
    adam_beta2: float = Field(0.98, gt=0.0, lt=1.0, description="decay rate of Adam's second moment")
    clip_norm: float = Field(1.0, gt=0.0, description="largest norm of the gradient; a larger one is scaled down to it")
    label_smoothing: float = Field(
        0.1, ge=0.0, lt=1.0, description="probability mass spread evenly over the vocabulary"
    )
    teacher_forcing: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="share of target tokens fed from the reference; the others are the model's own predictions",
    )
    teacher_forcing_schedule: Literal["constant", "linear", "inverse-sigmoid"] = Field(
        "constant", description="how that share falls from 1 to teacher_forcing during training (Bengio et al. 2015)"
    )
    teacher_forcing_decay: float = Field(
        1000.0, ge=1.0, description="k of the inverse sigmoid k / (k + exp(step / k)): half is reached at step k ln k"
    )
    teacher_forcing_per: Literal["step", "sentence"] = Field(
        "step", description="draw for every token, or once per sentence"
    )
    precision: Precision = Field(
        "fp32",
        description="what the largest matrix products multiply; bf16 only where the processor has instructions for it",
    )
    seed: int = Field(1, ge=0, le=2**31, description="seed of initial weights, batches and dropout")
    keep_checkpoints: int = Field(3, ge=1, description="number of checkpoints to keep, the best by training.select_by")
    log_every: int = Field(10, ge=1, description="steps between reports")
    num_workers: Workers = Field(
        None,
        description="worker processes; null: one per GPU, or one on all cores if there are no GPUs; [1, 4]: so few to "
        "so many, as nodes leave the cluster and come back",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: GPUs if the cluster has any that torch can use; gpu: an error where there is none"
    )
    skip_bad_batches: int = Field(
        0, ge=0, description="steps whose loss or gradient is not finite that may be passed over; more are an error"
    )
    max_failures: int = Field(2, ge=0, description="restarts from the last checkpoint after losing a worker")
    collective_timeout: int = Field(300, ge=10, description="seconds that a worker waits for the others before failing")

    @property
    def limits(self) -> tuple[Amount, ...]:
        """What ends the training, whichever comes first."""
        return tuple(map(Amount.parse, self.until or (f"{self.epochs} epochs",)))

    @model_validator(mode="after")
    def _schedule_has_an_end(self) -> Self:
        if self.teacher_forcing_schedule != "constant" and self.teacher_forcing == 1.0:
            raise ValueError(
                f"teacher_forcing_schedule={self.teacher_forcing_schedule} falls from 1 to teacher_forcing, which is "
                "1; lower teacher_forcing, for example to 0.5"
            )
        return self


class EvaluationConfig(Section):
    """How the best checkpoint is scored."""

    beam: int = Field(5, ge=1, le=100, description="hypotheses kept per sentence; 1 is greedy search")
    length_penalty: float = Field(
        1.0, ge=0.0, le=10.0, description="alpha of Wu et al. 2016; 0 prefers short translations"
    )
    coverage_penalty: float = Field(
        0.0, ge=0.0, le=10.0, description="beta of Wu et al. 2016: penalty for unattended source words; needs attention"
    )
    min_length: int = Field(0, ge=0, le=LARGEST, description="minimum target tokens of a translation")
    max_length: int | None = Field(
        None,
        ge=1,
        le=LARGEST,
        description="maximum target tokens of a translation; null: twice the source tokens plus ten",
    )
    no_repeat_ngram: int = Field(
        0,
        ge=0,
        le=LARGEST,
        description="no sequence of this many target tokens occurs twice in a translation; 0: any may",
    )
    replace_unknown: bool = Field(
        False, description="replace <unk> by the source word with the most attention; needs attention"
    )
    max_source_length: int = Field(
        100, ge=1, le=10_000, description="maximum source tokens translated at once; longer sentences are split"
    )
    sampling_temperature: float | None = Field(
        None, gt=0.0, le=100.0, description="null: search; else sample, with probabilities raised to 1 / temperature"
    )
    sampling_top_k: int | None = Field(
        None, ge=1, le=LARGEST, description="sample only from this many of the most probable tokens; null: from all"
    )
    sampling_seed: int = Field(1, ge=0, le=LARGEST, description="seed of sampling")
    batch_sentences: int = Field(128, ge=1, description="sentences translated at once; affects only the speed")
    samples: int = Field(20, ge=1, description="translations of the test set shown in the registry")
    bootstrap_samples: int = Field(
        1000, ge=100, description="resampled test sets for the intervals and significance tests of `nmt evaluate`"
    )
    during_training: int | None = Field(
        None, ge=1, description="validation pairs that are used while training, spread evenly over all; null: all"
    )
    bleu_tokenizer: BleuTokenizer | None = Field(
        None, description="how sacreBLEU finds words, also in validation; null: by the target's language"
    )

    test_sets: tuple[NamedTestSet, ...] = Field(
        (), description="further sets, each with a name and the fields of a corpus of its own; scored by themselves"
    )
    perturbations: tuple[Perturbation, ...] = Field(
        (), description="copies of every test set that are scored too, with sources that are so changed"
    )
    typo_share: float = Field(0.1, gt=0.0, le=1.0, description="share of the words that typos are in")
    perturbation_seed: int = Field(1, ge=0, description="seed of the typos and the emoji")

    @model_validator(mode="after")
    def _sets_have_names_of_their_own(self) -> Self:
        kinds = self.perturbations
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise ValueError(f"perturbations: {twice[0]} is there twice; leave one out")
        given = [test_set.name for test_set in self.test_sets]
        taken = {f"{name}_{kind}".lower(): f"{name}+{kind}" for name in ("test", *given) for kind in kinds}
        for number, name in enumerate(given):
            if name.lower() in [other.lower() for other in given[:number]]:
                raise ValueError(f"test_sets: two are called {name}, in capitals or not; give each a name of its own")
            if name.lower() in taken:
                raise ValueError(f"test_sets: MLflow calls {taken[name.lower()]} {name}; choose another name")
        return self

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(
                f"min_length={self.min_length} is more than max_length={self.max_length}; lower it or raise max_length"
            )
        if self.sampling_top_k is not None and self.sampling_temperature is None:
            raise ValueError(
                f"sampling_top_k={self.sampling_top_k} needs sampling; set sampling_temperature, for example to 1.0, "
                "or sampling_top_k=null"
            )
        if self.coverage_penalty and (self.beam == 1 or self.sampling_temperature is not None):
            raise ValueError(
                f"coverage_penalty={self.coverage_penalty} ranks the hypotheses of a beam, but beam=1 and sampling "
                "keep only one; set coverage_penalty=0, or beam=2 or more and sampling_temperature=null"
            )
        return self


class AblationConfig(Section):
    """How `nmt ablate` trains and compares systems."""

    epochs: int | None = Field(
        None, ge=1, description="maximum passes over the corpus per system; null: training.epochs"
    )
    seeds: int = Field(1, ge=1, description="trainings per system, with training.seed and the seeds after it")
    bootstrap_samples: int = Field(
        1000, ge=100, description="resampled test sets for the intervals and tests of `nmt ablate`"
    )
    sentences: int = Field(3, ge=1, description="test sentences, from short to long, to draw attention maps of")


class RegistryConfig(Section):
    """Where the model is registered in MLflow."""

    experiment: str = Field("nmt", min_length=1, description="MLflow experiment of the runs")
    model_name: ModelName | None = Field(None, description="name of the registered model; null: the preset's name")


class RunConfig(Section):
    """The whole configuration of a run."""

    name: ModelName = Field("custom", description="name of the preset")
    description: str = Field("", description="what the preset is for, in one line")
    corpus: CorpusConfig = CorpusConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    batching: BatchingConfig = BatchingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    noise: NoiseConfig = NoiseConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ablation: AblationConfig = AblationConfig()
    registry: RegistryConfig = RegistryConfig()

    @model_validator(mode="after")
    def _steps_do_not_change_with_the_workers(self) -> Self:
        if isinstance(self.training.num_workers, tuple) and self.batching.tokens_per_worker:
            raise ValueError(
                f"training.num_workers={list(self.training.num_workers)} lets the workers change in the middle, and "
                f"with batching.tokens_per_worker={self.batching.tokens_per_worker} the result with them; give one "
                "number of workers, or set batching.tokens instead"
            )
        return self

    @model_validator(mode="after")
    def _what_needs_attention_has_it(self) -> Self:
        if self.model.attention == "none":
            for name, nothing in (("coverage_penalty", "0"), ("replace_unknown", "false")):
                if value := getattr(self.evaluation, name):
                    raise ValueError(
                        f"evaluation.{name}={str(value).lower()} needs attention weights, which model.attention=none "
                        f"does not have; set evaluation.{name}={nothing}, or another model.attention"
                    )
        return self

    @model_validator(mode="after")
    def _tying_needs_joint_vocabulary(self) -> Self:
        if self.model.tied_embeddings == "all" and not self.tokenizer.joint:
            raise ValueError(
                "model.tied_embeddings=all shares one embedding table between both languages, which needs a joint "
                "vocabulary; set model.tied_embeddings=decoder or tokenizer.joint=true"
            )
        return self
