"""Training pairs that a model will be scored on, or nearly so: found, listed, and taken out.

A leak is a training pair of which, leaving case, punctuation and spacing aside,

- both sides are those of a scored pair ("exact" if nothing need be left aside, else "normalized");
- one side is that of a scored pair and is no short phrase ("source", "target"): its translation differs;
- both sides have nine of ten words in common with a scored pair ("near").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import shorten
from typing import Literal, Self, get_args

from pipeline.corpus.cleaning.characters import comparable, units
from pipeline.corpus.cleaning.pair_rules import Pair
from pipeline.errors import InputError
from pipeline.processes import in_chunks

Kind = Literal["exact", "normalized", "source", "target", "near"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PHRASE = 4
"""Words, or characters of a text without blanks, from which on a sentence is no short phrase."""
IN_COMMON = 0.9
"""The share of words that near pairs have in common on both sides."""


@dataclass(frozen=True)
class Leak:
    """A training pair that is scored, too."""

    kind: Kind
    number: int
    """Its row among the training pairs, from 0."""
    pair: Pair
    scored: str
    """The set of the scored pair."""
    scored_number: int
    """Its row there, from 0."""
    scored_pair: Pair

    @property
    def why(self) -> str:
        """In words."""
        return f"{WORDS[self.kind]} {self.scored} {self.scored_number + 1:,}"


WORDS: Mapping[Kind, str] = {
    "exact": "the same as",
    "normalized": "but for case, punctuation and spacing the same as",
    "source": "with the source of",
    "target": "with the target of",
    "near": "nearly the same as",
}


@dataclass(frozen=True)
class _Scored:
    name: str
    number: int
    pair: Pair
    sides: tuple["_Words", "_Words"]


@dataclass(frozen=True)
class _Words:
    """The words of a side."""

    words: Sequence[str]
    bits: int
    """One bit for each word. Another word may have the same: what differs here differs, but not the other way round."""

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        bits = 0
        for word in words:
            bits |= 1 << (hash(word) & 255)
        return cls(words, bits)

    def may_be_near(self, other: Self) -> bool:
        """Look at the bits alone, which is fast."""
        missing = _missing(max(len(self.words), len(other.words)))
        return (self.bits & ~other.bits).bit_count() <= missing >= (other.bits & ~self.bits).bit_count()

    def is_near(self, other: Self) -> bool:
        larger = max(len(self.words), len(other.words))
        return larger - (Counter(self.words) & Counter(other.words)).total() <= _missing(larger)


class LeakFinder:
    """Finds leaks of the pairs of some scored sets.

    Nothing is left to chance: of a near pair, at most a tenth of the words is missing on each side. So of the rarest
    words, one more than a tenth of them, at least one is there. By these, and by its length, a scored pair is found.
    """

    def __init__(self, sets: Mapping[str, Sequence[Pair]]) -> None:
        """Take the scored sets by name."""
        self._by_side: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._by_pair: dict[Pair, int] = {}
        self._scored: list[_Scored] = []
        for name, pairs in sets.items():
            for number, pair in enumerate(pairs):
                self._add(name, number, pair)
        self._by_word = self._index()

    def _index(self) -> dict[str, dict[int, list[int]]]:
        """Return the places of scored pairs by each of their source's rare words and by its number of words."""
        frequencies = Counter(word for scored in self._scored for word in scored.sides[0].words)
        found: dict[str, dict[int, list[int]]] = {}
        for place, scored in enumerate(self._scored):
            words = scored.sides[0].words
            for word in sorted({*words}, key=lambda word: (frequencies[word], word))[: _missing(len(words)) + 1]:
                found.setdefault(word, {}).setdefault(len(words), []).append(place)
        return found

    def _add(self, name: str, number: int, pair: Pair) -> None:
        source, target = comparable(pair[0]), comparable(pair[1])
        place = len(self._scored)
        self._scored.append(_Scored(name, number, pair, (_Words.of(units(source)), _Words.of(units(target)))))
        self._by_pair.setdefault((source, target), place)
        for side, text in enumerate((source, target)):
            if len(units(text)) >= PHRASE:
                self._by_side[side].setdefault(text, place)

    def __call__(self, first: int, pairs: Sequence[Pair]) -> list[Leak]:
        """Return the leaks among training pairs, of which the first is the one numbered `first` from 1."""
        found = []
        for row, pair in enumerate(pairs, start=first - 1):
            if (leak := self._leak(pair)) is not None:
                scored = self._scored[leak[1]]
                kind: Kind = "exact" if scored.pair == pair else leak[0]
                found.append(Leak(kind, row, pair, scored.name, scored.number, scored.pair))
        return found

    def _leak(self, pair: Pair) -> tuple[Kind, int] | None:
        source, target = comparable(pair[0]), comparable(pair[1])
        if (place := self._by_pair.get((source, target))) is not None:
            return "normalized", place
        if (place := self._by_side[0].get(source)) is not None:
            return "source", place
        if (place := self._by_side[1].get(target)) is not None:
            return "target", place
        return self._near(source, target)

    def _near(self, source: str, target: str) -> tuple[Kind, int] | None:
        words = _Words.of(units(source))
        near = [place for place in self._candidates(words.words) if words.may_be_near(self._scored[place].sides[0])]
        if near:
            sides = words, _Words.of(units(target))
            for place in sorted(near):
                others = self._scored[place].sides
                if sides[1].may_be_near(others[1]) and all(map(_Words.is_near, sides, others)):
                    return "near", place
        return None

    def _candidates(self, words: Sequence[str]) -> set[int]:
        """Return the places of scored pairs that a pair with these words in its source may be near to."""
        sizes, found = _near_sizes(len(words)), set[int]()
        for word in self._by_word.keys() & words:
            of_word = self._by_word[word]
            for size in sizes:
                if (places := of_word.get(size)) is not None:
                    found.update(places)
        return found


@cache
def _near_sizes(count: int) -> tuple[int, ...]:
    """Return of how many words a side may be that one of so many is near to."""
    sizes = range(count - _missing(count), int(count / IN_COMMON) + 2)
    return tuple(size for size in sizes if abs(count - size) <= _missing(max(count, size)))


def _missing(size: int) -> int:
    """Return how many of so many words a near pair may lack."""
    return int(size * (1 - IN_COMMON) + 1e-9)


def find_leaks(train: Iterable[Pair], scored: Mapping[str, Sequence[Pair]]) -> list[Leak]:
    """Return the training pairs that are in scored sets, too, in order."""
    return [leak for found in in_chunks(train, LeakFinder, (scored,)) for leak in found]


def refuse_leaks(leaks: Sequence[Leak], name: str) -> None:
    """Raise InputError, with the first of them, if there are any."""
    if leaks:
        first = leaks[0]
        source, target = (shorten(side, 60, placeholder="...") for side in first.pair)
        raise InputError(
            f"corpus.leaks=refuse: {len(leaks):,} training pairs of {name} are scored, too, such as pair "
            f"{first.number + 1:,}: {source} → {target} ({first.why}); take them out, or set corpus.leaks=remove"
        )


def count_leaks(leaks: Iterable[Leak]) -> dict[str, dict[str, int]]:
    """Return how many leaks there are by the scored set and by kind."""
    counts: dict[str, Counter[str]] = {}
    for leak in leaks:
        counts.setdefault(leak.scored, Counter())[leak.kind] += 1
    return {name: {kind: found[kind] for kind in KINDS if found[kind]} for name, found in counts.items()}
