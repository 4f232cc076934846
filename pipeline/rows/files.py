"""The files behind a name that a user gives: one file or a folder of them, on this machine or in S3."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError
from pipeline.rows.formats import Format, format_of, is_packed
from pipeline.store.storage import Folder, folder_and_name, local_folder


@dataclass(frozen=True)
class RowFile:
    """A file to read or write; its name says its format and whether it is compressed."""

    folder: Folder
    name: str
    given: str
    """What the user wrote, for messages."""

    @classmethod
    def local(cls, path: Path) -> "RowFile":
        """Return a file of this machine from its absolute path."""
        return cls(local_folder(path.parent), path.name, str(path))

    @property
    def format(self) -> Format:
        """Its format, from its suffix."""
        return format_of(self.name)

    @property
    def packed(self) -> bool:
        """Whether it is compressed with gzip."""
        return is_packed(self.name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it as a stream of uncompressed bytes."""
        with self.folder.open(self.name) as raw:
            stream = io.BufferedReader(raw, 2**20)
            yield gzip.GzipFile(fileobj=stream) if self.packed else stream  # type: ignore[misc]


def is_plain(given: str) -> bool:
    """Return whether the file is uncompressed text on this machine."""
    return "://" not in given and format_of(given) == "text" and not is_packed(given)


def find_files(given: str) -> list[RowFile]:
    """Return the file with this name, or the files in the folder with this name, sorted.

    Raises InputError if there is nothing to read, or if a folder mixes formats.
    """
    folder, name = folder_and_name(given)
    if folder.has(name):
        return [checked(RowFile(folder, name, given))]
    inside = folder / name
    names = [found for found in inside.names() if not found.startswith((".", "_")) and inside.has(found)]
    if not names:
        raise InputError(f"{given}: there is no such file, and no folder with files in it; correct the name")
    files = [checked(RowFile(inside, found, f"{given.rstrip('/')}/{found}")) for found in names]
    if len({file.format for file in files}) > 1:
        raise InputError(f"{given}: the folder has files of several formats ({', '.join(names[:5])}); keep one of them")
    return files


def checked(file: RowFile) -> RowFile:
    """Return the file. Raises InputError for Parquet that is compressed with gzip as well."""
    if file.format == "parquet" and file.packed:
        raise InputError(f"{file.given}: Parquet compresses itself; decompress it with gunzip")
    return file
