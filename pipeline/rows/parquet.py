"""Reads and writes Parquet as a stream of record batches [pyarrow.parquet]."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.rows.columns import Column, roots
from pipeline.rows.files import RowFile
from pipeline.rows.packing import disk_or_s3_failed

ROWS_AT_ONCE = 1000

Row = dict[str, Any]


def parquet_rows(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[tuple[int, Row]]:
    """Yield a file's rows with their numbers from 1; only `columns`, if given. Raises InputError for a broken file."""
    with readable_parquet(file):
        rows = chain.from_iterable(batch.to_pylist() for batch in parquet_batches(file, columns))
        yield from enumerate(rows, 1)


def parquet_batches(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """Yield a file's rows as record batches; only `columns`, if given. Raises InputError for a broken file."""
    with readable_parquet(file), file.folder.open(file.name, seekable=True) as raw, pq.ParquetFile(raw) as table:
        names = table.schema_arrow.names
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise InputError(f"{file.given}: it has several columns {twice[0]}; rename all but one")
        wanted = None if columns is None else roots(columns, names, _nested(table.schema_arrow), file.given)
        yield from table.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted)


def parquet_schema(file: RowFile) -> pyarrow.Schema:
    """Return a file's columns and their types. Raises InputError for a broken file."""
    with readable_parquet(file), file.folder.open(file.name, seekable=True) as raw:
        return pq.read_schema(raw)


@contextmanager
def readable_parquet(file: RowFile) -> Iterator[None]:
    """Turn what Arrow raises for a broken file into an InputError; errors of the disk and of S3 stay what they are."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, pyarrow.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and disk_or_s3_failed(error):
            raise file.folder.explained(error) from error
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise InputError(f"{file.given}: not a readable Parquet file ({reason}); write it again") from None


def _nested(schema: pyarrow.Schema) -> list[str]:
    """Return the names of all columns, of nested ones as `outer.inner`."""
    names: list[str] = []
    fields = [(field.name, field.type) for field in schema]
    while fields:
        name, kind = fields.pop(0)
        if pyarrow.types.is_struct(kind):
            fields = [(f"{name}.{field.name}", field.type) for field in kind] + fields
        else:
            names.append(name)
    return names


def write_parquet(schema: pyarrow.Schema, batches: Iterator[pyarrow.RecordBatch], path: Path) -> None:
    """Write batches of this schema to a file. Raises InputError for types that Parquet does not have."""
    with fits_parquet("its rows"):
        writer = pq.ParquetWriter(path, schema)
    with writer:
        for batch in batches:
            writer.write_batch(batch)


def schema_of(chunks: Iterable[Sequence[Row]]) -> pyarrow.Schema:
    """Return the columns of all rows, each with a type that fits all its values.

    Raises InputError if no type does: a text in one row, a number in another.
    """
    schema = pyarrow.schema([])
    for rows in chunks:
        with fits_parquet("its rows"):
            schema = pyarrow.unify_schemas([schema, batch_of(rows).schema], promote_options="permissive")
    return schema


def batch_of(rows: Sequence[Row], schema: pyarrow.Schema | None = None) -> pyarrow.RecordBatch:
    """Return rows as a batch with this schema (default: the one that fits them); missing values become null.

    Raises InputError for a value whose type differs from its column's.
    """
    kinds = dict.fromkeys(chain.from_iterable(rows)) if schema is None else {f.name: f.type for f in schema}
    arrays = {}
    for name, kind in kinds.items():
        with fits_parquet(f"its column {name}"):
            arrays[name] = pyarrow.array([row.get(name) for row in rows], kind)
    return pyarrow.record_batch(arrays)


@contextmanager
def fits_parquet(what: str) -> Iterator[None]:
    """Turn what Arrow raises for values that fit no column into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, pyarrow.ArrowNotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{what} cannot be written as Parquet ({reason}); name a .jsonl file") from None
