"""How long each stage takes from raw files to the first batch, and how much memory, at several sizes of a corpus."""

import argparse
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from model.seq2seq import SPECIAL_TOKENS
from pipeline.batches.collate import collate
from pipeline.batches.encoding import encode_corpus
from pipeline.batches.plan import Lengths, plan_epoch
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.corpus import prepare_corpus
from pipeline.data_config import BatchingConfig, CorpusConfig, TokenizerConfig
from pipeline.store.store import Store

Result = TypeVar("Result")
GRAMMAR_PAIRS, VOCABULARY = 40_000, 1_500
SIDES = ("de", "en")
UNIT = 2**10 if sys.platform == "linux" else 1
"""Bytes of `ru_maxrss`."""
STATUS = Path("/proc/self/status")
STAGES = ("corpus", "tokenizer", "encoding", "plan and first batch")


def noisy_pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield pairs of one to four sentences of the embedded grammar, of which one in twenty is spoilt."""
    sentences, chance = list(generate_pairs(GRAMMAR_PAIRS, seed)), random.Random(seed)
    for _ in range(count):
        chosen = chance.choices(sentences, k=chance.randrange(1, 5))
        source, target = (" ".join(pair[side] for pair in chosen) for side in (0, 1))
        match chance.randrange(100):
            case 0:
                target = source
            case 1:
                source = source.encode("utf8").decode("latin-1")
            case 2:
                target = target.split()[0]
            case 3:
                source = f"{source} https://example.org/{chance.randrange(10_000)}"
            case 4:
                target = f"\u200b{target}\x07"
        yield source, target


def write_corpus(folder: Path, count: int) -> None:
    """Write two aligned text files, and small ones of validation and test."""
    for split, size, seed in (("train", count, 1), ("val", 1_000, 2), ("test", 1_000, 3)):
        files = [(folder / f"{split}.{side}").open("w", encoding="utf8") for side in SIDES]
        for pair in noisy_pairs(size, seed):
            for file, text in zip(files, pair, strict=True):
                file.write(text + "\n")
        for file in files:
            file.close()


def measure(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage on the corpus in a folder, the pairs left, and the memory in GiB."""
    store, figures = Store(folder / "store"), dict[str, float]()

    def timed(name: str, work: Callable[[], Result]) -> Result:
        _forget_peak()
        began = time.perf_counter()
        result = work()
        figures[name] = time.perf_counter() - began
        figures[f"{name} gib"] = _peak()
        return result

    corpus = timed("corpus", lambda: prepare_corpus(CorpusConfig(path=str(folder / "raw")), store))
    tokenizer = timed("tokenizer", lambda: train_tokenizer(corpus, TokenizerConfig(vocabulary_size=VOCABULARY), store))
    batching = BatchingConfig(tokens=16_384, max_length=200)
    encoded = timed("encoding", lambda: encode_corpus(corpus, tokenizer, batching, store))

    def first_batch() -> None:
        source, target = encoded.open("train")
        plan = plan_epoch(Lengths(source.lengths, target.lengths), batching.tokens, batching.max_padding, 1, 0)
        collate(source, target, np.asarray(plan[0]), SPECIAL_TOKENS, torch.device("cpu"))

    timed("plan and first batch", first_batch)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * UNIT / 2**30
    largest = max(children, *(figures[f"{stage} gib"] for stage in STAGES))
    return {**figures, "pairs": corpus.figures["pairs"]["train"], "children gib": children, "gib": largest}


def _peak() -> float:
    """Return the most GiB that this process has had in memory since its peak was forgotten."""
    if STATUS.exists():
        return float(re.search(r"VmHWM:\s+(\d+)", STATUS.read_text())[1]) / 2**20  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**30


def _forget_peak() -> None:
    with suppress(OSError):  # Linux alone can.
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Measure every size in a process of its own; print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [50_000, 500_000, 5_000_000]
    parser.add_argument("--pairs", type=int, nargs="+", default=sizes, help="sizes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(measure(given.folder)))
        return
    rows = []
    for size in given.pairs:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "raw").mkdir()
            write_corpus(Path(folder) / "raw", size)
            command = (sys.executable, "-m", "tests.benchmarks.corpus", "--folder", folder)
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append({"read": size, **json.loads(answer.splitlines()[-1])})
            print(f"{size:,} pairs: {rows[-1]}", file=sys.stderr)
            shutil.rmtree(Path(folder) / "store", ignore_errors=True)
    table = Table("pairs", "kept", *(f"{stage}: pairs/s" for stage in STAGES), "all: pairs/s", "largest process")
    for row in rows:
        rates = [row["read"] / row[stage] for stage in STAGES] + [row["read"] / sum(row[stage] for stage in STAGES)]
        table.add_row(
            f"{row['read']:,}", f"{row['pairs']:,.0f}", *(f"{rate:,.0f}" for rate in rates), f"{row['gib']:.2f} GiB"
        )
    Console(width=130).print(table)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
