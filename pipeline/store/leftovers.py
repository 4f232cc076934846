"""What runs leave: temporary folders of their own, and in `$NMT_HOME` what is made again when it is needed.

A process holds its temporary folder by a lock, which the system takes back however the process ends. So it can be told
later, by processes in other containers too, that nobody uses such a folder any more.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

from pipeline.store.artifact_folder import left_by_the_dead
from pipeline.store.stages import VERSIONS
from pipeline.store.storage import home

LOCK = "lock"
YOUNG_SECONDS = 60
"""A younger lock may be one that is not held yet."""

IDLE_SECONDS = 24 * 60 * 60
"""What was not written to for so long is in no run's use."""


@dataclass(frozen=True)
class Leftover:
    """A file or a folder that may be removed."""

    kind: str
    """What it is, for people."""
    path: Path
    bytes: int
    """On the disk."""


KINDS: Mapping[str, str] = {
    "temporary": "temporary files of commands that were killed",
    "damaged": "damaged files that were set aside and made again",
    "older": "databases as they were before they were brought up to date",
    "translations": "answers of bulk translations, which are made again",
    "logs": "logs of servers that no longer run",
    "clusters": "files of Ray clusters that have ended",
}
"""What each kind is."""


def find_leftovers(servers_run: bool, prefect: Path) -> list[Leftover]:
    """Return what can be removed from `$NMT_HOME`, and of ours from Prefect's folder.

    `servers_run` says whether the local stack does. Nothing of a run in progress is among it, nor what a registered
    model, a run in MLflow or an unfinished training needs.
    """
    folder = home()
    stages = [folder / "store" / name for name in VERSIONS]
    places = [folder, folder / "stack", folder / "ray", *stages]
    entries = [path for place in places for path in _entries(place)]
    entries += [path for path in _entries(prefect) if "prefect.db" in path.name]
    beside = {path for path in entries if fnmatch(path.name, ".*-????????") and path.is_dir() and _is_idle(path)}
    found = {
        "temporary": beside.union(*map(left_by_the_dead, stages)),
        "damaged": [path for path in entries if ".damaged-" in path.name],
        "older": [path for path in entries if ".db.before-" in path.name],
        "translations": [path for path in _entries(folder / "translations") if _is_idle(path)],
        "logs": [] if servers_run else _entries(folder / "stack" / "logs"),
    }
    return list(measured(found))


def measured(found: Mapping[str, Iterable[Path]]) -> Iterator[Leftover]:
    """Yield paths, by kind, with what they take on the disk."""
    for kind, paths in found.items():
        for path in sorted(paths):
            files = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
            yield Leftover(kind, path, sum(file.lstat().st_blocks * 512 for file in files))


def remove(leftovers: Iterable[Leftover]) -> None:
    """Delete files and folders; what is not there any more is no error."""
    for leftover in leftovers:
        if leftover.path.is_dir() and not leftover.path.is_symlink():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_idle(path: Path) -> bool:
    newest = max(entry.lstat().st_mtime for entry in [path, *path.rglob("*")])
    return time.time() - newest > IDLE_SECONDS


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
