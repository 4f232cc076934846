"""How well the rules find dirt: precision and recall of each, on a corpus into which dirt of every kind was put."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from pipeline.corpus.cleaning.characters import REPAIRS
from pipeline.corpus.corpus import Corpus, prepare_corpus
from pipeline.data_config import CorpusConfig
from pipeline.store.store import Store
from tests.benchmarks.dirt import Dirty, Pair, with_noise


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", help="file or folder with the corpus (default: the embedded one)")
    parser.add_argument("--source", default="de", help="column of the source (default: %(default)s)")
    parser.add_argument("--target", default="en", help="column of the target (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.01, help="of each kind of dirt (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dirt (default: the time)")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        config = CorpusConfig(path=given.path, source_column=given.source, target_column=given.target, clean="off")
        pairs = list(prepare_corpus(config, store).pairs("train"))
        dirty = with_noise(pairs, given.share, given.seed)
        found = judge(dirty, Path(folder), given.source, given.target)
    console = Console(width=100)
    console.print(
        f"{len(pairs):,} pairs, {len(dirty.kinds):,} with dirt in {len(dirty.pairs):,}, {given.share:.1%} of each "
        f"kind, seed {given.seed}, rules: strict"
    )
    table = Table("rule", "put in", "found", "by this rule", "recall", "precision")
    for rule, row in found.items():
        recall, precision = (f"{row[name]:.3f}" for name in ("recall", "precision"))
        table.add_row(rule, *(f"{row[name]:,.0f}" for name in ("put_in", "found", "by_rule")), recall, precision)
    console.print(table)
    print(json.dumps({"seed": given.seed, "share": given.share, "rules": found}))


def judge(dirty: Dirty, folder: Path, source: str = "de", target: str = "en") -> dict[str, dict[str, float]]:
    """Return by rule: pairs `put_in`, `found` by any rule and `by_rule`, `recall`, and `precision`.

    A pair to be repaired is found if it is as it was. A rule is right to drop any pair with dirt in it.
    """
    corpus = _cleaned(dirty.pairs, folder, source, target)
    dropped = {row["number"]: row["rule"] for row in _rows(corpus.path / "dropped.jsonl")}
    kept = iter(corpus.pairs("train"))
    left = {number: next(kept) for number in range(1, len(dirty.pairs) + 1) if number not in dropped}
    found = {}
    for rule in dict.fromkeys(dirty.kinds.values()):
        numbers = [number for number, kind in dirty.kinds.items() if kind == rule]
        if rule in REPAIRS:
            mended = sum(left.get(number) == dirty.originals[number] for number in numbers)
            counted = corpus.figures["cleaning"]["rules"][rule]
            # What a rule changes without need: pairs that no dirt was put into and that are not as they were.
            changed = sum(left[number] != dirty.pairs[number - 1] for number in left if number not in dirty.kinds)
            found[rule] = _row(len(numbers), mended, mended, 1 - changed / max(1, counted))
            continue
        by_rule = Counter(number in dirty.kinds for number, name in dropped.items() if name == rule)
        own = sum(dropped.get(number) == rule for number in numbers)
        precision = by_rule[True] / max(1, by_rule.total())
        found[rule] = _row(len(numbers), sum(number in dropped for number in numbers), own, precision)
    return found


def _row(put_in: int, found: int, by_rule: int, precision: float) -> dict[str, float]:
    return {
        "put_in": put_in,
        "found": found,
        "by_rule": by_rule,
        "recall": round(found / max(1, put_in), 4),
        "precision": round(precision, 4),
    }


def _cleaned(pairs: list[Pair], folder: Path, source: str, target: str) -> Corpus:
    (folder / "dirty").mkdir()
    splits: Mapping[str, list[Pair]] = {
        "train": pairs,
        "val": [("a b c d", "e f g h")],
        "test": [("i j k l", "m n o p")],
    }
    for split, rows in splits.items():
        lines = (json.dumps({source: first, target: second}, ensure_ascii=False) for first, second in rows)
        (folder / "dirty" / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf8")
    config = CorpusConfig(
        path=str(folder / "dirty"), source_column=source, target_column=target, clean="strict", max_dropped=1.0
    )
    return prepare_corpus(config, Store(folder / "store"))


def _rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text("utf8").split("\n") if line]


if __name__ == "__main__":
    main()
