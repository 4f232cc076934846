"""The stage `prepare_corpus`: local files and the embedded captions, found again in the store by what they hold."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.store.store import Reuse, Store
from tests.corpus_files import LAYOUTS, PLAIN, SPLITS, jsonl, prepare, write_folder


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


def test_nested_columns(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps({"translation": {"de": de, "en": en}}) + "\n" for de, en in PLAIN))
    nested = {"source_column": "translation.en", "target_column": "translation.de"}
    assert set(prepare(store, file, **nested).pairs("train")) < {(en, de) for de, en in PLAIN}


def test_a_corpus_skips_as_many_bad_lines_as_it_may(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("de\ten\n" + "".join(f"{de}\t{en}\n" for de, en in PLAIN) + "one\ttoo\tmany\n")
    with pytest.raises(InputError, match=r"pairs.tsv line 22: 3 cells .*, or set corpus.skip_bad_lines=1 to skip it"):
        prepare(store, file)
    made = prepare(store, file, skip_bad_lines=1)
    assert (made.skipped, sum(made.figures["pairs"].values())) == (1, len(PLAIN))
    assert made.figures["skipped"] == {"lines": 1, "first": [f"{file} line 22"]}
    assert prepare(store, file, skip_bad_lines=1).reused
    file.write_text(file.read_text().removesuffix("one\ttoo\tmany\n"))
    whole = prepare(store, file)
    assert (whole.skipped, whole.fingerprint) == (0, made.fingerprint)


def test_captions(store: Store) -> None:
    few = prepare(store, captions_pairs=5, source_column="x")
    more = prepare(store, captions_pairs=20)
    assert few.figures["pairs"] == {"train": 5, "validation": 3, "test": 4}
    for split in ("validation", "test"):
        assert few.split_fingerprint(split) == more.split_fingerprint(split)
    assert list(more.pairs("train"))[:5] == list(few.pairs("train"))
    assert more.figures["leaks"] == {}
    assert more.figures["origin"] == {"dataset": "captions", "seed": 1}
    assert prepare(store, captions_pairs=5).reused
    assert not prepare(store, captions_pairs=5, seed=2).reused


def test_a_source_that_cannot_be_used_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "x", "jsonl", SPLITS)
    (folder / "test.jsonl").write_bytes(jsonl(PLAIN) + b'{"de": null, "en": "y"}\n')
    with pytest.raises(InputError, match=r"corpus.source_column=de: .*test.jsonl line 21 holds null, not text"):
        prepare(store, folder)
    assert not [path for path in store.root.glob("corpus/*") if path.suffix != ".lock"]

    def change(*arguments: Any) -> Any:
        (folder / "test.jsonl").write_bytes(jsonl(PLAIN))
        return {"train": PLAIN, "validation": PLAIN, "test": PLAIN}

    monkeypatch.setattr("pipeline.corpus.sources.local_splits", change)
    with pytest.raises(InputError, match=r"corpus.path=.*x: the files changed while they were read; run it again"):
        prepare(store, folder)
