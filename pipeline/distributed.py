"""Runs the training loop with Ray Train: one process per GPU, or several on CPU, on one machine or a cluster."""

import json
import logging
import os
import queue
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Empty, Queue

from pipeline.checkpoint import PROGRESS, save_checkpoint
from pipeline.config import RunConfig
from pipeline.encoding import EncodedCorpus, open_rows
from pipeline.errors import InputError, WorldError
from pipeline.history import History, Observe, read_history
from pipeline.resources import Allotment, allot
from pipeline.store import Figures, Stage, Store, home
from pipeline.subwords import Subwords
from pipeline.trained import CHECKPOINTS, HISTORY, TrainedModel
from pipeline.training import Hooks, Trainer
from pipeline.weights import WEIGHTS
from pipeline.worker import WORKER_ENVIRONMENT, TrainingData, Workers, make_trainer, make_validation, use_threads

# Fields that change where and how a run computes, not what: a run may be resumed with others.
RUNTIME_FIELDS = {"num_workers", "device", "max_failures", "collective_timeout", "log_every"}

OBJECT_STORE_BYTES = 128 * 2**20
SNAPSHOT = "checkpoint_manager_snapshot.json"


@dataclass(frozen=True)
class _Job:
    """What a worker needs to start, in plain values: all paths are absolute, since workers change directory."""

    run: dict[str, Any]
    encoded: str
    tokenizer: str
    validation_pairs: list[tuple[str, str]]
    threads: int
    records: Queue
    resume_from: str | None


def train_stage(encoded: EncodedCorpus, run: RunConfig) -> Stage:
    """Return the stage of a training: what its result depends on (the number of workers is not part of it)."""
    config = {
        "model": run.model.model_dump(),
        "training": run.training.model_dump(exclude=RUNTIME_FIELDS),
    }
    return Stage("training", 1, config, {"encoded": encoded.fingerprint})


def train_model(encoded: EncodedCorpus, run: RunConfig, store: Store, observe: Observe) -> TrainedModel:
    """Train on `training.num_workers` processes and keep the checkpoints with the best validation BLEU.

    Reads the encoded corpus, the tokenizer and the raw validation pairs. Leaves checkpoints/<name>/model.safetensors
    of the best epochs and history.jsonl. A run that was stopped goes on from its last checkpoint, which
    Ray keeps in `$NMT_HOME/ray`, on any number of workers. `observe` gets every record once.

    Raises InputError if the cluster cannot give the workers or training diverges, WorldError if workers are lost
    more than `training.max_failures` times.
    """
    stage = train_stage(encoded, run)
    name = f"training-{stage.fingerprint[:16]}"
    storage = home() / "ray"
    records = storage / f"{name}.jsonl"

    def build(folder: Path) -> Figures:
        history = History(records, observe)
        with _cluster():
            allotment = allot(run.training, ray.nodes())  # type: ignore[no-untyped-call]
            checkpoints = _fit(encoded, run, name, storage, allotment, history)
        kept = [_keep(checkpoint, metrics, folder) for checkpoint, metrics in checkpoints]
        shutil.copy2(records, folder / HISTORY)
        return _figures(folder, kept, allotment)

    artifact = store.produce(stage, build)
    # Not before the stage is whole: until then this is what a run goes on from.
    shutil.rmtree(storage / name, ignore_errors=True)
    records.unlink(missing_ok=True)
    return TrainedModel(
        artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, run.model, encoded.tokenizer
    )


@contextmanager
def _cluster() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine; end it after."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    address = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
            object_store_memory=None if address else OBJECT_STORE_BYTES,
            include_dashboard=None if address else False,
        )
        # Ray takes over signals that Prefect and this program handle.
        for number, handler in handlers.items():
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)
        yield
    except ConnectionError as error:
        raise WorldError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}); start it or unset it"
        ) from None
    finally:
        ray.shutdown()


def _fit(
    encoded: EncodedCorpus, run: RunConfig, name: str, storage: Path, allotment: Allotment, history: History
) -> list[tuple[Path, Mapping[str, Any]]]:
    """Run the workers to the end; return the checkpoints, the best first, and their metrics."""
    resume_from = set_damaged_aside(storage / name)
    records = Queue(actor_options={"num_cpus": 0})
    job = _Job(
        run.model_dump(mode="json"),
        str(encoded.path),
        str(encoded.tokenizer.path),
        list(encoded.corpus.pairs("validation")),
        allotment.threads,
        records,
        str(resume_from) if resume_from else None,
    )
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job},
        torch_config=TorchConfig(
            backend="nccl" if allotment.gpu else "gloo", timeout_s=run.training.collective_timeout
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=allotment.workers,
            use_gpu=allotment.gpu,
            resources_per_worker={"CPU": allotment.threads, **({"GPU": 1} if allotment.gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=run.training.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=run.training.keep_checkpoints,
                checkpoint_score_attribute="bleu",
                checkpoint_score_order="max",
            ),
        ),
    )
    result = _watch(trainer, records, history)
    best = result.best_checkpoints or []
    # The latest is kept for resuming, also where it is not among the best; the best are in ascending order.
    ranked = sorted(best, key=lambda pair: (-pair[1]["bleu"], pair[1]["epoch"]))[: run.training.keep_checkpoints]
    return [(Path(checkpoint.path), metrics) for checkpoint, metrics in ranked]


def _watch(trainer: TorchTrainer, records: Queue, history: History) -> Any:
    """Fit in a thread of its own, so that this one hears Ctrl-C and hands on records as they come."""
    outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def fit() -> None:
        try:
            outcome.put(trainer.fit())
        except BaseException as error:  # handed to the thread that waits
            outcome.put(error)

    thread = threading.Thread(target=fit, daemon=True, name="ray-train")
    thread.start()
    while thread.is_alive() or not records.empty():
        try:
            record = records.get(timeout=0.5)
        except Empty:
            continue
        if "error" in record:
            raise InputError(record["error"])
        history.add(record)
    result = outcome.get()
    if isinstance(result, BaseException):
        raise _explain(result) from result
    return result


def _explain(error: BaseException) -> BaseException:
    """Find what stopped the training: lost workers and failing disks are the world's doing, the rest is a bug."""
    failures: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    causes = {rank: getattr(failure, "cause", None) or failure for rank, failure in sorted(failures.items())}
    for cause in causes.values():
        if isinstance(cause, OSError):
            return cause
    if not causes or not all(_is_loss(cause) for cause in causes.values()):
        return error
    reasons = "; ".join(f"worker {rank}: {str(cause).strip().splitlines()[0]}" for rank, cause in causes.items())
    return WorldError(
        f"training stopped: workers were lost ({reasons}); give the same command again to go on from the last epoch"
    )


def _is_loss(cause: BaseException) -> bool:
    """Whether a worker died, or failed because another one did."""
    rays_own = type(cause).__module__.partition(".")[0] == "ray"
    return rays_own or isinstance(cause, torch.distributed.DistError) or "gloo" in str(cause) or "NCCL" in str(cause)


def set_damaged_aside(folder: Path) -> Path | None:
    """If a crash left a snapshot of Ray's that cannot be read, move the run aside; return its last whole checkpoint.

    Ray does not write snapshots atomically, and one cut short blocks every later start under that name.
    """
    snapshot = folder / SNAPSHOT
    if not snapshot.exists():
        return None
    try:
        json.loads(snapshot.read_text("utf8"))
    except ValueError:
        aside = folder.with_name(f"{folder.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        whole = sorted(path.parent for path in aside.glob(f"checkpoint_*/{PROGRESS}"))
        return whole[-1] if whole else None
    return None


def _work(config: dict[str, _Job]) -> None:
    """Run one worker, from its data to its last report."""
    job = config["job"]
    context = ray.train.get_context()
    workers = Workers(context.get_world_rank(), context.get_world_size(), get_device())
    use_threads(job.threads)
    folder = Path(job.encoded)
    data = TrainingData(
        open_rows(folder / "train.arrow"),
        open_rows(folder / "validation.arrow"),
        job.validation_pairs,
        Subwords(Path(job.tokenizer)),
    )
    tell: Callable[[Mapping[str, Any]], None] = (
        (lambda record: job.records.put(dict(record))) if workers.rank == 0 else (lambda record: None)
    )

    def report_epoch(figures: Mapping[str, float], trainer: Trainer) -> None:
        # One process writes; all report, since report is a barrier.
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = None
            if workers.rank == 0:
                save_checkpoint(trainer, Path(temporary))
                checkpoint = ray.train.Checkpoint.from_directory(temporary)
            ray.train.report(dict(figures), checkpoint=checkpoint)
        tell(figures)

    run = RunConfig.model_validate(job.run)
    hooks = Hooks(make_validation(data, workers), tell, report_epoch)
    latest = ray.train.get_checkpoint()
    start = Path(latest.path) if latest else Path(job.resume_from) if job.resume_from else None
    try:
        make_trainer(data, run, workers, hooks, start).fit()
    except InputError as error:
        tell({"error": str(error)})  # No restart would help: end here, and let the driver say so.


def _keep(checkpoint: Path, metrics: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Copy a checkpoint's weights into the stage's folder; its optimizer state has served."""
    name = f"epoch-{int(metrics['epoch']):03d}"
    (folder / CHECKPOINTS / name).mkdir(parents=True)
    shutil.copy2(checkpoint / WEIGHTS, folder / CHECKPOINTS / name / WEIGHTS)
    return {"name": name, "epoch": int(metrics["epoch"]), "step": int(metrics["step"]), "bleu": metrics["bleu"]}


def _figures(folder: Path, kept: list[dict[str, Any]], allotment: Allotment) -> Figures:
    epochs = [record for record in read_history(folder / HISTORY) if "bleu" in record]
    return {
        "checkpoints": kept,
        "best_epoch": kept[0]["epoch"],
        "best_bleu": kept[0]["bleu"],
        "epochs": int(epochs[-1]["epoch"]),
        "steps": int(epochs[-1]["step"]),
        "target_tokens_per_second": sum(e["train_target_tokens_per_second"] for e in epochs) / len(epochs),
        "workers": allotment.workers,
        "threads_per_worker": allotment.threads,
        "device": "gpu" if allotment.gpu else "cpu",
    }
