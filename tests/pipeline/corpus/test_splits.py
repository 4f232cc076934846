"""Clean, hold out, count: three files from whatever splits a source has."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.splits import Split, clean_sentence, find_split, write_splits
from pipeline.errors import InputError
from pipeline.store.store import Store
from tests.corpus_files import PLAIN, Pair, prepare, write_folder

SIZES: dict[Split, int] = {"validation": 3, "test": 4}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_held_out_pairs_occur_nowhere_else(store: Store, tmp_path: Path) -> None:
    pairs = [*PLAIN, *PLAIN[:7], ("Satz 1 ", "sentence 1")]
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", {"train": pairs}))
    names: tuple[Split, ...] = ("train", "validation", "test")
    splits = {split: list(corpus.pairs(split)) for split in names}
    assert [len(splits[split]) for split in names] == [13, 3, 4]
    assert sorted(pair for pairs in splits.values() for pair in pairs) == sorted(PLAIN)
    assert corpus.figures["duplicates"] == 8
    assert corpus.figures["leaks"] == {}
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
        "test": [("Hund", "hound"), ("Ein Rüde", "a dog"), ("Katze", "cat")],
    }
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", splits))
    assert list(corpus.pairs("train")) == [("Ein Hund bellt", "a dog"), ("Hund", "dog")]
    assert corpus.figures["blank"] == {"train": 2, "validation": 1, "test": 0}
    assert corpus.figures["duplicates"] == 0
    assert corpus.figures["leaks"] == {"validation": {"exact": 1}}


def test_the_translations_of_a_source_stay_together(store: Store, tmp_path: Path) -> None:
    pairs = [(f"Satz {number % 30}", f"sentence {number}") for number in range(90)]
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", {"train": pairs}))
    assert corpus.figures["pairs"] == {"train": 81, "validation": 3, "test": 6}
    sources = {split: {source for source, _ in corpus.pairs(split)} for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in sources.items()} == {"train": 27, "validation": 1, "test": 2}
    assert set().union(*sources.values()) == {source for source, _ in pairs}
    assert corpus.figures["leaks"] == {}


def test_a_target_that_stands_in_train_does_not_hold_pairs_together(store: Store, tmp_path: Path) -> None:
    pairs = [(f"Satz {number}", "Yes.") for number in range(20)]
    corpus = prepare(store, write_folder(tmp_path / "x", "jsonl", {"train": pairs}))
    assert corpus.figures["pairs"] == {"train": 13, "validation": 3, "test": 4}
    assert corpus.figures["leaks"] == {}, "a short phrase is no leak"


@given(st.text())
def test_a_clean_sentence_is_one_line_and_stays_as_it_is(text: str) -> None:
    clean = clean_sentence(text)
    assert not set(clean) & {"\r", "\n", "\t"}
    assert clean_sentence(clean) == clean == clean.strip()
    assert "".join(clean.split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"train": PLAIN, "test": [("", "y"), ("x", " ")], "validation": PLAIN},
            r"mine: the test split holds no sentence pair \(2 dropped because a side is empty\); check the source's",
        ),
        (
            {"train": PLAIN[:1] * 9},
            "corpus.validation_size=3 and corpus.test_size=4: mine has only 1 distinct pairs",
        ),
        (
            {"train": [("Hund", f"dog {number}") for number in range(20)]},
            r"mine has only 20 distinct pairs \(1 distinct sources, each held out whole\), too few to hold out 7 and",
        ),
        ({"train": [], "test": PLAIN}, "corpus.validation_size=3: mine has only 0 distinct pairs"),
    ],
)
def test_splits_without_pairs(tmp_path: Path, raw: dict[Split, list[Pair]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_splits(tmp_path, raw, SIZES, 1, "mine")


def test_files_are_json_lines_of_source_and_target(tmp_path: Path) -> None:
    figures = write_splits(
        tmp_path, {"train": PLAIN, "validation": PLAIN, "test": [("Grüße\u2028", "x")]}, SIZES, 1, ""
    )
    assert (tmp_path / "test.jsonl").read_text("utf8") == '{"source": "Grüße", "target": "x"}\n'
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text("utf8").splitlines()]
    assert [(row["source"], row["target"]) for row in rows] == PLAIN
    assert figures["pairs"] == {"train": 20, "validation": 20, "test": 1}


def test_splits_by_name() -> None:
    assert find_split("validation") == "validation"
    with pytest.raises(InputError, match="--split dev: there is no such split; choose one of train, validation, test"):
        find_split("dev")
