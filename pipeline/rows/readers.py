"""Lines and rows from files; errors name the file and the line.

Why not the loaders that `datasets` brings: they guess types (a column of dates arrives as timestamps, the sentence
"NA" as null), pad short CSV rows, end a text line at every carriage return, cache what they read by the file's
modification time instead of its content, and cannot tell which line is broken.
"""

import codecs
import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, get_args

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location, listed
from pipeline.rows.files import RowFile
from pipeline.rows.formats import Format
from pipeline.rows.parquet import Row, parquet_rows

LINE_BYTES = 16 * 2**20
"""A longer line is not text: the file most likely has another format."""


def read_lines(file: RowFile) -> Iterator[str]:
    """Yield the lines of a text file in order, without their line ends."""
    for line in _raw_lines(file):
        yield line.rstrip("\r\n")


def read_rows(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[tuple[Location, Row]]:
    """Yield the rows of a file with named columns in order, each with its location.

    CSV follows RFC 4180. TSV has no quotes, as in its registration (IANA text/tab-separated-values) and in parallel
    corpora. From Parquet only `columns` are read, if given. Raises InputError with the file and the line or row.
    """
    unit, rows = (
        ("row", parquet_rows(file, columns)) if file.format == "parquet" else ("line", _READERS[file.format](file))
    )
    for number, row in rows:
        yield Location(file.given, unit, number), row


def read_texts(files: Sequence[RowFile], column: Column) -> Iterator[str]:
    """Yield the texts of files in order: every line of plain text, `column` of every row of other formats."""
    for file in files:
        if file.format == "text":
            yield from read_lines(file)
        else:
            yield from (column.text(row, location) for location, row in read_rows(file, [column]))


def decode_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 stream with their line feeds; `name` stands for it in messages.

    Raises InputError with the line number for bytes that are not UTF-8 and for a line that is too long to be text.
    """
    number = 0
    while line := stream.readline(LINE_BYTES):
        number += 1
        if number == 1 and (encoding := _encoding_of(line)):
            raise InputError(f"{name} is {encoding}; convert the file to UTF-8 (iconv -f {encoding} -t UTF-8)")
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            raise InputError(
                f"{name} line {number}: {LINE_BYTES:,} bytes without a line feed; end lines with line feeds"
            )
        try:
            # Some editors begin a file with a byte order mark; it is no part of the first line.
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name} line {number}: byte 0x{error.object[error.start]:02X} is not UTF-8; "
                "convert the file to UTF-8 (iconv -f LATIN1 -t UTF-8)"
            ) from None


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


def _raw_lines(file: RowFile) -> Iterator[str]:
    """Yield a file's lines with their line feeds."""
    number = 0
    try:
        with file.open() as stream:
            for number, line in enumerate(decode_lines(stream, file.given), 1):  # noqa: B007
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{file.given} after line {number}: broken gzip ({error}); compress the file again") from None
    except OSError as error:
        raise file.folder.explained(error) from error


def _json_rows(file: RowFile) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_raw_lines(file), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.given} line {number}: broken JSON ({error}); write one object per line") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{file.given} line {number}: {type(row).__name__} is not an object; write one object per line"
            )
        yield number, row


def _csv_rows(file: RowFile) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(_raw_lines(file), strict=True)
    try:
        header: list[str] = next(reader, [])
        for cells in reader:
            if cells:
                yield reader.line_num, _row(header, cells, file, reader.line_num)
    except csv.Error as error:
        raise InputError(f"{file.given} line {reader.line_num}: broken CSV ({error}); correct the line") from None


def _tsv_rows(file: RowFile) -> Iterator[tuple[int, Row]]:
    lines = read_lines(file)
    header = next(lines, "").split("\t")
    for number, line in enumerate(lines, 2):
        if line or len(header) == 1:  # With a single column, an empty line is an empty cell.
            yield number, _row(header, line.split("\t"), file, number)


def _row(header: list[str], cells: list[str], file: RowFile, number: int) -> Row:
    if len(cells) != len(header):
        raise InputError(
            f"{file.given} line {number}: {len(cells)} cells under {len(header)} column names ({listed(header)}); "
            "correct the line"
        )
    return dict(zip(header, cells, strict=True))


_READERS: Mapping[Format, Callable[[RowFile], Iterator[tuple[int, Row]]]] = {
    "jsonl": _json_rows,
    "csv": _csv_rows,
    "tsv": _tsv_rows,
}
assert {*_READERS, "text", "parquet"} == {*get_args(Format)}
