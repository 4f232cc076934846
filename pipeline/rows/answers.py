"""Writes translations to files, in order, whole or not at all.

    text            one translation per line
    JSON lines      every row that was read, with `translation` or `hypotheses`
    CSV, TSV        every row, with `translation`; other columns must be texts, numbers or empty
    Parquet         every row, with `translation` or `hypotheses`; columns keep their types or get one that fits

All but Parquet may end in .gz. A line of plain text is a row with the column `source`.
"""

import csv
import gzip
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location
from pipeline.rows.files import RowFile, checked
from pipeline.rows.formats import is_zip
from pipeline.rows.lines import read_lines
from pipeline.rows.parquet import (
    ROWS_AT_ONCE,
    Row,
    batch_of,
    parquet_batches,
    parquet_schema,
    schema_of,
    write_parquet,
)
from pipeline.rows.readers import read_rows
from pipeline.rows.structured import refuse_unwritable
from pipeline.store.outputs import check_place, whole_file

TRANSLATION, HYPOTHESES, SOURCE = "translation", "hypotheses", "source"
WRITTEN = ("text", "jsonl", "csv", "tsv", "parquet")
CELLS = ("csv", "tsv")
HYPOTHESIS = pyarrow.struct([("text", pyarrow.string()), ("score", pyarrow.float64())])


def check_output(
    sources: Sequence[RowFile], target: RowFile, objects: bool, attention: bool, column: Column | None = None
) -> None:
    """Raise InputError if the answers do not fit the format of `target`, or if it is one of `sources`."""
    _check_place(sources, target)
    checked(target)
    refuse_unwritable(target.name, f"--output {target.given}")
    if target.format not in WRITTEN or is_zip(target.name):
        kind = "zip" if is_zip(target.name) else target.format
        raise InputError(f"--output {target.given}: {kind} is not an output format; name a .jsonl file")
    if target.packing not in (None, "gzip"):
        raise InputError(f"--output {target.given}: {target.packing} is not written; end the name in .gz")
    if objects and target.format not in ("jsonl", "parquet"):
        raise InputError(f"--output {target.given}: {target.format} has one translation per line; name a .jsonl file")
    if attention and target.format == "parquet":
        raise InputError(f"--output {target.given}: Parquet output has no attention weights; name a .jsonl file")
    if target.format != "text":
        _check_first_row(sources[0], target, column)


def _check_place(sources: Sequence[RowFile], target: RowFile) -> None:
    if target.folder.local is not None:
        files = [source.folder.local / source.name for source in sources if source.folder.local is not None]
        check_place(target.folder.local / target.name, target.given, files)
    elif any((source.folder.uri, source.name) == (target.folder.uri, target.name) for source in sources):
        raise InputError(f"--output {target.given}: that is the file to translate; name another")


def _check_first_row(source: RowFile, target: RowFile, column: Column | None) -> None:
    """Find what is wrong with every row before anything is translated."""
    if source.format == "parquet":
        _refuse_taken(parquet_schema(source).names, source.given)
    for location, row in islice(_rows([source], column), 1):
        if target.format in CELLS:
            _cells(row, location, target)


def write_answers(
    sources: Sequence[RowFile], answers: Iterable[Any], target: RowFile, column: Column | None = None
) -> None:
    """Write every row with its answer, a translation of its text in `column` or an object with hypotheses, in order.

    An existing file is replaced only when the new one is complete (see `whole_file`). Raises InputError for rows that
    already have a column of the answers' name, or that do not fit the format.
    """
    with _whole(target) as place:
        if target.format == "parquet":
            _write_parquet(sources, iter(answers), place, column)
        else:
            with _opened(place, target.packing is not None) as stream:
                _write_lines(sources, iter(answers), target, stream, column)


@contextmanager
def _whole(target: RowFile) -> Iterator[Path]:
    """Yield where to write a file's content, which is at its place, here or in S3, when the block ends well."""
    if target.folder.local is not None:
        with whole_file(target.folder.local / target.name) as place:
            yield place
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch) / target.name
        target.folder.upload(Path(scratch) / target.name, target.name)


def _opened(path: Path, packed: bool) -> TextIO:
    # UTF-8 cannot hold half of a surrogate pair, JSON can: it is written as its escape.
    if packed:
        return gzip.open(path, "wt", encoding="utf8", errors="backslashreplace", newline="\n")
    return path.open("w", encoding="utf8", errors="backslashreplace", newline="\n")


def _write_lines(
    sources: Sequence[RowFile], answers: Iterator[Any], target: RowFile, stream: TextIO, column: Column | None
) -> None:
    if target.format == "text":
        stream.writelines(f"{answer}\n" for answer in answers)
        return
    rows = ((location, row | _fields(next(answers))) for location, row in _rows(sources, column))
    if target.format in CELLS:
        _write_cells(rows, target, stream)
    else:
        stream.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for _, row in rows)


def _write_cells(rows: Iterator[tuple[Location, Row]], target: RowFile, stream: TextIO) -> None:
    write = _csv_writer(stream) if target.format == "csv" else _tsv_writer(stream)
    names: list[str] = []
    for location, row in rows:
        if not names:
            names = list(row)
            write(names)
        if row.keys() != set(names):
            raise InputError(f"--output {target.given}: {location} has other columns than row 1; name a .jsonl file")
        cells = _cells(row, location, target)
        write([cells[name] for name in names])


def _cells(row: Row, location: Location, target: RowFile) -> dict[str, str]:
    """Return a row's values as text."""
    for name, value in row.items():
        if not isinstance(value, str | int | float | None):
            raise InputError(
                f"--output {target.given}: {location} holds {value!r:.40} in its column {name:.40}, which does not fit "
                "a cell; name a .jsonl file"
            )
    return {
        name: value if isinstance(value, str) else "" if value is None else json.dumps(value)
        for name, value in row.items()
    }


def _csv_writer(stream: TextIO) -> Callable[[list[str]], Any]:
    usual = csv.writer(stream, lineterminator="\n")
    # Before Python 3.13 a lone carriage return is not quoted and would end the row.
    quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return lambda cells: (quoting if any("\r" in cell for cell in cells) else usual).writerow(cells)


def _tsv_writer(stream: TextIO) -> Callable[[list[str]], Any]:
    # TSV has no quotes: what would end a cell or a row becomes a space.
    blanks = str.maketrans("\t\n\r", "   ")
    return lambda cells: stream.write("\t".join(cell.translate(blanks) for cell in cells) + "\n")


def _rows(sources: Sequence[RowFile], column: Column | None) -> Iterator[tuple[Location, Row]]:
    """Yield every row with all its columns."""
    for file in sources:
        if file.format == "text":
            for number, line in enumerate(read_lines(file), 1):
                yield Location(file.given, "line", number), {SOURCE: line}
        else:
            for location, row in read_rows(file, [column] if column else []):
                _refuse_taken(row, str(location))
                yield location, row


def _refuse_taken(names: Iterable[str], where: str) -> None:
    taken = [name for name in (TRANSLATION, HYPOTHESES) if name in names]
    if taken:
        raise InputError(f"{where}: it already has a column {taken[0]}; rename it, or write plain text")


def _fields(answer: Any) -> Row:
    return {TRANSLATION: answer} if isinstance(answer, str) else dict(answer)


def _write_parquet(sources: Sequence[RowFile], answers: Iterator[Any], path: Path, column: Column | None) -> None:
    schema, batches = _tables(sources, column)
    first = list(islice(answers, 1))
    remaining = chain(first, answers)
    if first and isinstance(first[0], Mapping):
        field = pyarrow.field(HYPOTHESES, pyarrow.list_(HYPOTHESIS))
    else:
        field = pyarrow.field(TRANSLATION, pyarrow.string())

    def with_answers() -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            found = [_fields(answer)[field.name] for answer in islice(remaining, batch.num_rows)]
            yield batch.append_column(field, pyarrow.array(found, field.type))

    write_parquet(schema.append(field), with_answers(), path)


def _tables(sources: Sequence[RowFile], column: Column | None) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """Return the schema and the rows of the files: of Parquet its own, of other formats one that fits the values."""
    if sources[0].format == "parquet":
        return parquet_schema(sources[0]), _parquet_tables(sources)

    def chunks() -> Iterator[list[Row]]:
        rows = (row for _, row in _rows(sources, column))
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            yield chunk

    empty = pyarrow.schema([(SOURCE, pyarrow.string())])
    schema = empty if sources[0].format == "text" else schema_of(chunks()) or empty
    return schema, (batch_of(chunk, schema) for chunk in chunks())


def _parquet_tables(sources: Sequence[RowFile]) -> Iterator[pyarrow.RecordBatch]:
    schema = parquet_schema(sources[0])
    for file in sources:
        for batch in parquet_batches(file):
            if not batch.schema.equals(schema):
                raise InputError(
                    f"{file.given}: its columns are not those of {sources[0].given}; translate it by itself"
                )
            yield batch
