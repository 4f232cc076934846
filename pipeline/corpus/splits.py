"""From raw pairs to the three files of a corpus: clean, hold out splits, count duplicates across splits."""

import hashlib
import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pipeline.corpus.pairs import Pair
from pipeline.errors import InputError
from pipeline.store.artifact_folder import file_hash

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
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
    train, `sizes[split]` pairs each. `name` stands for the source in messages.

    Figures: `pairs`, `blank` (dropped because a side was empty) and `sha256` by split; `held_out`, the splits cut from
    train; `duplicates`, dropped from train if anything was held out; `leaked`, the pairs of validation and test that
    are in train as well. Raises InputError for a split without pairs.
    """
    blank: Counter[str] = Counter()
    held_out: dict[Split, int] = {split: sizes[split] for split in SPLITS if split not in raw}
    counts: Counter[str] = Counter()
    evaluation: dict[Split, Counter[Pair]] = {"validation": Counter(), "test": Counter()}
    in_train: set[Pair] = set()
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(split_path(folder, split).open("w", encoding="utf-8", newline="\n"))
            for split in SPLITS
        }
        for split, pair in _assign_splits(raw, held_out, seed, blank, counts, name):
            files[split].write(json.dumps({"source": pair[0], "target": pair[1]}, ensure_ascii=False) + "\n")
            counts[split] += 1
            if split != "train":
                evaluation[split][pair] += 1
            elif any(pair in pairs for pairs in evaluation.values()):
                in_train.add(pair)
    figures = {
        "pairs": {split: counts[split] for split in SPLITS},
        "blank": {split: blank[split] for split in SPLITS},
        "duplicates": counts["duplicates"],
        "held_out": list(held_out),
        "leaked": {split: sum(pairs[pair] for pair in in_train) for split, pairs in evaluation.items()},
    }
    _refuse_empty_splits(figures, name)
    return figures | {"sha256": {split: file_hash(split_path(folder, split)) for split in SPLITS}}


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
    """Yield every pair with its split. Train comes last, so that pairs leaked into it can be counted."""
    for split in ("test", "validation"):
        for pair in cleaned(raw.get(split, ()), split, blank):
            yield split, pair
    if not held_out:
        for pair in cleaned(raw["train"], "train", blank):
            yield "train", pair
        return
    unseen = {_hash_order(pair, seed) for pair in cleaned(raw["train"], "train", Counter())}
    chosen = _choose_held_out(unseen, held_out, name)
    for pair in cleaned(raw["train"], "train", blank):
        rank = _hash_order(pair, seed)
        if rank in unseen:
            unseen.remove(rank)
            yield chosen.get(rank, "train"), pair
        else:
            counts["duplicates"] += 1


def _hash_order(pair: Pair, seed: int) -> bytes:
    """Return the pair's rank in a random order that depends on the seed and the pair alone.

    So the same pairs are held out on every machine and in whatever order the source lists them, and one
    pair more or less in the source changes at most one of them.
    """
    text = json.dumps([seed, *pair])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _choose_held_out(ranks: set[bytes], held_out: Mapping[Split, int], name: str) -> dict[bytes, Split]:
    """Return the split of every pair held out. Test takes the first ones, so that it depends on no other size."""
    wanted = sum(held_out.values())
    if len(ranks) <= wanted:
        sizes = " and ".join(f"corpus.{split}_size={size}" for split, size in held_out.items())
        raise InputError(
            f"{sizes}: {name} has only {len(ranks)} distinct pairs, too few to hold out "
            f"{wanted} and train on the rest; lower the sizes, or supply these splits"
        )
    first = heapq.nsmallest(wanted, ranks)
    tests = held_out.get("test", 0)
    return {rank: "test" if index < tests else "validation" for index, rank in enumerate(first)}


def _refuse_empty_splits(figures: Mapping[str, Any], name: str) -> None:
    for split in SPLITS:
        if not figures["pairs"][split]:
            raise InputError(
                f"{name}: the {split} split holds no sentence pair ({figures['blank'][split]} dropped because "
                "a side is empty); check the source's columns, or remove the split from it"
            )
