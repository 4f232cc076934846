"""Rows of every format, read alike for training, evaluation and translation; what is said of broken files."""

import bz2
import gzip
import io
import lzma
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.local_files import find_evaluation_parts
from pipeline.corpus.pairs import PairColumns
from pipeline.corpus.sources import local_splits
from pipeline.data_config import CorpusConfig
from pipeline.errors import ExternalError, InputError
from pipeline.evaluation.evaluation_set import prepare_files
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, find_files
from pipeline.rows.lines import read_lines
from pipeline.rows.readers import read_rows, read_texts
from pipeline.store.storage import Folder
from pipeline.store.store import Store
from tests.corpus_files import PLAIN, TRICKY, Pair, csv_bytes, jsonl, marked, one_side, packed, parquet, tsv
from tests.pipeline.rows.contents import (
    CONTENTS,
    DE,
    MARK,
    NESTED,
    ROWS,
    TEXTS,
    jsonl_bytes,
    parquet_bytes,
    target,
    zipped,
    zstd,
)

PAIRS = TRICKY + PLAIN


def nested(pairs: Sequence[Pair]) -> list[dict[str, object]]:
    return [{"id": number, "translation": {"de": de, "en": en}} for number, (de, en) in enumerate(pairs)]


FILES = {
    "a.jsonl": jsonl(PAIRS),
    "a.jsonl.gz": packed(jsonl)(PAIRS),
    "marked.json": marked(PAIRS),
    "nested.jsonl": jsonl_bytes(nested(PAIRS)),
    "a.csv": csv_bytes(PAIRS),
    "marked.csv": MARK + csv_bytes(PAIRS),
    "a.csv.gz": packed(csv_bytes)(PAIRS),
    "a.tsv": tsv(PAIRS),
    "crlf.tsv": MARK + tsv(PAIRS).replace(b"\n", b"\r\n"),
    "a.tsv.gz": packed(tsv)(PAIRS),
    "a.parquet": parquet(PAIRS),
    "nested.parquet": parquet_bytes(nested(PAIRS)),
    "a.de": one_side(0)(PAIRS),
    "marked.de": MARK + one_side(0)(PAIRS),
    "a.de.gz": packed(one_side(0))(PAIRS),
    "a.de.xz": lzma.compress(one_side(0)(PAIRS)),
    "a.csv.bz2": bz2.compress(csv_bytes(PAIRS)),
    "a.jsonl.zst": zstd(jsonl(PAIRS)),
    "opus.zip": zipped({"README": b"x", "T.de-en.de": one_side(0)(PAIRS), "T.de-en.en": one_side(1)(PAIRS)}),
    "table.zip": zipped({"README": b"x", "pairs.tsv": tsv(PAIRS)}),
    "nameless.tsv": tsv(PAIRS).partition(b"\n")[2],
    "nameless.csv": csv_bytes(PAIRS).partition(b"\r\n")[2],
    "lists.jsonl": jsonl_bytes(
        [{"translation": {"language": ["de", "en"], "translation": [de, en]}} for de, en in PAIRS]
    ),
}
COLUMNS = {
    "nested": ("translation.de", "translation.en"),
    "lists": ("translation.de", "translation.en"),
    "nameless": ("1", "2"),
}
"""By the beginning of a file's name; else de and en."""


@pytest.mark.parametrize("name", FILES)
def test_training_evaluation_and_translation_read_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    columns = COLUMNS.get(name.partition(".")[0], ("de", "en"))
    config = CorpusConfig(path=str(path), source_column=columns[0], target_column=columns[1])
    if ".de" in name:
        (tmp_path / "a.en").write_bytes(one_side(1)(PAIRS))
        config = config.model_copy(update={"target_path": str(tmp_path / "a.en")})
    parts = find_evaluation_parts(config, "train")
    assert list(local_splits({"train": parts}, PairColumns.of(config))["train"]) == PAIRS
    assert list(prepare_files(config, "test", Store(tmp_path / "store")).read()) == PAIRS
    column = Column("--column", columns[0])
    texts = read_texts(find_files(str(path), column), column)
    assert list(texts) == [source for source, _ in PAIRS]


@pytest.mark.parametrize("name", CONTENTS)
def test_texts_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CONTENTS[name]())
    assert list(read_texts(find_files(str(tmp_path / name)), DE)) == TEXTS
    if name.startswith("flat"):
        assert [row for _, row in read_rows(find_files(str(tmp_path / name))[0])] == ROWS
    if name.startswith("deep"):
        assert [row for _, row in read_rows(find_files(str(tmp_path / name))[0])] == NESTED


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"", []),
        ("a.txt", b"\n\r\n", ["", ""]),
        ("a.txt", b"a\rb\r\n\nlast", ["a\rb", "", "last"]),
        ("a.jsonl", b' \n\r\n{"de": "x"}\n\n', ["x"]),
        ("a.csv", b"", []),
        ("a.csv", b"de,en\n", []),
        ("a.csv", b'"de",en\r\n"x\r\ny","say ""hi"""\r\n\r\n"a\rb",c', ["x\r\ny", "a\rb"]),
        ("a.csv", b'de\n""\nx\n', ["", "x"]),
        ("a.tsv", b"de\ten\n\n\"x\ty\n'\tz", ['"x', "'"]),
        ("a.tsv", b"de\nx\n\ny\n", ["x", "", "y"]),
    ],
)
def test_where_lines_and_rows_end(tmp_path: Path, name: str, content: bytes, expected: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert list(read_texts(find_files(str(tmp_path / name)), DE)) == expected


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "Latin 1": ("a.txt", b"good\nb\xe4d\n", "a.txt line 2: byte 0xE4 is not UTF-8; convert the file to UTF-8 (iconv"),
    "UTF-16 with a mark": (
        "a.txt",
        "Tür\nx\n".encode("utf-16"),
        "a.txt is UTF-16; convert the file to UTF-8 (iconv",
    ),
    "UTF-32": (
        "a.csv",
        "de,en\nx,y\n".encode("utf-32"),
        "a.csv is UTF-32; convert the file to UTF-8 (iconv",
    ),
    "UTF-16 without": (
        "a.txt",
        "Ein Hund\n".encode("utf-16-le"),
        "a.txt is UTF-16LE; convert the file to UTF-8 (",
    ),
    "big-endian": (
        "a.tsv",
        "de\ten\n".encode("utf-16-be"),
        "a.tsv is UTF-16BE; convert the file to UTF-8",
    ),
    "no gzip": ("a.txt.gz", b"no gzip", "a.txt.gz after line 0: broken gzip (Not a gzipped file"),
    "half a gzip": (
        "a.tsv.gz",
        gzip.compress(b"de\ten\n" * 9, mtime=0)[:-9],
        "broken gzip (Compressed file ended before the end-of-stream marker was reached); download it or compress it",
    ),
    "broken JSON": ("a.jsonl", b'{"de": "x"}\n{\n', "a.jsonl line 2: broken JSON (Expecting property name"),
    "an array": ("a.jsonl", b"[1]\n", "a.jsonl line 1: list is not an object; write one object per line"),
    "deep JSON": ("a.jsonl", b"[" * 100_000, "a.jsonl line 1: broken JSON (nested more than 100 times)"),
    "a name twice": ("a.jsonl", b'{"de": "x", "de": "y"}\n', "a.jsonl line 1: broken JSON (it has 'de' several times)"),
    "deep inside": (
        "a.jsonl",
        b'{"de": "x", "a": ' + b"[" * 120 + b"]" * 120 + b"}",
        "broken JSON (nested more than 1",
    ),
    "names twice": ("a.tsv", b"de\tid\tid\nx\ty\tz\n", "a.tsv: it has several columns id; rename all but one"),
    "nameless": ("a.csv", b"de,,\nx,,\n", "a.csv: it has several columns without a name; rename all but one"),
    "a number": ("a.jsonl", b'\n{"de": 3}\n', "--column de: a.jsonl line 2 holds 3 (int), not text"),
    "a short row": ("a.csv", b"de,en\nx,y\nz\n", "a.csv line 3: 1 cells under 2 column names (de, en); correct the"),
    "a long row": ("a.tsv", b"de\ten\nx\ty\tz\n", "a.tsv line 2: 3 cells under 2 column names (de, en)"),
    "an open quote": (
        "a.csv",
        b'de,en\nx,"y\nz,w\n',
        "a.csv line 2: broken CSV (unexpected end of data, 1 lines below)",
    ),
    "a lone CR": ("a.csv", b"de,en\nx\ry,z\n", "a.csv line 2: broken CSV (new-line character seen in unquoted field"),
    "no names": ("a.tsv", b"Hund\tdog\nx\ty\n", "a.tsv line 2 has no column de; its columns are Hund, dog; set --col"),
    "two of a name": ("a.csv", b"de,de\nx,y\n", "a.csv: it has several columns de; rename all but one"),
    "data for names": (
        "a.tsv",
        b"Ein Hund.\tA dog.\nZwei.\tTwo.\n",
        "a.tsv line 1 looks like data, not like the names of columns (Ein Hund., A dog.); name columns by their "
        "numbers, such as --column 1, or put their names into the first line",
    ),
    "half an xz": (
        "a.txt.xz",
        lzma.compress(b"one\ntwo\n")[:-9],
        "a.txt.xz after line 2: broken xz (Compressed file end",
    ),
    "half a bzip2": (
        "a.csv.bz2",
        bz2.compress(b"de\nx\n")[:20],
        "a.csv.bz2 after line 0: broken bzip2 (Compressed file",
    ),
    "no bzip2": ("a.csv.bz2", b"no bzip2 at all", "a.csv.bz2 after line 0: broken bzip2 (Invalid data stream)"),
    "half a zstd": ("a.txt.zst", zstd(b"one\ntwo\n")[:-3], "a.txt.zst after line 0: broken zstd (Truncated compress"),
    "no zstd": ("a.jsonl.zst", b"no zstd", "a.jsonl.zst after line 0: broken zstd (ZSTD decompress failed"),
    "half a zip": ("a.zip", zipped({"a.txt": b"x\n"})[:-9], "a.zip: broken zip (File is not a zip file); download it"),
    "an archive": ("a.tar.gz", b"", "a.tar.gz: an archive; unpack it and name a file in it"),
    "subtitles": ("a.srt", b"", "a.srt: subtitles, whose times are no text; extract the texts, one per line"),
    "subtitles within": ("a.txt", b"1\n00:00:01,000 --> 00:00:02,000\nHallo\n", "a.txt line 2 is that of subtitles"),
    "another case": ("a.csv", b"DE,en\nx,y\n", "a.csv line 2 has no column de; its columns are DE, en; did you mean"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        list(read_texts(find_files(str(tmp_path / name)), DE))
    assert expected in str(refused.value).replace(f"{tmp_path}/", "")
    assert "\n" not in str(refused.value)


def test_s3_that_fails_while_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28")

    def opened(*_: object) -> RowFile:
        return io.BufferedReader(Broken())  # type: ignore[return-value]

    monkeypatch.setattr(Folder, "open", opened)
    with pytest.raises(ExternalError, match="s3://bucket: no server answers"):
        list(read_lines(target("s3://bucket/a.txt")))


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(CONTENTS)))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    try:
        texts = list(read_texts(find_files(str(path)), DE))
    except InputError as refusal:
        texts, said = [], str(refusal)
    else:
        said = str(path)
    assert all(isinstance(text, str) for text in texts)
    assert str(path) in said
