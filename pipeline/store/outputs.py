"""Output files that a user names: complete or not at all, and never in place of a device, a link or what is read."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import InputError


def check_place(target: Path, given: str, sources: Iterable[Path | int]) -> None:
    """Raise InputError if a file cannot be written at `target`, or if it is one that is read, by whatever name.

    `sources` are paths, or numbers of open files; `given` is what the user wrote, for messages.
    """
    folder = Path(os.path.realpath(target)).parent
    if target.is_dir():
        raise InputError(f"--output {given}: that is a folder; name a file")
    if not folder.is_dir():
        raise InputError(f"--output {given}: there is no folder {folder}")
    if not target.exists():
        return
    if target.is_file() and any(is_same(source, target) for source in sources):
        raise InputError(f"--output {given}: that is the file to translate; name another")
    if not os.access(target, os.W_OK):
        raise InputError(f"--output {given}: it is write-protected; name another, or allow writing it")


def is_same(one: Path | int, other: Path | int) -> bool:
    """Return whether both are one file or folder, by whatever name: links, hard links, `data/../data`.

    Numbers are open files.
    """
    with suppress(OSError):  # A source that is not there, or an input that is closed.
        return os.path.samefile(one, other)  # noqa: PTH121 - a Path is no number
    return False


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield where to write a file's content; it takes its place at the end of the block, unless an error ends that.

    Links stay, and what they point to gets the content. A file that was there keeps its mode and, where that is
    allowed, its owner; a new one gets what the umask says. What is no regular file, such as a device or a pipe, is
    written directly.
    """
    if target.exists() and not target.is_file():
        yield target
        return
    place = Path(os.path.realpath(target))
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".nmt-") as scratch:
        # In a folder, since a temporary file would have the mode 0600 instead of the umask's.
        written = Path(scratch) / place.name
        yield written
        if place.exists():
            before = place.stat()
            with suppress(PermissionError):
                shutil.chown(written, before.st_uid, before.st_gid)
            written.chmod(stat.S_IMODE(before.st_mode))
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.replace(place)
