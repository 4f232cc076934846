"""Trains a model with Ray Train, from the driver: starts the workers, follows them, and collects what they made.

What each worker does is in training_worker.py.
"""

import json
import logging
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.batches.encoding import EncodedCorpus
from pipeline.batches.mixture import mixing_settings
from pipeline.cluster.connection import DriverStore, ray_cluster
from pipeline.cluster.process_group import GroupConfig
from pipeline.cluster.ray_train_internals import Announcer, RayTrainer
from pipeline.cluster.resources import Allotment, Gpus, allot, ask_for, usable
from pipeline.cluster.run_folder import (
    best_checkpoints,
    clear,
    fetch_records,
    keep_weights,
    set_damaged_aside,
    share_records,
)
from pipeline.cluster.training_progress import CONTROLLER, explain_training, follow, tell_restart
from pipeline.cluster.training_worker import TrainingJob, train_on_worker
from pipeline.config import BleuTokenizer, RunConfig
from pipeline.inference.weights import WEIGHTS, count_parameters
from pipeline.metrics.tokenizers import bleu_tokenizer
from pipeline.store.stages import Settings, Stage
from pipeline.store.storage import Folder, home, local_folder, shared_folder
from pipeline.store.store import Figures, Store
from pipeline.training.history import History, Observe, Record, is_validation, read_history
from pipeline.training.runs.asked import Asked
from pipeline.training.runs.follower import Follower
from pipeline.training.runs.run_record import RECORDS, RUN_RECORD, RunRecord, read_run_record, run_name
from pipeline.training.trained import CHECKPOINTS, HISTORY, TrainedModel

RUNTIME_FIELDS = {
    "num_workers",
    "device",
    "max_failures",
    "collective_timeout",
    "log_every",
    "save_every",
    "skip_bad_batches",
}
"""Fields that change where and how a run computes, but not what: it may be resumed with others."""

RESIZE_SECONDS = 60.0
"""How often an elastic training looks whether the cluster has room for more workers."""

CONTROLLER_FAILURES = 3
"""How often Ray tries to start the workers, which another program may be using; by default forever."""


def train_stage(encoded: EncodedCorpus, run: RunConfig) -> Stage:
    """Return the stage of a training: what its result depends on.

    The number of workers is part of it only where a step has so many tokens for each of them.
    """
    runtime = RUNTIME_FIELDS - ({"num_workers"} if run.batching.tokens_per_worker else set())
    validation = {"bleu_tokenizer": _bleu_tokenizer(encoded, run), "pairs": run.evaluation.during_training}
    settings = Settings.joined(
        model=Settings.of(run.model),
        training=Settings.of(run.training, exclude=runtime | ({"epochs"} if run.training.until else set())),
        noise=Settings.of(run.noise) if run.noise.kinds else Settings({}),
        validation=Settings(validation, {"bleu_tokenizer": "13a", "pairs": None}),
        mixing=mixing_settings(run.corpus),
    )
    return Stage("training", settings, {"encoded": encoded.fingerprint})


def _bleu_tokenizer(encoded: EncodedCorpus, run: RunConfig) -> BleuTokenizer:
    return bleu_tokenizer(run.evaluation, encoded.corpus.languages.target)


def train_model(
    encoded: EncodedCorpus, run: RunConfig, store: Store, observe: Observe, asked: Asked | None = None
) -> TrainedModel:
    """Train on `training.num_workers` processes and keep the best checkpoints by `training.select_by`.

    Reads the encoded corpus, the tokenizer and the raw validation pairs. Writes checkpoints/<name>/model.safetensors
    for the best validations, and history.jsonl. `observe` receives every record once.

    A run that was stopped continues from its last checkpoint, on any number of workers. Ray keeps it in
    `$NMT_HOME/ray`, or in `$NMT_STORAGE` if that is set: then another machine can continue it, though not two at once,
    and workers on other nodes copy what they read from there. A record of who `asked` for it is kept beside it.

    While another process of this machine makes the same training, its records are passed on to `observe`; should it
    end without a result, this one continues from the last checkpoint, and passes on only what is new.

    Raises InputError if the cluster cannot give the workers or training diverges, ExternalError if workers are lost
    more than `training.max_failures` times, or the storage fails; StoppedError if this run is told to stop.
    """
    stage, asked = train_stage(encoded, run), asked or Asked()
    name = run_name(stage.fingerprint)
    storage = shared_folder("ray") or local_folder(home() / "ray")
    records = home() / "ray" / f"{name}{RECORDS}"

    def observe_and_share(record: Record) -> None:
        if is_validation(record):
            share_records(storage, records)
        observe(record)

    def build(folder: Path) -> Figures:
        if store.renews(stage):
            clear(storage, name, records)
        record = _record(stage, encoded, run, asked)
        share_records(storage, record.write(records.parent))
        fetch_records(storage, records)
        if follower.follows:
            logging.getLogger(__name__).warning("that process has ended before it was done: this one goes on")
        with asked.tracker.leads():
            follower.catch_up()
            history = History(records, observe_and_share)
            with ray_cluster():
                gpus, allotment = _allot(run)
                job = _job(encoded, run, store, allotment, set_damaged_aside(storage, name))
                checkpoints = _fit(job, run, name, storage, allotment, gpus, history)
            kept = [keep_weights(checkpoint, figures, folder) for checkpoint, figures in checkpoints]
            write_history(records, folder / HISTORY)
        return {**_figures(folder, kept, allotment, gpus), "name": record.name, "command": list(record.command)}

    def follow() -> None:
        other = read_run_record(records.with_name(f"{name}{RUN_RECORD}"))
        asked.tracker.follows(other.tracked_by if other else "")
        follower.look()

    with closing(Follower(records, observe)) as follower:
        artifact = store.produce(stage, build, None if store.renews(stage) else follow)
        if artifact.reused:
            follower.catch_up(artifact.path / HISTORY)
    with store.unless_made(stage) as nobody_trains:  # Another may have the same made anew by now.
        if nobody_trains:
            clear(storage, name, records)
    return TrainedModel(
        artifact.path, artifact.fingerprint, artifact.figures, artifact.reused, run.model, encoded.tokenizer
    )


def _record(stage: Stage, encoded: EncodedCorpus, run: RunConfig, asked: Asked) -> RunRecord:
    inputs = {
        "corpus": encoded.corpus.fingerprint,
        "tokenizer": encoded.tokenizer.fingerprint,
        "encoded": encoded.fingerprint,
    }
    return RunRecord(
        stage.fingerprint, asked.name(run), run.registry.experiment, inputs, asked.command, tracked_by=asked.tracker.id
    )


def _allot(run: RunConfig) -> tuple[Gpus, Allotment]:
    """Return the GPUs that can be used, and the workers."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    gpus = ask_for(run.training.device, f"training.device={run.training.device}", nodes)
    return gpus, allot(run.training, usable(nodes, gpus), os.environ)


def _job(
    encoded: EncodedCorpus, run: RunConfig, store: Store, allotment: Allotment, resume_from: Folder | None
) -> TrainingJob:
    node = ray.get_runtime_context().get_node_id()
    # On this process's node, so that the loss of another does not take it along.
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return TrainingJob(
        run.model_dump(mode="json"),
        DriverStore.of(store),
        store.address(encoded.path),
        store.address(encoded.tokenizer.path),
        list(encoded.corpus.pairs("validation")),
        _bleu_tokenizer(encoded, run),
        allotment.threads,
        Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here}),
        Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here}),
        ray.train.Checkpoint(resume_from.path, resume_from.filesystem) if resume_from else None,
        encoded.figures.get("train_parts", {}),
        (encoded.corpus.languages.source, encoded.corpus.languages.target),
    )


def _fit(
    job: TrainingJob,
    run: RunConfig,
    name: str,
    storage: Folder,
    allotment: Allotment,
    gpus: Gpus,
    history: History,
) -> list[tuple[Folder, Record]]:
    """Run the workers to the end; return the checkpoints to keep and their figures, the best first."""
    trainer = RayTrainer(
        train_on_worker,
        train_loop_config={"job": job},
        torch_config=GroupConfig(
            backend="nccl" if allotment.gpu else "gloo", timeout_s=run.training.collective_timeout
        ),
        scaling_config=ray.train.ScalingConfig(  # type: ignore[call-arg]
            num_workers=allotment.range,  # type: ignore[arg-type] # In its documentation.
            use_gpu=allotment.gpu,
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
            resources_per_worker={"CPU": allotment.threads, **({"GPU": 1} if allotment.gpu else {})},
            label_selector=gpus.labels if allotment.gpu else None,
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage.path,
            storage_filesystem=storage.filesystem,
            callbacks=[Announcer(job.records, CONTROLLER, tell_restart)],  # type: ignore[list-item]
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
                max_failures=run.training.max_failures,
                # Ray may count a node that has left as still there, and fails to start a worker on it, once.
                controller_failure_limit=CONTROLLER_FAILURES + (run.training.max_failures if allotment.fewest else 0),
            ),
            checkpoint_config=ray.train.CheckpointConfig(
                # Also with one to keep, there is another should the latest be damaged.
                num_to_keep=run.training.keep_checkpoints + 1,
                checkpoint_score_attribute="selection_score",
                checkpoint_score_order="max",
            ),
        ),
    )
    stopped_by = follow(trainer, job.records, job.orders, history.add)
    if stopped_by is not None:
        raise explain_training(stopped_by, storage, allotment.workers) from stopped_by
    return best_checkpoints(storage, name)[: run.training.keep_checkpoints]


def write_history(records: Path, history: Path) -> None:
    """Write a run's records in the order of their steps: Ray's queue may swap two that were sent without waiting."""
    ordered = sorted(read_history(records), key=lambda record: (record["step"], is_validation(record)))
    history.write_text("".join(json.dumps(record) + "\n" for record in ordered), "utf8")


def _figures(folder: Path, kept: list[dict[str, Any]], allotment: Allotment, gpus: Gpus) -> Figures:
    validations = [record for record in read_history(folder / HISTORY) if is_validation(record)]
    return {
        "checkpoints": kept,
        "best_epoch": kept[0]["epoch"],
        "best_bleu": kept[0]["bleu"],
        "epochs": int(last) if (last := validations[-1]["epoch"]) == int(last) else last,
        "steps": int(validations[-1]["step"]),
        "parameters": count_parameters(folder / CHECKPOINTS / kept[0]["name"] / WEIGHTS),
        "training_seconds": sum(each["train_seconds"] for each in validations),
        "target_tokens_per_second": sum(each["train_target_tokens_per_second"] for each in validations)
        / len(validations),
        "workers": int(validations[-1].get("train_workers", allotment.workers)),
        "threads_per_worker": allotment.threads,
        "device": "gpu" if allotment.gpu else "cpu",
        "multiplied_bf16": all(each["train_bf16"] for each in validations),
        "gpu": gpus.name if allotment.gpu else "",
        "gpus_not_used": list(gpus.obstacles),
    }
