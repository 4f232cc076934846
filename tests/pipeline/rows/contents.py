"""The same rows in every format, with the traps of each in their texts."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow
import pyarrow.parquet as pq

from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile
from pipeline.store.storage import folder_and_name

TEXTS = ["Ein Hund.", "", 'Er sagt "ja",\u2028sie', "Zwei\x85Frauen\x0b„lachen“ 😀", "  ", "NA", "007"]
ROWS: list[dict[str, Any]] = [{"id": f"{number}.0", "de": text} for number, text in enumerate(TEXTS)]
NESTED: list[dict[str, Any]] = [
    {"id": number, "de": text, "more": {"a": [1, None], "de": text}} for number, text in enumerate(TEXTS)
]
DE = Column("--column", "de")
MARK = b"\xef\xbb\xbf"
"""A byte order mark."""


def text_bytes() -> bytes:
    return "".join(f"{text}\n" for text in TEXTS).encode()


def jsonl_bytes(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_bytes() -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("id", "de"), *(row.values() for row in ROWS)])
    return buffer.getvalue().encode()


def tsv_bytes() -> bytes:
    return "".join(f"{row['id']}\t{row['de']}\n" for row in [{"id": "id", "de": "de"}, *ROWS]).encode()


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pq.write_table(pyarrow.Table.from_pylist(rows), sink, row_group_size=2)
    return bytes(sink.getvalue())


def zstd(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstd,
}


def in_two(pack: Callable[[bytes], bytes], content: bytes) -> bytes:
    """Return content packed as parallel packers do: in several members, one after the other."""
    return pack(content[:40]) + pack(content[40:])


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


TEXT: Mapping[str, Callable[[], bytes]] = {
    "texts.txt": text_bytes,
    "texts.de": lambda: MARK + text_bytes(),
    "texts.txt.gz": lambda: gzip.compress(text_bytes(), mtime=0),
    "texts.zip": lambda: zipped({"texts.txt": text_bytes()}),
    "texts.de.xz": lambda: lzma.compress(MARK + text_bytes()),
}
FLAT: Mapping[str, Callable[[], bytes]] = {
    "flat.jsonl": lambda: jsonl_bytes(ROWS),
    "flat.json": lambda: MARK + jsonl_bytes(ROWS).replace(b"\n", b"\r\n\r\n"),
    "flat.csv": csv_bytes,
    "marked.csv": lambda: MARK + csv_bytes(),
    "flat.csv.gz": lambda: gzip.compress(csv_bytes(), mtime=0),
    "flat.tsv": tsv_bytes,
    "crlf.TSV": lambda: MARK + tsv_bytes().replace(b"\n", b"\r\n"),
    "flat.tsv.gz": lambda: in_two(PACKERS[".gz"], tsv_bytes()),
    "flat.tsv.xz": lambda: in_two(lzma.compress, tsv_bytes()),
    "flat.jsonl.bz2": lambda: in_two(bz2.compress, jsonl_bytes(ROWS)),
    "flat.csv.zst": lambda: in_two(zstd, csv_bytes()),
    "flat.parquet": lambda: parquet_bytes(ROWS),
}
"""By name: files that hold ROWS."""
DEEP: Mapping[str, Callable[[], bytes]] = {
    "deep.jsonl.gz": lambda: gzip.compress(jsonl_bytes(NESTED), mtime=0),
    "deep.parquet": lambda: parquet_bytes(NESTED),
}
"""By name: files that hold NESTED."""
CONTENTS = {**TEXT, **FLAT, **DEEP}


def target(name: str) -> RowFile:
    folder, file = folder_and_name(name)
    return RowFile(folder, file, name)
