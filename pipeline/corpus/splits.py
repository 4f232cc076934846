"""From raw pairs to the three files of a corpus: clean, hold out splits, count what stands in several of them."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pipeline.corpus.held_out import choose_sources, hash_pair, source_of
from pipeline.corpus.pairs import Pair
from pipeline.errors import InputError
from pipeline.store.artifact_folder import file_hash

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SCORED: tuple[Split, ...] = ("test", "validation")
"""In the order in which they are held out."""
BREAKS = re.compile(r"\r\n|[\r\n\t]")


def find_split(name: str) -> Split:
    """Return a split by its name. Raises InputError for any other word."""
    for split in SPLITS:
        if name == split:
            return split
    raise InputError(f"--split {name}: there is no such split; choose one of {', '.join(SPLITS)}")


def write_splits(
    folder: Path, raw: Mapping[Split, Iterable[Pair]], sizes: Mapping[Split, int], seed: int, name: str
) -> dict[str, Any]:
    """Write train.jsonl, validation.jsonl and test.jsonl into `folder` and return the figures.

    `raw` holds the splits of the source, train among them; each is iterated up to twice. The others are held out from
    train, about `sizes[split]` pairs each; see `choose_sources`. `name` stands for the source in messages.

    Figures: `pairs`, `blank` (dropped because a side was empty) and `sha256` by split; `held_out`, the splits cut from
    train; `duplicates`, dropped from train if anything was held out; and those of `count_leaks`. Raises InputError for
    a split without pairs.
    """
    blank: Counter[str] = Counter()
    held_out: dict[Split, int] = {split: sizes[split] for split in SPLITS if split not in raw}
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(split_path(folder, split).open("w", encoding="utf-8", newline="\n"))
            for split in SPLITS
        }
        for split, pair in _assign_splits(raw, held_out, seed, blank, counts, name):
            files[split].write(json.dumps({"source": pair[0], "target": pair[1]}, ensure_ascii=False) + "\n")
            counts[split] += 1
    figures = {
        "pairs": {split: counts[split] for split in SPLITS},
        "blank": {split: blank[split] for split in SPLITS},
        "duplicates": counts["duplicates"],
        "held_out": list(held_out),
    }
    _refuse_empty_splits(figures, name)
    hashes = {split: file_hash(split_path(folder, split)) for split in SPLITS}
    return figures | count_leaks(folder) | {"sha256": hashes}


def count_leaks(folder: Path) -> dict[str, Any]:
    """Return how many pairs of validation and test a model has seen in training, whole or in part.

    By split: `leaked_sources`, the pairs whose source is in train; `leaked_targets`, those whose target is; `leaked`,
    those of either kind. And `repeated`, the pairs of test whose source is in validation.
    """
    pairs = {split: list(read_pairs(split_path(folder, split))) for split in SCORED}
    sources = {split: {source for source, _ in found} for split, found in pairs.items()}
    targets = {target for found in pairs.values() for _, target in found}
    seen_sources, seen_targets = set[str](), set[str]()
    for source, target in read_pairs(split_path(folder, "train")):
        if any(source in of_split for of_split in sources.values()):
            seen_sources.add(source)
        if target in targets:
            seen_targets.add(target)
    return {
        "leaked": {split: sum(s in seen_sources or t in seen_targets for s, t in pairs[split]) for split in SCORED},
        "leaked_sources": {split: sum(s in seen_sources for s, _ in pairs[split]) for split in SCORED},
        "leaked_targets": {split: sum(t in seen_targets for _, t in pairs[split]) for split in SCORED},
        "repeated": sum(s in sources["validation"] for s, _ in pairs["test"]),
    }


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


def _assign_splits(
    raw: Mapping[Split, Iterable[Pair]],
    held_out: Mapping[Split, int],
    seed: int,
    blank: Counter[str],
    counts: Counter[str],
    name: str,
) -> Iterator[tuple[Split, Pair]]:
    """Yield every pair with its split."""
    for split in SCORED:
        for pair in cleaned(raw.get(split, ()), split, blank):
            yield split, pair
    if not held_out:
        for pair in cleaned(raw["train"], "train", blank):
            yield "train", pair
        return
    unseen = {hash_pair(pair, seed) for pair in cleaned(raw["train"], "train", Counter())}
    chosen = _choose_held_out(unseen, held_out, name)
    for pair in cleaned(raw["train"], "train", blank):
        hashed = hash_pair(pair, seed)
        if hashed in unseen:
            unseen.remove(hashed)
            yield chosen.get(source_of(hashed), "train"), pair
        else:
            counts["duplicates"] += 1


def _choose_held_out(hashes: Collection[bytes], held_out: Mapping[Split, int], name: str) -> dict[bytes, Split]:
    """Return the split of every source held out. Test is chosen first, so that it depends on no other size."""
    splits = [split for split in SCORED if split in held_out]
    chosen = choose_sources(hashes, [held_out[split] for split in splits])
    if chosen is None:
        sizes = " and ".join(f"corpus.{split}_size={size}" for split, size in held_out.items())
        raise InputError(
            f"{sizes}: {name} has only {len(hashes)} distinct pairs "
            f"({len({source_of(hashed) for hashed in hashes})} distinct sources, each held out whole), too few to hold "
            f"out {sum(held_out.values())} and train on the rest; lower the sizes, or supply these splits"
        )
    return {source: split for split, sources in zip(splits, chosen, strict=True) for source in sources}


def _refuse_empty_splits(figures: Mapping[str, Any], name: str) -> None:
    for split in SPLITS:
        if not figures["pairs"][split]:
            raise InputError(
                f"{name}: the {split} split holds no sentence pair ({figures['blank'][split]} dropped because "
                "a side is empty); check the source's columns, or remove the split from it"
            )
