"""Translates the chunks of a plan with Ray Data: one pulled model per worker, on one machine or a cluster."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray

from pipeline.cluster.connection import DriverStore, ray_cluster
from pipeline.cluster.ray_internals import quieten_data
from pipeline.cluster.resources import WorkerRoom, worker_room
from pipeline.errors import ExternalError, InputError
from pipeline.registry.pull import FOLDER, LoadedModel, PulledVersion
from pipeline.serving.bulk_translation import TranslationPlan, answers_name, texts_name
from pipeline.serving.protocol import in_lines
from pipeline.store.storage import Folder
from pipeline.store.store import Store
from pipeline.training.worker import use_threads

Batch = dict[str, "NDArray[Any]"]
MAX_BLOCKS = 1000
MAX_TRIES = 3
"""Per chunk and run: Ray restarts lost workers forever, so a chunk that kills every worker has to be given up."""
TRIED = ".tried-"
"""In the names of files that a worker leaves while it translates a chunk."""


@dataclass(frozen=True)
class TranslationJob:
    """What a worker needs to start, in plain values."""

    store: DriverStore
    model: str
    """Its address in the store."""
    parameters: Mapping[str, Any]
    chunks: Folder
    device: str = "auto"


class ChunkTranslator:
    """A worker: loads the model once, translates chunk after chunk."""

    def __init__(self, job: TranslationJob) -> None:
        """Load the model, which is copied to this node first if the driver runs on another."""
        use_threads(1)
        self._model = LoadedModel(job.store.open().fetch(job.model) / FOLDER, job.device)
        self._job = job

    def __call__(self, batch: Batch) -> Batch:
        """Translate the named chunks into files, each complete or absent; return the error of each chunk, if any."""
        errors = [self._translate(str(name)) for name in batch["chunk"]]
        return {"chunk": batch["chunk"], "texts": batch["texts"], "error": np.array(errors, dtype=object)}

    def _translate(self, chunk: str) -> str:
        if self._job.chunks.has(answers_name(chunk)):
            return ""  # Another run of the same translation was faster.
        tried = [f"{chunk}{TRIED}{number}" for number in range(MAX_TRIES)]
        next_try = next((mark for mark in tried if not self._job.chunks.has(mark)), None)
        if next_try is None:
            self._forget(tried)
            return f"line 1 and those after it killed {MAX_TRIES} workers; they may have too little memory"
        self._job.chunks.write(next_try, b"")
        texts = json.loads(self._job.chunks.read(texts_name(chunk)))
        try:
            answers = self._model.predict(texts, self._job.parameters)
        except ValueError as error:
            self._forget(tried)
            return str(error)
        self._job.chunks.write(answers_name(chunk), json.dumps(answers, ensure_ascii=False).encode())
        self._job.chunks.remove(texts_name(chunk))
        self._forget(tried)
        return ""

    def _forget(self, marks: list[str]) -> None:
        for mark in marks:
            self._job.chunks.remove(mark)


def translate_chunks(
    plan: TranslationPlan,
    model: PulledVersion,
    parameters: Mapping[str, Any],
    workers: int | None,
    store: Store,
    progress: Callable[[int], None],
    device: str = "auto",
) -> str:
    """Translate the missing chunks of a plan on `workers` processes, by default one per GPU or else per CPU.

    Returns what it was done on, such as 2 CPU workers. `progress` is called with the number of texts translated since
    its last call. Raises InputError for a text that the model refuses, with its line, for more workers than the
    cluster has room for, or for a GPU that cannot be used; ExternalError if a chunk's workers are lost again and again.
    """
    if not plan.missing:
        return ""
    device = model.check_device(device)
    _forget_earlier_runs(plan.folder)
    with ray_cluster():
        room = worker_room(device, f"--device {device}")
        if workers is not None and workers > room.most:
            raise InputError(
                f"--workers {workers}: each takes a {room.kind}, and the cluster has {room.most}; set {room.most} or "
                f"fewer{', or --device cpu' if room.gpus else ''}"
            )
        size = min(workers or max(1, room.most), len(plan.missing))
        job = TranslationJob(
            DriverStore.of(store), model.address, parameters, plan.folder, device if room.gpus else "cpu"
        )
        _run(plan, job, size, room, progress)
    return f"{size} {room.kind} worker{'' if size == 1 else 's'}"


def _forget_earlier_runs(folder: Folder) -> None:
    """Remove what runs left that were stopped in the middle of a chunk: it was not the chunk that stopped them."""
    for name in folder.names():
        if TRIED in name:
            folder.remove(name)


def _run(
    plan: TranslationPlan, job: TranslationJob, size: int, room: WorkerRoom, progress: Callable[[int], None]
) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    quieten_data()
    rows = [{"chunk": chunk.name, "texts": chunk.texts} for chunk in plan.missing]
    firsts = {chunk.name: chunk.first for chunk in plan.missing}
    translated = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS)).map_batches(
        ChunkTranslator,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        fn_constructor_args=[job],
        **room.options(cpus=1),
    )
    try:
        for row in translated.iter_rows():
            if row["error"]:
                raise InputError(in_lines(row["error"], firsts[row["chunk"]] - 1))
            progress(int(row["texts"]))
    except ray.exceptions.RayError as error:
        raise _explain(error, job) from error


def _explain(error: Exception, job: TranslationJob) -> Exception:
    """Return what stopped the workers: a failing disk or storage, a GPU that cannot be used, or their loss."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ExternalError | InputError | OSError) and not isinstance(cause, ray.exceptions.RayError):
            return job.chunks.explained(cause) if isinstance(cause, OSError) else cause
        cause = cause.__cause__ or getattr(cause, "cause", None)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExternalError(f"translation stopped: workers were lost ({reason}); run the same command again to continue")
