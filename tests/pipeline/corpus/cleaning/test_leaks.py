"""Training pairs that are scored, too: found whatever was changed, listed, taken out or refused."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.cleaning.leaks import LeakFinder, find_leaks
from pipeline.corpus.corpus import prepare_corpus
from pipeline.corpus.scored import ScoredSet
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.store.store import Store
from tests.benchmarks.dirt import changed_form, changed_words
from tests.corpus_files import prepare, write_folder

LONG = (
    "ein alter mann mit einem hut sitzt heute auf einer bank im park",
    "an old man with a hat is sitting on a bench in the park today",
)
OTHERS = [
    (f"satz nummer {number} ist ganz anders", f"sentence number {number} is quite different") for number in range(9)
]


def test_copies_are_found_exactly_changed_in_form_and_in_one_word_of_twelve() -> None:
    """Over all scored pairs that are long enough: by construction, none is missed."""
    chance, pairs = random.Random(1), list(generate_pairs(1500, 3))
    scored, train = pairs[:500], pairs[500:]
    copies = {
        "exact": scored,
        "normalized": [changed_form(pair, chance) for pair in scored],
        "near": [changed for pair in scored if (changed := changed_words(pair, chance)) is not None],
    }
    assert len(copies["near"]) > 20
    for kind, copied in copies.items():
        leaks = find_leaks(copied, {"test": scored})
        assert len(leaks) == len(copied)
        assert {leak.kind for leak in leaks} <= {kind, "exact", "normalized"}
    assert len(find_leaks(train, {"test": scored})) < 0.01 * len(train), "others are left alone"


def test_the_index_misses_none_that_comparing_all_with_all_finds() -> None:
    """Sentences of few different words, so that many are nearly the same."""
    chance = random.Random(5)

    def sentence() -> str:
        return " ".join(chance.choices("abcdefgh", k=chance.randrange(1, 24)))

    def changed(text: str) -> str:
        words = text.split()
        for _ in range(chance.randrange(3)):
            words[chance.randrange(len(words))] = chance.choice("abcdefgh")
        return " ".join(words[: -chance.randrange(1, 3)] if chance.random() < 0.3 and len(words) > 3 else words)

    scored = [(sentence(), sentence()) for _ in range(200)]
    train = [(changed(source), changed(target)) for source, target in scored * 5]

    def near(first: str, second: str) -> bool:
        sides = Counter(first.split()), Counter(second.split())
        larger = max(side.total() for side in sides)
        return larger - (sides[0] & sides[1]).total() <= int(larger / 10 + 1e-9)

    expected = {
        row
        for row, (source, target) in enumerate(train)
        if any(near(source, other[0]) and near(target, other[1]) for other in scored)
    }
    found = [leak for leak in find_leaks(train, {"test": scored}) if leak.kind not in {"source", "target"}]
    by_a_side = {leak.number for leak in find_leaks(train, {"test": scored})} - {leak.number for leak in found}
    assert {leak.number for leak in found} == expected - by_a_side
    assert len([leak for leak in found if leak.kind == "near"]) > 20


def test_a_side_alone_is_a_leak_unless_it_is_a_short_phrase() -> None:
    finder = LeakFinder({"test": [LONG, ("Ja.", "Yes.")]})
    train = [(LONG[0], "something else"), ("etwas anderes", LONG[1]), ("Jawohl!", "Yes."), ("ja", "yes")]
    assert [(leak.kind, leak.number) for leak in finder(1, train)] == [("source", 0), ("target", 1), ("normalized", 3)]


def test_leaks_are_taken_out_and_listed(tmp_path: Path) -> None:
    splits = {"train": [*OTHERS, (LONG[0].upper(), LONG[1])], "val": [LONG], "test": [("fünf", "five")]}
    folder = write_folder(tmp_path / "x", "jsonl", splits)
    corpus = prepare(Store(tmp_path / "store"), folder, leaks="remove")
    assert list(corpus.pairs("train")) == OTHERS
    assert corpus.figures["leaks"] == {"validation": {"normalized": 1}}
    (row,) = map(json.loads, (corpus.path / "dropped.jsonl").read_text("utf8").splitlines())
    assert row["rule"] == "leak"
    assert row["number"] == 10
    assert row["why"] == "but for case, punctuation and spacing the same as validation 1"
    assert prepare(Store(tmp_path / "store"), folder, leaks="keep").figures["pairs"]["train"] == 10
    message = r"corpus.leaks=refuse: 1 training pairs of .* are scored, too, such as pair 10: .*; take them out, or set"
    with pytest.raises(InputError, match=message):
        prepare(Store(tmp_path / "store"), folder, leaks="refuse")


def test_what_is_held_out_is_scored(tmp_path: Path) -> None:
    pairs = [*OTHERS, LONG, (LONG[0].upper(), LONG[1].upper())]
    folder = write_folder(tmp_path / "x", "jsonl", {"train": pairs})
    found = [
        prepare(Store(tmp_path / "store"), folder, leaks="remove", test_size=1, validation_size=1, seed=seed)
        for seed in range(12)
    ]
    held = [corpus for corpus in found if {*corpus.pairs("test"), *corpus.pairs("validation")} & {*pairs[9:]}]
    assert held, "one of the two is held out with some seed"
    for corpus in held:
        assert not {*corpus.pairs("train")} & {*pairs[9:]}


def test_further_test_sets_count_in_one_source_and_across_several(tmp_path: Path) -> None:
    scored = ScoredSet("news", "f" * 64, lambda: [LONG])
    store = Store(tmp_path / "store")
    folder = write_folder(
        tmp_path / "x", "jsonl", {"train": [*OTHERS, LONG], "val": [("vier", "four")], "test": [("fünf", "five")]}
    )
    alone = prepare_corpus(CorpusConfig(path=str(folder)), store, [scored])
    assert list(alone.pairs("train")) == OTHERS
    assert prepare_corpus(CorpusConfig(path=str(folder)), store).fingerprint != alone.fingerprint
    other = write_folder(
        tmp_path / "y",
        "jsonl",
        {"train": OTHERS[:1] * 1 + [("neun zehn", "nine ten")], "val": [LONG], "test": [OTHERS[4]]},
    )
    sources = ({"name": "x", "path": str(folder)}, {"name": "y", "path": str(other)})
    both = prepare_corpus(CorpusConfig.model_validate({"sources": sources}), store)
    assert [len(list(part.read("train"))) for part in both.parts] == [8, 2], (
        "each source's test pairs count in the other"
    )
    assert both.figures["pairs"]["train"] == len(list(both.pairs("train"))) == 10
    assert both.figures["left_out"] == {"x": 2}
    rows = [json.loads(line) for line in (both.path / "leaks.jsonl").read_text("utf8").splitlines()]
    assert [(row["of"], row["row"], row["why"]) for row in rows] == [
        ("x", 4, "the same as y's test 1"),
        ("x", 9, "the same as y's validation 1"),
    ]
    further = prepare_corpus(CorpusConfig.model_validate({"sources": sources}), store, [scored])
    assert further.fingerprint != both.fingerprint
