"""What a Ray worker of a training does: reads its data, runs the loop, reports records and checkpoints."""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import CheckpointUploadMode
from ray.train.torch import get_device
from ray.util.queue import Queue

from model.kernels import load as kernels
from pipeline.batches.encoding import open_rows
from pipeline.batches.mixture import Mixture
from pipeline.cluster.connection import DriverStore
from pipeline.cluster.ray_internals import node_addresses, put_without_waiting, request_item
from pipeline.cluster.run_folder import FIGURES, RECORDS
from pipeline.cluster.training_progress import ERROR, STOP, STOPPED, WARNING
from pipeline.config import BleuTokenizer, RunConfig, SelectBy
from pipeline.errors import InputError
from pipeline.inference.devices import first_sentence, gpu_obstacle, gpu_precision, is_out_of_memory
from pipeline.inference.subwords import Subwords
from pipeline.metrics.metrics import BLEU, Metric, metric_titled
from pipeline.training.checkpoint import save_checkpoint
from pipeline.training.history import Record, is_validation
from pipeline.training.hooks import Hooks
from pipeline.training.machine.speed_limit import SpeedLimit
from pipeline.training.machine.threads import Threads
from pipeline.training.progress import selection_score
from pipeline.training.trainer import Trainer
from pipeline.training.worker import TrainingData, WorkerInfo, make_trainer, make_validation, use_threads

UNRANKED = -1e12
"""The score of a checkpoint that was saved between validations: Ray takes no infinity."""
TAKEN_SECONDS = 5.0
"""How long a checkpoint waits for the driver to take the records of its steps."""
POLL_SECONDS = 0.01
LOOK_SECONDS = 0.25
"""Between two looks for an order."""
AWAIT_SECONDS = 3600.0
"""How long one request for an order waits in the queue; then comes the next."""


@dataclass(frozen=True)
class TrainingJob:
    """What a worker needs to start, in plain values."""

    run: dict[str, Any]
    store: DriverStore
    encoded: str
    tokenizer: str
    """The addresses of both in the store."""
    validation_pairs: list[tuple[str, str]]
    bleu_tokenizer: BleuTokenizer
    threads: int
    records: Queue
    orders: Queue
    resume_from: ray.train.Checkpoint | None
    train_parts: Mapping[str, int] = field(default_factory=dict)
    """Training pairs of each source, in order; of a single source nothing."""
    languages: tuple[str | None, str | None] = (None, None)
    """Tags of the source and of the target."""


class Records:
    """Sends records to the driver, each at least once, whoever is killed at any time.

    Steps do not wait until theirs has arrived. So a checkpoint waits until the driver has taken all before it, and
    holds those since the checkpoint before: one that the driver lost with its life is sent again by the run that
    continues from there. What it knows already, the driver drops.
    """

    def __init__(self, queue: Queue) -> None:
        """Send to a queue that the driver empties."""
        self._queue = queue
        self._since_checkpoint: list[Record] = []
        self._on_their_way: list[Any] = []

    def send(self, record: Mapping[str, float]) -> None:
        """Send the record of a step without waiting, of a validation until it has arrived."""
        self._since_checkpoint.append(dict(record))
        if is_validation(dict(record)):
            self._queue.put(dict(record))
        else:
            self._on_their_way.append(put_without_waiting(self._queue, dict(record)))

    def send_again(self, records: list[Record]) -> None:
        """Send what a checkpoint has held."""
        self._since_checkpoint += records
        self._on_their_way += [put_without_waiting(self._queue, record) for record in records]

    def for_checkpoint(self) -> list[Record]:
        """Return the records that a checkpoint is to hold, when the driver has taken them or has not for seconds."""
        held, deadline = list(self._since_checkpoint), time.monotonic() + TAKEN_SECONDS
        if self._on_their_way:
            ray.wait(self._on_their_way, num_returns=len(self._on_their_way), timeout=TAKEN_SECONDS)
        while not (taken := self._queue.empty()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if taken:
            self._since_checkpoint.clear()
            self._on_their_way.clear()
        return held


class Orders:
    """Looks for the order to stop, without ever waiting for it."""

    def __init__(self, queue: Queue) -> None:
        """Take a queue that the driver puts orders into."""
        self._queue = queue
        self._request: Any = None
        self._looked = 0.0
        self._stop = False

    def stop_asked(self) -> bool:
        """Return whether the order has come."""
        now = time.monotonic()
        if self._stop or now - self._looked < LOOK_SECONDS:
            return self._stop
        self._looked = now
        if self._request is None:
            self._request = request_item(self._queue, AWAIT_SECONDS)
        elif ray.wait([self._request], timeout=0)[0]:
            request, self._request = self._request, None
            try:
                self._stop = ray.get(request) == STOP
            except RayError:  # None within the hour; or the driver is gone, and the controller ends this worker.
                self._stop = False
        return self._stop


def train_on_worker(config: dict[str, TrainingJob]) -> None:
    """Run one worker, from its data to its last report; Ray calls this in every worker."""
    job = config["job"]
    context = ray.train.get_context()
    worker = WorkerInfo(context.get_world_rank(), context.get_world_size(), get_device())
    use_threads(job.threads)
    run = RunConfig.model_validate(job.run)
    if obstacle := _obstacle(worker):
        job.records.put({ERROR: f"training.device={run.training.device}: {obstacle}, or set training.device=cpu"})
        return
    data = _open_data(job, run)
    # The first of the workers speaks for all.
    records = Records(job.records) if worker.rank == 0 else None
    if records and isinstance(run.training.num_workers, tuple):
        workers = "1 worker" if worker.size == 1 else f"{worker.size} workers"
        job.records.put({WARNING: f"training.num_workers={list(run.training.num_workers)}: {workers} now"})
    hooks = _hooks(job, run, data, worker, records)
    latest = ray.train.get_checkpoint() or job.resume_from
    try:
        with latest.as_directory() if latest else nullcontext() as folder:
            trainer = make_trainer(data, run, worker, hooks, Path(folder) if folder else None)
            if folder and records:
                records.send_again(json.loads((Path(folder) / RECORDS).read_text("utf8")))
        with gpu_precision(rounded=run.training.precision == "bf16"):
            progress = trainer.fit()
        if trainer.stopped and records:
            job.records.put({STOPPED: progress.step})
    except InputError as error:
        job.records.put({ERROR: str(error)})  # A restart would not help: end here, and let the driver raise it.
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        job.records.put({ERROR: _too_large(run, worker, error)})


def _hooks(job: TrainingJob, run: RunConfig, data: TrainingData, worker: WorkerInfo, records: Records | None) -> Hooks:
    """Return what the loop calls: validation, reports, and what watches the machine."""
    limit, checkpoints = SpeedLimit(run.model, data.subwords.target_size), Checkpoints(records, worker)
    fewest = 1 if kernels.available() else job.threads
    threads = Threads(job.threads, ray.train.get_context().get_local_world_size(), fewest=fewest)
    on_cpu = worker.device.type == "cpu"  # Who uses the cores is nothing to a GPU.
    return Hooks(
        validate=make_validation(data, _validation_metrics(run.training.select_by, job.bleu_tokenizer), worker),
        report_step=records.send if records else lambda figures: None,
        report_validation=checkpoints.report,
        save=checkpoints.save,
        stop_asked=Orders(job.orders).stop_asked if records else lambda: False,
        warn=(lambda text: job.records.put({WARNING: text})) if records else lambda text: None,
        matmul_seconds=lambda share: math.nan if on_cpu and threads.busy else limit.seconds(share),
        between_steps=threads.look,
    )


def _obstacle(worker: WorkerInfo) -> str | None:
    """Return why this worker cannot compute on the GPU that it was given; None if it can, or was given none.

    The driver has asked before, but not for GPUs that were in use then.
    """
    if worker.device.type != "cuda":
        return None
    reason = gpu_obstacle(worker.device.index or 0)
    address = node_addresses()[ray.get_runtime_context().get_node_id()]
    return reason and f"the GPU of worker {worker.rank} on {address} cannot be used: {reason}"


def _validation_metrics(select_by: SelectBy, tokenizer: BleuTokenizer) -> list[Metric]:
    """Return BLEU, and the metric that selects."""
    selecting = BLEU if select_by == "loss" else metric_titled(select_by)
    return [BLEU.with_tokenizer(tokenizer), *([] if selecting is BLEU else [selecting.with_tokenizer(tokenizer)])]


class Checkpoints:
    """Gives Ray checkpoints, which it copies to the storage while the training goes on, one at a time."""

    def __init__(self, records: Records | None, worker: WorkerInfo) -> None:
        """Save those of the worker that has records to send; the others only take part."""
        self._records, self._worker = records, worker
        self._being_copied: Path | None = None

    def report(self, figures: Mapping[str, float], trainer: Trainer) -> None:
        """Send a validation's figures to the driver, and save its checkpoint."""
        figures = {
            **figures,
            "train_on_gpu": float(self._worker.device.type == "cuda"),
            "train_workers": float(self._worker.size),
        }
        if self._records:
            self._records.send(figures)  # First: figures sent twice are recognized, those that are not sent are lost.
        # Of equal scores the earlier validation is better, as in the early stop.
        self._save({**figures, "selection_score": selection_score(figures, trainer.config.select_by)}, trainer)

    def save(self, trainer: Trainer) -> None:
        """Save a checkpoint between two validations."""
        self._save({}, trainer)

    def _save(self, figures: Mapping[str, float], trainer: Trainer) -> None:
        """Save a checkpoint; it is ranked by the figures of its validation, if it has one."""
        checkpoint = None
        if self._records:
            folder = self._write(figures, trainer, self._records)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
            self._being_copied = folder
        ranked = {"selection_score": UNRANKED, **figures}
        # By all workers: it is a barrier.
        ray.train.report(ranked, checkpoint=checkpoint, checkpoint_upload_mode=CheckpointUploadMode.ASYNC)

    def _write(self, figures: Mapping[str, float], trainer: Trainer, records: Records) -> Path:
        """Write a checkpoint to a folder of this machine, which Ray removes when it has copied it."""
        while self._being_copied is not None and self._being_copied.exists():
            time.sleep(POLL_SECONDS)
        folder = Path(tempfile.mkdtemp(prefix="nmt-checkpoint-"))
        try:
            save_checkpoint(trainer, folder)
            for name, content in ((FIGURES, figures), (RECORDS, records.for_checkpoint())):
                (folder / name).write_text(json.dumps(content) + "\n", "utf8")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder


def _open_data(job: TrainingJob, run: RunConfig) -> TrainingData:
    store = job.store.open()
    encoded = store.fetch(job.encoded)
    return TrainingData(
        open_rows(encoded / "train.arrow"),
        open_rows(encoded / "validation.arrow"),
        job.validation_pairs,
        Subwords(store.fetch(job.tokenizer)),
        run.evaluation.during_training,
        Mixture.of(run.corpus, job.train_parts),
        job.languages,
    )


def _too_large(run: RunConfig, worker: WorkerInfo, error: BaseException) -> str:
    memory = "the memory of its GPU" if worker.device.type == "cuda" else "its memory"
    share = run.batching.step_tokens(worker.size) // worker.size
    return (
        f"batching.worker_tokens={run.batching.worker_tokens}: a worker's share of a step does not fit {memory} "
        f"({first_sentence(error)}); set it to less than {share}, and the run continues"
    )
