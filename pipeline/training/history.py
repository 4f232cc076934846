"""The figures of a run: what is summed up between validations, and the records, in a file that survives a crash."""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.store.whole_files import make_private, write_whole

Record = dict[str, float]
"""The figures of a step; with `bleu` among them, of a validation and the steps since the one before."""
Observe = Callable[[Record], None]
"""Receives each record of a run once, as it comes."""


@dataclass
class Sums:
    """Sums over the steps since a validation: losses, tokens, and seconds; of these some for data and reports."""

    smoothed: float = 0.0
    nll: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    reporting: float = 0.0
    saving: float = 0.0
    """For checkpoints, between steps."""
    matmul: float = 0.0
    """What the products alone take."""
    in_bf16: bool = False
    """Whether they were in bf16."""

    def add(self, smoothed: float, nll: float, tokens: int) -> None:
        """Add a step's mean losses."""
        self.smoothed, self.nll = self.smoothed + smoothed * tokens, self.nll + nll * tokens
        self.tokens += tokens

    def figures(self) -> dict[str, float]:
        """Return the means and shares that are reported."""
        tokens = self.tokens or math.nan  # All steps may have been passed over.
        return {
            "train_bf16": float(self.in_bf16),
            "train_loss": self.smoothed / tokens,
            "train_perplexity": math.exp(min(self.nll / tokens, 700.0)),
            "train_target_tokens_per_second": self.tokens / self.seconds,
            "train_seconds": self.seconds,
            "train_saving_share": self.saving / (self.seconds + self.saving),
            "train_waiting_share": self.waiting / self.seconds,
            "train_reporting_share": self.reporting / self.seconds,
            **({} if math.isnan(self.matmul) else {"train_matmul_share": self.matmul / self.seconds}),
        }


def is_validation(record: Record) -> bool:
    """Return whether a record belongs to a validation and not to a step."""
    return "bleu" in record


def record_key(record: Record) -> tuple[bool, float]:
    """Return what a record is known by: one that is repeated after a restart has the same."""
    return is_validation(record), record["step"]


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
        self._seen = {record_key(record) for record in known}

    def add(self, record: Record) -> None:
        """Write a record and pass it on, unless it is known already."""
        if record_key(record) in self._seen:
            return
        self._seen.add(record_key(record))
        with self._path.open("a", encoding="utf8") as stream:
            stream.write(json.dumps(record) + "\n")
            if is_validation(record):  # Before its checkpoint is saved, which a resumed run goes on from.
                stream.flush()
                os.fsync(stream.fileno())
        self._observe(record)
