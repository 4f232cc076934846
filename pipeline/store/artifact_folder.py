"""The folder of an artifact: its manifest, the check of its files, and copies from one machine to another."""

import hashlib
import json
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import ExternalError
from pipeline.stopping import current_stop
from pipeline.store.storage import Folder
from pipeline.store.whole_files import make_private, put_in_place, sync_all

MANIFEST = "manifest.json"
DAMAGED = "damaged"
"""In shared storage: the mark of an artifact that a machine could not read whole."""
OLD = "-old"
"""The end of the name of an output that is being replaced."""


LOOK_SECONDS, POLL_SECONDS = 0.2, 1.0
"""How long a lock may be held before another process is said to be at work: `nmt runs` takes each for a moment. How
often a process that waits looks at what it waits for."""


def lock_of(folder: Path) -> Path:
    """Return the lock that processes of a machine hold while they make an output."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def held(path: Path, stage: str, while_waiting: Callable[[], None] | None) -> Iterator[bool]:
    """Hold the lock of a stage's output; yield whether it had to be waited for, with `while_waiting` called meanwhile.

    Raises StoppedError if this run is told to end before.
    """
    lock, stop, waited = FileLock(path), current_stop(), False
    try:
        lock.acquire(timeout=LOOK_SECONDS)
    except Timeout:
        waited, doing = True, "waiting for it" if while_waiting is None else "following it"
        logging.getLogger(__name__).warning("another process is making the same %s: %s", stage, doing)
        with stop.held():
            while not lock.is_locked:
                if stop.reason:
                    raise stop.error(f"while another process was making the same {stage}") from None
                if while_waiting is not None:
                    while_waiting()
                with suppress(Timeout):
                    lock.acquire(timeout=POLL_SECONDS)
    try:
        yield waited
    finally:
        lock.release()


@contextmanager
def unless_held(path: Path) -> Iterator[bool]:
    """Hold a lock if it is free now; yield whether it was."""
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(path, timeout=0))
        except Timeout:
            yield False
            return
        yield True


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest; None if it cannot be read or names files outside the folder."""
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    names = manifest["files"] if manifest else ()
    return manifest if all((folder / name).resolve().is_relative_to(folder.resolve()) for name in names) else None


def parse_manifest(content: bytes) -> dict[str, Any] | None:
    """Return what is in a manifest's file; None if that was cut short, or is none."""
    try:
        manifest = json.loads(content)
        sound = isinstance(manifest["files"], dict) and isinstance(manifest["figures"], dict)
    except (ValueError, KeyError, TypeError):
        return None
    return dict(manifest) if sound else None


def whole_manifest(folder: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest if all its files have the recorded hashes, else None."""
    return None if damage(folder) else read_manifest(folder)


def damage(folder: Path) -> str | None:
    """Return the name of a file of an artifact that is missing or not as it was recorded; None if all are whole."""
    manifest = read_manifest(folder)
    if manifest is None:
        return MANIFEST
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file() or file_hash(folder / name) != digest:
            return str(name)
    return None


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Create an empty folder beside `target`, to be renamed to it; deleted at the end unless it was renamed."""
    make_private(target.parent)
    # Its name says whose it is, so that it can be told when that process is gone.
    prefix = f".{target.name[:12]}-{socket.gethostname()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_killed(target: Path) -> None:
    """Take back what processes of this machine that were killed have left beside `target`; the caller holds its lock.

    An output that was being replaced is put back, temporary folders are deleted.
    """
    for left in left_by_the_dead(target.parent, f"{target.name[:12]}-"):
        if left.name.endswith(OLD) and not target.exists():
            left.rename(target)
        else:
            shutil.rmtree(left, ignore_errors=True)


def left_by_the_dead(parent: Path, beginning: str = "") -> list[Path]:
    """Return the temporary folders of processes of this machine that are gone, for outputs that begin so."""
    pattern = re.compile(rf"\.{re.escape(beginning)}.*?-?{re.escape(socket.gethostname())}-(\d+)-\w+({OLD})?")
    found = [(path, pattern.fullmatch(path.name)) for path in parent.glob(".*")]
    return [path for path, match in found if match and not is_alive(int(match[1]))]


def is_alive(pid: int) -> bool:
    """Return whether there is a process with this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # Another user's.
        return True
    return True


def replace_folder(temporary: Path, target: Path) -> None:
    """Rename a complete folder to `target`, once it is on the disk; the folder that was there before is deleted."""
    old = target.with_name(f"{temporary.name}{OLD}")
    sync_all(temporary)
    if target.exists():
        target.rename(old)
    put_in_place(temporary, target)
    shutil.rmtree(old, ignore_errors=True)


def download_artifact(source: Folder, target: Path) -> dict[str, Any] | None:
    """Copy an artifact to this machine and return its manifest; None if there is none, or none that is whole.

    A damaged one is not copied, and is marked: whichever machine has it whole, or makes it, uploads it again. Nothing
    is deleted there: what one machine reads wrongly, another may read well.
    """
    if not source.has(MANIFEST):
        return None
    with temporary_folder(target) as temporary:
        manifest = _download(source, temporary) or _download(source, temporary)
        if manifest is None:
            logging.getLogger(__name__).warning("%s: %s is damaged; not used", source.uri, damage(temporary))
            with suppress(ExternalError, OSError):  # Storage that this machine may only read.
                source.write(DAMAGED, f"found by {socket.gethostname()}\n".encode())
            return None
        try:
            put_in_place(temporary, target)
        except OSError:
            if not target.exists():  # Otherwise another process was faster.
                raise
    return manifest


def _download(source: Folder, folder: Path) -> dict[str, Any] | None:
    source.download(MANIFEST, folder / MANIFEST)
    listed = read_manifest(folder) or {"files": {}}
    for name in filter(source.has, listed["files"]):
        source.download(name, folder / name)
    return whole_manifest(folder)


def upload_artifact(folder: Path, manifest: Mapping[str, Any], target: Folder) -> None:
    """Copy an artifact of this machine to `target` unless it is there already, unmarked; the manifest goes last."""
    damaged = target.has(DAMAGED)
    if damaged or not target.has(MANIFEST):
        for name in (*manifest["files"], MANIFEST):
            target.upload(folder / name, name)
        if damaged:
            target.remove(DAMAGED)
