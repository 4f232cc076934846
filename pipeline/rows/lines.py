"""The lines of text files, decompressed and decoded; and bad lines, which are errors unless a user allows some."""

import codecs
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

from pipeline.errors import InputError
from pipeline.rows.columns import ColumnError, Location
from pipeline.rows.files import RowFile
from pipeline.rows.packing import BROKEN, disk_or_s3_failed

LINE_BYTES = 16 * 2**20
"""A longer line is not text: the file most likely has another format."""
CHUNK_BYTES = 2**20
MAGIC = {
    rb"\x1f\x8b": "compressed with gzip; decompress it, or end its name in .gz",
    rb"\xfd7zXZ\0": "compressed with xz; decompress it, or end its name in .xz",
    rb"BZh[1-9]1AY&SY": "compressed with bzip2; decompress it, or end its name in .bz2",
    rb"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it, or end its name in .zst",
    rb"PK\x03\x04": "a zip archive (Word and Excel write them, too); unpack it, or end its name in .zip",
    rb"PAR1\x15": "Parquet; end its name in .parquet",
    rb"ARROW1\0": "Arrow; write it as Parquet",
    rb"(?s).{257}ustar": "a tar archive; unpack it and name a file in it",
    rb"%PDF-\d": "a PDF; save its text as a plain .txt",
}
"""How files that are no text begin, and what to do with them."""


@dataclass
class BadLines:
    """Lines that cannot be used: each is an error, unless the user lets up to `most` of them be skipped."""

    most: int = 0
    option: str | None = None
    """The field that allows it, for messages."""
    count: int = 0
    """How many lines were skipped."""
    skipped: dict[str, None] = field(default_factory=dict)
    """Where, in order; a corpus may be read twice."""

    def figures(self) -> dict[str, Any]:
        """Return how many lines were skipped, and where the first of them are."""
        return {"lines": self.count, "first": [*self.skipped][:10]}

    def refuse(self, error: InputError, location: Location, lines: int = 1) -> None:
        """Skip a location, which may be of several lines, or raise the error if too many are skipped already."""
        if str(location) in self.skipped:
            return
        if self.count + lines > self.most:
            raise InputError(f"{error}{self._hint(error, lines)}") from None
        self.skipped[str(location)] = None
        self.count += lines

    def _hint(self, error: InputError, lines: int) -> str:
        if self.option is None or (isinstance(error, ColumnError) and not self.skipped):
            return ""
        if self.skipped:
            first = next(iter(self.skipped))
            return f"; {self.option}={self.most} has skipped {self.count:,} already, the first at {first}"
        return f", or set {self.option}={lines} to skip {'it' if lines == 1 else f'these {lines:,} lines'}"


@contextmanager
def readable(file: RowFile, lines: Callable[[], int]) -> Iterator[None]:
    """Turn what reading a file raises into errors for the user; `lines` tells how many lines were read."""

    def broken(error: Exception) -> InputError:
        packing = file.packing or "zip"
        return InputError(
            f"{file.given} after line {lines()}: broken {packing} ({error}); download it or compress it again"
        )

    try:
        yield
    except BROKEN as error:
        raise broken(error) from None
    except OSError as error:
        if file.packing is not None and not disk_or_s3_failed(error):
            raise broken(error) from None
        raise file.folder.explained(error) from error


def read_lines(file: RowFile, bad: BadLines | None = None) -> Iterator[str]:
    """Yield the lines of a text file in order, without their line ends."""
    for _, line in numbered_lines(file, bad):
        yield line.rstrip("\r\n")


def numbered_lines(file: RowFile, bad: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file in order with their numbers, each with its line feed."""
    for number, line in enumerate(byte_lines(file), 1):
        try:
            text = decode(line, file.given, number)
        except InputError as error:
            (bad or BadLines()).refuse(error, Location(file.given, "line", number))
        else:
            yield number, text


def byte_lines(file: RowFile) -> Iterator[bytes]:
    """Yield the lines of a text file in order, each with its line feed, not decoded yet."""
    number = 0
    with readable(file, lambda: number), file.open() as stream:
        for number, line in enumerate(_split(stream, file.given), 1):  # noqa: B007
            yield line


def decode_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 stream with their line feeds; `name` stands for it in messages.

    Raises InputError with the line number for bytes that are not UTF-8 and for a line that is too long to be text.
    """
    for number, line in enumerate(_split(stream, name), 1):
        yield decode(line, name, number)


def decode(line: bytes, name: str, number: int) -> str:
    """Return a line as text. Raises InputError if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} line {number}: byte 0x{error.object[error.start]:02X} is not UTF-8; "
            "convert the file to UTF-8 (iconv -f LATIN1 -t UTF-8)"
        ) from None


def _split(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield a stream's lines, each with a line feed, without the byte order mark that some editors begin a file with.

    Lines end at a line feed and nowhere else, unless the file has none: then at carriage returns, as on old Macs.
    """
    first = stream.readline(LINE_BYTES)
    _refuse_other_content(first, name)
    first = first.removeprefix(codecs.BOM_UTF8)
    if not first.endswith(b"\n") and b"\r" in first:
        lines = _split_at_returns(first, stream)
    else:
        lines = chain([first] if first else [], iter(lambda: stream.readline(LINE_BYTES), b""))
    for number, line in enumerate(lines, 1):
        if len(line) >= LINE_BYTES and not line.endswith(b"\n"):
            raise InputError(
                f"{name} line {number}: {LINE_BYTES:,} bytes without a line feed; end lines with line feeds"
            )
        yield line


def _split_at_returns(start: bytes, stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for chunk in chain([start], iter(lambda: stream.read(CHUNK_BYTES), b"")):
        *whole, rest = (rest + chunk).split(b"\r")
        yield from (line + b"\n" for line in whole)
        if len(rest) >= LINE_BYTES:
            break
    if rest:
        yield rest


def _refuse_other_content(line: bytes, name: str) -> None:
    """Raise InputError if a file's first line is not that of UTF-8 text."""
    for magic, what in MAGIC.items():
        if re.match(magic, line):
            raise InputError(f"{name} is {what}")
    if encoding := _encoding_of(line):
        raise InputError(f"{name} is {encoding}; convert the file to UTF-8 (iconv -f {encoding} -t UTF-8)")


def _encoding_of(line: bytes) -> str | None:
    """Return UTF-16 or UTF-32 if a file's first line shows it, by a byte order mark or by the places of its NULs."""
    if line.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    for order, first in (("LE", 1), ("BE", 0)):
        if len(line) > 3 and not any(line[first:-1:2]) and all(line[1 - first : -1 : 2]):
            return f"UTF-16{order}"
    return None
