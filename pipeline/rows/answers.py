"""Files of translations: what can be written where, and writing it in order, whole or not at all.

    text            a line a row
    JSON lines      the row that was read, with `translation` or `hypotheses`
    CSV, TSV        the same, where there are no hypotheses
    Parquet         the same, with the columns' own types

All but Parquet also with .gz. Of a text each row holds the line as `source`.
"""

import csv
import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, checked
from pipeline.rows.readers import (
    ROWS_AT_ONCE,
    Row,
    parquet_batches,
    parquet_schema,
    read_lines,
    read_rows,
    read_texts,
)

TRANSLATION, HYPOTHESES, SOURCE = "translation", "hypotheses", "source"
CELLS = ("csv", "tsv")


def check_output(sources: Sequence[RowFile], target: RowFile, objects: bool, attention: bool) -> None:
    """Raise InputError if the answers cannot be written to a file of that format, or it is one of those read."""
    if any((source.folder.uri, source.name) == (target.folder.uri, target.name) for source in sources):
        raise InputError(f"--output {target.given}: that is the file to translate; name another")
    checked(target)
    if objects and target.format not in ("jsonl", "parquet"):
        raise InputError(f"--output {target.given}: {target.format} has one translation a line; name a .jsonl file")
    if attention and target.format == "parquet":
        raise InputError(f"--output {target.given}: Parquet has no place for attention weights; name a .jsonl file")
    kinds = {source.format for source in sources}
    if target.format in CELLS and not kinds <= {"text", *CELLS}:
        raise InputError(f"--output {target.given}: rows of {', '.join(kinds)} may be nested; name a .jsonl file")
    if sources and sources[0].format == "parquet" and target.format != "text":
        _refuse_taken(parquet_schema(sources[0]).names, sources[0].given)


def write_answers(sources: Sequence[RowFile], column: Column, answers: Iterable[Any], target: RowFile) -> None:
    """Write the answer to every row, a translation or an object with hypotheses, in order.

    The file is put in place when it is whole; until then an older one stays. Raises InputError for rows that have a
    column of the answers' name already.
    """
    remaining = iter(answers)
    place = target.folder.local
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}-") as scratch:
        temporary = Path(scratch) / target.name
        if target.format == "parquet":
            _write_parquet(sources, column, remaining, temporary)
        else:
            with _opened(temporary, target.packed) as stream:
                _write_lines(sources, remaining, target, stream)
        if place is not None:
            temporary.replace(place / target.name)
        else:
            target.folder.upload(temporary, target.name)


def _opened(path: Path, packed: bool) -> TextIO:
    if packed:
        return gzip.open(path, "wt", encoding="utf8", newline="\n")
    return path.open("w", encoding="utf8", newline="\n")


def _write_lines(sources: Sequence[RowFile], answers: Iterator[Any], target: RowFile, stream: TextIO) -> None:
    if target.format == "text":
        stream.writelines(f"{answer}\n" for answer in answers)
        return
    rows = (row | _fields(next(answers)) for row in _rows(sources))
    if target.format in CELLS:
        _write_cells(rows, target, stream)
    else:
        stream.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def _write_cells(rows: Iterator[Row], target: RowFile, stream: TextIO) -> None:
    names: list[str] = []
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        if not names:
            names = list(row)
            _write_row(names, target, stream, writer)
        if list(row) != names:
            raise InputError(f"--output {target.given}: the files have different columns; translate them one by one")
        _write_row(list(row.values()), target, stream, writer)


def _write_row(cells: list[str], target: RowFile, stream: TextIO, writer: Any) -> None:
    if target.format == "csv":
        writer.writerow(cells)
    else:  # TSV has no quotes: what would end a cell or a row becomes a blank.
        stream.write("\t".join(cell.translate({9: " ", 10: " ", 13: " "}) for cell in cells) + "\n")


def _rows(sources: Sequence[RowFile]) -> Iterator[Row]:
    """Yield every row with all that it holds."""
    for file in sources:
        if file.format == "text":
            for line in read_lines(file):
                yield {SOURCE: line}
        else:
            for place, row in read_rows(file):
                _refuse_taken(row, str(place))
                yield row


def _refuse_taken(names: Iterable[str], where: str) -> None:
    taken = [name for name in (TRANSLATION, HYPOTHESES) if name in names]
    if taken:
        raise InputError(f"{where}: it has a column {taken[0]} already; rename it, or write text")


def _fields(answer: Any) -> Row:
    return {TRANSLATION: answer} if isinstance(answer, str) else dict(answer)


def _write_parquet(sources: Sequence[RowFile], column: Column, answers: Iterator[Any], path: Path) -> None:
    """Write the rows of Parquet files with one more column, or those of other files as text and answer."""
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(sources, column):
            found = [next(answers) for _ in range(batch.num_rows)]
            objects = bool(found) and not isinstance(found[0], str)
            values: pyarrow.Array
            if objects:
                kind = pyarrow.list_(pyarrow.struct([("text", pyarrow.string()), ("score", pyarrow.float64())]))
                values = pyarrow.array([answer[HYPOTHESES] for answer in found], kind)
            else:
                values = pyarrow.array(found, pyarrow.string())
            table = pyarrow.Table.from_batches([batch]).append_column(HYPOTHESES if objects else TRANSLATION, values)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is None:
            empty = {SOURCE: pyarrow.array([], pyarrow.string()), TRANSLATION: pyarrow.array([], pyarrow.string())}
            pq.write_table(pyarrow.table(empty), path)
    except ValueError as error:
        if isinstance(error, InputError) or "schema" not in str(error):
            raise
        raise InputError(f"{sources[0].given}: its files have different columns; translate them one by one") from None
    finally:
        if writer is not None:
            writer.close()


def _batches(sources: Sequence[RowFile], column: Column) -> Iterator[pyarrow.RecordBatch]:
    for file in sources:
        if file.format == "parquet":
            yield from parquet_batches(file)
            continue
        texts = read_texts([file], column)
        while batch := [text for _, text in zip(range(ROWS_AT_ONCE), texts, strict=False)]:
            yield pyarrow.record_batch({SOURCE: pyarrow.array(batch, pyarrow.string())})
