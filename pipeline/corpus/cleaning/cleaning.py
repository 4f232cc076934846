"""The training pairs of a source, cleaned: read once, decided on when all have been seen, then written."""

import heapq
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.cleaning.chunks import BINS, Asked, Chunk, Cleaner, Dropped, Rank, Repaired, bins_of
from pipeline.corpus.cleaning.pair_rules import Pair
from pipeline.corpus.cleaning.rules import DESCRIPTIONS
from pipeline.corpus.cleaning.whole_corpus import (
    MOST_TARGETS,
    Columns,
    Mask,
    blocks,
    near_duplicates,
    places_among_equals,
    unusual_ratios,
)
from pipeline.processes import in_chunks

SAMPLES = 10
"""Pairs of each rule that are shown."""
STAYS = 0
LINES = "lines"


@dataclass
class Tally:
    """What the rules have done."""

    read: int = 0
    blank: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Pairs by the name of the rule that has dropped or changed them."""
    before: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), dtype=np.int64))
    after: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), dtype=np.int64))
    """Histograms of the lengths of both sides, in characters."""
    _samples: dict[str, list[tuple[int, int, Dropped | Repaired]]] = field(default_factory=dict)

    def sample(self, what: Dropped | Repaired) -> None:
        """Count a pair, and keep it if it is among those to show: drawn by its number, so always the same ones."""
        self.counts[what.rule] += 1
        kept = self._samples.setdefault(what.rule, [])
        entry = (-(what.number * 2_654_435_761 % 2**32), what.number, what)
        if len(kept) < SAMPLES:
            heapq.heappush(kept, entry)
        elif entry[:2] > kept[0][:2]:
            heapq.heapreplace(kept, entry)

    def samples(self, rule: str) -> list[Dropped | Repaired]:
        """Return the pairs of a rule to show, in order."""
        return [what for _, _, what in sorted(self._samples.get(rule, ()), key=lambda entry: entry[1])]


@dataclass(frozen=True)
class Cleaned:
    """Pairs that a scratch folder holds, with what has been decided on each."""

    folder: Path
    columns: Columns
    names: Sequence[str]
    """The rules by number, from 1."""
    fate: NDArray[np.uint8]
    """For each line, the number of the rule that drops it, or STAYS."""
    tally: Tally
    reasons: dict[int, str] = field(default_factory=dict)
    """Why a line is dropped, by its row, where there is more to say than the rule's name."""

    def lines(self) -> Iterator[bytes]:
        """Yield all lines."""
        with (self.folder / LINES).open("rb") as lines:
            yield from lines

    def drop(self, rows: Mapping[int, str], rule: str) -> None:
        """Drop lines by their rows, each for a reason."""
        self.reasons.update(rows)
        chosen = np.fromiter(rows, np.int64, len(rows))
        self.fate[chosen] = self.names.index(rule) + 1
        for side in (0, 1):
            self.tally.after[side] -= bins_of(self.columns["lengths"][chosen, side])

    @property
    def stays(self) -> Mask:
        """Which lines stay."""
        return np.asarray(self.fate == STAYS)

    def dropped_by(self, rule: str) -> int:
        """Return how many pairs a rule drops."""
        if rule in REPAIRS:
            return 0
        return self.tally.counts[rule] + int(np.count_nonzero(self.fate == self.names.index(rule) + 1))

    def example(self, rule: str) -> Dropped:
        """Return the first pair that a rule drops, which must be one."""
        for sample in self.tally.samples(rule):
            if isinstance(sample, Dropped):
                return sample
        row = int(np.flatnonzero(self.fate == self.names.index(rule) + 1)[0])
        pair = json.loads(next(islice(self.lines(), row, None)))
        return Dropped(rule, int(self.columns["numbers"][row]), (pair["source"], pair["target"]))

    def write(self, choose: Callable[[int], Callable[[bytes], Any]], dropped: Path) -> None:
        """Write every line that stays by what `choose` returns for its row, and those that do not into `dropped`."""
        lines = self.lines()
        with dropped.open("a", encoding="utf8", newline="\n") as away:
            for block in blocks(self.fate.size):
                fates, numbers = self.fate[block].tolist(), self.columns["numbers"][block].tolist()
                for row, (fate, number) in enumerate(zip(fates, numbers, strict=True), start=block.start):
                    line = next(lines)
                    if fate == STAYS:
                        choose(row)(line)
                        continue
                    pair = json.loads(line)
                    why = self.reasons.get(row, "")
                    gone = Dropped(self.names[fate - 1], number, (pair["source"], pair["target"]), why)
                    self.tally.sample(gone)
                    away.write(gone.line())


def clean_pairs(pairs: Iterable[Pair], asked: Asked, rank: Rank, folder: Path, dropped: Path) -> Cleaned:
    """Clean the pairs of a corpus into a scratch folder; those that the rules for pairs drop go into `dropped`."""
    columns, tally, cleaner = Columns(folder), Tally(), Cleaner(asked, rank)
    _add(columns, cleaner(1, []))  # So that all columns are there, also for no pair.
    with (folder / LINES).open("wb") as lines, dropped.open("w", encoding="utf8", newline="\n") as away:
        for chunk in in_chunks(pairs, Cleaner, (asked, rank)):
            lines.writelines(chunk.lines)
            _add(columns, chunk)
            away.writelines(gone.line() for gone in chunk.dropped)
            _count(chunk, tally)
            logging.getLogger(__name__).info("%s pairs read", f"{tally.read:,}")
    fate = _decide(columns, asked.rules)
    lengths = columns["lengths"]
    for block in blocks(fate.size):
        kept = lengths[block][fate[block] == STAYS]
        for side in (0, 1):
            tally.after[side] += bins_of(kept[:, side])
    return Cleaned(folder, columns, list(DESCRIPTIONS), fate, tally)


def _add(columns: Columns, chunk: Chunk) -> None:
    for name, rows in {**chunk.columns, "numbers": np.array(chunk.numbers, dtype=np.uint64)}.items():
        columns.append(name, rows)


def _count(chunk: Chunk, tally: Tally) -> None:
    tally.read += chunk.read
    tally.blank += chunk.blank
    tally.before += chunk.histogram
    found: list[Dropped | Repaired] = [*chunk.dropped, *chunk.repaired]
    for what in found:
        tally.sample(what)


def _decide(columns: Columns, rules: Sequence[str]) -> NDArray[np.uint8]:
    """Return which rule for the whole corpus drops each line."""
    fate = np.zeros(len(columns["lengths"]), dtype=np.uint8)
    for rule in rules:
        if (find := WHOLE_CORPUS.get(rule)) is not None:
            stays = fate == STAYS
            fate[stays & find(columns, stays)] = list(DESCRIPTIONS).index(rule) + 1
    return fate


def _repeated(key: str, most: int = 1) -> Callable[[Columns, Mask], Mask]:
    return lambda columns, stays: np.asarray(places_among_equals(columns[key], stays) >= most)


WHOLE_CORPUS: dict[str, Callable[[Columns, Mask], Mask]] = {
    "ratio": lambda columns, stays: unusual_ratios(columns["lengths"], stays),
    "duplicate": _repeated("exact"),
    "similar": _repeated("similar"),
    "near_duplicate": lambda columns, stays: near_duplicates(columns["signature"], stays),
    "many_targets": _repeated("source", MOST_TARGETS),
}
"""What finds the lines that a rule drops, among those that stay."""


def cleaning_figures(cleaned: Cleaned, rules: Sequence[str]) -> dict[str, Any]:
    """Return what goes into the manifest: pairs read and by rule, and the histograms."""
    tally = cleaned.tally
    return {
        "read": tally.read,
        "rules": {rule: tally.counts[rule] for rule in rules},
        "before": tally.before.tolist(),
        "after": tally.after.tolist(),
    }
