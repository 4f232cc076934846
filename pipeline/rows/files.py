"""The files behind a name that a user gives: one file or a folder of them, on this machine or in S3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.formats import Format, Packing, format_of, is_zip, packing_of
from pipeline.rows.packing import decompressed, lacking, members_of, open_member, side_of, table_of
from pipeline.rows.structured import refuse_unreadable
from pipeline.store.storage import Folder, folder_and_name, local_folder

SAVED = ("dataset_info.json", "dataset_dict.json")
"""What folders hold that `datasets` wrote with save_to_disk."""


@dataclass(frozen=True)
class RowFile:
    """A file to read or write; its name says its format and how it is compressed."""

    folder: Folder
    name: str
    given: str
    """What the user wrote, for messages."""
    member: str | None = None
    """Its name in the zip archive `name`, if it is in one."""

    @classmethod
    def local(cls, path: Path, member: str | None = None) -> "RowFile":
        """Return a file of this machine from its absolute path, or a file in a zip archive."""
        given = str(path) if member is None else f"{path}/{member}"
        return cls(local_folder(path.parent), path.name, given, member)

    @property
    def own_name(self) -> str:
        """Its name, inside an archive if it is in one."""
        return self.member or self.name

    @property
    def format(self) -> Format:
        """Its format, from its suffix."""
        return format_of(self.own_name)

    @property
    def packing(self) -> Packing | None:
        """How it is compressed."""
        return packing_of(self.own_name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it as a stream of uncompressed bytes."""
        opened = self.folder.open(self.name)
        with opened if self.member is None else open_member(self.folder, self.name, self.member, self.given) as raw:
            yield decompressed(raw, self.packing, self.given)


def is_plain(given: str) -> bool:
    """Return whether the file is uncompressed text on this machine."""
    return "://" not in given and format_of(given) == "text" and packing_of(given) is None and not is_zip(given)


def find_files(given: str, column: Column | None = None) -> list[RowFile]:
    """Return the file with this name, or the files in the folder with this name, sorted.

    Of a zip archive it is the file with columns, or the text whose suffix `column` names. Raises InputError if there is
    nothing to read, or if a folder mixes formats.
    """
    folder, name = folder_and_name(given)
    if folder.has(name):
        return [_readable(RowFile(folder, name, given), column)]
    inside = folder / name
    names = [found for found in inside.names() if not found.startswith((".", "_")) and inside.has(found)]
    if not names:
        raise InputError(f"{given}: there is no such file, and no folder with files in it; correct the name")
    if not set(names).isdisjoint(SAVED):
        raise InputError(f"{given}: a folder of save_to_disk is read in training alone; write it with to_parquet()")
    files = [_readable(RowFile(inside, found, f"{given.rstrip('/')}/{found}"), column) for found in names]
    if len({file.format for file in files}) > 1:
        raise InputError(f"{given}: the folder has files of several formats ({', '.join(names[:5])}); keep one of them")
    return files


def _readable(file: RowFile, column: Column | None) -> RowFile:
    """Return the file, or the one in it if it is an archive. Raises InputError if it cannot be read."""
    if not is_zip(file.name):
        refuse_unreadable(file.name, file.given)
        return checked(file)
    members = members_of(file.folder, file.name, file.given)
    member = members[0] if len(members) == 1 else table_of(members)
    if member is None and column is not None:
        member = side_of(members, column.name, file.given)
    if member is None:
        wanted = "file with columns" if column is None else f"file with columns, nor a text .{column.name}"
        raise lacking(members, file.given, wanted, "set --column to the suffix of a text, or unpack it and name a file")
    found = replace(file, given=f"{file.given}/{member}", member=member)
    refuse_unreadable(member, found.given)
    return checked(found)


def refuse_column_of_text(files: Sequence[RowFile], column: Column) -> None:
    """Raise InputError for a column of files that are all plain text."""
    if all(file.format == "text" and file.member is None for file in files):
        raise InputError(
            f"{column.given}: {files[0].given} is plain text, which has no columns; leave the option out, or end the "
            "name of a file with columns in .jsonl, .csv, .tsv, .tmx or .parquet"
        )


def checked(file: RowFile) -> RowFile:
    """Return the file. Raises InputError for Parquet that is compressed as a whole: it is read from its end."""
    if file.format == "parquet" and (file.packing or file.member):
        raise InputError(f"{file.given}: Parquet compresses itself; decompress it")
    return file
