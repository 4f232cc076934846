"""The flow `evaluate`: registered models, scored on any corpus and compared."""

import re
from dataclasses import asdict
from itertools import chain
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE

from flows.evaluation_corpus import describe, describe_seen, evaluation_config, training_parts
from flows.permitted import check_read
from flows.presets import check_evaluation
from flows.publishing import hide_secrets_in_logs, publish
from flows.tasks import RETRY_DELAYS, current_view, failed_externally, model_task, skipped_text
from pipeline.config import RunConfig
from pipeline.corpus.splits import Split, find_split
from pipeline.errors import InputError, without_secrets
from pipeline.evaluation.evaluation_set import EvaluationSet, Seen, count_seen, prepare_files, prepare_split
from pipeline.evaluation.further_sets import named_set
from pipeline.evaluation.score_report import summary
from pipeline.evaluation.scoring import Scores, Translated, score_translations, translate_set
from pipeline.inference.devices import open_device
from pipeline.metrics.tokenizers import bleu_tokenizer, check_words
from pipeline.registry.pull import PulledVersion
from pipeline.registry.runs import tracking_uri
from pipeline.registry.scored_runs import record_scores
from pipeline.store.store import Store


@task(
    task_run_name="pairs {split}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def pairs_task(
    config: RunConfig, split: Split, files: bool, references: list[str], test_set: str | None
) -> EvaluationSet:
    """Download or read the pairs to score on: of the files in `corpus.path`, a split as a training has it, or a set."""
    view = current_view()
    view.began("pairs")
    if test_set is not None:
        pairs = named_set(config, test_set, Store())
    elif files:
        pairs = prepare_files(config.corpus, split, Store(), references)
    else:
        pairs = prepare_split(config.corpus, split, Store())
    tokenizer = bleu_tokenizer(config.evaluation, pairs.languages.target)
    check_words((reference for _, reference in pairs.read()), tokenizer, pairs.name)
    view.ended(f"{pairs.pairs:,} of {pairs.name}{skipped_text(pairs.skipped)}", pairs.reused)
    return pairs


@task(task_run_name=lambda: f"translation {runtime.task_run.parameters['model'].label}", cache_policy=NO_CACHE)
def translation_task(model: PulledVersion, pairs: EvaluationSet, device: str) -> Translated:
    """Translate the sources."""
    view = current_view()
    view.began("translation", pairs.pairs, system=model.label)
    translated = translate_set(model, pairs, Store(), view.advanced, device)
    view.ended(f"{pairs.pairs:,} sentences", translated.reused)
    return translated


@task(
    task_run_name="scores",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def scores_task(
    systems: list[Translated], models: list[PulledVersion], pairs: EvaluationSet, config: RunConfig
) -> tuple[Scores, str]:
    """Score the translations and record them in MLflow."""
    view = current_view()
    view.began("scores")
    scores = score_translations(systems, pairs, config.evaluation, Store())
    run = record_scores(scores, models, pairs, config.registry.experiment)
    view.ended(scores.figures.get("verdict", summary(scores.figures["systems"][-1])), scores.reused)
    return scores, run


def _seen(model: PulledVersion, pairs: EvaluationSet) -> Seen | None:
    """Return how much of the pairs a model was trained on; None if its training data are not here."""
    parts = training_parts(model, Store())
    return None if parts is None else count_seen(pairs, chain.from_iterable(part.read("train") for part in parts))


def evaluate_run_name() -> str:
    """Name a run by its models and the set."""
    parameters = runtime.flow_run.parameters
    against = f" against {parameters['against']}" if parameters.get("against") else ""
    return without_secrets(f"{parameters['model']}{against}")


@flow(name="evaluate", flow_run_name=evaluate_run_name)
def evaluate(
    model: str = "captions",
    against: str | None = None,
    preset: str | None = None,
    overrides: dict[str, Any] | None = None,
    split: str = "test",
    references: list[str] | None = None,
    device: str = "auto",
    test_set: str | None = None,
) -> dict[str, Any]:
    """Score a registered model on its own test set or another corpus, or compare it with another on the same sentences.

    model, against: a registered model's name (its champion), models:/name/3 or models:/name@alias. preset: whose corpus
    to score on; without one, the corpus that `model` was trained on. overrides: as of a training, such as
    {"corpus.path": "news.tsv"} for pairs of your own: of a single file all, else the `split`.
    `evaluation.bootstrap_samples` is the number of resampled sets. references: further columns of such a file, or
    further text files if `corpus.target_path` is one. device: auto, cpu or gpu, of this process. test_set: the name of
    one of the preset's `evaluation.test_sets`, or of those that `model` was scored on. The result says in `scored_on`
    and `trained_on` how many of the pairs the models were trained on.
    """
    hide_secrets_in_logs()
    wanted, values = find_split(split), overrides or {}
    check_evaluation(preset, values, references or [], test_set, wanted)
    open_device(device, f"--device {device}")  # Before a download.
    models = [*([] if against is None else [model_task(against, "--against")]), model_task(model, "MODEL")]
    if len({found.uri for found in models}) < len(models):
        raise InputError(f"--against {against}: that is {models[0].uri} itself; name another version")
    config = evaluation_config(models[-1], preset, values)
    if config.corpus.target_path is not None:
        for name in references or []:
            check_read(name, f"--reference {name}")
    pairs = pairs_task(config, wanted, "corpus.path" in values, references or [], test_set)
    systems = [translation_task(found, pairs, device) for found in models]
    scores, run = scores_task(systems, models, pairs, config)
    seen = {found.uri: _seen(found, pairs) for found in models}
    sentences = [describe(models[-1], preset, values, config, wanted, pairs, test_set)]
    sentences += [describe_seen(uri, pairs, counts) for uri, counts in seen.items()]
    scored_on = " ".join(filter(None, sentences))
    report = f"{scored_on}\n\n{scores.report}"
    publish(
        report,
        key=re.sub("[^a-z0-9]+", "-", f"evaluate-{models[-1].name}".lower()).strip("-"),
        description=scores.figures.get("verdict", f"{models[-1].uri} on {pairs.name}"),
    )
    return {
        **scores.figures,
        "scored_on": scored_on,
        "trained_on": {uri: None if counts is None else asdict(counts) for uri, counts in seen.items()},
        "markdown": report,
        "run_id": run,
        "tracking_uri": without_secrets(tracking_uri()),
        "translations": [str(system.file) for system in systems],
        "reused": bool(scores.reused),
    }
