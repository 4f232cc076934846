"""Rows and texts from files; errors name the file and the line.

Why not the loaders that `datasets` brings: they guess types (a column of dates arrives as timestamps, the sentence
"NA" as null), pad short CSV rows, end a text line at every carriage return, cache what they read by the file's
modification time instead of its content, and cannot tell which line is broken.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location, names_of
from pipeline.rows.delimited import csv_rows, tsv_rows
from pipeline.rows.files import RowFile
from pipeline.rows.formats import Format
from pipeline.rows.lines import BadLines, numbered_lines, read_lines
from pipeline.rows.parquet import Row, parquet_rows
from pipeline.rows.structured import plain
from pipeline.rows.tmx import tmx_rows


def read_rows(
    file: RowFile, columns: Sequence[Column] = (), whole: bool = True, bad: BadLines | None = None
) -> Iterator[tuple[Location, Row]]:
    """Yield the rows of a file with columns in order, each with its location.

    `columns` are those that the caller looks for; the others may be left out unless `whole`. CSV follows RFC 4180. TSV
    has no quotes, as in its registration (IANA text/tab-separated-values) and in parallel corpora. Raises InputError
    with the file and the line or row, and for a column that no row has.
    """
    if file.format == "parquet":
        unit, rows = "row", parquet_rows(file, None if whole else columns)
    else:
        unit, rows = "line", _READERS[file.format](file, columns, bad or BadLines())
    missing, names = list(columns), dict[str, None]()
    for number, row in rows:
        if missing:
            missing = [column for column in missing if not column.is_in(row)]
            names |= dict.fromkeys(names_of(row)) if missing else {}
        yield Location(file.given, unit, number), row
    if missing and names:
        missing[0].refuse_missing(list(names), file.given)


def read_texts(files: Sequence[RowFile], column: Column) -> Iterator[str]:
    """Yield the texts of files in order: every line of plain text, `column` of every row of other formats."""
    for file in files:
        if file.format == "text":
            yield from plain(read_lines(file), file.given)
        else:
            yield from (column.text(row, location) for location, row in read_rows(file, [column], whole=False))


def _json_rows(file: RowFile, _: Sequence[Column], bad: BadLines) -> Iterator[tuple[int, Row]]:
    for number, line in numbered_lines(file, bad):
        if not line.strip():
            continue
        location = Location(file.given, "line", number)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.refuse(InputError(f"{location}: broken JSON ({error}); write one object per line"), location)
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            problem = f"{type(row).__name__} is not an object; write one object per line"
            bad.refuse(InputError(f"{location}: {problem}"), location)


_READERS: Mapping[Format, Callable[[RowFile, Sequence[Column], BadLines], Iterator[tuple[int, Any]]]] = {
    "jsonl": _json_rows,
    "csv": csv_rows,
    "tsv": tsv_rows,
    "tmx": tmx_rows,
}
assert {*_READERS, "text", "parquet"} == {*get_args(Format)}
