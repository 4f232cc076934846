"""The stages as Prefect tasks: what the flows are made of."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefect import get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows.progress import CURRENT_VIEW, LogView, View, epoch_text
from flows.publishing import key_of, publish
from model.kernels.load import available, is_compiled
from pipeline.batches.encoding import EncodedCorpus, encode_corpus
from pipeline.batches.survival import survival_warnings
from pipeline.batches.tokenizer import Tokenizer, train_tokenizer
from pipeline.cluster.data.chunks import chunks_on_cluster
from pipeline.cluster.training import train_model, train_stage
from pipeline.config import RunConfig, SelectBy
from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.cleaning.rules import LEAK
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.corpus.scored import ScoredSet
from pipeline.corpus.splits import LeakMode
from pipeline.data_config import corpus_name
from pipeline.errors import ExternalError, without_secrets
from pipeline.evaluation.evaluation import Evaluation
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.scored_sets import SCORED_SPLITS
from pipeline.metrics.metrics import BLEU, metric_titled
from pipeline.metrics.tokenizers import bleu_tokenizer, check_words
from pipeline.registry.pull import PulledVersion, pull_model
from pipeline.registry.runs import ChildRun, TrainingRun
from pipeline.registry.versions import ModelVersion, register_model
from pipeline.stopping import ON_REQUEST
from pipeline.store.store import Figures, Reuse, Store
from pipeline.training.machine.speed_limit import step_by_step_because
from pipeline.training.runs.asked import Asked, Untracked
from pipeline.training.trained import TrainedModel

NAMED_OVERRIDES = 3
RETRY_DELAYS: list[float] = [1, 4]


def flow_run_name() -> str:
    """Name a flow's run by its preset and its first overrides."""
    parameters = runtime.flow_run.parameters
    overrides = [f"{name}={value}" for name, value in (parameters.get("overrides") or {}).items()]
    more = len(overrides) - NAMED_OVERRIDES
    named = [str(parameters["preset"]), *overrides[:NAMED_OVERRIDES], *([f"and {more} more"] * (more > 0))]
    return without_secrets(" ".join(named))


def failed_externally(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry failures outside this program, not mistakes in the configuration."""
    try:
        state.result()
    except ExternalError:
        return True
    except Exception:
        return False
    return False


def current_view() -> View:
    """Return the view that shows this run's progress."""
    return CURRENT_VIEW.get() or LogView(get_run_logger().info)


# Prefect caches nothing: the store decides what is fresh.
@task(
    task_run_name=lambda: f"corpus {corpus_name(runtime.task_run.parameters['config'].corpus)}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def corpus_task(config: RunConfig, store: Store, test_sets: Sequence[EvaluationSet] = ()) -> Corpus:
    """Download or read the corpus."""
    view = current_view()
    view.began("corpus")
    scored = [ScoredSet(each.name, each.fingerprint, each.read) for each in test_sets]
    with chunks_on_cluster():
        corpus = prepare_corpus(config.corpus, store, scored)
    tokenizer = bleu_tokenizer(config.evaluation, corpus.languages.target)
    references = (reference for _, reference in corpus.pairs("validation"))
    check_words(references, tokenizer, f"{corpus_name(config.corpus)} validation")
    pairs, languages = corpus.figures["pairs"], str(corpus.languages)
    counts = " + ".join(f"{pairs[split]:,} {split}" for split in ("train", *SCORED_SPLITS))
    view.ended(
        f"{counts} pairs{languages and ', '}{languages}{skipped_text(corpus.skipped)}"
        f"{_cleaned(corpus.figures, config.corpus.leaks)}",
        corpus.reused,
    )
    for part in corpus.parts:
        page = "".join(file.read_text("utf8") for file in part.reports if file.suffix == ".md")
        name = "-".join(filter(None, (config.name, part.name)))
        told = f"{corpus_name(config.corpus)}: what the rules did to its training pairs"
        publish(re.sub(r"!\[.*\n", "", page), key=key_of("corpus", name), description=told)
    return corpus


def skipped_text(lines: int) -> str:
    """Return what a stage that skipped bad lines says of them."""
    return f", {lines:,} bad line{'s' * (lines > 1)} skipped" if lines else ""


def _cleaned(figures: Mapping[str, Any], mode: LeakMode) -> str:
    """Say what the rules have dropped, and how many training pairs are in validation or test as well."""
    rules = {rule: count for rule, count in figures["cleaning"]["rules"].items() if count and rule != LEAK[0]}
    leaks = sum(sum(kinds.values()) for kinds in figures["leaks"].values())
    told = ""
    for what, of_these in (("mended", rules.keys() & REPAIRS), ("dropped", rules.keys() - REPAIRS)):
        found = [f"{count:,} {rule.replace('_', ' ')}" for rule, count in rules.items() if rule in of_these]
        told += f"; {what}: {', '.join(found)}" if found else ""
    if leaks:
        told += f"; {'in train as well' if mode == 'keep' else 'left out of train'}: {leaks:,} that are scored"
    return told


def _name_of_tokenizer() -> str:
    config = runtime.task_run.parameters["config"].tokenizer
    return f"tokenizer {config.model or f'{config.kind} {config.vocabulary_size}'}"


@task(task_run_name=_name_of_tokenizer, cache_policy=NO_CACHE)
def tokenizer_task(config: RunConfig, corpus: Corpus, store: Store) -> Tokenizer:
    """Train the tokenizer."""
    view = current_view()
    view.began("tokenizer")
    tokenizer = train_tokenizer(corpus, config.tokenizer, store)
    kind = " and ".join(filter(None, (config.tokenizer.model, config.tokenizer.target_model))) or config.tokenizer.kind
    joint = "joint" if config.tokenizer.joint else "one of each language"
    references = tokenizer.figures["references"]
    lost = f", {references['changed']:,} of {references['sentences']:,} references changed"
    view.ended(
        f"{tokenizer.figures['target_pieces']:,} pieces, {kind}, {joint}{lost if references['changed'] else ''}",
        tokenizer.reused,
    )
    for warning in survival_warnings(tokenizer.figures, config.tokenizer):
        view.warned(warning)
    return tokenizer


@task(task_run_name="batches of {config.batching.tokens} tokens", cache_policy=NO_CACHE)
def batches_task(config: RunConfig, corpus: Corpus, tokenizer: Tokenizer, store: Store) -> EncodedCorpus:
    """Encode the corpus and plan its batches."""
    view = current_view()
    view.began("batches")
    with chunks_on_cluster():
        encoded = encode_corpus(corpus, tokenizer, config.batching, store)
    figures, alone = encoded.figures, " of one worker" if config.batching.tokens_per_worker else ""
    view.ended(
        f"{figures['steps_per_epoch']:,} steps per epoch{alone}, {figures['padding_share']:.1%} padding, "
        f"{figures['train_pairs_over_max_length']:,} pairs over {config.batching.max_length} tokens left out"
        f"{config.noise.clause}",
        encoded.reused,
    )
    return encoded


def name_of_system(stage: str) -> Callable[[], str]:
    """Return what names a task of a stage by its system."""

    def name() -> str:
        parameters = runtime.task_run.parameters
        return f"{stage} {parameters['system'] or parameters['config'].name}"

    return name


@task(task_run_name=name_of_system("training"), cache_policy=NO_CACHE)
def training_task(
    config: RunConfig,
    encoded: EncodedCorpus,
    fingerprints: Mapping[str, str],
    store: Store,
    command: Sequence[str],
    system: str = "",
    child: ChildRun | None = None,
) -> TrainedModel:
    """Train on Ray and record it in MLflow for `command`; of an ablation, `system` is shown and `child` its run."""
    view = current_view()
    compiling = "" if is_compiled() or not available() else ", which compile for the first time"
    view.began("training", 1.0, f"starting the workers{compiling}", system)
    stage, run = train_stage(encoded, config), None
    if store.find(stage) is None:
        run = TrainingRun(config, fingerprints, child, anew=store.renews(stage))
        run.start()

    def observe(record: dict[str, float]) -> None:
        view.record(record)
        if run is not None:
            run.observe(record)

    asked = Asked(command, child.name if child else "", run or Untracked())
    try:
        trained = train_model(encoded, config, store, observe, asked)
    except BaseException as error:
        if run is not None:
            run.interrupted(by_user=isinstance(error, ON_REQUEST))
        raise
    if run is not None:
        run.complete(trained.history())
    figures = trained.figures
    view.ended(
        f"{_best(figures, config.training.select_by)} after epoch {epoch_text(figures['best_epoch'])} of "
        f"{epoch_text(figures['epochs'])}, "
        f"{trained.machine}{_scaled(config, figures['workers'])}, {figures['training_seconds']:.1f} s of steps"
        f"{slower_than_asked(config, figures)}",
        trained.reused,
    )
    return trained


def slower_than_asked(config: RunConfig, figures: Figures) -> str:
    """Say what kept a training from its full speed, or from the precision that it was asked for."""
    because = step_by_step_because(config)
    loop = f", with the slower step-by-step decoder ({because})" if because else ""
    in_fp32 = config.training.precision == "bf16" and not figures["multiplied_bf16"]
    return f"{loop}{', in fp32 (bf16 was asked for; the processor has no instructions for it)' if in_fp32 else ''}"


def _scaled(config: RunConfig, workers: int) -> str:
    """Say how large a step was, and with which learning rate, where that depends on the workers."""
    if config.batching.tokens_per_worker is None:
        return ""
    factor, rate = config.batching.rate_factor(workers), config.training.learning_rate
    return (
        f", steps of {config.batching.step_tokens(workers):,} tokens with a learning rate of {rate * factor:.4g} "
        f"({factor:.3g} x {rate:g})"
    )


def _best(figures: Figures, select_by: SelectBy) -> str:
    bleu = f"BLEU {figures['best_bleu']:.2f}"
    if select_by == "loss":
        return f"lowest validation loss ({bleu}, greedy)"
    metric = metric_titled(select_by)
    best = figures["checkpoints"][0][metric.key]
    return f"best {metric.title} {best:.2f} ({'' if metric is BLEU else f'{bleu}, '}greedy)"


@task(
    task_run_name="registration {config.name}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def registration_task(
    config: RunConfig,
    trained: TrainedModel,
    evaluation: Evaluation,
    corpus: Corpus,
    fingerprints: Mapping[str, str],
) -> ModelVersion:
    """Register the model."""
    view = current_view()
    view.began("registration")
    version = register_model(TrainingRun(config, fingerprints), trained, evaluation, corpus, config)
    view.ended(f"{version.uri}, {version.decision}", Reuse(version.reused))
    return version


@task(
    task_run_name="model {model}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def model_task(model: str, option: str = "--model") -> PulledVersion:
    """Pull a registered model into the store."""
    view = current_view()
    view.began("model")
    pulled = pull_model(model, Store(), option)
    view.ended(pulled.uri, pulled.reused)
    return pulled


def data_fingerprints(encoded: EncodedCorpus) -> dict[str, str]:
    """Return the fingerprints of what a training is made from, by stage."""
    return {
        "corpus": encoded.corpus.fingerprint,
        "tokenizer": encoded.tokenizer.fingerprint,
        "encoded": encoded.fingerprint,
    }


def stage_fingerprints(config: RunConfig, encoded: EncodedCorpus) -> dict[str, str]:
    """Return the fingerprints of a training and of what it is made from, by stage."""
    return data_fingerprints(encoded) | {"training": train_stage(encoded, config).fingerprint}
