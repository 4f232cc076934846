"""Runs the training loop with Ray Train: one process per GPU, or several on CPU, on one machine or a cluster."""

import json
import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.checkpoint import save_checkpoint
from pipeline.cluster import ray_cluster
from pipeline.config import RunConfig
from pipeline.encoding import EncodedCorpus, open_rows
from pipeline.errors import InputError, WorldError
from pipeline.history import History, Observe, Record, is_epoch, read_history
from pipeline.resources import Allotment, allot
from pipeline.run_folder import FIGURES, best_checkpoints, keep_weights, set_damaged_aside
from pipeline.store import Figures, Stage, Store, home
from pipeline.subwords import Subwords
from pipeline.trained import CHECKPOINTS, HISTORY, TrainedModel
from pipeline.training import Hooks, Trainer
from pipeline.weights import WEIGHTS, count_parameters
from pipeline.worker import TrainingData, Workers, make_trainer, make_validation, use_threads

# Fields that change where and how a run computes, not what: a run may be resumed with others.
RUNTIME_FIELDS = {"num_workers", "device", "max_failures", "collective_timeout", "log_every"}

CONTROLLER_FAILURES = 3


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
        with ray_cluster():
            allotment = allot(run.training, ray.nodes())  # type: ignore[no-untyped-call]
            checkpoints = _fit(encoded, run, name, storage, allotment, history)
        kept = [keep_weights(checkpoint, figures, folder) for checkpoint, figures in checkpoints]
        shutil.copy2(records, folder / HISTORY)
        return _figures(folder, kept, allotment)

    artifact = store.produce(stage, build)
    # Not before the stage is whole: until then this is what a run goes on from.
    for folder in storage.glob(f"{name}*/"):
        shutil.rmtree(folder, ignore_errors=True)
    records.unlink(missing_ok=True)
    return TrainedModel(
        artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, run.model, encoded.tokenizer
    )


def _fit(
    encoded: EncodedCorpus, run: RunConfig, name: str, storage: Path, allotment: Allotment, history: History
) -> list[tuple[Path, Record]]:
    """Run the workers to the end; return the checkpoints, the best first, and their metrics."""
    resume_from = set_damaged_aside(storage / name)
    # Beside this process: a lost node must not take it along.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    records = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
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
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
                max_failures=run.training.max_failures,
                # Workers that cannot be started, on a cluster that others use too, are not tried for without end.
                controller_failure_limit=CONTROLLER_FAILURES,
            ),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=run.training.keep_checkpoints,
                checkpoint_score_attribute="rank",
                checkpoint_score_order="max",
            ),
        ),
    )
    _watch(trainer, records, history)
    return best_checkpoints(storage, name)[: run.training.keep_checkpoints]


def _watch(trainer: TorchTrainer, records: Queue, history: History) -> None:
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
        except ray.exceptions.RayActorError as error:
            raise WorldError(f"training stopped: {error}; give the same command again to go on") from None
        if "error" in record:
            raise InputError(record["error"])
        history.add(record)
    result = outcome.get()
    if isinstance(result, BaseException):
        raise _explain(result) from result


def _explain(error: BaseException) -> BaseException:
    """Find what stopped the training: lost workers and failing disks are the world's doing, the rest is a bug."""
    failures: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    causes = {rank: getattr(failure, "cause", None) or failure for rank, failure in sorted(failures.items())}
    controller = getattr(error, "controller_failure", None)
    for cause in (controller, *causes.values()):
        if isinstance(cause, OSError):
            return cause
    if type(controller).__name__.startswith("WorkerGroupStartup"):
        return WorldError(
            "the Ray cluster did not start the workers: what they need is there, but in use; try again when it is free"
        )
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

    def tell(record: Mapping[str, float]) -> None:
        if workers.rank == 0:
            job.records.put(dict(record))

    def report_epoch(figures: Mapping[str, float], trainer: Trainer) -> None:
        tell(figures)  # First: an epoch told twice is known, one that is not told is lost.
        # Of equal BLEU the earlier epoch is better, as in the early stop.
        ranked = {**figures, "rank": figures["bleu"] - 1e-9 * figures["epoch"]}
        # One process writes; all report, since report is a barrier.
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = None
            if workers.rank == 0:
                save_checkpoint(trainer, Path(temporary))
                (Path(temporary) / FIGURES).write_text(json.dumps(ranked) + "\n", "utf8")
                checkpoint = ray.train.Checkpoint.from_directory(temporary)
            ray.train.report(ranked, checkpoint=checkpoint)

    run = RunConfig.model_validate(job.run)
    hooks = Hooks(make_validation(data, workers), tell, report_epoch)
    latest = ray.train.get_checkpoint()
    start = Path(latest.path) if latest else Path(job.resume_from) if job.resume_from else None
    try:
        make_trainer(data, run, workers, hooks, start).fit()
    except InputError as error:
        job.records.put({"error": str(error)})  # No restart would help: end here, and let the driver say so.
    except torch.OutOfMemoryError:
        job.records.put({"error": _too_large(run, workers.size)})


def _too_large(run: RunConfig, workers: int) -> str:
    return (
        f"batching.worker_tokens={run.batching.worker_tokens}: a worker's share of a step does not fit its memory; "
        f"set it to less than {run.batching.tokens // workers}, and the run goes on"
    )


def _figures(folder: Path, kept: list[dict[str, Any]], allotment: Allotment) -> Figures:
    epochs = [record for record in read_history(folder / HISTORY) if is_epoch(record)]
    return {
        "checkpoints": kept,
        "best_epoch": kept[0]["epoch"],
        "best_bleu": kept[0]["bleu"],
        "epochs": int(epochs[-1]["epoch"]),
        "steps": int(epochs[-1]["step"]),
        "parameters": count_parameters(folder / CHECKPOINTS / kept[0]["name"] / WEIGHTS),
        "training_seconds": sum(epoch["train_seconds"] for epoch in epochs),
        "target_tokens_per_second": sum(e["train_target_tokens_per_second"] for e in epochs) / len(epochs),
        "workers": allotment.workers,
        "threads_per_worker": allotment.threads,
        "device": "gpu" if allotment.gpu else "cpu",
    }
