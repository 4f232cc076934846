"""Small files that are made to fill memory are refused in one line, by a process that has little."""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq

from pipeline.rows.files import find_files
from pipeline.rows.packing import FREE_BYTES, MOST_GROWTH, refuse_growth
from pipeline.rows.parquet import ROW_BYTES, parquet_batches
from pipeline.rows.readers import read_texts
from tests.pipeline.rows.contents import DE, zipped

MEGABYTES = 600
"""How much the reader may take beside what it has after its imports: attacks took 1 to 4 GB."""
READER = """
import resource, sys
from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import find_files
from pipeline.rows.readers import read_texts

size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (size, size))
for path in sys.argv[2:]:
    try:
        print(sum(1 for _ in read_texts(find_files(path), Column("--column", "de"))))
    except InputError as error:
        print(error)
"""


def repeated(start: bytes, part: bytes, times: int, end: bytes = b"") -> bytes:
    """Return a gzip of several members: made in no time, and as large as what it holds when it is read."""
    return gzip.compress(start) + gzip.compress(part) * times + gzip.compress(end)


def parquet(column: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pyarrow.table({"de": column}), buffer, compression="zstd", store_schema=False, **options)
    return buffer.getvalue()


def nulls(number: int) -> pyarrow.Array:
    """Return one list of so many nulls, which take no room in a file."""
    return pyarrow.ListArray.from_arrays([0, number], pyarrow.nulls(number, pyarrow.int8()))


def same(number: int) -> pyarrow.Array:
    """Return a long text so many times, in the memory of one."""
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * number, pyarrow.int32()), ["x" * 10**6])


LONG = b"x" * 10_000_000
MANY_BYTES = "its content is more than 200 times larger than the file ("
BOMBS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "cells.csv.gz": (lambda: repeated(b"de,en\n", LONG + b",y\n", 60), MANY_BYTES),
    "row.csv.gz": (
        lambda: repeated(b"de,en\n", (b'"' + b"x" * 99 + b'\ny",') * 10**4, 30),
        "line 2: a row of more than 16,777,216 char",
    ),
    "lines.txt.gz": (lambda: repeated(b"", LONG + b"\n", 60), MANY_BYTES),
    "zipped.zip": (lambda: zipped({"a.de": LONG * 12}), MANY_BYTES),
    "lists.jsonl.gz": (lambda: repeated(b'{"de": [', b"[]," * 10**6, 5, b"[]]}\n"), "broken JSON (more than 100,000 b"),
    "tag.tmx.gz": (lambda: repeated(b"<tmx><tu a='", LONG, 60), "a tag or comment of more than 1,048,576 bytes"),
    "deep.tmx.gz": (lambda: repeated(b"<tmx>", b"<a>" * 10**6, 10), "elements nested more than 100 times"),
    "unit.tmx.gz": (
        lambda: repeated(b"<tmx><tu>", b"<tuv xml:lang='de'><seg>" + LONG + b"</seg></tuv>", 60),
        "a <tu> of more than 16,777,216 characters; correct the file",
    ),
    "once.parquet": (lambda: parquet(same(2400)), MANY_BYTES),
    "inside.parquet": (
        lambda: parquet(pyarrow.StructArray.from_arrays([same(2400)], ["en"])),
        "row 1 holds {'en': 'xxx",
    ),
    "plain.parquet": (lambda: parquet(["x" * 10**6] * 80, use_dictionary=False), MANY_BYTES),
    "list.parquet": (lambda: parquet(nulls(10**8)), MANY_BYTES),
}


def test_they_are_refused_before_they_fill_memory(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in BOMBS}
    for name, (made, _) in BOMBS.items():
        paths[name].write_bytes(made())
        assert paths[name].stat().st_size < 2**20
    command = [sys.executable, "-c", READER, str(MEGABYTES), *map(str, paths.values())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    said = dict(zip(BOMBS, run.stdout.splitlines(), strict=True))
    for name, (_, message) in BOMBS.items():
        assert str(paths[name]) in said[name]
        assert message in said[name]


def test_rows_that_repeat_are_read_in_parts(tmp_path: Path) -> None:
    """As often as they are there, with the types that the file names, and no part larger than memory has room for."""
    texts = ["x" * 500_000, "Ein Hund."]
    table = pyarrow.table({"de": texts * 60, "t": [{"de": text, "all": [text]} for text in texts] * 60})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=50)
    files = find_files(str(tmp_path / "a.parquet"))
    batches = list(parquet_batches(files[0]))
    assert pyarrow.Table.from_batches(batches).equals(table)
    assert max(batch.nbytes for batch in batches) <= ROW_BYTES
    assert list(read_texts(files, DE)) == texts * 60


def test_what_is_large_but_of_a_usual_kind_is_read(tmp_path: Path) -> None:
    refuse_growth(FREE_BYTES + MOST_GROWTH * 100, 100, "x")
    lines = [f"Satz {number} von vielen." for number in range(200_000)]
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1))
    assert list(read_texts(find_files(str(tmp_path / "a.txt.gz")), DE)) == lines
    (tmp_path / "deep.jsonl").write_text(json.dumps({"de": "x", "more": json.loads("[" * 99 + "]" * 99)}) + "\n")
    assert list(read_texts(find_files(str(tmp_path / "deep.jsonl")), DE)) == ["x"]
