"""The record that a training leaves when it starts: what it is, who asked for it, and how it is continued.

    $NMT_HOME/ray/training-<16>.run.json   this record (in $NMT_STORAGE/ray too, if that is set)
    $NMT_HOME/ray/training-<16>.jsonl      the figures of its steps and validations: see history.py
    $NMT_HOME/ray/training-<16>/           its checkpoints

<16> is the beginning of the stage's fingerprint. All three are removed when the training is finished.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.store.whole_files import make_private, write_whole

ID_LENGTH = 16
RUN_RECORD, RECORDS = ".run.json", ".jsonl"
"""The ends of the names of its files."""


def run_name(fingerprint: str) -> str:
    """Return how the names of all files of a training begin."""
    return f"training-{fingerprint[:ID_LENGTH]}"


@dataclass(frozen=True)
class RunRecord:
    """What a training is, and who asked for it."""

    fingerprint: str
    """Of its stage."""
    name: str
    """Of the model that it is for; in an ablation, that of the preset and the system."""
    experiment: str
    """In MLflow."""
    inputs: Mapping[str, str]
    """The fingerprints of what it is made from, by stage."""
    command: Sequence[str] = ()
    """The command that made it, in words, without secrets; given again, it continues the training."""
    folder: str = field(default_factory=os.getcwd)
    """Where relative paths in the command begin."""
    tracked_by: str = ""
    """The MLflow run that the training logs to."""
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def write(self, folder: Path) -> Path:
        """Write it, whole, among the files of the training; return its file."""
        make_private(folder)
        path = folder / f"{run_name(self.fingerprint)}{RUN_RECORD}"
        write_whole(path, (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())
        return path


def parse_run_record(content: bytes) -> RunRecord | None:
    """Return what is in the file of a record; None if that is none, or of a version that had other fields."""
    try:
        found: dict[str, Any] = json.loads(content)
        record = RunRecord(**found)
    except (ValueError, TypeError):
        return None
    texts = (record.fingerprint, record.name, record.host, record.folder, record.tracked_by, record.started)
    sound = all(isinstance(text, str) for text in texts) and isinstance(record.inputs, dict)
    return record if sound and isinstance(record.command, list) else None


def read_run_record(path: Path) -> RunRecord | None:
    """Return the record in a file; None if there is none."""
    try:
        return parse_run_record(path.read_bytes())
    except OSError:
        return None
