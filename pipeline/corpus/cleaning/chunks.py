"""Some pairs at a time: repaired, judged by the rules that look at a pair alone, and reduced to lines and numbers."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from pipeline.corpus.cleaning.characters import REPAIRS, comparable, units
from pipeline.corpus.cleaning.pair_rules import LANGUAGE, PAIR_RULES, Pair, PairRule, language_rule

Keys = NDArray[np.uint64]

SIGNATURE = 64
"""Numbers of a MinHash signature."""
BINS, BIN = 60, 10
"""The histogram of lengths: so many bins of so many characters; longer sentences count in the last one."""


@dataclass(frozen=True)
class Dropped:
    """A pair that a rule has dropped."""

    rule: str
    number: int
    """Its place among the pairs of its split, from 1."""
    pair: Pair
    why: str = ""

    def line(self) -> str:
        """Return it as a line of JSON."""
        row = {"rule": self.rule, "number": self.number, "source": self.pair[0], "target": self.pair[1]}
        return json.dumps(row | ({"why": self.why} if self.why else {}), ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Repaired:
    """A pair that a rule has changed."""

    rule: str
    number: int
    before: Pair
    after: Pair


@dataclass(frozen=True)
class Asked:
    """What is to be found out of every pair."""

    rules: tuple[str, ...] = ()
    source_language: str | None = None
    target_language: str | None = None
    held_out_seed: int | None = None
    """Of the ranks by which pairs are held out; None: none are."""


@dataclass
class Chunk:
    """What is left of some pairs."""

    lines: list[bytes] = field(default_factory=list)
    """The pairs as lines of JSON."""
    numbers: list[int] = field(default_factory=list)
    """The place of each among the pairs of its split, from 1."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By name, a row for each line: `lengths` uint32 (pairs, 2), characters; `exact`, `similar`, `source` uint64
    hashes; `signature` uint32 (pairs, SIGNATURE); `rank`, bytes of `hash_pair`."""
    dropped: list[Dropped] = field(default_factory=list)
    repaired: list[Repaired] = field(default_factory=list)
    blank: int = 0
    read: int = 0
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), dtype=np.int64))
    """Lengths of both sides as they were read."""


Rank = Callable[[Pair, int], bytes]
"""Gives the bytes by which a pair is held out, for a seed."""


class Cleaner:
    """Cleans chunks of pairs as asked."""

    def __init__(self, asked: Asked, rank: Rank) -> None:
        """Take what is asked, and what gives ranks."""
        self._asked, self._rank = asked, rank
        self._repairs = [(name, repair) for name, (repair, _) in REPAIRS.items() if name in asked.rules]
        self._rules: list[tuple[str, PairRule]] = [
            (name, rule) for name, (rule, _) in PAIR_RULES.items() if name in asked.rules
        ]
        told = LANGUAGE[0] in asked.rules
        self._language = language_rule(asked.source_language, asked.target_language) if told else None

    def __call__(self, first: int, pairs: Sequence[Pair]) -> Chunk:
        """Clean pairs, of which the first is the one numbered `first`; all are of one line and stripped."""
        chunk, kept = Chunk(read=len(pairs)), list[tuple[int, Pair]]()
        for number, pair in enumerate(pairs, start=first):
            if not (pair[0] and pair[1]):
                chunk.blank += 1
                continue
            mended = self._mend(number, pair, chunk)
            if not (mended[0] and mended[1]):
                chunk.blank += 1
            elif (fault := self._fault(mended)) is not None:
                chunk.dropped.append(Dropped(fault[0], number, mended, fault[1]))
            else:
                kept.append((number, mended))
        kept = self._of_the_languages(kept, chunk)
        chunk.numbers = [number for number, _ in kept]
        for side in (0, 1):
            lengths = np.fromiter((len(pair[side]) for pair in pairs), np.int64, len(pairs))
            chunk.histogram[side] = bins_of(lengths)
        chunk.lines = [line_of(pair) for _, pair in kept]
        chunk.columns = self._columns([pair for _, pair in kept])
        return chunk

    def _of_the_languages(self, numbered: list[tuple[int, Pair]], chunk: Chunk) -> list[tuple[int, Pair]]:
        """Return the pairs that are in their languages; the others are dropped, in the order of all that are."""
        if self._language is None or not numbered:
            return numbered
        kept = []
        for each, why in zip(numbered, self._language([pair for _, pair in numbered]), strict=True):
            if why is None:
                kept.append(each)
            else:
                chunk.dropped.append(Dropped(LANGUAGE[0], *each, why))
        chunk.dropped.sort(key=lambda dropped: dropped.number)
        return kept

    def _mend(self, number: int, pair: Pair, chunk: Chunk) -> Pair:
        for name, repair in self._repairs:
            mended = (repair(pair[0]), repair(pair[1]))
            if mended != pair:
                chunk.repaired.append(Repaired(name, number, pair, mended))
                pair = mended
        return pair

    def _fault(self, pair: Pair) -> tuple[str, str] | None:
        for name, rule in self._rules:
            if (why := rule(pair)) is not None:
                return name, why
        return None

    def _columns(self, pairs: Sequence[Pair]) -> dict[str, NDArray[Any]]:
        rules, seed = self._asked.rules, self._asked.held_out_seed
        lengths = np.fromiter((len(side) for pair in pairs for side in pair), np.uint32, 2 * len(pairs))
        columns: dict[str, NDArray[Any]] = {"lengths": lengths.reshape(-1, 2)}
        if "duplicate" in rules or seed is not None:
            columns["exact"] = keys_of(pairs)
        alike = (
            [(comparable(source), comparable(target)) for source, target in pairs]
            if "similar" in rules or "near_duplicate" in rules
            else []
        )
        if "similar" in rules:
            columns["similar"] = keys_of(alike)
        if "near_duplicate" in rules:
            columns["signature"] = signatures(alike)
        if "many_targets" in rules:
            columns["source"] = keys_of([(source, "") for source, _ in pairs])
        if seed is not None:
            columns["rank"] = np.array([self._rank(pair, seed) for pair in pairs], dtype="V24")
        return columns


def line_of(pair: Pair) -> bytes:
    """Return a pair as a line of JSON."""
    return (json.dumps({"source": pair[0], "target": pair[1]}, ensure_ascii=False) + "\n").encode("utf8")


def keys_of(pairs: Sequence[Pair]) -> Keys:
    """Return a hash of each pair, of 64 bits."""
    digests = (
        hashlib.blake2b(f"{source}\n{target}".encode("utf8", "surrogatepass"), digest_size=8).digest()
        for source, target in pairs
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def signatures(pairs: Sequence[Pair]) -> NDArray[np.uint32]:
    """Return the MinHash signatures (Broder 1997) of the words and neighbouring words of both sides."""
    sets = [[*_shingles(source, "s "), *_shingles(target, "t ")] for source, target in pairs]
    digests = RMinHash.digests_from_token_sets(sets, num_perm=SIGNATURE, seed=1)
    return np.array(digests, dtype=np.uint32).reshape(-1, SIGNATURE)


def _shingles(text: str, side: str) -> list[str]:
    words = units(text)
    return [side + word for word in words] + [f"{side}{first} {second}" for first, second in pairwise(words)]


def bins_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many lengths are in each bin of the histogram."""
    return np.bincount(np.minimum(lengths // BIN, BINS - 1).astype(np.int64), minlength=BINS)
