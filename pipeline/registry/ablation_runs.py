"""The MLflow run of an ablation, with the report; its trainings are its children."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from pipeline.ablation.comparison import Outcome
from pipeline.ablation.report import AblationReport, slug
from pipeline.config import RunConfig
from pipeline.evaluation.scored_sets import plain_name, set_names
from pipeline.registry.mlflow_internals import NOTE_TAG
from pipeline.registry.runs import ChildRun, TrainingRun, finish, make_run, open_experiment, reachable_server
from pipeline.stopping import ON_REQUEST
from pipeline.store.stages import fingerprint

ABLATION_TAG, REPORT_TAG = "nmt.ablation", "nmt.report"
SECTIONS = ("corpus", "tokenizer", "batching", "model", "training", "noise", "evaluation", "ablation")
COST_METRICS = ("parameters", "training_seconds", "target_tokens_per_second", "epochs")


class AblationRun:
    """One run per ablation, found again after an interruption."""

    def __init__(self, config: RunConfig, ablation: str, fingerprints: Mapping[str, str]) -> None:
        """Find the run of the ablation with this fingerprint, or create it; `fingerprints` are those of its stages.

        Raises ExternalError if MLflow fails.
        """
        with reachable_server():
            self._client, self._experiment = open_experiment(config.registry.experiment)
            self.id = self._find(ablation) or self._create(config, ablation, fingerprints)

    def _find(self, ablation: str) -> str | None:
        runs = self._client.search_runs([self._experiment], f"tags.`{ABLATION_TAG}` = '{ablation}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def _create(self, config: RunConfig, ablation: str, fingerprints: Mapping[str, str]) -> str:
        tags = {f"nmt.fingerprint.{stage}": value for stage, value in fingerprints.items()}
        name = f"{config.name}-ablation-{ablation[:8]}"
        run = make_run(self._client, self._experiment, name, config, tags, SECTIONS)
        self._client.set_tag(run, ABLATION_TAG, ablation)
        return run

    @contextmanager
    def running(self) -> Iterator[None]:
        """Mark the run as running, and as killed or failed if the ablation stops early; it can be continued."""
        with reachable_server():
            if self._client.get_run(self.id).info.status != "FINISHED":
                self._client.update_run(self.id, status="RUNNING")
        try:
            yield
        except BaseException as error:
            with suppress(MlflowException):
                self._client.set_terminated(self.id, "KILLED" if isinstance(error, ON_REQUEST) else "FAILED")
            raise

    def complete(self, report: AblationReport) -> None:
        """Log the report, its pictures and each system's BLEU, unless that is done, and end the run."""
        with reachable_server():
            identity = fingerprint({"report": report.fingerprint, "tables": report.tables()})
            if self._client.get_run(self.id).data.tags.get(REPORT_TAG) != identity:
                self._client.log_artifacts(self.id, str(report.path))
                bleu = {
                    f"{table}_bleu/{number}-{slug(row['label'])}": row["bleu"]["mean"]
                    for table, rows in report.figures["tables"].items()
                    for number, row in enumerate(rows, start=1)
                }
                tags = {NOTE_TAG: report.tables(), REPORT_TAG: identity}
                self._client.log_batch(self.id, _metrics(bleu), tags=[RunTag(*tag) for tag in tags.items()])
            finish(self._client, self.id)


def complete_child(config: RunConfig, fingerprints: Mapping[str, str], child: ChildRun, outcome: Outcome) -> None:
    """Record a training of an ablation in a run of its own, with history and scores, also one reused from the store.

    Raises ExternalError if MLflow fails.
    """
    run = TrainingRun(config, fingerprints, child)
    run.complete(outcome.trained.history())
    metrics = {
        f"final/{plain_name(name)}_{key}": score
        for name in set_names(outcome.evaluation.figures)
        for key, score in outcome.evaluation.scores(name).items()
    }
    metrics |= {f"final/{key}": outcome.trained.figures[key] for key in COST_METRICS}
    with reachable_server():
        known = run.client.get_run(run.id).data.metrics
        run.client.log_batch(run.id, _metrics({k: value for k, value in metrics.items() if known.get(k) != value}))
        run.tag({"nmt.fingerprint.evaluation": outcome.evaluation.fingerprint, "nmt.system": outcome.system})


def _metrics(values: Mapping[str, float]) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, float(value), now, 0) for key, value in values.items()]
