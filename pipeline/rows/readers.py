"""Rows and texts from files; errors name the file and the line.

Why not the loaders that `datasets` brings: they guess types (a column of dates arrives as timestamps, the sentence
"NA" as null), pad short CSV rows, end a text line at every carriage return, cache what they read by the file's
modification time instead of its content, and cannot tell which line is broken.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

from pipeline.errors import InputError
from pipeline.rows.columns import Column, ColumnError, Location, names_of
from pipeline.rows.delimited import csv_rows, tsv_rows
from pipeline.rows.files import RowFile
from pipeline.rows.formats import Format, is_zip
from pipeline.rows.lines import CHUNK_BYTES, BadLines, numbered_lines, read_lines, readable
from pipeline.rows.packing import members_of, open_member
from pipeline.rows.parquet import Row, parquet_batches, parquet_rows
from pipeline.rows.structured import plain
from pipeline.rows.tmx import tmx_rows

DEEPEST, MOST_NESTED = 100, 100_000
"""How deep the values of a row of JSON may be nested, and how many brackets it may have."""


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


def refuse_growing(file: RowFile, columns: Sequence[Column]) -> None:
    """Raise InputError for a packed file whose content is out of all proportion: for libraries that do not look.

    Reads it once, in little memory; of Parquet, `columns`.
    """
    if is_zip(file.name):
        for member in members_of(file.folder, file.name, file.given):
            with open_member(file.folder, file.name, member, f"{file.given}/{member}"):
                pass
    elif file.format == "parquet":
        with suppress(ColumnError):  # Who reads it will say so.
            deque(parquet_batches(file, columns), maxlen=0)
    elif file.packing is not None:
        with readable(file, lambda: 0), file.open() as stream:
            while stream.read(CHUNK_BYTES):
                pass


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
            row = parse_json(line)
        except ValueError as error:
            bad.refuse(InputError(f"{location}: broken JSON ({error}); write one object per line"), location)
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            problem = f"{type(row).__name__} is not an object; write one object per line"
            bad.refuse(InputError(f"{location}: {problem}"), location)


def parse_json(text: str) -> Any:
    """Return a JSON value. Raises ValueError for one that is nested without end, and for a name that is there twice.

    Libraries read and write nested values by recursion, which would end in the middle; and many small lists take a
    hundred times the memory of their text.
    """
    brackets = text.count("[") + text.count("{")
    if brackets > MOST_NESTED:
        raise ValueError(f"more than {MOST_NESTED:,} brackets")
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} times") from None
    level = [value] if brackets > DEEPEST else []
    depth = 0
    while level:
        depth, level = depth + 1, [item for part in level for item in _parts(part)]
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} times")
    return value


def _object(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r:.40} several times")
    return found


def _parts(value: Any) -> list[Any]:
    """Return the lists and objects in a list or object."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in inside if isinstance(part, dict | list)]


_READERS: Mapping[Format, Callable[[RowFile, Sequence[Column], BadLines], Iterator[tuple[int, Any]]]] = {
    "jsonl": _json_rows,
    "csv": csv_rows,
    "tsv": tsv_rows,
    "tmx": tmx_rows,
}
assert {*_READERS, "text", "parquet"} == {*get_args(Format)}
