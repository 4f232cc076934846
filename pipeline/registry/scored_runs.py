"""Scores of registered models in MLflow: one run per scoring, tied to the versions and the data set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from pipeline.errors import without_secrets_in
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.evaluation.score_report import difference, summary
from pipeline.evaluation.scoring import REPORT, Scores
from pipeline.metrics.faults import FAULTS
from pipeline.metrics.metrics import METRICS
from pipeline.registry.mlflow_internals import LONGEST_NOTE, NOTE_TAG, data_set
from pipeline.registry.pull import PulledVersion
from pipeline.registry.runs import finish, open_experiment, reachable_server
from pipeline.store.store import versions

SCORES_TAG = "nmt.scores"


def record_scores(scores: Scores, models: Sequence[PulledVersion], pairs: EvaluationSet, experiment: str) -> str:
    """Record the scores of one model, or the comparison of two, in MLflow; return the run's id.

    The run has the scores as metrics, tied to the versions and the data set, and report.md, which its page shows; each
    version gets the scores as a tag. For the same scores, the existing run is returned. Raises ExternalError if MLflow
    fails.
    """
    with reachable_server():
        client, experiment_id = open_experiment(experiment)
        found = client.search_runs([experiment_id], f"tags.`{SCORES_TAG}` = '{scores.fingerprint}'")
        if found:
            return str(found[0].info.run_id)
        name = f"{' and '.join(model.label for model in models)} on {pairs.name}"
        tags = {"nmt.models": " ".join(model.uri for model in models), "nmt.set": pairs.fingerprint}
        tags |= {f"nmt.version.{package}": version for package, version in versions().items()}
        tags |= {f"nmt.signature.{metric}": text for metric, text in scores.figures["signatures"].items()}
        tags[NOTE_TAG] = scores.report[:LONGEST_NOTE]  # Shown as Markdown on the run's page.
        run = str(client.create_run(experiment_id, run_name=name, tags=tags).info.run_id)
        with mlflow.start_run(run_id=run):
            _log(scores, models, pairs)
        _tag_versions(client, scores, models, pairs, run)
        # Last, since runs are found by this tag: one without scores never is.
        client.set_tag(run, SCORES_TAG, scores.fingerprint)
        finish(client, run)
    return run


def _log(scores: Scores, models: Sequence[PulledVersion], pairs: EvaluationSet) -> None:
    dataset = data_set(pairs.file, pairs.name, pairs.fingerprint, pairs.pairs, without_secrets_in(dict(pairs.origin)))
    mlflow.log_input(dataset, context="evaluation")
    for model, system in zip(models, scores.figures["systems"], strict=True):
        prefix = "scores" if len(models) == 1 else f"scores_{model.label.replace('/', '_')}"
        mlflow.log_metrics(_metrics(prefix, system), model_id=model.model_id, dataset=dataset)
    if len(models) > 1:
        second = scores.figures["systems"][1]["scores"]
        for metric in METRICS.values():
            gain, p = difference(scores.figures["systems"], metric), second[metric.score_key]["p"]
            mlflow.log_metrics({f"gain/{metric.score_key}": gain, f"gain/{metric.score_key}_p": p})
    mlflow.log_artifact(str(scores.path / REPORT))
    mlflow.log_dict(dict(scores.figures), "scores.json")


def _metrics(prefix: str, system: Mapping[str, Any]) -> dict[str, float]:
    scores = {
        f"{prefix}/{metric}{suffix}": score[bound]
        for metric, score in system["scores"].items()
        for bound, suffix in (("score", ""), ("low", "_low"), ("high", "_high"))
    }
    faults = [name for fault in FAULTS for name in (fault, f"{fault}_percent") if name in system]
    return scores | {f"{prefix}/{name}": system[name] for name in faults}


def _tag_versions(
    client: MlflowClient, scores: Scores, models: Sequence[PulledVersion], pairs: EvaluationSet, run: str
) -> None:
    name = _tag(pairs.name)[:100]
    for model, system in zip(models, scores.figures["systems"], strict=True):
        text = f"{summary(system)}; run {run}"
        client.set_model_version_tag(model.name, model.version, f"nmt.scores.{name}", text)
    for model, other in zip(models, reversed(models), strict=True):
        if len(models) > 1:
            key = f"nmt.compared.{name}.{_tag(other.label)}"
            client.set_model_version_tag(model.name, model.version, key, f"{scores.figures['verdict']}; run {run}")


def _tag(name: str) -> str:
    """Return a name with only the characters that MLflow allows in a tag's key."""
    return re.sub(r"[^\w .-]+", "-", name)
