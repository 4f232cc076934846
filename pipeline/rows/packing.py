"""Decompresses files while they are read, and looks into zip archives."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow

from pipeline.errors import InputError
from pipeline.rows.columns import fitting_codes, listed
from pipeline.rows.formats import TABLES, Packing, format_of, suffix_of, without_packing
from pipeline.store.storage import Folder

BUFFER_BYTES = 2**20
BROKEN = (
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,  # Zip archives with other methods of compression.
    pyarrow.ArrowInvalid,  # Where a zip archive points to a place before the beginning of the file.
)
"""What is raised for content that cannot be decompressed; beside OSError, by bz2 and Arrow."""
FREE_BYTES, MOST_GROWTH = 64 * 2**20, 200
"""Content that is larger than the first of these and than so many times its file is no text, but made to fill memory.
Texts shrink to a fifth or so; only repeated ones to a hundredth."""
_READERS: Mapping[Packing, Callable[[Any], Any]] = {
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream),
    "xz": lzma.LZMAFile,
    "bzip2": bz2.BZ2File,
    "zstd": lambda stream: io.BufferedReader(pyarrow.CompressedInputStream(stream, "zstd"), BUFFER_BYTES),
}


def decompressed(raw: Any, packing: Packing | None, given: str) -> BinaryIO:
    """Return the content of a stream, however many members, blocks or frames it is compressed in.

    Reading it raises InputError, with the name that is `given`, where it grows out of all proportion.
    """
    if packing is None:
        return io.BufferedReader(raw, BUFFER_BYTES)
    packed = _Counted(raw.readinto)
    content = _READERS[packing](io.BufferedReader(packed, BUFFER_BYTES))

    def check(size: int) -> None:
        refuse_growth(size, packed.size, given)

    # readinto1: what comes before a broken place is read.
    return io.BufferedReader(_Counted(content.readinto1, check), BUFFER_BYTES)


class _Counted(io.RawIOBase):
    """A stream that counts the bytes that are read of it, and shows a function how many they are."""

    def __init__(self, read: Callable[[Any], int], check: Callable[[int], None] = lambda _: None) -> None:
        self._read, self._check = read, check
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        read = self._read(buffer)
        self.size += read
        self._check(self.size)
        return read


def refuse_growth(size: int, packed: int, given: str) -> None:
    """Raise InputError for content of a size that the text in a file of `packed` bytes does not have."""
    if size > FREE_BYTES + MOST_GROWTH * packed:
        raise InputError(
            f"{given}: its content is more than {MOST_GROWTH} times larger than the file ({size:,} bytes of "
            f"{packed:,}), as no text is; decompress it if you know what it is"
        )


@contextmanager
def open_member(folder: Folder, name: str, member: str, given: str) -> Iterator[Any]:
    """Open a file of a zip archive as a stream of bytes. Raises InputError if it grows out of all proportion."""
    with folder.open(name, seekable=True) as raw, zipfile.ZipFile(raw) as archive:
        info = archive.getinfo(member)
        refuse_growth(info.file_size, info.compress_size, given)  # No more than file_size is read.
        with archive.open(info) as stream:
            yield stream


def disk_or_s3_failed(error: OSError) -> bool:
    """Return whether a disk or S3 failed, rather than a library that could not read the content."""
    return error.errno is not None or "AWS Error" in str(error)


def members_of(folder: Folder, name: str, given: str) -> list[str]:
    """Return the names of the files in a zip archive. Raises InputError if it is broken or encrypted."""
    try:
        with folder.open(name, seekable=True) as raw, zipfile.ZipFile(raw) as archive:
            found = [info for info in archive.infolist() if not info.is_dir()]
    except BROKEN as error:
        raise InputError(f"{given}: broken zip ({error}); download it or zip the files again") from None
    except OSError as error:
        raise folder.explained(error) from error
    if any(info.flag_bits & 1 for info in found):
        raise InputError(f"{given}: the zip is encrypted; unpack it and name a file in it")
    return sorted(info.filename for info in found if not info.filename.startswith("__MACOSX/"))


def side_of(members: Sequence[str], language: str, given: str) -> str | None:
    """Return the text file of a language: the one whose suffix is its code, or that of one of its regions.

    Raises InputError if there are several.
    """
    texts = {name: without_packing(name).rpartition(".")[2] for name in members if format_of(name) == "text"}
    codes = fitting_codes(language, set(texts.values()))
    found = [name for name, code in texts.items() if code in codes]
    if len(found) > 1:
        raise InputError(f"{given}: several files of {language} ({listed(found)}); unpack it and name one of them")
    return found[0] if found else None


def table_of(members: Sequence[str]) -> str | None:
    """Return the only file with columns; None if there is none, or more than one."""
    found = [name for name in members if suffix_of(name) in TABLES]
    return found[0] if len(found) == 1 else None


def lacking(
    members: Sequence[str], given: str, wanted: str, remedy: str = "unpack it and name the files"
) -> InputError:
    """Return what to raise for an archive without the files that are needed."""
    return InputError(f"{given}: the zip has no {wanted}; it holds {listed(members)}; {remedy}")
