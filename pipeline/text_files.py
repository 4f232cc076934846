"""Files to translate and files of translations, here or in S3, plain or gzip [pyarrow].

    text          a line is a line; it ends at a line feed and nowhere else
    .jsonl        an object a line; the text is in a named column
    .parquet      the text is in a named column

Each also with .gz, Parquet aside, which is packed already. A folder stands for all files in it, in the order of their
names. Everything is read as a stream: a file may be larger than the memory.
"""

import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pyarrow
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.storage import Folder, folder_and_name

Format = Literal["text", "jsonl", "parquet"]
TRANSLATION, HYPOTHESES, SOURCE = "translation", "hypotheses", "source"
ROWS_AT_ONCE = 1000
LINE_BYTES = 16 * 2**20
"""A longer line is no line: a file of another kind, most likely."""


@dataclass(frozen=True)
class TextFile:
    """A file by its name: what kind it is, and whether it is packed."""

    folder: Folder
    name: str
    given: str
    """As the user named it."""

    @property
    def format(self) -> Format:
        """What kind of file it is, by its suffix."""
        suffix = Path(self.name.removesuffix(".gz")).suffix.lower()
        return "parquet" if suffix == ".parquet" else "jsonl" if suffix in {".jsonl", ".json"} else "text"

    @property
    def packed(self) -> bool:
        """Whether it is packed with gzip."""
        return self.name.endswith(".gz")


def is_plain(given: str) -> bool:
    """Whether a name is that of a text that is not packed, on this machine."""
    path = Path(given)
    return "://" not in given and path.suffix.lower() not in {".gz", ".jsonl", ".json", ".parquet"}


def find_files(given: str) -> list[TextFile]:
    """Return the file of that name, or those in the folder of that name, sorted.

    Raises InputError if there is nothing to read, or files of several kinds.
    """
    folder, name = folder_and_name(given)
    if folder.has(name):
        return [_checked(TextFile(folder, name, given))]
    inside = folder / name
    names = [found for found in inside.names() if not found.startswith((".", "_")) and inside.has(found)]
    if not names:
        raise InputError(f"{given}: there is no such file, and no folder with files in it; correct the name")
    files = [_checked(TextFile(inside, found, f"{given.rstrip('/')}/{found}")) for found in names]
    if len({file.format for file in files}) > 1:
        raise InputError(f"{given}: the folder has files of several kinds ({', '.join(names[:5])}); leave one kind")
    return files


def _checked(file: TextFile) -> TextFile:
    if file.format == "parquet" and file.packed:
        raise InputError(f"{file.given}: Parquet is packed inside; unpack it with gunzip")
    return file


def read_texts(files: Sequence[TextFile], column: str) -> Iterator[str]:
    """Yield the text of every row, in order. Raises InputError with the file and the line or row that is wrong."""
    for file in files:
        if file.format == "text":
            yield from _lines(file)
        elif file.format == "jsonl":
            for number, line in enumerate(_lines(file), start=1):
                yield _text_of(_object(line, file, number), column, file, f"line {number}")
        else:
            number = 0
            for batch in _batches(file, column):
                for value in batch.column(column).to_pylist():
                    number += 1
                    yield _checked_text(value, column, file, f"row {number}")


def _lines(file: TextFile) -> Iterator[str]:
    """Yield the lines without their ends."""
    number = 0
    try:
        with _open(file) as stream:
            while line := stream.readline(LINE_BYTES):
                number += 1
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    raise InputError(f"{file.given}:{number}: more than {LINE_BYTES:,} bytes without a line feed")
                yield line.decode("utf8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file.given}:{number}: not UTF-8 ({error.reason}); convert the file to UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{file.given}:{number + 1}: not a whole gzip file ({error}); pack it again") from None


@contextmanager
def _open(file: TextFile) -> Iterator[BinaryIO]:
    with file.folder.open(file.name) as raw:
        stream = io.BufferedReader(raw, 2**20)
        yield gzip.GzipFile(fileobj=stream) if file.packed else stream  # type: ignore[misc]


def _object(line: str, file: TextFile, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.given}:{number}: not JSON ({error}); write an object a line") from None
    if not isinstance(row, dict):
        raise InputError(f"{file.given}:{number}: {line:.40} is no object; write an object a line")
    return row


def _text_of(row: dict[str, Any], column: str, file: TextFile, where: str) -> str:
    if column not in row:
        raise InputError(_no_column(column, list(row), file, f"{where} "))
    return _checked_text(row[column], column, file, where)


def _no_column(column: str, names: Sequence[str], file: TextFile, where: str = "") -> str:
    return f"--column {column}: {file.given} {where}has no such column; it has {', '.join(names) or 'none'}"


def _checked_text(value: Any, column: str, file: TextFile, where: str) -> str:
    if not isinstance(value, str):
        what = "null" if value is None else f"{value!r:.40} ({type(value).__name__})"
        raise InputError(f"--column {column}: {file.given} {where} holds {what}, not a text; correct the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"--column {column}: {file.given} {where} holds half of a surrogate pair, which is no character; correct it"
        ) from None
    return value


def _batches(file: TextFile, column: str | None) -> Iterator[pyarrow.RecordBatch]:
    """Yield a Parquet file's rows, of one column or of all."""
    try:
        with file.folder.open(file.name, seekable=True) as raw, pq.ParquetFile(raw) as table:
            if column is not None and column not in table.schema_arrow.names:
                raise InputError(_no_column(column, table.schema_arrow.names, file))
            columns = None if column is None else [column]
            yield from table.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file.given}: not a readable Parquet file ({reason}); write it again") from None


def check_output(sources: Sequence[TextFile], target: TextFile, objects: bool, attention: bool) -> None:
    """Raise InputError if the answers cannot be written into a file of that kind, or it is one of those read."""
    if any((source.folder.uri, source.name) == (target.folder.uri, target.name) for source in sources):
        raise InputError(f"--output {target.given}: that is the file to translate; name another")
    _checked(target)
    if objects and target.format == "text":
        raise InputError(f"--output {target.given}: text is one line a line; name a .jsonl or .parquet file")
    if attention and target.format == "parquet":
        raise InputError(f"--output {target.given}: no place for attention weights in Parquet; name a .jsonl file")
    if sources and sources[0].format == "parquet" and target.format != "text":
        names = _schema(sources[0]).names
        for name in (TRANSLATION, HYPOTHESES):
            if name in names:
                raise InputError(f"{sources[0].given}: it has a column {name} already; rename it, or write text")


def _schema(file: TextFile) -> pyarrow.Schema:
    try:
        with file.folder.open(file.name, seekable=True) as raw:
            return pq.read_schema(raw)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{file.given}: not a readable Parquet file ({str(error).splitlines()[0]})") from None


def write_answers(sources: Sequence[TextFile], column: str, answers: Iterable[Any], target: TextFile) -> None:
    """Write an answer to every row, a translation or an object with hypotheses, in order.

    Text has a line a row. JSON lines and Parquet keep the rows of a source of their kind (of others the text, as
    `source`) and add `translation` or `hypotheses`. The file is put in place when it is whole; until then an older one
    stays.
    """
    remaining = iter(answers)
    place = target.folder.local
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{target.name}-") as scratch:
        temporary = Path(scratch) / target.name
        if target.format == "parquet":
            _write_parquet(sources, column, remaining, temporary)
        else:
            with gzip.open(temporary, "wb") if target.packed else temporary.open("wb") as stream:
                for line in _written(sources, column, remaining, target):
                    stream.write(line.encode() + b"\n")
        if place is not None:
            temporary.replace(place / target.name)
        else:
            target.folder.upload(temporary, target.name)


def _written(sources: Sequence[TextFile], column: str, answers: Iterator[Any], target: TextFile) -> Iterator[str]:
    if target.format == "text":
        yield from answers
        return
    for row in _rows(sources, column):
        answer = next(answers)
        yield json.dumps(row | _fields(answer), ensure_ascii=False, default=str)


def _rows(sources: Sequence[TextFile], column: str) -> Iterator[dict[str, Any]]:
    """Yield every row with all that it holds."""
    for file in sources:
        if file.format == "jsonl":
            for number, line in enumerate(_lines(file), start=1):
                row = _object(line, file, number)
                for name in (TRANSLATION, HYPOTHESES):
                    if name in row:
                        raise InputError(f"{file.given}:{number}: it has a {name} already; rename it, or write text")
                yield row
        elif file.format == "parquet":
            for batch in _batches(file, None):
                yield from batch.to_pylist()
        else:
            for text in read_texts([file], column):
                yield {SOURCE: text}


def _fields(answer: Any) -> dict[str, Any]:
    return {TRANSLATION: answer} if isinstance(answer, str) else dict(answer)


def _write_parquet(sources: Sequence[TextFile], column: str, answers: Iterator[Any], path: Path) -> None:
    """Write the rows of Parquet files with a column more, or texts and answers."""
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _tables(sources, column):
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


def _tables(sources: Sequence[TextFile], column: str) -> Iterator[pyarrow.RecordBatch]:
    for file in sources:
        if file.format == "parquet":
            yield from _batches(file, None)
            continue
        texts = read_texts([file], column)
        while batch := [text for _, text in zip(range(ROWS_AT_ONCE), texts, strict=False)]:
            yield pyarrow.record_batch({SOURCE: pyarrow.array(batch, pyarrow.string())})
