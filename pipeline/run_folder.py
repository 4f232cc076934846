"""What Ray Train keeps of a run: checkpoints to go on from, and among them the best."""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipeline.checkpoint import MOMENTS, PROGRESS
from pipeline.history import Record
from pipeline.trained import CHECKPOINTS
from pipeline.weights import WEIGHTS

FIGURES = "figures.json"
"""In every checkpoint: the figures of its epoch."""
SNAPSHOT = "checkpoint_manager_snapshot.json"


def best_checkpoints(storage: Path, name: str) -> list[tuple[Path, Record]]:
    """Return a run's checkpoints and their figures, the best first: Ray's, and those of runs that were set aside.

    Ray keeps the latest as well, to resume from, which need not be among the best.
    """
    found = {}
    for path in sorted(storage.glob(f"{name}*/checkpoint_*/{FIGURES}")):
        if not is_whole(path.parent):
            continue
        figures = json.loads(path.read_text("utf8"))
        found[figures["epoch"]] = (path.parent, figures)
    return sorted(found.values(), key=lambda pair: -pair[1]["rank"])


def is_whole(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint can be read: a worker that is killed may leave one half-copied."""
    try:
        for name in (FIGURES, PROGRESS):
            json.loads((checkpoint / name).read_text("utf8"))
        for name in (WEIGHTS, MOMENTS):
            with safe_open(checkpoint / name, framework="pt"):  # Compares the file's size with its header.
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return True


def set_damaged_aside(folder: Path) -> Path | None:
    """Move a run aside whose snapshot cannot be read; return the last whole checkpoint of all that are aside.

    Ray does not write snapshots atomically, and one cut short by a crash blocks every later start under that name.
    """
    snapshot = folder / SNAPSHOT
    try:
        if snapshot.exists():
            json.loads(snapshot.read_text("utf8"))
    except ValueError:
        folder.rename(folder.with_name(f"{folder.name}.damaged-{uuid.uuid4().hex[:8]}"))
    # Ray names checkpoints by their time.
    aside = sorted(folder.parent.glob(f"{folder.name}.damaged-*/checkpoint_*"), key=lambda path: path.name)
    whole = [checkpoint for checkpoint in aside if is_whole(checkpoint)]
    return whole[-1] if whole else None


def keep_weights(checkpoint: Path, figures: Record, folder: Path) -> dict[str, Any]:
    """Copy a checkpoint's weights into the stage's folder; its optimizer state has served."""
    name = f"epoch-{int(figures['epoch']):03d}"
    (folder / CHECKPOINTS / name).mkdir(parents=True)
    shutil.copy2(checkpoint / WEIGHTS, folder / CHECKPOINTS / name / WEIGHTS)
    return {"name": name, "epoch": int(figures["epoch"]), "step": int(figures["step"]), "bleu": figures["bleu"]}
