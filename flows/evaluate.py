"""The flow `evaluate`: registered models, scored on any corpus and compared."""

import re
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.presets import load_config
from flows.tasks import RETRY_DELAYS, current_view, failed_externally, model_task
from pipeline.config import RunConfig
from pipeline.corpus.splits import Split, find_split
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import EvaluationSet, prepare_evaluation_set
from pipeline.evaluation.score_report import summary
from pipeline.evaluation.scoring import Scores, Translated, score_translations, translate_set
from pipeline.registry.pulled import Pulled
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
def pairs_task(config: RunConfig, split: Split) -> EvaluationSet:
    """Download or read the pairs to score on."""
    view = current_view()
    view.began("pairs")
    pairs = prepare_evaluation_set(config.corpus, split, Store())
    view.ended(f"{pairs.pairs:,} of {pairs.name}", pairs.reused)
    return pairs


@task(task_run_name=lambda: f"translation {runtime.task_run.parameters['model'].label}", cache_policy=NO_CACHE)
def translation_task(model: Pulled, pairs: EvaluationSet) -> Translated:
    """Translate the sources."""
    view = current_view()
    view.began("translation", pairs.pairs, system=model.label)
    translated = translate_set(model, pairs, Store(), view.advanced)
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
    systems: list[Translated], models: list[Pulled], pairs: EvaluationSet, config: RunConfig
) -> tuple[Scores, str]:
    """Score the translations, and tell MLflow."""
    view = current_view()
    view.began("scores")
    scores = score_translations(systems, pairs, config.ablation.bootstrap_samples, Store())
    run = record_scores(scores, models, pairs, config.registry.experiment)
    view.ended(scores.figures.get("verdict", summary(scores.figures["systems"][-1])), scores.reused)
    return scores, run


def evaluate_run_name() -> str:
    """Name a run by its models and the set."""
    parameters = runtime.flow_run.parameters
    against = f" against {parameters['against']}" if parameters.get("against") else ""
    return f"{parameters['model']}{against}"


@flow(name="evaluate", flow_run_name=evaluate_run_name)
def evaluate(
    model: str = "captions",
    against: str | None = None,
    preset: str = "captions",
    overrides: dict[str, Any] | None = None,
    split: str = "test",
) -> dict[str, Any]:
    """Score a registered model on a corpus, or compare it with another on the same sentences.

    model, against: a registered model's name (its champion), models:/name/3 or models:/name@alias. preset, overrides:
    as of a training; their `corpus` says which pairs, such as {"corpus.path": "news.tsv"}: of a single file all,
    else the `split`. `ablation.bootstrap_samples` is the number of resampled sets.
    """
    wanted, config = find_split(split), load_config(preset, overrides or {})
    models = [*([] if against is None else [model_task(against, "--against")]), model_task(model)]
    if len({found.uri for found in models}) < len(models):
        raise InputError(f"--against {against}: that is {models[0].uri} itself; name another version")
    pairs = pairs_task(config, wanted)
    systems = [translation_task(found, pairs) for found in models]
    scores, run = scores_task(systems, models, pairs, config)
    create_markdown_artifact(
        scores.report,
        key=re.sub("[^a-z0-9]+", "-", f"evaluate-{models[-1].name}".lower()).strip("-"),
        description=scores.figures.get("verdict", f"{models[-1].uri} on {pairs.name}"),
    )
    return {
        **scores.figures,
        "markdown": scores.report,
        "run_id": run,
        "tracking_uri": tracking_uri(),
        "translations": [str(system.file) for system in systems],
        "reused": bool(scores.reused),
    }
