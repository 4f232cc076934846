"""The records of a run, in a file that outlives a crash."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

Record = dict[str, float]
"""The figures of a step or, if it has `bleu`, of an epoch."""
Observe = Callable[[Record], None]
"""Takes each record of a run as it comes, once."""


def is_epoch(record: Record) -> bool:
    """Whether a record is of an epoch, and not of a step."""
    return "bleu" in record


def read_history(path: Path) -> Iterator[Record]:
    """Yield the records of a history file; a line that a crash cut short ends it."""
    with path.open(encoding="utf8", newline="\n") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


class History:
    """Keeps the records of a run in a file and hands on each one that is new, also over restarts."""

    def __init__(self, path: Path, observe: Observe) -> None:
        """Go on with the file at `path`, or begin it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._observe = path, observe
        known = list(read_history(path)) if path.exists() else []
        # A record cut short by a crash is dropped, and epochs done again after a restart are not told twice.
        path.write_text("".join(json.dumps(record) + "\n" for record in known), "utf8")
        self._told = {self._key(record) for record in known}

    @staticmethod
    def _key(record: Record) -> tuple[bool, float]:
        return is_epoch(record), record["step"]

    def add(self, record: Record) -> None:
        """Keep a record and hand it on, unless it was there before."""
        if self._key(record) in self._told:
            return
        self._told.add(self._key(record))
        with self._path.open("a", encoding="utf8") as stream:
            stream.write(json.dumps(record) + "\n")
        self._observe(record)
