"""One worker of a training, on its node of the Ray cluster: gets its data, runs the loop, reports."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import get_device
from ray.util.queue import Queue

from pipeline.batches.encoding import open_rows
from pipeline.cluster.connection import DriverStore
from pipeline.cluster.ray_internals import put_without_waiting
from pipeline.cluster.run_folder import FIGURES
from pipeline.cluster.training_progress import ERROR
from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.inference.subwords import Subwords
from pipeline.training.checkpoint import save_checkpoint
from pipeline.training.history import is_epoch
from pipeline.training.speed_limit import SpeedLimit
from pipeline.training.trainer import Hooks, Trainer, selection_score
from pipeline.training.worker import TrainingData, WorkerInfo, make_trainer, make_validation, use_threads


@dataclass(frozen=True)
class TrainingJob:
    """What a worker needs to start, in plain values."""

    run: dict[str, Any]
    store: DriverStore
    encoded: str
    tokenizer: str
    """Both by their addresses in the store."""
    validation_pairs: list[tuple[str, str]]
    threads: int
    records: Queue
    resume_from: ray.train.Checkpoint | None


def train_on_worker(config: dict[str, TrainingJob]) -> None:
    """Run one worker, from its data to its last report."""
    job = config["job"]
    context = ray.train.get_context()
    workers = WorkerInfo(context.get_world_rank(), context.get_world_size(), get_device())
    use_threads(job.threads)
    data = _open_data(job)

    def tell(record: Mapping[str, float]) -> None:
        if workers.rank != 0:
            return
        told = dict(record)
        if is_epoch(told):
            job.records.put(told)  # Returns when it is there, and all before it.
        else:  # A step does not wait for its report; one that is lost with this process comes again, with its step.
            put_without_waiting(job.records, told)

    def report_epoch(figures: Mapping[str, float], trainer: Trainer) -> None:
        tell(figures)  # First: an epoch told twice is known, one that is not told is lost.
        # Of equal BLEU the earlier epoch is better, as in the early stop.
        ranked = {**figures, "selection_score": selection_score(figures)}
        # One process writes; all report, since report is a barrier.
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = None
            if workers.rank == 0:
                save_checkpoint(trainer, Path(temporary))
                (Path(temporary) / FIGURES).write_text(json.dumps(ranked) + "\n", "utf8")
                checkpoint = ray.train.Checkpoint.from_directory(temporary)
            ray.train.report(ranked, checkpoint=checkpoint)

    run = RunConfig.model_validate(job.run)
    limit = SpeedLimit(run.model, data.subwords.target_size)
    hooks = Hooks(make_validation(data, workers), tell, report_epoch, limit.seconds)
    latest = ray.train.get_checkpoint() or job.resume_from
    try:
        with latest.as_directory() if latest else nullcontext() as folder:
            trainer = make_trainer(data, run, workers, hooks, Path(folder) if folder else None)
        trainer.fit()
    except InputError as error:
        job.records.put({ERROR: str(error)})  # No restart would help: end here, and let the driver say so.
    except torch.OutOfMemoryError:
        job.records.put({ERROR: _too_large(run, workers.size)})


def _open_data(job: TrainingJob) -> TrainingData:
    store = job.store.open()
    encoded = store.fetch(job.encoded)
    return TrainingData(
        open_rows(encoded / "train.arrow"),
        open_rows(encoded / "validation.arrow"),
        job.validation_pairs,
        Subwords(store.fetch(job.tokenizer)),
    )


def _too_large(run: RunConfig, workers: int) -> str:
    return (
        f"batching.worker_tokens={run.batching.worker_tokens}: a worker's share of a step does not fit its memory; "
        f"set it to less than {run.batching.tokens // workers}, and the run goes on"
    )
