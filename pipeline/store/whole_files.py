"""Files that are whole or absent, whatever stops the process or the machine.

A file is written beside its place and synced to the disk, then renamed; then its folder is synced. Only after that is
anything deleted that it makes superfluous. What only the user may read is in a folder that only the user can enter.
"""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

SHARD_BYTES, SHARDS_AT_ONCE = 16 << 20, 8
"""A connection to S3 is slow, and eight are eight times as fast; memory holds what they bring."""


def make_private(folder: Path) -> None:
    """Create a folder, and the parents that it lacks, for this user alone; what exists stays as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        with suppress(FileExistsError):  # Another process was faster.
            path.mkdir(mode=0o700)


def tighten(path: Path) -> None:
    """Take a file or folder of this user's from all others."""
    with suppress(FileNotFoundError):
        found = path.stat()
        if found.st_uid == os.getuid() and found.st_mode & 0o077:
            path.chmod(found.st_mode & 0o7700)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield the name of a file on the disk of `path`, in a folder of its own, which is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file beside `path` that takes its place, whole, at the end; nothing is left if that fails."""
    with beside(path) as temporary:
        yield temporary
        put_in_place(temporary, path)


def remove_leftovers(path: Path) -> None:
    """Delete what processes that were killed have left beside `path`; the caller is the only one who writes it now."""
    for folder in path.parent.glob(f".{path.name}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in place of an older one, which stays if that fails, as on a full disk."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a complete file or folder on the same disk to `path`, once all of it is on the disk."""
    sync_all(temporary)
    temporary.rename(path)
    sync(path.parent)


def sync_all(path: Path) -> None:
    """Wait until a file, or a folder and all in it, are on the disk."""
    for found in [path, *path.rglob("*")]:
        sync(found)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_shards(read_at: Callable[[int, int], bytes], size: int, file: Path) -> None:
    """Write a file from its shards, some read at a time by `read_at`, which takes how many bytes and from where on."""
    with file.open("wb") as out, ThreadPoolExecutor(SHARDS_AT_ONCE) as threads:
        out.truncate(size)

        def copy(start: int) -> None:
            os.pwrite(out.fileno(), read_at(min(SHARD_BYTES, size - start), start), start)

        deque(threads.map(copy, range(0, size, SHARD_BYTES)), maxlen=0)
