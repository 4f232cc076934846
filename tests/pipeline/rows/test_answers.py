"""Files of texts and of translations: every kind, here and in S3, and what is said of broken ones."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

import pipeline.rows.readers
from pipeline.errors import InputError
from pipeline.rows.answers import check_output, write_answers
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, find_files
from pipeline.rows.readers import read_texts
from pipeline.store.storage import folder_and_name
from tests.s3_server import S3Server, s3_server

TEXTS = ["Ein Hund.", "", "Zwei\x85Frauen\x0b„lachen“ 😀", "  ", "Ende"]
ANSWERS = [text.upper() for text in TEXTS]
ROWS = [{"id": number, "de": text, "more": {"a": [1, None]}} for number, text in enumerate(TEXTS)]
OBJECTS = [{"hypotheses": [{"text": text, "score": -0.5}] if text.strip() else []} for text in ANSWERS]


def text_bytes() -> bytes:
    return "".join(f"{text}\n" for text in TEXTS).encode()


def jsonl_bytes() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def parquet_bytes() -> bytes:
    sink = pyarrow.BufferOutputStream()
    pq.write_table(pyarrow.Table.from_pylist(ROWS), sink, row_group_size=2)
    return bytes(sink.getvalue())


DE, TRANSLATION = Column("--column", "de"), Column("--column", "translation")

CONTENTS: dict[str, Callable[[], bytes]] = {
    "texts.txt": text_bytes,
    "texts.de": text_bytes,
    "texts.txt.gz": lambda: gzip.compress(text_bytes(), mtime=0),
    "rows.jsonl": jsonl_bytes,
    "rows.jsonl.gz": lambda: gzip.compress(jsonl_bytes(), mtime=0),
    "rows.parquet": parquet_bytes,
}


def target(name: str) -> RowFile:
    folder, file = folder_and_name(name)
    return RowFile(folder, file, name)


def written(path: Path) -> list[Any]:
    """Return the translations that a file holds."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content, path = gzip.decompress(content), path.with_suffix("")
    if path.suffix == ".parquet":
        return [row["translation"] for row in pq.read_table(path).to_pylist()]
    lines = content.decode().split("\n")[:-1]
    return [json.loads(line)["translation"] for line in lines] if path.suffix == ".jsonl" else lines


@pytest.mark.parametrize("name", CONTENTS)
def test_texts_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CONTENTS[name]())
    assert list(read_texts(find_files(str(tmp_path / name)), DE)) == TEXTS


@pytest.mark.parametrize("source", CONTENTS)
@pytest.mark.parametrize("output", ["out.txt", "out.txt.gz", "out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_kind_can_be_written_from_every_kind(tmp_path: Path, source: str, output: str) -> None:
    (tmp_path / source).write_bytes(CONTENTS[source]())
    files = find_files(str(tmp_path / source))
    check_output(files, target(str(tmp_path / output)), objects=False, attention=False)
    write_answers(files, DE, ANSWERS, target(str(tmp_path / output)))
    assert written(tmp_path / output) == ANSWERS
    assert {path.name for path in tmp_path.iterdir()} == {source, output}, "nothing else is left"


def test_rows_keep_what_they_hold(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "rows.parquet"):
        (tmp_path / name).write_bytes(CONTENTS[name]())
    write_answers(find_files(str(tmp_path / "rows.jsonl")), DE, ANSWERS, target(str(tmp_path / "a.jsonl")))
    expected = [row | {"translation": answer} for row, answer in zip(ROWS, ANSWERS, strict=True)]
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().split("\n")[:-1]] == expected
    write_answers(find_files(str(tmp_path / "rows.parquet")), DE, ANSWERS, target(str(tmp_path / "a.parquet")))
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == expected


@pytest.mark.parametrize("output", ["a.jsonl", "a.parquet"])
def test_hypotheses_are_written_with_their_scores(tmp_path: Path, output: str) -> None:
    (tmp_path / "texts.txt").write_bytes(text_bytes())
    write_answers(find_files(str(tmp_path / "texts.txt")), DE, OBJECTS, target(str(tmp_path / output)))
    path = tmp_path / output
    rows = (
        pq.read_table(path).to_pylist()
        if output.endswith("parquet")
        else [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    )
    assert rows == [{"source": text} | found for text, found in zip(TEXTS, OBJECTS, strict=True)]


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    for name, text in (("b.txt", "two\n"), ("a.txt", "one\n"), (".hidden", "x\n"), ("_SUCCESS", "")):
        (tmp_path / name).write_text(text)
    assert list(read_texts(find_files(str(tmp_path)), DE)) == ["one", "two"]
    (tmp_path / "c.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"the folder has files of several formats \(a.txt, b.txt, c.jsonl\)"):
        find_files(str(tmp_path))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.mark.parametrize("name", CONTENTS)
def test_in_s3_as_on_disk(s3: S3Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    folder, file = folder_and_name(f"s3://{s3.bucket}/in/{name}/{name}")
    folder.write(file, CONTENTS[name]())
    for address in (f"s3://{s3.bucket}/in/{name}/{name}", f"s3://{s3.bucket}/in/{name}"):
        files = find_files(address)
        assert list(read_texts(files, DE)) == TEXTS
        write_answers(files, DE, ANSWERS, target(f"s3://{s3.bucket}/out/{name}"))
        output, _ = folder_and_name(f"s3://{s3.bucket}/out/{name}")
        assert list(read_texts(find_files(f"s3://{s3.bucket}/out/{name}"), TRANSLATION)) == ANSWERS
        output.remove(name)


def test_a_bucket_that_is_not_there(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=r"s3://nowhere/a.txt: there is no such file"):
        find_files("s3://nowhere/a.txt")
    with pytest.raises(InputError, match=r"gs://bucket/a.txt: give a path, or s3://bucket/name"):
        find_files("gs://bucket/a.txt")
    assert isinstance(folder_and_name("s3://bucket/a")[0].filesystem, fs.S3FileSystem)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\nb\xe4d\n", r"a.txt line 2: byte 0xE4 is not UTF-8"),
        ("a.txt.gz", b"no gzip", r"a.txt.gz after line 0: broken gzip"),
        ("a.txt.gz", gzip.compress(b"cut off\n" * 9000, mtime=0)[:-12], r"a.txt.gz after line \d+: broken gzip"),
        ("a.jsonl", b'{"de": "x"}\n{\n', r"a.jsonl line 2: broken JSON"),
        ("a.jsonl", b"[1]\n", r"a.jsonl line 1: list is not an object"),
        ("a.jsonl", b"[" * 100_000, r"a.jsonl line 1: broken JSON"),
        (
            "a.jsonl",
            b'{"DE": "x"}\n',
            r"--column de: .*a.jsonl line 1 has no column de; its columns are DE; did you mean DE",
        ),
        ("a.jsonl", b'{"de": null}\n', r"--column de: .*a.jsonl line 1 holds null, not a text"),
        ("a.jsonl", b'{"de": 3}\n', r"--column de: .*a.jsonl line 1 holds 3 \(int\), not a text"),
        ("a.jsonl", b'{"de": "\\ud800"}\n', r"line 1 holds half of a surrogate pair"),
        ("a.parquet", b"PAR1 no", r"a.parquet: not a readable Parquet file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_texts(find_files(str(tmp_path / name)), DE))


def test_wrong_columns_of_parquet(tmp_path: Path) -> None:
    pq.write_table(pyarrow.table({"de": [1, 2], "en": ["a", None]}), tmp_path / "a.parquet")
    files = find_files(str(tmp_path / "a.parquet"))
    for column, message in (
        ("fr", "--column fr: .*a.parquet has no column fr; its columns are de, en; set --column to one of them"),
        ("de", r"row 1 holds 1 \(int\), not a text"),
        ("en", "row 2 holds null, not a text"),
    ):
        with pytest.raises(InputError, match=message):
            list(read_texts(files, Column("--column", column)))


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_bytes())
    pq.write_table(pyarrow.table({"de": ["x"], "translation": ["y"]}), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"de": "x", "translation": "y"}\n')
    files = find_files(str(tmp_path / "a.parquet"))
    for name, objects, attention, message in (
        ("a.parquet", False, False, "that is the file to translate; name another"),
        ("a.parquet.gz", False, False, "Parquet is compressed inside"),
        ("x.txt", True, False, "text has one translation a line; name a .jsonl file"),
        ("x.parquet", True, True, "Parquet has no place for attention weights"),
    ):
        with pytest.raises(InputError, match=message):
            check_output(files, target(str(tmp_path / name)), objects, attention)
    with pytest.raises(InputError, match=r"b.parquet: it has a column translation already; rename it, or write text"):
        check_output(find_files(str(tmp_path / "b.parquet")), target(str(tmp_path / "x.parquet")), False, False)
    with pytest.raises(
        InputError, match=r"c.jsonl line 1: it has a column translation already; rename it, or write text"
    ):
        write_answers(find_files(str(tmp_path / "c.jsonl")), DE, ["y"], target(str(tmp_path / "x.jsonl")))


@pytest.mark.parametrize("output", ["out.txt", "out.jsonl", "out.parquet"])
def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path, output: str) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / output).write_text("old")

    def fails() -> Iterator[str]:
        yield "eins"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_answers(find_files(str(tmp_path / "a.txt")), DE, fails(), target(str(tmp_path / output)))
    assert (tmp_path / output).read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", output}


def test_a_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.rows.readers, "LINE_BYTES", 1000)
    (tmp_path / "a.txt").write_bytes(b"x" * 999 + b"\n" + b"y" * 1000)
    with pytest.raises(InputError, match=r"a.txt line 2: more than 1,000 bytes without a line feed"):
        list(read_texts(find_files(str(tmp_path / "a.txt")), DE))


@settings(max_examples=80, deadline=None)
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
