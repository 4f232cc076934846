"""The records of a run, in a file that survives a crash."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.store.whole_files import make_private, write_whole

Record = dict[str, float]
"""The figures of a step; with `bleu` among them, of an epoch."""
Observe = Callable[[Record], None]
"""Receives each record of a run once, as it comes."""


def is_epoch(record: Record) -> bool:
    """Return whether a record belongs to an epoch and not to a step."""
    return "bleu" in record


def read_history(path: Path) -> Iterator[Record]:
    """Yield the records of a history file, up to a line that a crash cut short."""
    with path.open(encoding="utf8", errors="replace", newline="\n") as lines:
        for line in lines:
            try:
                record = json.loads(line if line.endswith("\n") else "")
            except ValueError:
                return
            yield record


class History:
    """Writes the records of a run to a file and passes on each new one, once even across restarts."""

    def __init__(self, path: Path, observe: Observe) -> None:
        """Continue the file at `path`, or start it."""
        make_private(path.parent)
        self._path, self._observe = path, observe
        known = list(read_history(path)) if path.exists() else []
        # A record cut short by a crash is dropped; epochs repeated after a restart are not passed on twice.
        write_whole(path, "".join(json.dumps(record) + "\n" for record in known).encode())
        self._seen = {self._key(record) for record in known}

    @staticmethod
    def _key(record: Record) -> tuple[bool, float]:
        return is_epoch(record), record["step"]

    def add(self, record: Record) -> None:
        """Write a record and pass it on, unless it is known already."""
        if self._key(record) in self._seen:
            return
        self._seen.add(self._key(record))
        with self._path.open("a", encoding="utf8") as stream:
            stream.write(json.dumps(record) + "\n")
            if is_epoch(record):  # Before its checkpoint is saved, which a resumed run goes on from.
                stream.flush()
                os.fsync(stream.fileno())
        self._observe(record)
