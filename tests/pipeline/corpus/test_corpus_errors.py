"""What prepare_corpus says of local files that it cannot use."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.store.store import Store
from tests.corpus_files import PLAIN, SPLITS, csv_bytes, jsonl, parquet, prepare, write_folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def message_of(store: Store, path: Path, **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        prepare(store, path, **fields)
    assert "\n" not in str(caught.value)
    left = [found for found in store.root.glob("corpus/*") if found.suffix != ".lock"]
    assert left == []
    return str(caught.value).replace(f"{path.parent}/", "")


GOOD = b'{"de": "x", "en": "y"}\n'
BROKEN_FILES: dict[str, tuple[str, bytes, str]] = {
    "broken JSON": ("train.jsonl", GOOD + b'{"de": "x"\n', "train.jsonl line 2: broken JSON (Expecting ',' delimiter"),
    "an array": ("train.json", b'[{"de": "x"}]\n', "train.json line 1: list is not an object; write one object a line"),
    "null": ("train.jsonl", GOOD + b'{"de": null, "en": "y"}\n', "=de: train.jsonl line 2 holds null, not a text"),
    "a number": (
        "train.jsonl",
        GOOD + b'\n{"de": "x", "en": 5}\n',
        "=en: train.jsonl line 3 holds 5 (int), not a text",
    ),
    "half a pair": ("train.jsonl", b'{"de": "\\ud83d", "en": "y"}\n', "line 1 holds half of a surrogate pair"),
    "a key missing": (
        "train.jsonl",
        GOOD + b'{"en": "y"}\n',
        "train.jsonl line 2 has no column de; its columns are en",
    ),
    "another case": ("train.csv", b"DE,en\nx,y\n", "no column de; its columns are DE, en; did you mean DE?"),
    "no names": ("train.tsv", b"Hund\tdog\nx\ty\n", "line 2 has no column de; its columns are Hund, dog; set corpus."),
    "a short row": ("train.csv", b"de,en\nx,y\nz\n", "train.csv line 3: 1 cells under 2 column names (de, en)"),
    "a long row": ("train.tsv", b"de\ten\nx\ty\tz\n", "train.tsv line 2: 3 cells under 2 column names (de, en)"),
    "an open quote": ("train.csv", b'de,en\nx,"y\nz,w\n', "train.csv line 3: broken CSV (unexpected end of data)"),
    "Latin 1": (
        "train.jsonl",
        GOOD + b'{"de": "\xfc"}\n',
        "train.jsonl line 2: byte 0xFC is not UTF-8; convert the file",
    ),
    "no gzip": ("train.jsonl.gz", b"hello", "train.jsonl.gz after line 0: broken gzip (Not a gzipped file"),
    "half a gzip": (
        "train.tsv.gz",
        gzip.compress(b"de\ten\n" * 9, mtime=0)[:-9],
        "broken gzip (Compressed file ended before",
    ),
    "no Parquet": ("train.parquet", b"hello", "train.parquet: not a readable Parquet file (ArrowInvalid: "),
    "empty": ("train.jsonl", b"", "train.jsonl: the file is empty; put sentence pairs in or take it away"),
    "names alone": ("train.csv", b"de,en\n", "train.csv has only 0 different pairs"),
    "too few": (
        "train.jsonl",
        GOOD * 9,
        "train.jsonl has only 1 different pairs and no such split: too few to hold out 7",
    ),
    "unknown": ("train.xlsx", b"x", "corpus.path=train.xlsx: a file is one of .jsonl, .json (an object a line), .csv"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_files(name: str, content: bytes, expected: str, store: Store, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert expected in message_of(store, file)


def test_a_corrupt_parquet_file(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    content = bytearray(parquet(PLAIN))
    content[4:60] = b"\xff" * 56
    file.write_bytes(content)
    assert message_of(store, file).startswith("train.parquet: not a readable Parquet file (")


def test_parquet_columns_and_rows(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    pq.write_table(pa.table({"de": ["x", None], "en": ["x", "y"], "n": [1, 2]}), file)
    assert "corpus.source_column=de: train.parquet row 2 holds null, not a text" in message_of(store, file)
    expected = "corpus.target_column=n: train.parquet row 1 holds 1 (int), not a text"
    assert expected in message_of(store, file, target_column="n")
    assert "train.parquet has no column fr; its columns are de, en, n;" in message_of(store, file, source_column="fr")


def test_folders_without_what_is_needed(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", "jsonl", {"test": PLAIN})
    expected = (
        "corpus.path=x: the folder has no training file; looked for train* (also val*, dev*, test*) ending in .jsonl"
    )
    assert message_of(store, folder).startswith(expected)
    assert ".csv, .tsv (each also with .gz), .parquet, or in both .de and .en (aligned text)" in message_of(
        store, folder
    )
    (folder / "train.csv").write_bytes(csv_bytes(PLAIN))
    (folder / "train.jsonl").write_bytes(jsonl(PLAIN))
    assert "split is there in several formats (train.csv, train.jsonl); leave one" in message_of(store, folder)
    assert message_of(store, tmp_path / "nowhere").startswith("corpus.path=nowhere: there is no such file or folder")


def test_sides_of_different_length_or_missing(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", "text", SPLITS)
    (folder / "test.en").write_text("one\ntwo\nthree")
    expected = "x/test.de has 1 lines and x/test.en has 3; line-aligned text needs as many on both sides"
    assert message_of(store, folder) == expected
    (folder / "test.en").unlink()
    assert message_of(store, folder).startswith("corpus.path=x: test.de has no other side test.en; add it")
    (folder / "test.de").rename(folder / "test.en")
    assert message_of(store, folder).startswith("corpus.path=x: test.en has no other side test.de; add it")
    file = folder / "train.de"
    assert "name the other side's file in corpus.target_path" in message_of(store, file)
    assert "corpus.target_path=nowhere: there is no such file" in message_of(store, file, target_path="nowhere")
    assert "is a folder and corpus.target_path=y is set" in message_of(store, folder, target_path="y")


def test_a_split_without_pairs(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", "jsonl", SPLITS | {"test": [("", "y"), ("x", " ")]})
    expected = "the test split holds no sentence pair (2 dropped because a side is empty)"
    assert message_of(store, folder).startswith(f"corpus.path=x: {expected}")


def test_a_file_that_changes_under_the_reader(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "x", "jsonl", SPLITS)

    def change(*arguments: Any) -> Any:
        (folder / "test.jsonl").write_bytes(GOOD)
        return {}

    monkeypatch.setattr("pipeline.corpus.sources.local_splits", change)
    assert message_of(store, folder) == "corpus.path=x: the files changed while they were read; start again"
