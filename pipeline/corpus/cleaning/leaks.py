"""Training pairs that a model will be scored on, or nearly so: found, listed, and taken out.

A leak is a training pair of which, leaving case, punctuation and spacing aside,

- both sides are those of a scored pair ("exact" if nothing need be left aside, else "normalized");
- one side is that of a scored pair and is no short phrase ("source", "target"): its translation differs;
- both sides have nine of ten words in common with a scored pair ("near").
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal, get_args

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
    units: tuple[Counter[str], Counter[str]]


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
        self._by_unit = self._index(0), self._index(1)

    def _index(self, side: int) -> dict[tuple[str, int], list[int]]:
        """Return the places of scored pairs by rare words of a side and by its number of words."""
        frequencies = Counter(unit for scored in self._scored for unit in scored.units[side])
        found: dict[tuple[str, int], list[int]] = {}
        for place, scored in enumerate(self._scored):
            words, size = scored.units[side], scored.units[side].total()
            for unit in sorted(words, key=lambda unit: (frequencies[unit], unit))[: _missing(size) + 1]:
                found.setdefault((unit, size), []).append(place)
        return found

    def _add(self, name: str, number: int, pair: Pair) -> None:
        source, target = comparable(pair[0]), comparable(pair[1])
        place = len(self._scored)
        self._scored.append(_Scored(name, number, pair, (Counter(units(source)), Counter(units(target)))))
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
        words = units(source), units(target)
        candidates = self._candidates(0, words[0])
        if candidates:
            candidates &= self._candidates(1, words[1])
        if candidates:
            sides = Counter(words[0]), Counter(words[1])
            for place in sorted(candidates):
                if all(_alike(own, other) for own, other in zip(sides, self._scored[place].units, strict=True)):
                    return "near", place
        return None

    def _candidates(self, side: int, words: Sequence[str]) -> set[int]:
        """Return the places of scored pairs that a side with these words may be near to."""
        index, count = self._by_unit[side], len(words)
        sizes = [size for size in range(count - _missing(count), int(count / IN_COMMON) + 2) if _fit(count, size)]
        return {place for word in set(words) for size in sizes for place in index.get((word, size), ())}


def _missing(size: int) -> int:
    """Return how many of so many words a near pair may lack."""
    return int(size * (1 - IN_COMMON) + 1e-9)


def _fit(size: int, other: int) -> bool:
    """Return whether sides of so many words can be near each other."""
    return abs(size - other) <= _missing(max(size, other))


def _alike(first: Counter[str], second: Counter[str]) -> bool:
    larger = max(first.total(), second.total())
    return larger - (first & second).total() <= _missing(larger)


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
