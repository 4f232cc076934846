"""Lines and rows out of files, with the file and line of whatever is wrong in them.

Why not the loaders that `datasets` brings: they guess types (a column of dates arrives as timestamps, the sentence
"NA" as null), fill short CSV rows up, end a text line at every carriage return, keep what they read in a cache by the
file's time of change instead of its content, and cannot tell which line is broken.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Place, roots
from pipeline.rows.files import RowFile
from pipeline.rows.formats import Format

ROWS_AT_ONCE = 1000
LINE_BYTES = 16 * 2**20
"""A longer line is not text: most likely a file of another format."""

Row = dict[str, Any]


def read_lines(file: RowFile) -> Iterator[str]:
    """Yield the lines of a text file without their ends, in order."""
    for line in _raw_lines(file):
        yield line.rstrip("\r\n")


def read_rows(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[tuple[Place, Row]]:
    """Yield the rows of a file with named columns, in order, and where each is.

    CSV follows RFC 4180; TSV has no quotes, as its registration has it and as parallel corpora use it. Of Parquet only
    `columns` are read, where they are given. Raises InputError with the file and the line or row.
    """
    if file.format == "parquet":
        number = 0
        for batch in parquet_batches(file, columns):
            for row in batch.to_pylist():
                number += 1
                yield Place(file.given, "row", number), row
        return
    for number, row in READERS[file.format](file):
        yield Place(file.given, "line", number), row


def read_texts(files: Sequence[RowFile], column: Column) -> Iterator[str]:
    """Yield every line of text files, and the text in a column of every row of others, in order."""
    for file in files:
        if file.format == "text":
            yield from read_lines(file)
        else:
            yield from (column.text(row, place) for place, row in read_rows(file, [column]))


def parquet_batches(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """Yield a Parquet file's rows as Arrow holds them: those of some columns, or of all."""
    with readable_parquet(file), file.folder.open(file.name, seekable=True) as raw, pq.ParquetFile(raw) as table:
        names = None if columns is None else roots(columns, table.schema_arrow.names, _nested(table), file.given)
        yield from table.iter_batches(batch_size=ROWS_AT_ONCE, columns=names)


def parquet_schema(file: RowFile) -> pyarrow.Schema:
    """Return the columns of a Parquet file and their types."""
    with readable_parquet(file), file.folder.open(file.name, seekable=True) as raw:
        return pq.read_schema(raw)


@contextmanager
def readable_parquet(file: RowFile) -> Iterator[None]:
    """Turn what Arrow raises for a broken Parquet file into an InputError; let the disk's errors pass."""
    try:
        yield
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise InputError(f"{file.given}: not a readable Parquet file ({reason}); write it again") from None


def _nested(table: pq.ParquetFile) -> list[str]:
    """Return the names of all columns, and of the fields inside them, as `outer.inner`."""
    names: list[str] = []
    fields = [(field.name, field.type) for field in table.schema_arrow]
    while fields:
        name, kind = fields.pop(0)
        if pyarrow.types.is_struct(kind):
            fields = [(f"{name}.{field.name}", field.type) for field in kind] + fields
        else:
            names.append(name)
    return names


def _raw_lines(file: RowFile) -> Iterator[str]:
    """Yield the lines with their line feeds."""
    number = 0
    try:
        with file.open() as stream:
            while line := stream.readline(LINE_BYTES):
                number += 1
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    raise InputError(f"{file.given} line {number}: more than {LINE_BYTES:,} bytes without a line feed")
                # Some editors begin a file with a byte order mark; it is no part of the first line.
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.given} line {number}: byte 0x{error.object[error.start]:02X} is not UTF-8; "
            "convert the file to UTF-8 (iconv -f LATIN1 -t UTF-8)"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{file.given} after line {number}: broken gzip ({error}); pack the file again") from None


def _json_rows(file: RowFile) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_raw_lines(file), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file.given} line {number}: broken JSON ({error}); write one object a line") from None
        if not isinstance(row, dict):
            raise InputError(
                f"{file.given} line {number}: {type(row).__name__} is not an object; write one object a line"
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
        if line:
            yield number, _row(header, line.split("\t"), file, number)


def _row(header: list[str], cells: list[str], file: RowFile, number: int) -> Row:
    if len(cells) != len(header):
        raise InputError(
            f"{file.given} line {number}: {len(cells)} cells under {len(header)} column names ({', '.join(header)}); "
            "correct the line"
        )
    return dict(zip(header, cells, strict=True))


READERS: Mapping[Format, Callable[[RowFile], Iterator[tuple[int, Row]]]] = {
    "jsonl": _json_rows,
    "csv": _csv_rows,
    "tsv": _tsv_rows,
}
