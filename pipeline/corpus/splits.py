"""From raw pairs to the three files of a corpus: clean, hold out splits."""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.cleaning.chunks import Asked, line_of
from pipeline.corpus.cleaning.cleaning import Cleaned, clean_pairs, cleaning_figures
from pipeline.corpus.cleaning.leaks import Leak, count_leaks, find_leaks, refuse_leaks
from pipeline.corpus.cleaning.report import write_report
from pipeline.corpus.cleaning.rules import DESCRIPTIONS, LEAK
from pipeline.corpus.cleaning.whole_corpus import blocks
from pipeline.corpus.held_out import choose_of_many, hash_pair, source_number, sources_of
from pipeline.corpus.languages import UNKNOWN, Languages
from pipeline.corpus.pairs import Pair
from pipeline.errors import InputError
from pipeline.store.artifact_folder import file_hash

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SCORED: tuple[Split, ...] = ("test", "validation")
"""In the order in which they are held out."""
BREAKS = re.compile(r"\r\n|[\r\n\t]")
DROPPED = "dropped.jsonl"


LeakMode = Literal["remove", "refuse", "keep"]
Places = NDArray[np.uint8]
"""For each line, its split by its number in `SPLITS`."""


@dataclass(frozen=True)
class Cleaning:
    """What is done to the training pairs of a source."""

    rules: tuple[str, ...] = ()
    languages: Languages = UNKNOWN
    max_dropped: float = 1.0
    leaks: LeakMode = "keep"
    scored: Mapping[str, Sequence[Pair]] = field(default_factory=dict)
    """Further sets of pairs that models will be scored on, by name."""


def find_split(name: str) -> Split:
    """Return a split by its name. Raises InputError for any other word."""
    for split in SPLITS:
        if name == split:
            return split
    raise InputError(f"--split {name}: there is no such split; choose one of {', '.join(SPLITS)}")


def write_splits(
    folder: Path,
    raw: Mapping[Split, Iterable[Pair]],
    sizes: Mapping[Split, int],
    seed: int,
    name: str,
    cleaning: Cleaning | None = None,
) -> dict[str, Any]:
    """Write train.jsonl, validation.jsonl and test.jsonl into `folder` and return the figures.

    `raw` holds the splits of the source, train among them; each is read once, test first and train last. The others are
    held out from train, about `sizes[split]` pairs each; see `choose_sources`. `name` stands for the source in
    messages.

    The rules hold for train alone, and so for what is held out from it: a test set stays what it is. What they drop is
    in dropped.jsonl; cleaning.md and lengths.png report it. If anything is held out, duplicates are dropped whatever
    the rules are. Last, training pairs that are in validation, in test or in `cleaning.scored` are taken out.

    Figures: `pairs`, `blank` (dropped because a side was empty) and `sha256` by split; `held_out`, the splits cut from
    train; `duplicates`, dropped from train; `leaks`, see `count_leaks`; and `cleaning`, see `cleaning_figures`. Raises
    InputError for a split without pairs, for a rule that drops more than it may, and for leaks if they are refused.
    """
    cleaning = cleaning or Cleaning()
    blank: Counter[str] = Counter()
    held_out: dict[Split, int] = {split: sizes[split] for split in SPLITS if split not in raw}
    rules = (*cleaning.rules, *(["duplicate"] if held_out and "duplicate" not in cleaning.rules else []))
    asked = Asked(rules, cleaning.languages.source, cleaning.languages.target, seed if held_out else None)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        files = {split: stack.enter_context(_File(split_path(folder, split))) for split in SPLITS}
        given: dict[str, list[Pair]] = {}
        for split in SCORED:
            if split in raw:
                given[split] = list(cleaned(raw[split], split, blank))
                for pair in given[split]:
                    files[split].write(line_of(pair))
        train = clean_pairs(_tidy(raw["train"]), asked, hash_pair, scratch, folder / DROPPED)
        blank["train"] = train.tally.blank
        _refuse_drops(train, cleaning.rules, cleaning.max_dropped, name)
        places = _choose_held_out(train, held_out, name)
        leaks = _drop_leaks(train, places, {**cleaning.scored, **given}, cleaning.leaks, name)
        train.write(lambda row: files[SPLITS[places[row]]].write, folder / DROPPED)
        shown = rules if cleaning.leaks == "keep" else (*rules, LEAK[0])
        write_report(folder, name, train.tally, shown)
    figures = {
        "pairs": {split: files[split].lines for split in SPLITS},
        "blank": {split: blank[split] for split in SPLITS},
        "duplicates": train.tally.counts["duplicate"],
        "held_out": list(held_out),
        "leaks": count_leaks(leaks),
        "cleaning": cleaning_figures(train, shown),
    }
    _refuse_empty_splits(figures, name)
    return figures | {"sha256": {split: file_hash(split_path(folder, split)) for split in SPLITS}}


class _File:
    """A file that counts its lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.lines = 0

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self.lines += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_pairs(file: Path) -> Iterator[Pair]:
    """Yield the pairs of a file that `write_splits` has written, in order, one at a time."""
    with file.open(encoding="utf8", newline="\n") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["source"], row["target"]


def split_path(folder: Path, split: Split) -> Path:
    """Return the split's file in the folder of a corpus."""
    return folder / f"{split}.jsonl"


def clean_sentence(text: str) -> str:
    r"""Return the sentence on one line, stripped of white space; no other character changes.

    >>> clean_sentence(" Ein Hund\n bellt. ")
    'Ein Hund  bellt.'
    """
    return BREAKS.sub(" ", text.strip())


def cleaned(pairs: Iterable[Pair], split: Split, blank: MutableMapping[str, int]) -> Iterator[Pair]:
    """Yield the cleaned pairs; those with an empty side are dropped and counted in `blank[split]`."""
    for raw_source, raw_target in pairs:
        source, target = clean_sentence(raw_source), clean_sentence(raw_target)
        if source and target:
            yield source, target
        else:
            blank[split] += 1


def _tidy(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs with each sentence on one line; a side may be empty."""
    return ((clean_sentence(source), clean_sentence(target)) for source, target in pairs)


def _choose_held_out(train: Cleaned, held_out: Mapping[Split, int], name: str) -> Places:
    """Return the split of every row. Test is chosen first, so that it depends on no other size."""
    places = np.full(train.fate.size, SPLITS.index("train"), dtype=np.uint8)
    if not held_out:
        return places
    records, stays = train.columns["rank"], train.stays
    splits = [split for split in SCORED if split in held_out]
    chosen = choose_of_many(records, stays, [held_out[split] for split in splits])
    if chosen is None:
        sizes = " and ".join(f"corpus.{split}_size={size}" for split, size in held_out.items())
        sources = np.unique(sources_of(records[stays])).size
        raise InputError(
            f"{sizes}: {name} has only {np.count_nonzero(stays)} distinct pairs "
            f"({sources} distinct sources, each held out whole), too few to hold "
            f"out {sum(held_out.values())} and train on the rest; lower the sizes, or supply these splits"
        )
    for split, of_split in zip(splits, chosen, strict=True):
        wanted = np.array([source_number(source) for source in of_split], dtype=np.uint64)
        for block in blocks(records.size):
            places[block][np.isin(sources_of(records[block]), wanted)] = SPLITS.index(split)
    return places


def _drop_leaks(
    train: Cleaned, places: Places, given: Mapping[str, Sequence[Pair]], mode: LeakMode, name: str
) -> list[Leak]:
    """Return the leaks among the training pairs, which are dropped or refused, as `mode` says.

    `given` are the pairs to score on by split or set; what is held out from train is scored, too.
    """
    scored = dict(given)
    for number, split in enumerate(SPLITS):
        if split != "train" and (rows := train.stays & (places == number)).any():
            scored[split] = list(map(_pair_of, compress(train.lines(), rows)))
    rows = train.stays & (places == SPLITS.index("train"))
    leaks = find_leaks(map(_pair_of, compress(train.lines(), rows)), scored)
    if mode == "refuse":
        refuse_leaks(leaks, name)
    if mode == "remove" and leaks:
        numbers = np.flatnonzero(rows)
        train.drop({int(numbers[leak.number]): leak.why for leak in leaks}, LEAK[0])
    return leaks


def _pair_of(line: bytes) -> Pair:
    row = json.loads(line)
    return row["source"], row["target"]


def _refuse_drops(train: Cleaned, rules: Sequence[str], most: float, name: str) -> None:
    """Raise InputError for a rule that drops more than it may."""
    for rule in rules:
        if (dropped := train.dropped_by(rule)) > most * train.tally.read:
            example = train.example(rule)
            source, target = (shorten(side, 60, placeholder="...") for side in example.pair)
            raise InputError(
                f"corpus.max_dropped={most}: the rule {rule} drops {dropped:,} of {train.tally.read:,} pairs of {name} "
                f"({DESCRIPTIONS[rule]}), such as pair {example.number}: {source} → {target}; mend the corpus, raise "
                "max_dropped, or leave the rule out of corpus.clean"
            )


def _refuse_empty_splits(figures: Mapping[str, Any], name: str) -> None:
    for split in SPLITS:
        if not figures["pairs"][split]:
            raise InputError(
                f"{name}: the {split} split holds no sentence pair ({figures['blank'][split]} dropped because "
                f"a side is empty{_also_dropped(figures) if split == 'train' else ''}); check the source's columns, "
                "or remove the split from it"
            )


def _also_dropped(figures: Mapping[str, Any]) -> str:
    rules = {rule: count for rule, count in figures["cleaning"]["rules"].items() if count and rule not in REPAIRS}
    return "".join(f", {count:,} by the rule {rule}" for rule, count in rules.items())
