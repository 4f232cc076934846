"""Reads and writes Parquet as a stream of record batches [pyarrow.parquet]."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
from pyarrow import compute

from pipeline.errors import InputError
from pipeline.rows.columns import Column, roots
from pipeline.rows.files import RowFile
from pipeline.rows.packing import disk_or_s3_failed, refuse_growth

ROWS_AT_ONCE = 1000
ROW_BYTES = 16 * 2**20
"""Rows are held in memory in parts of this size; a larger row is no text."""
VALUE_BYTES = 8
"""What a value takes at least, however it is packed."""

Row = dict[str, Any]


def parquet_rows(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[tuple[int, Row]]:
    """Yield a file's rows with their numbers from 1; only `columns`, if given. Raises InputError for a broken file."""
    with readable_parquet(file):
        rows = chain.from_iterable(batch.to_pylist() for batch in parquet_batches(file, columns))
        yield from enumerate(rows, 1)


def parquet_batches(file: RowFile, columns: Sequence[Column] | None = None) -> Iterator[pyarrow.RecordBatch]:
    """Yield a file's rows as record batches; only `columns`, if given. Raises InputError for a broken file.

    A value that repeats takes next to nothing in a file: it is read as often as it is there, but batches are cut so
    that they fit memory, and a file whose content is out of all proportion is refused.
    """
    with readable_parquet(file), file.folder.open(file.name, seekable=True) as raw, pq.ParquetFile(raw) as whole:
        schema, size, most = whole.schema_arrow, raw.size(), _most_rows(whole)
        refuse_growth(_least_size(whole.metadata), size, file.given)
        with pq.ParquetFile(raw, metadata=whole.metadata, read_dictionary=_repeating(whole)) as table:
            wanted = _wanted(columns, schema, file)
            expanded = 0
            # Group by group: Arrow does not put nested values of several into one batch.
            groups = (
                table.iter_batches(most, row_groups=[group], columns=wanted) for group in range(table.num_row_groups)
            )
            for batch in chain.from_iterable(groups):
                for part in _cut(batch):
                    expanded += (bytes_of := sum(_expanded(column) for column in part.columns))
                    refuse_growth(expanded, size, file.given)
                    if part.num_rows == 1 and bytes_of > ROW_BYTES:
                        raise InputError(f"{file.given}: a row of {bytes_of:,} bytes is no text; leave it out")
                    yield _as_written(part, schema)


def _wanted(columns: Sequence[Column] | None, schema: pyarrow.Schema, file: RowFile) -> list[str] | None:
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    if twice:
        raise InputError(f"{file.given}: it has several columns {twice[0]}; rename all but one")
    return None if columns is None else roots(columns, schema.names, _nested(schema), file.given)


def _least_size(metadata: Any) -> int:
    """Return how many bytes a file's content takes at least, as its metadata tell."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(metadata.num_columns))
    return sum(max(chunk.total_uncompressed_size, VALUE_BYTES * chunk.num_values) for chunk in chunks)


def _most_rows(table: pq.ParquetFile) -> int:
    """Return how many rows to read at once: fewer if they have values of a fixed size that is large."""
    leaves = [table.schema.column(number) for number in range(len(table.schema))]
    widest = max((leaf.length or 0 for leaf in leaves if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY"), default=0)
    return max(1, min(ROWS_AT_ONCE, ROW_BYTES // max(1, widest)))


def _repeating(table: pq.ParquetFile) -> list[str]:
    """Return the columns of texts and bytes, which Arrow can read with each value once."""
    leaves = [table.schema.column(number) for number in range(len(table.schema))]
    return [
        leaf.path
        for leaf in leaves
        if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in ("STRING", "NONE", "JSON", "ENUM", "BSON")
    ]


def _cut(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    """Yield a batch in parts that fit memory when every value is written out, of one row at least."""
    if batch.num_rows <= 1 or sum(_expanded(column) for column in batch.columns) <= ROW_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _cut(batch.slice(0, half))
    yield from _cut(batch.slice(half))


def _expanded(array: pyarrow.Array) -> int:
    """Return the bytes of an array in which every value is written out."""
    kind = array.type
    if pyarrow.types.is_dictionary(kind):
        if not _has_lengths(kind.value_type):
            return VALUE_BYTES * len(array)
        lengths = compute.binary_length(array.dictionary).cast(pyarrow.int64())
        return VALUE_BYTES * len(array) + (compute.sum(lengths.take(array.indices)).as_py() or 0)
    if pyarrow.types.is_struct(kind):
        return sum(_expanded(part) for part in array.flatten())
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_map(kind):
        return VALUE_BYTES * len(array) + _expanded(array.flatten() if not pyarrow.types.is_map(kind) else array.items)
    return int(array.nbytes)


def _has_lengths(kind: pyarrow.DataType) -> bool:
    of_length = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view)
    of_bytes = (pyarrow.types.is_binary, pyarrow.types.is_large_binary, pyarrow.types.is_binary_view)
    return any(fits(kind) for fits in (*of_length, *of_bytes))


def _as_written(part: pyarrow.RecordBatch, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    """Return a part with the types that the file names, instead of those in which values are there once."""
    fields = [schema.field(name) for name in part.schema.names]
    arrays = []
    for column, field in zip(part.columns, fields, strict=True):
        try:
            arrays.append(column if column.type == field.type else column.cast(field.type))
        except pyarrow.ArrowNotImplementedError:  # Such as views.
            arrays.append(pyarrow.array(column.to_pylist(), field.type))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=pyarrow.schema(fields, schema.metadata))


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
    except (ValueError, pyarrow.ArrowException, OSError, MemoryError) as error:
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
