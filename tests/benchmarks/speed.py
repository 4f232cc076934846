"""Speed of batching, training and search on this machine, on the embedded corpus: `make bench`.

Prints a table and one line of JSON; medians of several windows, and nothing is asserted. With a vocabulary as large as
that of a real corpus, training is compared with plain PyTorch and with the machine's matrix products alone.
"""

import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from model.config import ModelConfig
from model.search import SearchConfig
from model.seq2seq import Seq2Seq
from pipeline.batches import Lengths, padding_share, plan_epoch
from pipeline.captions import generate_pairs
from pipeline.collate import Ragged
from pipeline.config import RunConfig
from pipeline.overrides import build_config
from pipeline.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces
from pipeline.training import Hooks
from pipeline.translator import Translator
from pipeline.worker import WORKER_ENVIRONMENT, TrainingData, Workers, make_trainer, use_threads
from tests.benchmarks.training import EnoughError
from tests.benchmarks.training import measure as compare

PAIRS, SENTENCES, WINDOWS, STEPS = 10_000, 500, 5, 30


def prepare() -> tuple[TrainingData, list[str]]:
    """Return training data of the embedded corpus, and sentences to translate."""
    pairs = list(generate_pairs(PAIRS + SENTENCES, seed=1))
    train = pairs[SENTENCES:]
    with tempfile.TemporaryDirectory() as folder:
        pieces = learn_pieces((s for pair in train for s in pair), 1500, "unigram", False, 1.0)
        for name in (SOURCE_MODEL, TARGET_MODEL):
            (Path(folder) / name).write_bytes(pieces)
        subwords = Subwords(Path(folder))
    rows = (
        Ragged.of_rows(subwords.encode_source([source for source, _ in train])),
        Ragged.of_rows(subwords.encode_target([target for _, target in train])),
    )
    return TrainingData(rows, rows, train[:1], subwords), [source for source, _ in pairs[:SENTENCES]]


def training_rates(data: TrainingData, run: RunConfig) -> tuple[list[float], Seq2Seq]:
    """Return target tokens a second, padding not counted, of each window of steps; and the model so far."""
    rates: list[float] = []
    began, words = time.perf_counter(), 0.0

    def step(figures: Mapping[str, float]) -> None:
        nonlocal began, words
        words += figures["words"]
        if figures["step"] % STEPS == 0:
            rates.append(words / (time.perf_counter() - began))
            began, words = time.perf_counter(), 0.0
            if len(rates) > WINDOWS:
                raise EnoughError

    hooks = Hooks(lambda model: {"bleu": 0.0}, step, lambda figures, trainer: None)
    trainer = make_trainer(data, run, Workers(), hooks)
    with suppress(EnoughError):
        trainer.fit()
    return rates[1:], trainer.model.eval()  # The first window warms up.


def search_rate(model: Seq2Seq, subwords: Subwords, sentences: list[str], beam: int, batch: int) -> float:
    """Return sentences a second."""
    translator = Translator(model, subwords, SearchConfig(beam=beam), batch)
    began = time.perf_counter()
    translator.translate(sentences)
    return len(sentences) / (time.perf_counter() - began)


def measure() -> dict[str, Any]:
    """Measure everything; return the figures by name."""
    use_threads(os.cpu_count() or 1)
    data, sentences = prepare()
    lengths = Lengths(data.train[0].lengths, data.train[1].lengths)
    began = time.perf_counter()
    plan = plan_epoch(lengths, 2048, 0.02, seed=1, epoch=0)
    planned = time.perf_counter() - began
    run = build_config({}, {"batching.tokens": 2048, "training.log_every": 1, "training.epochs": 100})
    rates, model = training_rates(data, run)
    compared = compare(ModelConfig())
    alone = compared["matrix products alone"]
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "padding of an epoch's plan": padding_share(plan, lengths),
        "pairs planned a second": len(lengths.source) / planned,
        "training, target tokens a second": statistics.median(rates),
        **{f"8,000 pieces: {name}, target tokens a second": rate for name, rate in compared.items()},
        "8,000 pieces: trainer, share of the products' rate": compared["trainer"] / alone,
        "8,000 pieces: plain PyTorch, share of the products' rate": compared["plain PyTorch"] / alone,
        "greedy, one sentence at a time, sentences a second": search_rate(model, data.subwords, sentences[:100], 1, 1),
        "greedy, batches of 64, sentences a second": search_rate(model, data.subwords, sentences, 1, 64),
        "beam 5, batches of 64, sentences a second": search_rate(model, data.subwords, sentences, 5, 64),
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run in a process with the workers' environment, which has to be there when a process starts."""
    if any(os.environ.get(name) != value for name, value in WORKER_ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "tests.benchmarks.speed"], os.environ | WORKER_ENVIRONMENT)
    figures = measure()
    table = Table("figure", "value", title=str(figures["machine"]), title_justify="left")
    for name, value in figures.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.2%}" if value < 1 else f"{value:,.0f}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
