"""Files of translations: what can be written where, and writing it in order, whole or not at all.

    text            a translation a line
    JSON lines      the row that was read, with `translation` or `hypotheses`
    CSV, TSV        the row, with `translation`; its columns are texts, numbers or empty
    Parquet         the row, with `translation` or `hypotheses`; columns keep their types, or get those that fit

All but Parquet also with .gz. The row of a text is its line, as `source`.
"""

import csv
import gzip
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow

from pipeline.errors import InputError
from pipeline.rows.columns import Place
from pipeline.rows.files import RowFile, checked
from pipeline.rows.parquet import (
    ROWS_AT_ONCE,
    Row,
    batch_of,
    parquet_batches,
    parquet_schema,
    schema_of,
    write_parquet,
)
from pipeline.rows.readers import read_lines, read_rows

TRANSLATION, HYPOTHESES, SOURCE = "translation", "hypotheses", "source"
WRITTEN = ("text", "jsonl", "csv", "tsv", "parquet")
CELLS = ("csv", "tsv")
HYPOTHESIS = pyarrow.struct([("text", pyarrow.string()), ("score", pyarrow.float64())])


def check_output(sources: Sequence[RowFile], target: RowFile, objects: bool, attention: bool) -> None:
    """Raise InputError if the answers cannot be written to a file of that format, or it is one of those read."""
    if any((source.folder.uri, source.name) == (target.folder.uri, target.name) for source in sources):
        raise InputError(f"--output {target.given}: that is the file to translate; name another")
    checked(target)
    if target.format not in WRITTEN:
        raise InputError(f"--output {target.given}: {target.format} is not written; name a .jsonl file")
    if objects and target.format not in ("jsonl", "parquet"):
        raise InputError(f"--output {target.given}: {target.format} has one translation a line; name a .jsonl file")
    if attention and target.format == "parquet":
        raise InputError(f"--output {target.given}: Parquet has no place for attention weights; name a .jsonl file")
    if target.format != "text":
        _check_first_row(sources[0], target)


def _check_first_row(source: RowFile, target: RowFile) -> None:
    """Find what is wrong with all rows before anything is translated."""
    if source.format == "parquet":
        _refuse_taken(parquet_schema(source).names, source.given)
    for place, row in islice(_rows([source]), 1):
        if target.format in CELLS:
            _cells(row, place, target)


def write_answers(sources: Sequence[RowFile], answers: Iterable[Any], target: RowFile) -> None:
    """Write the answer to every row, a translation or an object with hypotheses, in order.

    The file is put in place when it is whole; until then an older one stays. Raises InputError for rows that have a
    column of the answers' name already, or that the format cannot hold.
    """
    remaining = iter(answers)
    folder = target.folder.local
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{target.name}-") as scratch:
        temporary = Path(scratch) / target.name
        if target.format == "parquet":
            _write_parquet(sources, remaining, temporary)
        else:
            with _opened(temporary, target.packed) as stream:
                _write_lines(sources, remaining, target, stream)
        if folder is not None:
            temporary.replace(folder / target.name)
        else:
            target.folder.upload(temporary, target.name)


def _opened(path: Path, packed: bool) -> TextIO:
    # Half of a surrogate pair, which JSON can hold and UTF-8 cannot, is written as the escape that it is in JSON.
    if packed:
        return gzip.open(path, "wt", encoding="utf8", errors="backslashreplace", newline="\n")
    return path.open("w", encoding="utf8", errors="backslashreplace", newline="\n")


def _write_lines(sources: Sequence[RowFile], answers: Iterator[Any], target: RowFile, stream: TextIO) -> None:
    if target.format == "text":
        stream.writelines(f"{answer}\n" for answer in answers)
        return
    rows = ((place, row | _fields(next(answers))) for place, row in _rows(sources))
    if target.format in CELLS:
        _write_cells(rows, target, stream)
    else:
        stream.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for _, row in rows)


def _write_cells(rows: Iterator[tuple[Place, Row]], target: RowFile, stream: TextIO) -> None:
    write = _csv_writer(stream) if target.format == "csv" else _tsv_writer(stream)
    names: list[str] = []
    for place, row in rows:
        if not names:
            names = list(row)
            write(names)
        if row.keys() != set(names):
            raise InputError(f"--output {target.given}: {place} has other columns than the first; name a .jsonl file")
        cells = _cells(row, place, target)
        write([cells[name] for name in names])


def _cells(row: Row, place: Place, target: RowFile) -> dict[str, str]:
    """Return a row's values as texts."""
    for name, value in row.items():
        if not isinstance(value, str | int | float | None):
            raise InputError(
                f"--output {target.given}: {place} holds {value!r:.40} in its column {name:.40}, which is no cell of a "
                "table; name a .jsonl file"
            )
    return {
        name: value if isinstance(value, str) else "" if value is None else json.dumps(value)
        for name, value in row.items()
    }


def _csv_writer(stream: TextIO) -> Callable[[list[str]], Any]:
    usual = csv.writer(stream, lineterminator="\n")
    # Before Python 3.13 a carriage return alone is not quoted, and then ends the row.
    quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return lambda cells: (quoting if any("\r" in cell for cell in cells) else usual).writerow(cells)


def _tsv_writer(stream: TextIO) -> Callable[[list[str]], Any]:
    # TSV has no quotes: what would end a cell or a row becomes a blank.
    blanks = str.maketrans("\t\n\r", "   ")
    return lambda cells: stream.write("\t".join(cell.translate(blanks) for cell in cells) + "\n")


def _rows(sources: Sequence[RowFile]) -> Iterator[tuple[Place, Row]]:
    """Yield every row with all that it holds."""
    for file in sources:
        if file.format == "text":
            for number, line in enumerate(read_lines(file), 1):
                yield Place(file.given, "line", number), {SOURCE: line}
        else:
            for place, row in read_rows(file):
                _refuse_taken(row, str(place))
                yield place, row


def _refuse_taken(names: Iterable[str], where: str) -> None:
    taken = [name for name in (TRANSLATION, HYPOTHESES) if name in names]
    if taken:
        raise InputError(f"{where}: it has a column {taken[0]} already; rename it, or write text")


def _fields(answer: Any) -> Row:
    return {TRANSLATION: answer} if isinstance(answer, str) else dict(answer)


def _write_parquet(sources: Sequence[RowFile], answers: Iterator[Any], path: Path) -> None:
    schema, batches = _tables(sources)
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


def _tables(sources: Sequence[RowFile]) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
    """Return the columns of the files' rows, and the rows: those of Parquet as they are, others in columns that fit."""
    if sources[0].format == "parquet":
        return parquet_schema(sources[0]), _parquet_tables(sources)

    def chunks() -> Iterator[list[Row]]:
        rows = (row for _, row in _rows(sources))
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
