"""prepare_corpus from local files and from the embedded captions."""

import csv
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.columns import Columns
from pipeline.config import CorpusConfig
from pipeline.corpus import Corpus, Split, prepare_corpus
from pipeline.errors import InputError
from pipeline.file_readers import read_pairs
from pipeline.local_files import Part
from pipeline.splits import clean_sentence
from pipeline.store import Store

Pair = tuple[str, str]
TRICKY = [
    ("NA", "null"),
    ("007", "1e3"),
    ("2020-01-01", "True"),
    ('Er sagte "ja", dann "nein".', 'He said "yes", then "no".'),
    ("a\u2028b\x85c\x0bd\x1ce", "vertical\x0ctab\u2029end"),
    ("Grüße 😀", "\u0075\u0308 stays decomposed"),
]
PLAIN = [(f"Satz {number}", f"sentence {number}") for number in range(20)]
SPLITS: dict[str, list[Pair]] = {"train": TRICKY + PLAIN, "val": [("Hund", "dog")], "test": [("Katze", "cat")]}


def jsonl(pairs: Sequence[Pair]) -> bytes:
    rows = ({"id": number, "de": de, "en": en} for number, (de, en) in enumerate(pairs))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_bytes(pairs: Sequence[Pair]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("de", "en"), *pairs])
    return buffer.getvalue().encode()


def tsv(pairs: Sequence[Pair]) -> bytes:
    return "".join(f"{de}\t{en}\n" for de, en in [("de", "en"), *pairs]).encode()


def parquet(pairs: Sequence[Pair]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"en": [en for _, en in pairs], "de": [de for de, _ in pairs]}), buffer)
    return buffer.getvalue()


def one_side(side: int) -> Callable[[Sequence[Pair]], bytes]:
    return lambda pairs: "".join(pair[side] + "\n" for pair in pairs).encode()


def packed(encode: Callable[[Sequence[Pair]], bytes]) -> Callable[[Sequence[Pair]], bytes]:
    return lambda pairs: gzip.compress(encode(pairs))


def marked(pairs: Sequence[Pair]) -> bytes:
    """Return JSON lines as an editor of Windows leaves them: a byte order mark, carriage returns."""
    return b"\xef\xbb\xbf" + jsonl(pairs).replace(b"\n", b"\r\n")


LAYOUTS: dict[str, dict[str, Callable[[Sequence[Pair]], bytes]]] = {
    "jsonl": {"{}.jsonl": jsonl},
    "json": {"{}.json": marked},
    "jsonl.gz": {"{}.jsonl.gz": packed(jsonl)},
    "csv": {"{}.csv": csv_bytes},
    "tsv": {"{}.tsv": tsv},
    "tsv.gz": {"{}.tsv.gz": packed(tsv)},
    "parquet": {"{}-00000-of-00001.parquet": parquet},
    "text": {"{}.de": one_side(0), "{}.en": one_side(1)},
    "text.gz": {"{}.de.gz": packed(one_side(0)), "{}.en": one_side(1)},
}


def write_folder(folder: Path, layout: str, splits: dict[str, list[Pair]]) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("train test val")
    for split, pairs in splits.items():
        for name, encode in LAYOUTS[layout].items():
            (folder / name.format(split)).write_bytes(encode(pairs))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def prepare(store: Store, path: Path | None = None, **fields: Any) -> Corpus:
    sizes = {"validation_size": 3, "test_size": 4}
    return prepare_corpus(CorpusConfig(path=None if path is None else str(path), **(sizes | fields)), store)


def message_of(store: Store, path: Path, **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        prepare(store, path, **fields)
    assert "\n" not in str(caught.value)
    left = [found for found in store.root.glob("corpus/*") if found.suffix != ".lock"]
    assert left == []
    return str(caught.value).replace(f"{path.parent}/", "")


def test_the_same_pairs_are_the_same_corpus_in_every_format(store: Store, tmp_path: Path) -> None:
    corpora = {
        layout: prepare(store, write_folder(tmp_path / f"[{layout}]", layout, SPLITS), seed=number)
        for number, layout in enumerate(LAYOUTS)
    }
    for layout, corpus in corpora.items():
        assert list(corpus.pairs("train")) == SPLITS["train"], layout
        assert list(corpus.pairs("validation")) == SPLITS["val"]
    assert len({corpus.fingerprint for corpus in corpora.values()}) == 1
    assert len({corpus.split_fingerprint("test") for corpus in corpora.values()}) == 1
    assert corpora["csv"].figures["pairs"] == {"train": 26, "validation": 1, "test": 1}


def test_nothing_is_left_beside_the_files_or_in_a_cache(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for layout in ("csv", "parquet"):
        folder = write_folder(tmp_path / layout, layout, SPLITS)
        before = sorted(folder.iterdir())
        prepare(store, folder)
        assert sorted(folder.iterdir()) == before
    assert not (tmp_path / "cache").exists()


def test_two_text_files_and_shards(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "text", "text", SPLITS)
    two = prepare(store, folder / "train.de", target_path=str(folder / "train.en"))
    one = prepare(store, write_folder(tmp_path / "jsonl", "jsonl", SPLITS) / "train.jsonl")
    assert one.fingerprint == two.fingerprint
    (folder / "train.2.de").write_text("eins\n")
    (folder / "train.2.en").write_text("one\n")
    assert list(prepare(store, folder).pairs("train")) == [("eins", "one"), *SPLITS["train"]]


def test_an_edited_file_of_the_same_size_and_time_is_read_again(store: Store, tmp_path: Path) -> None:
    for layout in ("jsonl", "parquet"):
        folder = write_folder(tmp_path / layout, layout, SPLITS)
        file = next(folder.glob("test*"))
        times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
        first, again = prepare(store, folder), prepare(store, folder)
        assert (first.fingerprint, again.reused) == (again.fingerprint, True)
        size = file.stat().st_size
        file.write_bytes(file.read_bytes().replace(b"Katze", b"Tatze"))
        os.utime(file, ns=times)
        assert file.stat().st_size == size
        assert list(prepare(store, folder).pairs("test")) == [("Tatze", "cat")]


def test_only_fields_that_matter_make_a_corpus_anew(store: Store, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "whole", "jsonl", SPLITS)
    assert not prepare(store, folder).reused
    for field, value in {"seed": 7, "test_size": 9, "captions_pairs": 5, "revision": "x", "dataset": "a/b"}.items():
        assert prepare(store, folder, **{field: value}).reused, field
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    assert prepare(store, moved).reused
    (moved / "test.jsonl").unlink()
    assert not prepare(store, moved).reused
    assert prepare(store, moved, validation_size=9).reused
    assert not prepare(store, moved, seed=7).reused


def test_held_out_pairs_occur_nowhere_else(store: Store, tmp_path: Path) -> None:
    pairs = [*PLAIN, *PLAIN[:7], ("Satz 1 ", "sentence 1")]
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", {"train": pairs}))
    names: tuple[Split, ...] = ("train", "validation", "test")
    splits = {split: list(corpus.pairs(split)) for split in names}
    assert [len(splits[split]) for split in names] == [13, 3, 4]
    assert sorted(pair for pairs in splits.values() for pair in pairs) == sorted(PLAIN)
    assert corpus.figures["duplicates"] == 8
    assert corpus.figures["leaked"] == {"validation": 0, "test": 0}
    assert corpus.figures["held_out"] == ["validation", "test"]


def test_the_test_set_depends_on_seed_and_size_alone(store: Store, tmp_path: Path) -> None:
    file = write_folder(tmp_path / "x", "jsonl", {"train": PLAIN}) / "train.jsonl"
    backwards = write_folder(tmp_path / "y", "jsonl", {"train": PLAIN[::-1]}) / "train.jsonl"
    usual = prepare(store, file)
    assert prepare(store, file, validation_size=9).split_fingerprint("test") == usual.split_fingerprint("test")
    assert set(prepare(store, backwards).pairs("test")) == set(usual.pairs("test"))
    assert set(prepare(store, file, seed=2).pairs("test")) != set(usual.pairs("test"))


def test_blank_pairs_are_dropped_and_leaks_counted(store: Store, tmp_path: Path) -> None:
    splits = {
        "train": [(" Ein\tHund\r\nbellt\n", "a\ndog "), ("\u00a0", "x"), ("x", ""), ("Hund", "dog")],
        "val": [("Hund", "dog"), ("Hund", "dog"), ("", "")],
        "test": [("Hund", "hound")],
    }
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", splits))
    assert list(corpus.pairs("train")) == [("Ein Hund bellt", "a dog"), ("Hund", "dog")]
    assert corpus.figures["blank"] == {"train": 2, "validation": 1, "test": 0}
    assert corpus.figures["leaked"] == {"validation": 2, "test": 0}
    assert corpus.figures["duplicates"] == 0


def test_nested_columns(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps({"translation": {"de": de, "en": en}}) + "\n" for de, en in PLAIN))
    nested = {"source_column": "translation.en", "target_column": "translation.de"}
    assert set(prepare(store, file, **nested).pairs("train")) < {(en, de) for de, en in PLAIN}


def test_captions(store: Store) -> None:
    few = prepare(store, captions_pairs=5, source_column="x")
    more = prepare(store, captions_pairs=20)
    assert few.figures["pairs"] == {"train": 5, "validation": 3, "test": 4}
    for split in ("validation", "test"):
        assert few.split_fingerprint(split) == more.split_fingerprint(split)
    assert list(more.pairs("train"))[:5] == list(few.pairs("train"))
    assert more.figures["leaked"] == {"validation": 0, "test": 0}
    assert more.figures["origin"] == {"dataset": "captions", "seed": 1}
    assert prepare(store, captions_pairs=5).reused
    assert not prepare(store, captions_pairs=5, seed=2).reused


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
    "half a gzip": ("train.tsv.gz", gzip.compress(b"de\ten\n" * 9)[:-9], "broken gzip (Compressed file ended before"),
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

    monkeypatch.setattr("pipeline.sources.local_splits", change)
    assert message_of(store, folder) == "corpus.path=x: the files changed while they were read; start again"


sentences = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_reading_gives_back_what_was_written(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("written")
    (folder / "x.jsonl").write_bytes(jsonl(pairs))
    assert list(read_pairs(Part("jsonl", folder / "x.jsonl"), Columns("de", "en"))) == pairs
    flat = [(clean_sentence(de), clean_sentence(en)) for de, en in pairs]
    for side in (0, 1):
        (folder / f"x.{side}").write_bytes(one_side(side)(flat))
    assert list(read_pairs(Part("text", folder / "x.0", folder / "x.1"), Columns("de", "en"))) == flat
