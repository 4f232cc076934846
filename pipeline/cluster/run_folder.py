"""What Ray Train keeps of a run, on disk or in S3: checkpoints to resume from, the best among them."""

import json
import logging
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipeline.cluster.ray_train_internals import CHECKPOINT_PREFIX, SNAPSHOT, latest_checkpoint, named_checkpoints
from pipeline.errors import ExternalError
from pipeline.inference.weights import WEIGHTS
from pipeline.metrics.metrics import METRICS
from pipeline.store.storage import Folder
from pipeline.store.whole_files import make_private, write_whole
from pipeline.training.checkpoint import MOMENTS, PROGRESS, read_progress
from pipeline.training.history import Record
from pipeline.training.runs.run_record import RUN_RECORD
from pipeline.training.trained import CHECKPOINTS

FIGURES, RECORDS = "figures.json", "records.json"
"""In every checkpoint: the figures of its validation, none if it was saved between two; and the records of the steps
since the checkpoint before, which the driver may have lost."""


def best_checkpoints(storage: Folder, name: str) -> list[tuple[Folder, Record]]:
    """Return a run's validated checkpoints and their figures, the best first, also those of runs that were set aside.

    The latest, from which Ray resumes, may be among them, though it need not be among the best.
    """
    found = {}
    for checkpoint in _checkpoints(storage, name):
        if is_whole(checkpoint) and (figures := json.loads(checkpoint.read(FIGURES))):
            found[figures["step"]] = (checkpoint, figures)
    return sorted(found.values(), key=lambda pair: -pair[1]["selection_score"])


def _checkpoints(storage: Folder, name: str) -> list[Folder]:
    """Return the checkpoints of all runs whose names begin with `name`."""
    runs = [run for run in storage.folders() if run.name.startswith(name)]
    return [folder for run in runs for folder in run.folders() if folder.name.startswith(CHECKPOINT_PREFIX)]


def is_whole(checkpoint: Folder) -> bool:
    """Whether all files of a checkpoint can be read: a killed worker may leave one half-copied."""
    path = checkpoint.local
    if path is None:
        return {FIGURES, RECORDS, PROGRESS, WEIGHTS, MOMENTS} <= {
            *checkpoint.names()
        }  # In S3, files are never partial.
    try:
        read_progress(path)
        for name in (FIGURES, RECORDS):
            json.loads((path / name).read_text("utf8"))
        for name in (WEIGHTS, MOMENTS):
            with safe_open(path / name, framework="pt"):  # Checks the size of the file against its header.
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return True


def set_damaged_aside(storage: Folder, name: str) -> Folder | None:
    """Move a run aside if Ray cannot resume it; return the last whole checkpoint of all runs set aside.

    Ray does not write snapshots atomically, and one cut short by a crash blocks every later start under that name. So
    does one that names a checkpoint which somebody has deleted, or whose last one has lost a part of its bytes.
    """
    run = storage / name
    if run.has(SNAPSHOT) and not _is_complete(run):
        damaged = f"{name}.damaged-{uuid.uuid4().hex[:8]}"
        storage.rename(name, damaged)
        logging.getLogger(__name__).warning(
            "%s: the record of this training, or its last checkpoint, is damaged; set aside as %s, whose last whole "
            "checkpoint is used",
            run.uri,
            damaged,
        )
    # By time, which Ray names checkpoints by.
    aside = sorted(_checkpoints(storage, f"{name}.damaged-"), key=lambda folder: folder.name, reverse=True)
    return next(filter(is_whole, aside), None)


def _is_complete(run: Folder) -> bool:
    """Whether a run's snapshot can be read, the checkpoints that it names are there, and the latest one is whole."""
    try:
        snapshot = run.read(SNAPSHOT)
        latest = latest_checkpoint(snapshot)
        named = named_checkpoints(snapshot) | ({latest} if latest else set())
    except ValueError:
        return False
    return named <= {folder.name for folder in run.folders()} and (latest is None or is_whole(run / latest))


def keep_weights(checkpoint: Folder, figures: Record, folder: Path) -> dict[str, Any]:
    """Copy a checkpoint's weights into the stage's folder, without the state of its optimizer."""
    epoch, step = figures["epoch"], int(figures["step"])
    name = f"epoch-{int(epoch):03d}" if epoch == int(epoch) else f"step-{step:07d}"
    checkpoint.download(WEIGHTS, folder / CHECKPOINTS / name / WEIGHTS)
    scores = {key: figures[key] for key in METRICS if key in figures}
    return {"name": name, "epoch": int(epoch) if epoch == int(epoch) else epoch, "step": step, **scores}


def fetch_records(storage: Folder, records: Path) -> None:
    """Copy a run's records from the storage if another machine has left more of them there than are here."""
    if storage.local != records.parent and storage.has(records.name):
        theirs = storage.read(records.name)
        if theirs.count(b"\n") > (records.read_bytes().count(b"\n") if records.exists() else 0):
            make_private(records.parent)
            write_whole(records, theirs)


def share_records(storage: Folder, records: Path) -> None:
    """Copy a file of a run to the storage, for another machine to continue; a failure does not stop the training."""
    if storage.local != records.parent:
        try:
            storage.upload(records, records.name)
        except (ExternalError, OSError) as error:
            logging.getLogger(__name__).warning("the records of the run stay on this machine for now: %s", error)


def clear(storage: Folder, name: str, records: Path) -> None:
    """Delete all that a run has left, when its output is complete, or is to be made anew."""
    for file in (records, records.with_name(f"{name}{RUN_RECORD}")):
        file.unlink(missing_ok=True)
    try:
        for entry in storage.names():
            if entry.startswith(name):
                storage.remove(entry)
    except (ExternalError, OSError) as error:
        logging.getLogger(__name__).warning("checkpoints that are no longer needed could not be deleted: %s", error)
