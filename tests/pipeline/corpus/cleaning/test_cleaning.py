"""A corpus through the rules: what stays, what is told of the rest, the same on any number of processes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import processes
from pipeline.corpus.cleaning.report import report
from pipeline.corpus.cleaning.whole_corpus import places_among_equals, unusual_ratios
from pipeline.corpus.corpus import Corpus
from pipeline.errors import InputError
from pipeline.store.store import Store
from tests.benchmarks.cleaning import judge
from tests.benchmarks.dirt import with_noise
from tests.corpus_files import prepare, write_folder

Pair = tuple[str, str]
WORDS = ["haus", "baum", "hund", "katze", "wasser", "feuer", "berg", "tal", "sonne", "mond", "stern", "wolke"]


def sentences(count: int) -> list[Pair]:
    """Pairs of which no two are alike."""
    chosen = ([WORDS[(number // 12**place) % 12] for place in range(6)] for number in range(7, 7 + count * 97, 97))
    return [(" ".join(f"{word}s" for word in words), " ".join(f"the {word}" for word in words)) for words in chosen]


def cleaned(tmp_path: Path, train: Sequence[Pair], **fields: Any) -> Corpus:
    splits = {"train": list(train), "val": [("eins zwei drei vier", "one two three four")], "test": [("fünf", "five")]}
    fields = {"clean": "mild", "leaks": "remove", "max_dropped": 1.0, **fields}
    tmp_path.mkdir(exist_ok=True)
    return prepare(Store(tmp_path / "store"), write_folder(tmp_path / "x", "jsonl", splits), **fields)


def dropped(corpus: Corpus) -> list[tuple[str, int]]:
    rows = map(json.loads, (corpus.path / "dropped.jsonl").read_text("utf8").splitlines())
    return [(row["rule"], row["number"]) for row in rows]


def test_pairs_are_mended_or_dropped_and_all_of_them_are_listed(tmp_path: Path) -> None:
    own = sentences(30)
    train = [
        *own,
        own[3],
        ("https://example.org/x haus", "the haus"),
        ("haus\u200b und hof", "the haus and yard"),
        ("", "x"),
    ]
    corpus = cleaned(tmp_path, train)
    assert list(corpus.pairs("train")) == [*own, ("haus und hof", "the haus and yard")]
    assert dropped(corpus) == [("addresses", 32), ("duplicate", 31)]
    figures = corpus.figures["cleaning"]
    assert {rule: count for rule, count in figures["rules"].items() if count} == {
        "controls": 1,
        "addresses": 1,
        "duplicate": 1,
    }
    assert figures["read"] == 34
    assert sum(figures["before"][0]) == 34
    assert sum(figures["after"][1]) == 31
    page = (corpus.path / "cleaning.md").read_text("utf8")
    assert "| controls | control characters and characters without width are removed | 1 | 2.941% |" in page
    assert "haus\\u{200b} und hof" in page, "what is not seen is shown"
    assert not (corpus.path / "lengths.png").exists(), "there are too few pairs to draw"


def test_off_keeps_everything_and_a_list_holds_its_rules_alone(tmp_path: Path) -> None:
    own = sentences(5)
    train = [*own, own[0], ("haus\u200b und hof", "the haus and yard")]
    assert list(cleaned(tmp_path / "off", train, clean="off").pairs("train")) == train
    some = cleaned(tmp_path / "list", train, clean=("duplicate",))
    assert list(some.pairs("train")) == [*own, train[-1]]
    assert list(some.figures["cleaning"]["rules"]) == ["duplicate", "leak"]


def test_a_rule_that_drops_too_much_stops_the_run_and_shows_why(tmp_path: Path) -> None:
    own = sentences(4)
    message = (
        r"corpus.max_dropped=0.3: the rule duplicate drops 3 of 7 pairs of corpus.path=.*\(the same pair came "
        r"before\), such as pair 5: .*; mend the corpus, raise max_dropped, or leave the rule out of corpus.clean"
    )
    with pytest.raises(InputError, match=message):
        cleaned(tmp_path, [*own, *own[:3]], max_dropped=0.3)
    assert not list(tmp_path.glob("store/corpus/*/manifest.json"))


def test_many_targets_of_a_source_are_too_many(tmp_path: Path) -> None:
    train = [*sentences(3), *(("haus und hof", " ".join(pair)) for pair in sentences(14))]
    corpus = cleaned(tmp_path, train, clean=("many_targets",))
    assert dropped(corpus) == [("many_targets", number) for number in range(14, 18)]


def test_any_number_of_processes_decides_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = sentences(60)
    train = [*own, *own[10:20], *((source.upper(), target) for source, target in own[:5])]
    alone = cleaned(tmp_path / "alone", train, clean="strict")
    monkeypatch.setattr(processes, "PAIRS", 11)
    monkeypatch.setattr(processes, "ALONE", 1)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    several = cleaned(tmp_path / "several", train, clean="strict")
    assert several.fingerprint == alone.fingerprint
    assert dropped(several) == dropped(alone)
    assert several.figures == {**alone.figures, "origin": several.figures["origin"]}


def test_dirt_of_every_kind_is_found(tmp_path: Path) -> None:
    """As `make bench-cleaning` measures it, on a few pairs of the grammar."""
    from pipeline.corpus.captions import generate_pairs

    found = judge(with_noise(list(generate_pairs(600, 5)), 0.03, 7), tmp_path)
    exact = ("mojibake", "controls", "nfc", "long", "copy", "letters", "addresses", "numbers", "duplicate", "similar")
    assert {rule: found[rule]["recall"] for rule in exact} == pytest.approx(dict.fromkeys(exact, 1.0), abs=0.06)
    assert all(row["precision"] > 0.9 for rule, row in found.items() if rule != "near_duplicate")
    assert found["language"]["recall"] > 0.8


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans())), st.integers(1, 4))
def test_places_among_equals_whatever_fits_the_memory(rows: list[tuple[int, bool]], at_once: int) -> None:
    keys = np.array([key for key, _ in rows], dtype=np.uint64)
    wanted = np.array([is_wanted for _, is_wanted in rows], dtype=bool)
    expected = [
        sum(rows[before] == row for before in range(number)) if row[1] else 0 for number, row in enumerate(rows)
    ]
    assert places_among_equals(keys, wanted, at_once).tolist() == expected


def test_what_is_usual_is_learnt_from_the_corpus() -> None:
    chance = np.random.default_rng(1)
    source = chance.integers(20, 200, 2000)
    for ratio in (0.4, 1.0, 3.0):
        target = np.maximum(1, source * ratio + chance.normal(0, 3, source.size))
        lengths = np.stack([source, target], axis=1).astype(np.uint32)
        lengths[7] = [150, 5]
        assert np.flatnonzero(unusual_ratios(lengths, np.ones(len(lengths), dtype=bool))).tolist() == [7]


def test_the_report_says_nothing_in_markdown_or_html(tmp_path: Path) -> None:
    from pipeline.corpus.cleaning.chunks import Dropped
    from pipeline.corpus.cleaning.cleaning import Tally

    tally = Tally(read=1)
    tally.sample(Dropped("copy", 1, ("<img src=x> | [a](b)", "*b*"), "why"))
    page = report("mine", tally, ["copy"])
    assert "<img" not in page
    assert "| 1 | &#60;img src=x&#62; &#124; &#91;a&#93;(b) | &#42;b&#42; | why |" in page
