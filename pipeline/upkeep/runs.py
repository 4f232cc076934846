"""The trainings of `$NMT_HOME` and `$NMT_STORAGE`: which run, which have stopped and how they are continued.

A training runs if a process of this machine holds the lock of its stage. What another machine does, which locks nothing
here, is not known: such a training is `elsewhere`, with the machine that started it last and when it was last active.
"""

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import InputError
from pipeline.store.artifact_folder import unless_held
from pipeline.store.storage import Folder, home, local_folder, shared_folder
from pipeline.store.store import Store
from pipeline.training.runs.run_record import RECORDS, RUN_RECORD, RunRecord, parse_run_record

State = Literal["running", "stopped", "elsewhere", "finished"]
STATES: Sequence[State] = ("running", "stopped", "elsewhere", "finished")
STAGE = "training"
SHORTEST_ID = 8
ENTRY = re.compile(r"training-([0-9a-f]{16})(\..*)?")
"""The names of a training's files; `.damaged-...` are folders of checkpoints that were set aside."""
PATHS = (
    *("corpus.path=", "corpus.target_path=", "corpus.sources=", "evaluation.test_sets="),
    *("tokenizer.model=", "tokenizer.target_model="),
)
"""The beginnings of overrides that may be relative paths."""


@dataclass(frozen=True)
class RunFile:
    """A file or folder that a training has left to be continued from."""

    storage: Folder
    name: str
    bytes: int
    written: float
    """When the newest of it was written, in seconds since 1970."""

    @property
    def is_aside(self) -> bool:
        """Whether it was set aside as damaged."""
        return ".damaged-" in self.name

    @property
    def place(self) -> str:
        """Its path or URI."""
        local = self.storage.local
        return f"{self.storage.uri}/{self.name}" if local is None else str(local / self.name)


@dataclass(frozen=True)
class Training:
    """A training, and how far it is."""

    fingerprint: str
    """Of its stage; its beginning alone if nothing tells the rest."""
    state: State
    name: str | None
    """Of the model that it is for; None if an older version has started it."""
    last: Mapping[str, float]
    """The figures of its last step: step, epoch, and done, the share of the training; none before the first."""
    bleu: float | None
    """Of its last validation; of a finished one, of the best."""
    active: datetime | None
    """When it last wrote something."""
    bytes: int
    """On the disk and in the storage."""
    record: RunRecord | None
    files: tuple[RunFile, ...]

    def summary(self, nmt: str = "nmt") -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "fingerprint": self.fingerprint,
            "name": self.name,
            "state": self.state,
            **{name: self.last.get(name) for name in ("step", "epoch", "done")},
            "bleu": self.bleu,
            "last_active": self.active.isoformat(timespec="seconds") if self.active else None,
            "bytes": self.bytes,
            "host": self.record.host if self.record else None,
            "continued_by": self.continued_by(nmt),
        }

    def continued_by(self, nmt: str = "nmt") -> str | None:
        """Return the line for a shell that continues it from the current folder; None if there is nothing to continue.

        `nmt` is how the program is called here.
        """
        if self.record is None or not self.record.command or self.state not in {"stopped", "elsewhere"}:
            return None
        line = shlex.join([nmt, *self.record.command[1:]])
        if self.record.folder == str(Path.cwd()) or not any(map(_may_be_relative, self.record.command)):
            return line
        at_home = "" if Path(os.environ.get("NMT_HOME", "")).is_absolute() else f"NMT_HOME={shlex.quote(str(home()))} "
        return f"cd {shlex.quote(self.record.folder)} && {at_home}{line}"


def _may_be_relative(word: str) -> bool:
    """Whether a word of a command names a file from the current folder, or a preset that may name some."""
    value = word.partition("=")[2]
    return word.endswith((".yaml", ".yml")) or (
        word.startswith(PATHS) and "://" not in value and not value.startswith(("/", "~"))
    )


def find_trainings() -> list[Training]:
    """Return all trainings: first those that run, last those that are finished; of each the last active ones first.

    Raises ExternalError if `$NMT_STORAGE` fails.
    """
    files = _files()
    finished = {str(manifest["fingerprint"]): manifest for manifest in Store().manifests(STAGE)}
    held = set(_held())
    fingerprints = {*finished, *held}
    started = {fingerprint: [fp for fp in files if fingerprint.startswith(fp)] for fingerprint in fingerprints}
    fingerprints |= {*files} - {beginning for found in started.values() for beginning in found}
    found = [_training(each, files.get(each[:16], ()), finished.get(each), each in held) for each in fingerprints]
    return sorted(found, key=lambda each: (STATES.index(each.state), -each.active.timestamp() if each.active else 0.0))


def _files() -> dict[str, tuple[RunFile, ...]]:
    """Return the files of all trainings, here and in the storage, by the beginning of the fingerprint."""
    own, shared = local_folder(home() / "ray"), shared_folder("ray")
    found: dict[str, tuple[RunFile, ...]] = {}
    for storage in (own, *([shared] if shared is not None and shared.local != own.local else ())):
        for name in storage.names():
            if entry := ENTRY.fullmatch(name):
                found[entry[1]] = (*found.get(entry[1], ()), RunFile(storage, name, *storage.usage(name)))
    return found


def _held() -> Iterator[str]:
    """Yield the fingerprints of trainings whose lock a process of this machine holds."""
    for path in (home() / "store" / STAGE).glob(".*.lock"):
        with unless_held(path) as free:
            if not free:
                yield path.name.removeprefix(".").removesuffix(".lock")


def _training(
    fingerprint: str, files: tuple[RunFile, ...], manifest: Mapping[str, Any] | None, is_held: bool
) -> Training:
    record = _record(files)
    running = is_held and (bool(files) or manifest is None)  # Else a process looks whether what it has is whole.
    done = manifest is not None and not running
    last, bleu = ({}, None) if done else _progress(files)
    active = max((file.written for file in files), default=0.0)
    figures: Mapping[str, Any] = manifest["figures"] if manifest is not None else {}
    if manifest is not None and not running:
        last = {"step": figures["steps"], "epoch": figures["epochs"], "done": 1.0}
        bleu, active = figures["best_bleu"], datetime.fromisoformat(str(manifest["created"])).timestamp()
    return Training(
        record.fingerprint if record else fingerprint,
        "running" if running else "finished" if done else "elsewhere" if _is_foreign(record, files) else "stopped",
        record.name if record else figures.get("name"),
        last,
        bleu,
        datetime.fromtimestamp(active, UTC) if active else None,
        sum(file.bytes for file in files) + (_output_bytes(fingerprint) if manifest is not None else 0),
        record,
        files,
    )


def _is_foreign(record: RunRecord | None, files: Sequence[RunFile]) -> bool:
    """Whether another machine may be at it: it shares the storage, and was the last to start the training."""
    shared = any(file.storage.local != home() / "ray" for file in files)
    return shared and (record is None or record.host != socket.gethostname())


def _record(files: Sequence[RunFile]) -> RunRecord | None:
    """Return the record of who started a training last."""
    found = [parse_run_record(file.storage.read(file.name)) for file in files if file.name.endswith(RUN_RECORD)]
    return max((record for record in found if record), key=lambda record: record.started, default=None)


def _progress(files: Sequence[RunFile]) -> tuple[Mapping[str, float], float | None]:
    """Return the figures of the last step, and the BLEU of the last validation."""
    records = max((file for file in files if file.name.endswith(RECORDS)), key=lambda file: file.bytes, default=None)
    last: Mapping[str, float] = {}
    bleu: float | None = None
    for line in records.storage.read(records.name).splitlines()[::-1] if records else ():
        try:
            record = json.loads(line)
        except ValueError:  # Being written.
            continue
        bleu = record.get("bleu") if bleu is None else bleu
        last = last or ({} if "bleu" in record else record)
        if last and bleu is not None:
            break
    return last, bleu


def _output_bytes(fingerprint: str) -> int:
    here, shared = local_folder(home() / "store" / STAGE), shared_folder(f"store/{STAGE}")
    return here.usage(fingerprint)[0] or (shared.usage(fingerprint)[0] if shared is not None else 0)


def id_length(trainings: Sequence[Training]) -> int:
    """Return how many characters of the fingerprints tell the trainings apart."""
    fingerprints = [training.fingerprint for training in trainings]
    return next(
        length for length in range(SHORTEST_ID, 65) if len({fp[:length] for fp in fingerprints}) == len(fingerprints)
    )


def chosen(trainings: Sequence[Training], ids: Sequence[str]) -> list[Training]:
    """Return the trainings whose fingerprints begin so; all if none are named.

    Raises InputError for an id that none has, or several have.
    """
    for given in ids:
        found = [training for training in trainings if given and training.fingerprint.startswith(given)]
        if not found:
            raise InputError(f"{given}: there is no such training; `nmt runs` lists all")
        if len(found) > 1:
            raise InputError(f"{given}: {len(found)} trainings begin so; give more of its characters")
    return [training for training in trainings if not ids or training.fingerprint.startswith(tuple(ids))]
