"""prepare_corpus from local files and from the embedded captions."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CorpusConfig
from pipeline.corpus.local_files import Part
from pipeline.corpus.pairs import PairColumns
from pipeline.corpus.sources import local_splits
from pipeline.corpus.splits import Split, clean_sentence
from pipeline.store.store import Reuse, Store
from tests.corpus_files import LAYOUTS, PLAIN, SPLITS, Pair, jsonl, one_side, prepare, write_folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


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
        assert (first.fingerprint, again.reused) == (again.fingerprint, Reuse.YES)
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


COLUMNS = PairColumns.of(CorpusConfig())
sentences = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_reading_gives_back_what_was_written(pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("written")
    (folder / "x.jsonl").write_bytes(jsonl(pairs))
    assert list(local_splits({"train": (Part("jsonl", folder / "x.jsonl"),)}, COLUMNS)["train"]) == pairs
    flat = [(clean_sentence(de), clean_sentence(en)) for de, en in pairs]
    for side in (0, 1):
        (folder / f"x.{side}").write_bytes(one_side(side)(flat))
    assert list(local_splits({"train": (Part("text", folder / "x.0", folder / "x.1"),)}, COLUMNS)["train"]) == flat
