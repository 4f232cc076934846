"""MLflow runs: one per training, found again after a restart, with the metrics of every step and epoch."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.config import RunConfig
from pipeline.errors import ExternalError, without_secrets
from pipeline.metrics.metrics import METRICS
from pipeline.overrides import dump_fields
from pipeline.registry.mlflow_internals import NO_ANSWER, PARENT_TAG, prepare_runs
from pipeline.stopping import ON_REQUEST
from pipeline.store.storage import artifacts_uri, home
from pipeline.store.store import versions
from pipeline.store.whole_files import make_private
from pipeline.training.history import Record, is_validation

METRICS_AT_ONCE = 1000  # MLflow takes no more in one call.
FLUSH_SECONDS = 5.0
TRAINING_TAG = "nmt.training"
FINGERPRINT_TAG = "nmt.fingerprint."
"""Followed by a stage."""
STEP_METRICS = {
    key: f"train/{key}"
    for key in (
        *("loss", "perplexity", "learning_rate", "teacher_forcing"),
        *("gradient_norm", "target_tokens_per_second", "epoch"),
    )
}
EPOCH_METRICS = {
    **{key: f"validation/{key}" for key in METRICS},
    "validation_loss": "validation/loss",
    "validation_perplexity": "validation/perplexity",
    **{
        f"train_{key}": f"epoch/train_{key}"
        for key in (
            *("loss", "perplexity", "target_tokens_per_second", "matmul_share"),
            *("waiting_share", "reporting_share", "saving_share", "on_gpu", "workers"),
        )
    },
}


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, by default a SQLite file in `$NMT_HOME`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def has_registry() -> bool:
    """Return whether there can be models: False if the SQLite file is not there, which MLflow would make on a look."""
    file = _sqlite_file()
    return file is None or file.exists()


def _sqlite_file() -> Path | None:
    scheme, _, path = tracking_uri().partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else None


def use_registry() -> None:
    """Point MLflow at its server or database; a SQLite file is made whole first, or brought up to date.

    Raises ExternalError for one that cannot be.
    """
    file = _sqlite_file()
    # A file that the user names may be used by other versions of MLflow: those are for the user to bring up to date.
    if file is not None and (file == home() / "mlflow.db" or not file.exists()):
        prepare_runs(file)
    mlflow.set_tracking_uri(tracking_uri())
    if file is not None:
        with reachable_server(), _lock("experiments"):
            MlflowClient().get_experiment("0")  # MLflow's own, which two processes cannot make at once.


def _lock(name: str) -> FileLock:
    make_private(home())
    return FileLock(home() / f"{name}.lock")


@contextmanager
def reachable_server() -> Iterator[None]:
    """Raise an ExternalError when the MLflow server, or its artifact storage, fails."""
    try:
        yield
    except Exception as error:
        if not mlflow_failed(error):
            raise
        reason = str(error).strip().splitlines()[0]
        if NO_ANSWER in reason:
            reason = "no server answers there"
        raise ExternalError(
            f"MLFLOW_TRACKING_URI={tracking_uri()}: MLflow failed ({reason}); run the command again when it answers: "
            "finished stages are kept"
        ) from error


def mlflow_failed(error: Exception) -> bool:
    """Return whether an error comes from MLflow, or from the client that it reaches S3 with."""
    return isinstance(error, MlflowException) or type(error).__module__.partition(".")[0] in {"boto3", "botocore"}


def open_experiment(name: str) -> tuple[MlflowClient, str]:
    """Return a client and the id of an experiment, which is created if it does not exist."""
    use_registry()
    client = MlflowClient()
    with _lock("experiments"):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return client, str(found.experiment_id)
        # A server knows where its artifacts go; with a bare database, MLflow would use the current folder.
        location = None if tracking_uri().startswith(("http://", "https://")) else artifacts_uri()
        return client, str(client.create_experiment(name, artifact_location=location))


def make_run(
    client: MlflowClient,
    experiment: str,
    name: str,
    config: RunConfig,
    tags: Mapping[str, str],
    sections: Sequence[str],
) -> str:
    """Create a run with the parameters of the configuration's sections and the versions; return its id."""
    tags = {"nmt.preset": config.name, **tags}
    tags |= {f"nmt.version.{package}": version for package, version in versions().items()}
    run = client.create_run(experiment, run_name=name, tags=tags)
    parameters = [
        Param(field, without_secrets(str(value)))
        for field, value in dump_fields(config).items()
        if field.partition(".")[0] in sections
    ]
    client.log_batch(run.info.run_id, params=parameters)
    return str(run.info.run_id)


def finish(client: MlflowClient, run: str) -> None:
    """End a run, unless it has finished already: ending it again would change its duration."""
    if client.get_run(run).info.status != "FINISHED":
        client.set_terminated(run, "FINISHED")


def fingerprints_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the fingerprints among the tags of a run or a version, by stage."""
    return {key.removeprefix(FINGERPRINT_TAG): tags[key] for key in tags if key.startswith(FINGERPRINT_TAG)}


def fingerprints_of_training(beginning: str) -> dict[str, str] | None:
    """Return what the training whose fingerprint begins so is made from, by stage; None if no run has recorded it."""
    client = MlflowClient()
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{TRAINING_TAG}` LIKE '{beginning}%'", max_results=1)
    return fingerprints_in(runs[0].data.tags) if runs else None


@dataclass(frozen=True)
class ChildRun:
    """Names a run under a parent: an ablation's training has one even if `nmt train` trained the same model."""

    parent: str
    name: str


class TrainingRun:
    """The MLflow run of one training. `complete` adds from the history what live updates have missed."""

    def __init__(
        self, config: RunConfig, fingerprints: Mapping[str, str], child: ChildRun | None = None, anew: bool = False
    ) -> None:
        """Find the run of the training `fingerprints["training"]`, under its parent if it has one, or create it.

        `anew` always creates one, which is then the one to be found. Raises ExternalError if MLflow fails.
        """
        self._child = child
        self._pending: list[Metric] = []
        self._left_to_other = False
        """Whether another command logs to this run, or goes on with it."""
        self._flushed = time.monotonic()
        self._away = False
        with reachable_server():
            self.client, self.experiment_id = open_experiment(config.registry.experiment)
            with _lock("experiments"):  # Two commands that begin the same training at once have one run.
                found = None if anew else self._find(fingerprints["training"])
                self.id = found or self._create(config, fingerprints)
            self._logged = self._logged_steps()

    def _find(self, training: str) -> str | None:
        runs = self.client.search_runs([self.experiment_id], f"tags.`{TRAINING_TAG}` = '{training}'")
        parent = self._child.parent if self._child else None
        return next((str(run.info.run_id) for run in runs if run.data.tags.get(PARENT_TAG) == parent), None)

    def _create(self, config: RunConfig, fingerprints: Mapping[str, str]) -> str:
        name = self._child.name if self._child else f"{config.name}-{fingerprints['training'][:8]}"
        tags = {f"{FINGERPRINT_TAG}{stage}": value for stage, value in fingerprints.items()}
        if self._child:
            tags[PARENT_TAG] = self._child.parent
        sections = ("corpus", "tokenizer", "batching", "model", "training", "noise")
        run = make_run(self.client, self.experiment_id, name, config, tags, sections)
        # Last, since runs are found by this tag: one without parameters never is.
        self.client.set_tag(run, TRAINING_TAG, fingerprints["training"])
        return run

    def _logged_steps(self) -> dict[str, set[int]]:
        """Return the logged steps by kind of record; the key is a metric that every record of the kind has."""
        return {
            key: {metric.step for metric in self.client.get_metric_history(self.id, key)}
            for key in (STEP_METRICS["loss"], EPOCH_METRICS["bleu"])
        }

    def observe(self, record: Record) -> None:
        """Take a live record; metrics are sent every few seconds and after every epoch.

        A failing server must not stop the training: `complete` sends later what it missed.
        """
        if self._left_to_other:
            return
        self._pending += self._metrics(record)
        if is_validation(record) or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flushed = time.monotonic()
            try:
                self._flush()
                self._away = False
            except MlflowException as error:
                if not self._away:
                    reason = str(error).strip().splitlines()[0]
                    logging.getLogger(__name__).warning("MLflow does not accept metrics, still trying: %s", reason)
                self._away = True

    def complete(self, history: Iterator[Record]) -> None:
        """Log what the run lacks of the training's history, and end it."""
        self._pending.clear()
        with reachable_server(), _lock("completing"):  # Another command may complete the same run.
            self._logged = self._logged_steps()
            for record in history:
                self._pending += self._metrics(record)
            self._flush()
            finish(self.client, self.id)

    def follows(self, other: str) -> None:
        """Take it that another command makes the training and logs to the run `other`: if that is this one, alone."""
        self._left_to_other = other == self.id

    @contextmanager
    def leads(self) -> Iterator[None]:
        """Mark the run as running while this command makes the training, and as killed or failed if it is stopped."""
        self.start()
        with reachable_server():
            self._logged = self._logged_steps()  # What a command that was followed has logged.
        self._left_to_other = False
        try:
            yield
        except BaseException as error:
            self.interrupted(by_user=isinstance(error, ON_REQUEST))
            self._left_to_other = True  # A command that waits for the training goes on with it at once.
            raise

    def interrupted(self, by_user: bool) -> None:
        """Mark the run as killed or failed, unless another command goes on; the training can be continued."""
        if self._left_to_other:
            return
        with suppress(MlflowException):
            self._flush()
        with suppress(MlflowException):
            self.client.set_terminated(self.id, "KILLED" if by_user else "FAILED")

    def start(self) -> None:
        """Mark the run as running."""
        with reachable_server():
            self.client.update_run(self.id, status="RUNNING")

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        self.client.log_batch(self.id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _metrics(self, record: Record) -> list[Metric]:
        """Return a record's metrics by their names in MLflow; none if they are logged already."""
        names = EPOCH_METRICS if is_validation(record) else STEP_METRICS
        marker = EPOCH_METRICS["bleu"] if is_validation(record) else STEP_METRICS["loss"]
        step, now = int(record["step"]), int(time.time() * 1000)
        if step in self._logged[marker]:
            return []
        return [Metric(name, record[key], now, step) for key, name in names.items() if key in record]

    def _flush(self) -> None:
        while self._pending:
            batch = self._pending[:METRICS_AT_ONCE]
            self.client.log_batch(self.id, metrics=batch)
            del self._pending[: len(batch)]
