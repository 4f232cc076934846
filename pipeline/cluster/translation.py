"""Translates the chunks of a plan with Ray Data: a pulled model a worker, on one machine or a cluster."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray

from pipeline.cluster.connection import DriverStore, ray_cluster
from pipeline.errors import ExternalError, InputError
from pipeline.registry.pull import FOLDER, LoadedModel, PulledVersion
from pipeline.serving.bulk_translation import TranslationPlan, answers_name, texts_name
from pipeline.store.storage import Folder
from pipeline.store.store import Store
from pipeline.training.worker import use_threads

Batch = dict[str, "NDArray[Any]"]
MOST_BLOCKS = 1000
TRIES = 3
"""Of a chunk: Ray starts a lost worker again without end, and one that kills every worker must be given up."""


@dataclass(frozen=True)
class TranslationJob:
    """What a worker needs to start, in plain values."""

    store: DriverStore
    model: str
    """By its address in the store."""
    parameters: Mapping[str, Any]
    chunks: Folder


class ChunkTranslator:
    """One worker: loads the model once, takes chunk after chunk."""

    def __init__(self, job: TranslationJob) -> None:
        """Load the model, copying it to this node if it is another than the driver's."""
        use_threads(1)
        self._model = LoadedModel(job.store.open().fetch(job.model) / FOLDER)
        self._job = job

    def __call__(self, batch: Batch) -> Batch:
        """Translate the chunks named; the answers are files, whole or not there, and only numbers go back."""
        errors = [self._translate(str(name)) for name in batch["chunk"]]
        return {"chunk": batch["chunk"], "texts": batch["texts"], "error": np.array(errors, dtype=object)}

    def _translate(self, chunk: str) -> str:
        if self._job.chunks.has(answers_name(chunk)):
            return ""  # Another run of the same translation was first.
        tried = [f"{chunk}.tried-{number}" for number in range(TRIES)]
        next_try = next((mark for mark in tried if not self._job.chunks.has(mark)), None)
        if next_try is None:
            self._forget(tried)
            return f"line 1 and those after it killed {TRIES} workers; they may have too little memory"
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
) -> int:
    """Translate what a plan lacks, on so many processes, by default one a CPU; return how many there were.

    `progress` is called with the texts translated since the last call. Raises InputError for what the model refuses,
    with the text's place, or workers that the cluster does not have; ExternalError if workers are lost again and again.
    """
    if not plan.missing:
        return 0
    with ray_cluster():
        cpus = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        if workers is not None and workers > cpus:
            raise InputError(f"--workers {workers}: each takes a CPU, and the cluster has {cpus}; give {cpus} or less")
        size = min(workers or max(1, cpus), len(plan.missing))
        job = TranslationJob(DriverStore.of(store), model.address, parameters, plan.folder)
        _run(plan, job, size, progress)
    return size


def _run(plan: TranslationPlan, job: TranslationJob, size: int, progress: Callable[[int], None]) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # Its file keeps everything.
            handler.setLevel(logging.ERROR)
    rows = [{"chunk": chunk.name, "texts": chunk.texts} for chunk in plan.missing]
    firsts = {chunk.name: chunk.first for chunk in plan.missing}
    translated = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map_batches(
        ChunkTranslator,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=1,
        fn_constructor_args=[job],
    )
    try:
        for row in translated.iter_rows():
            if row["error"]:
                raise InputError(_in_file(row["error"], firsts[row["chunk"]]))
            progress(int(row["texts"]))
    except ray.exceptions.RayError as error:
        raise _explained(error, job) from error


def _in_file(message: str, first: int) -> str:
    """Return a model's message with the line's place in the files instead of that in the chunk."""
    return re.sub(r"\bline (\d+)\b", lambda found: f"line {int(found[1]) + first - 1}", message, count=1)


def _explained(error: Exception, job: TranslationJob) -> Exception:
    """Find what stopped the workers: a failing disk or storage, or their loss."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ExternalError | OSError) and not isinstance(cause, ray.exceptions.RayError):
            return job.chunks.explained(cause) if isinstance(cause, OSError) else cause
        cause = cause.__cause__ or getattr(cause, "cause", None)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExternalError(f"translation stopped: workers were lost ({reason}); give the same command again to go on")
