"""The flow `ablation`: the systems of a preset's ablation, trained, scored and compared."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.presets import command_of, load_config
from flows.publishing import hide_secrets_in_logs, publish
from flows.scoring_tasks import evaluation_task, load_test_sets
from flows.tasks import (
    RETRY_DELAYS,
    batches_task,
    corpus_task,
    current_view,
    data_fingerprints,
    failed_externally,
    flow_run_name,
    stage_fingerprints,
    tokenizer_task,
    training_task,
)
from pipeline.ablation.comparison import Outcome
from pipeline.ablation.report import AblationReport, report_ablation
from pipeline.ablation.systems import AblationPlan, plan_ablation
from pipeline.batches.encoding import EncodedCorpus
from pipeline.batches.tokenizer import check_own_models
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.training import train_stage
from pipeline.config import RunConfig
from pipeline.corpus.corpus import Corpus
from pipeline.errors import without_secrets
from pipeline.evaluation.evaluation import evaluation_stage
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.further_sets import check_languages
from pipeline.registry.ablation_runs import AblationRun, complete_child
from pipeline.registry.runs import ChildRun, tracking_uri
from pipeline.stopping import current_stop, seconds_of, stopping
from pipeline.store.stages import ABLATION_STAGES, fingerprint, fresh_stages
from pipeline.store.store import Store


@task(
    task_run_name="report",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def report_task(
    plan: AblationPlan, outcomes: Sequence[Outcome], corpus: Corpus, run: AblationRun, store: Store
) -> AblationReport:
    """Compare the systems: tables and pictures, in the store, in MLflow and as an artifact of this run."""
    view = current_view()
    view.began("report")
    report = report_ablation(plan, outcomes, corpus, store)
    run.complete(report)
    publish(report.tables(), key="ablation", description=f"Ablation of {plan.ladder.title}")
    view.ended(f"{len(plan.tables)} tables, {len(report.pictures)} pictures", report.reused)
    return report


@flow(name="ablation", flow_run_name=flow_run_name)
def ablation(
    preset: str = "captions",
    overrides: dict[str, Any] | None = None,
    fresh: str | None = None,
    time_limit: str | None = None,
) -> dict[str, Any]:
    """Train the systems of a preset's ablation and compare them.

    preset: a name that `nmt presets` lists, or a YAML file. overrides: values by dotted name, such as
    {"ablation.epochs": 3, "ablation.seeds": 2}. All systems are validated before anything is downloaded, and share
    corpus, tokenizer, batches, budget and seeds. Systems that were trained before, by `train` too, are reused; an
    ablation that was stopped continues from the last checkpoint of the system it was training. `fresh` names the first
    stage to make again ("all" for every one). SIGTERM, or a time limit such as "2 hours", stops it with a checkpoint.
    """
    hide_secrets_in_logs()
    config = load_config(preset, overrides or {})
    plan = plan_ablation(config)
    check_own_models(config.tokenizer)
    store = Store(fresh=fresh_stages(fresh, ABLATION_STAGES))
    with stopping(seconds_of(time_limit)):
        return _compare(config, plan, store, command_of("ablate", preset, overrides or {}))


def _compare(config: RunConfig, plan: AblationPlan, store: Store, command: Sequence[str]) -> dict[str, Any]:
    test_sets = load_test_sets(config, store)
    corpus = corpus_task(config, store, test_sets)
    check_languages(test_sets, corpus.languages)
    tokenizer = tokenizer_task(config, corpus, store)
    encoded = batches_task(config, corpus, tokenizer, store)
    run = AblationRun(config, _fingerprint(plan, corpus, encoded, test_sets), data_fingerprints(encoded))
    with run.running(), _cluster(plan, encoded, store):
        outcomes = _train_systems(plan, corpus, test_sets, encoded, run, store, command)
        report = report_task(plan, outcomes, corpus, run, store)
    return {
        "preset": config.name,
        "run_id": run.id,
        "tracking_uri": without_secrets(tracking_uri()),
        "tables": report.figures["tables"],
        "systems": [_summary(outcome) for outcome in outcomes],
        "markdown": report.tables(),
        "report": str(report.report),
        "pictures": [str(picture) for picture in report.pictures],
        "reused": bool(report.reused),
    }


def _fingerprint(plan: AblationPlan, corpus: Corpus, encoded: EncodedCorpus, test_sets: Sequence[EvaluationSet]) -> str:
    """Return what identifies an ablation: all of its evaluations."""
    stages = (
        evaluation_stage(train_stage(encoded, system.config).fingerprint, corpus, system.config.evaluation, test_sets)
        for system in plan.trainings()
    )
    return fingerprint({"evaluations": [stage.fingerprint for stage in stages]})


def _cluster(plan: AblationPlan, encoded: EncodedCorpus, store: Store) -> AbstractContextManager[None]:
    """Return one Ray cluster for all trainings, or nothing if all are done: starting one takes seconds."""
    stages = [train_stage(encoded, system.config) for system in plan.trainings()]
    return nullcontext() if all(store.find(stage) for stage in stages) else ray_cluster()


def _train_systems(
    plan: AblationPlan,
    corpus: Corpus,
    test_sets: Sequence[EvaluationSet],
    encoded: EncodedCorpus,
    run: AblationRun,
    store: Store,
    command: Sequence[str],
) -> list[Outcome]:
    trainings = list(plan.trainings())
    outcomes = []
    for number, system in enumerate(trainings, start=1):
        seed = system.config.training.seed
        name = f"{system.name}, seed {seed}" if system.config.ablation.seeds > 1 else system.name
        shown, child = f"{number}/{len(trainings)} {name}", ChildRun(run.id, name)
        fingerprints = stage_fingerprints(system.config, encoded)
        trained = training_task(system.config, encoded, fingerprints, store, command, shown, child)
        evaluation = evaluation_task(system.config, trained, corpus, store, test_sets, shown)
        outcome = Outcome(system.name, seed, trained, evaluation)
        complete_child(system.config, fingerprints, child, outcome)
        outcomes.append(outcome)
        current_stop().check()
    return outcomes


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "system": outcome.system,
        "seed": outcome.seed,
        "training": outcome.trained.fingerprint,
        "evaluation": outcome.evaluation.fingerprint,
        "reused": bool(outcome.trained.reused and outcome.evaluation.reused),
        "scores": outcome.evaluation.figures["test"],
    }
