"""How fast training and search are on this machine, and what it could do at most: `make bench`.

Prints a table and one line of JSON, with medians of several windows of one run; it asserts nothing. It trains the model
of the table in model/README.md: Multi30k's lengths, 8,000 pieces, a bidirectional encoder of 2 x 128, a decoder of 256
with general attention and input feeding. It searches with a registered model (`make bench MODEL=name LINES=file`) or,
without one, with a model that it trains for some seconds on the embedded corpus.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from flows.commands.console import one_line_errors, quieten_libraries
from model.config import ModelConfig
from model.rounding import ROUNDING
from model.search.config import SearchConfig
from pipeline.batches.collate import Ragged
from pipeline.corpus.captions import generate_pairs
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces
from pipeline.inference.translator import Translator
from pipeline.overrides import build_config
from pipeline.registry.pull import pull_model
from pipeline.store.store import Store
from pipeline.training.hooks import Hooks
from pipeline.training.worker import WORKER_ENVIRONMENT, TrainingData, WorkerInfo, make_trainer, use_threads
from tests.benchmarks import decoding, memory, workers
from tests.benchmarks.training import DEVICE, EnoughError, make_shares, matmul_rate, ours, plain, rates, without_kernels

PAIRS, SENTENCES = 10_000, 1014
Figures = dict[str, float]


def machine() -> str:
    """Describe the machine and torch."""
    capabilities = torch.cpu.get_capabilities()
    fast = [name for name in ("avx512_bf16", "amx_bf16") if capabilities.get(name)]
    processor = f"{capabilities.get('cpu_name', '')}, {os.cpu_count()} cores {' '.join(fast)}"
    gpu = f", {torch.cuda.get_device_name()}" if DEVICE.type == "cuda" else ""
    return f"{processor}{gpu}, torch {torch.__version__}"


def training() -> Figures:
    """Return the rates of the model in model/README.md, and their ratios."""
    config, shares = ModelConfig(), make_shares()
    windows = {"trainer, fp32": ours(config, shares), "plain loop": ours(config, shares, plain_loop=True)}
    windows["trainer, fp32, without numba"] = without_kernels(ours(config, shares))
    windows["plain PyTorch"] = plain(config, shares)
    precisions = ["fp32"]
    if ROUNDING.works_on(DEVICE):
        windows["trainer, bf16"] = ours(config, shares, "bf16")
        precisions.append("bf16")
    found = rates(shares, windows)
    figures = {f"{name}, target tokens/s": rate for name, rate in found.items()}
    for precision in precisions:
        alone = matmul_rate(config, shares, "bf16" if precision == "bf16" else "fp32")
        figures[f"matmul only, {precision}, target tokens/s"] = alone
        ours_rate = found[f"trainer, {precision}"]
        figures[f"trainer, {precision}, part of matmul-only speed"] = ours_rate / alone
        figures[f"trainer, {precision}, speed-up over plain PyTorch"] = ours_rate / found["plain PyTorch"]
    alone = figures["matmul only, fp32, target tokens/s"]
    figures["plain PyTorch, part of matmul-only speed"] = found["plain PyTorch"] / alone
    return figures


def sizes() -> Figures:
    """Return rates of other networks, to those of the plain loop, and without input feeding."""
    figures: Figures = {}
    for name, options in (
        ("512 units", {"embedding_size": 512, "encoder_size": 256, "decoder_size": 512}),
        ("1,024 units", {"embedding_size": 1024, "encoder_size": 512, "decoder_size": 1024}),
        ("two layers", {"layers": 2}),
    ):
        config, shares = ModelConfig.model_validate(options), make_shares(batches=3)
        found = rates(shares, {"ours": ours(config, shares), "loop": ours(config, shares, plain_loop=True)})
        figures[f"{name}, target tokens/s"] = found["ours"]
        figures[f"{name}, to the plain loop"] = found["ours"] / found["loop"]
    shares = make_shares()
    feeding, none = ModelConfig(), ModelConfig(input_feeding=False)
    found = rates(shares, {"none": ours(none, shares), "feeding": ours(feeding, shares)})
    return figures | {
        "without input feeding, target tokens/s": found["none"],
        "without input feeding, to with": found["none"] / found["feeding"],
    }


def architectures() -> Figures:
    """Return rates of the notes' other decoders that go step by step, to those of the plain loop with autograd."""
    figures: Figures = {}
    bahdanau = {"decoder": "bahdanau", "input_feeding": False, "attention": "concat"}
    for name, options in (
        ("GRU", {"cell": "gru"}),
        ("concat", {"attention": "concat"}),
        ("mlp", {"attention": "mlp"}),
        ("Bahdanau's order, concat", bahdanau),
        ("Bahdanau's order, concat, GRU", bahdanau | {"cell": "gru"}),
    ):
        config, shares = ModelConfig.model_validate(options), make_shares(batches=3)
        found = rates(shares, {"ours": ours(config, shares), "loop": ours(config, shares, plain_loop=True)})
        figures[f"{name}, target tokens/s"] = found["ours"]
        figures[f"{name}, to the plain loop"] = found["ours"] / found["loop"]
    return figures


def growth() -> Figures:
    """Return microseconds a target token at three sizes of batch."""
    figures: Figures = {}
    for tokens in (1024, 2048, 4096):
        shares = make_shares(tokens)
        (rate,) = rates(shares, {"ours": ours(ModelConfig(), shares)}).values()
        figures[f"batches of {tokens:,} tokens, microseconds a target token"] = 1e6 / rate
    return figures


def _embedded() -> tuple[TrainingData, list[str]]:
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


def trained() -> tuple[Translator, list[str], Figures]:
    """Return a model of the embedded corpus after an epoch, sentences, and where the epoch's time went."""
    data, sentences = _embedded()
    told: list[Mapping[str, float]] = []

    def leave(figures: Mapping[str, float], _: object) -> None:
        told.append(figures)
        raise EnoughError

    run = build_config({}, {"batching.tokens": 2048})
    hooks = Hooks(lambda model: {"bleu": 0.0, "validation_loss": 0.0}, lambda record: None, leave)
    trainer = make_trainer(data, run, WorkerInfo(), hooks)
    with suppress(EnoughError):
        trainer.fit()
    lost = {
        "waiting for data, share of an epoch": told[0]["train_waiting_share"],
        "reports, share of an epoch": told[0]["train_reporting_share"],
    }
    return Translator(trainer.model.eval(), data.subwords, SearchConfig()), sentences, lost


def registered(model: str) -> Translator:
    """Return a registered model's translator, on the code that is measured."""
    description = next(pull_model(model, Store()).path.rglob("translator.json"))
    return Translator.from_description(description.parent, json.loads(description.read_text("utf8")))


def measure(model: Translator | None, lines: list[str] | None) -> Iterator[tuple[str, Figures]]:
    """Yield the parts of the table."""
    yield "training", training()
    yield "other networks", sizes()
    yield "other decoders", architectures()
    yield "growth with the batch", growth()
    translator, sentences, lost = trained()
    yield "time lost", lost
    yield "processes", workers.measure()
    yield "memory", memory.measure()
    yield "search", decoding.measure(model or translator, lines or sentences)


def main() -> None:
    """Run in a process with the workers' environment, which has to be there when a process starts."""
    if any(os.environ.get(name) != value for name, value in WORKER_ENVIRONMENT.items()):
        arguments = [sys.executable, "-m", "tests.benchmarks.speed", *sys.argv[1:]]
        os.execve(sys.executable, arguments, os.environ | WORKER_ENVIRONMENT)
    parser = argparse.ArgumentParser(description="measure the speed of training and search on this machine")
    parser.add_argument("--model", help="a registered model to search with, such as captions or models:/captions/3")
    parser.add_argument("--lines", type=Path, help="a file of sentences to translate, one a line")
    options = parser.parse_args()
    quieten_libraries()
    use_threads(os.cpu_count() or 1)
    with one_line_errors():  # Before minutes of measuring.
        model = registered(options.model) if options.model else None
        lines = options.lines.read_text("utf8").splitlines() if options.lines else None
    figures: dict[str, Figures] = {}
    for part, found in measure(model, lines):  # Each is shown as it comes: all take a quarter of an hour.
        figures[part] = found
        table = Table(part, "value", title=None if len(figures) > 1 else machine(), title_justify="left")
        for name, value in found.items():
            whole = name.endswith(("/s", "MiB", "differ"))
            table.add_row(name, f"{value:,.0f}" if whole else f"{value:.3f}")
        Console().print(table)
    sys.stdout.write(json.dumps({"machine": machine()} | figures) + "\n")


if __name__ == "__main__":
    main()
