"""Temporary folders of a process, which it holds by a lock: the system takes that back however the process ends.

So it can be told later, by processes in other containers too, that nobody uses such a folder any more.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

LOCK = "lock"
YOUNG_SECONDS = 60
"""A younger lock may be one that is not held yet."""


@contextmanager
def held_folder(parent: Path, beginning: str) -> Iterator[Path]:
    """Make a folder for this user alone, whose name begins so; it is removed at the end.

    What processes have left that were killed is removed first.
    """
    for left in abandoned_folders(parent, beginning):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=beginning, dir=parent))
    lock = FileLock(folder / LOCK, thread_local=False)
    lock.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def abandoned_folders(parent: Path, beginning: str) -> list[Path]:
    """Return this user's folders of this kind whose processes have ended."""
    abandoned = []
    for folder in parent.glob(f"{beginning}*"):
        with suppress(OSError, Timeout):
            lock = (folder / LOCK).stat()
            if lock.st_uid == os.getuid() and time.time() - lock.st_mtime > YOUNG_SECONDS:
                with FileLock(folder / LOCK, timeout=0):
                    abandoned.append(folder)
    return abandoned
