"""Sentence pairs out of local files, with the file and line of whatever is wrong in them.

Why not the loaders that `datasets` brings: they guess types (a column of dates arrives as timestamps, the sentence
"NA" as null), fill short CSV rows up, end a text line at every carriage return, keep what they read in a cache by the
file's time of change instead of its content, and cannot tell which line is broken. Parquet has none of these
troubles and is left to them (`pipeline.sources`).
"""

import csv
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.columns import Columns, Pair, Place
from pipeline.errors import InputError
from pipeline.local_files import PACKED, Part


def read_pairs(part: Part, columns: Columns) -> Iterator[Pair]:
    """Yield the pairs of a text, JSON lines, CSV or TSV file, in order.

    Lines end at a line feed and nowhere else. CSV follows RFC 4180; TSV has no quotes, as its registration has it
    and as parallel corpora use it. Raises InputError with file and line.
    """
    if part.format == "text":
        yield from _aligned_lines(part)
        return
    readers = {"jsonl": _json_rows, "csv": _csv_rows, "tsv": _tsv_rows}
    for number, row in readers[part.format](part.path):
        yield columns.pair(row, Place(str(part.path), "line", number))


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines with their line feeds."""
    number = 0
    with gzip.open(path) if path.suffix == PACKED else path.open("rb") as stream:
        try:
            for number, line in enumerate(stream, 1):
                # Editors of one make begin a file with a byte order mark; it is no part of the first sentence.
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} line {number}: byte 0x{error.object[error.start]:02X} is not UTF-8; "
                "convert the file to UTF-8 (iconv -f LATIN1 -t UTF-8)"
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"{path} after line {number}: broken gzip ({error}); pack the file again") from None


def _aligned_lines(part: Part) -> Iterator[Pair]:
    assert part.target_path is not None
    counts = [0, 0]
    for lines in itertools.zip_longest(_lines(part.path), _lines(part.target_path)):
        counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
        source, target = lines
        if source is not None and target is not None:
            yield source.removesuffix("\n"), target.removesuffix("\n")
    if counts[0] != counts[1]:
        raise InputError(
            f"{part.path} has {counts[0]} lines and {part.target_path} has {counts[1]}; "
            "line-aligned text needs as many on both sides"
        )


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path} line {number}: broken JSON ({error}); write one object a line") from None
        if not isinstance(row, dict):
            raise InputError(f"{path} line {number}: {type(row).__name__} is not an object; write one object a line")
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(_lines(path), strict=True)
    try:
        header: list[str] = next(reader, [])
        for cells in reader:
            if cells:
                yield reader.line_num, _row(header, cells, path, reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: broken CSV ({error}); correct the line") from None


def _tsv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    rows = (line.rstrip("\r\n") for line in _lines(path))
    header = next(rows, "").split("\t")
    for number, line in enumerate(rows, 2):
        if line:
            yield number, _row(header, line.split("\t"), path, number)


def _row(header: list[str], cells: list[str], path: Path, number: int) -> dict[str, str]:
    if len(cells) != len(header):
        raise InputError(
            f"{path} line {number}: {len(cells)} cells under {len(header)} column names ({', '.join(header)}); "
            "correct the line"
        )
    return dict(zip(header, cells, strict=True))
