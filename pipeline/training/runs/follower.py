"""Follows a training that another process of this machine makes, by the file of its records."""

import json
import os
from pathlib import Path
from typing import BinaryIO

from pipeline.training.history import Observe, Record, read_history, record_key


class Follower:
    """Passes on the records in a file, each once, while another process writes them.

    That process, or one that continues its training, may put another file in its place, which begins with records of
    the one before; and it deletes the file in the end.
    """

    def __init__(self, path: Path, observe: Observe) -> None:
        """Take the file, which need not be there yet."""
        self._path, self._observe = path, observe
        self._seen = set[tuple[bool, float]]()
        # Kept open, so that no other file can have its number: then a new one is told from it.
        self._stream: BinaryIO | None = None
        self.follows = False
        """Whether there was another process to follow."""

    def look(self) -> None:
        """Pass on the records that have been written since the last look."""
        self.follows = True
        self._read()
        if self._replaced():
            self.close()
            try:
                self._stream = self._path.open("rb")
            except FileNotFoundError:  # Not begun yet, or finished.
                return
            self._read()

    def catch_up(self, history: Path | None = None) -> None:
        """Pass on what is left of the records, if they were followed; `history` is a file with all of a training."""
        path = history or self._path
        if self.follows and path.exists():
            for record in read_history(path):
                self._pass_on(record)

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return self._stream is None or not os.path.samestat(there, os.fstat(self._stream.fileno()))

    def _read(self) -> None:
        """Pass on the whole lines from here on; the rest of a line that is being written is read the next time."""
        while self._stream is not None:
            begin, line = self._stream.tell(), self._stream.readline()
            try:
                record = json.loads(line if line.endswith(b"\n") else b"")
            except ValueError:  # Cut short by a crash: the process that continues the training drops it.
                self._stream.seek(begin)
                return
            self._pass_on(record)

    def _pass_on(self, record: Record) -> None:
        if record_key(record) not in self._seen:
            self._seen.add(record_key(record))
            self._observe(record)
