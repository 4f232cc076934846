"""Training on the same batches by the trainer and by plain PyTorch, beside what the machine's matrix products allow.

Windows of the implementations alternate, so that a machine that changes its pace changes all of them; the figures are
medians of the windows, and the ratios those of the medians.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import numpy as np
import torch

from model.config import ModelConfig
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq
from pipeline.batches import Lengths, plan_epoch
from pipeline.collate import Ragged, collate
from pipeline.config import TrainingConfig
from pipeline.training import Epochs, Hooks, Share, Trainer
from tests.benchmarks.plain import PlainSeq2Seq
from tests.benchmarks.products import Shape, limit

VOCABULARY, TOKENS, BATCHES, WINDOWS = 8000, 2048, 12, 5


def make_batches() -> list[Batch]:
    """Return batches of sentences as long as those of Multi30k in pieces; of any words, which cost all the same."""
    generator = np.random.default_rng(1)
    source = np.clip(generator.normal(15.0, 4.5, 20_000).round(), 5, 40).astype(np.int64)
    target = np.clip(source + generator.normal(0.0, 2.0, source.size).round(), 5, 40).astype(np.int64)
    rows = [
        Ragged.of_rows([[*generator.integers(4, VOCABULARY, size - 1), SPECIAL_TOKENS.end] for size in lengths])
        for lengths in (source, target)
    ]
    plan = plan_epoch(Lengths(source, target), TOKENS, 0.02, seed=1, epoch=0)[:BATCHES]
    return [collate(rows[0], rows[1], batch, SPECIAL_TOKENS, torch.device("cpu")) for batch in plan]


def shape_of(batch: Batch) -> Shape:
    """Return the shape that a batch's products have."""
    target_BT = batch.target_BT[:, 1:]
    words = int((target_BT != SPECIAL_TOKENS.padding).sum())
    return Shape(batch.source_BS.shape[0], batch.source_BS.shape[1], target_BT.shape[1], words)


class EnoughError(Exception):
    """Raised to leave the trainer's loop at the end of a window."""


def ours(config: ModelConfig, batches: list[Batch]) -> Callable[[], float]:
    """Return what takes one pass of the trainer over the batches and returns its seconds."""
    torch.manual_seed(1)

    def steps(_: int) -> Iterator[list[Share]]:
        for batch in batches:
            size = batch.source_BS.shape[0]
            yield [Share(batch, torch.arange(size), size)]

    def leave(_: object) -> Mapping[str, float]:
        raise EnoughError

    network = Seq2Seq(config, VOCABULARY, VOCABULARY)
    hooks = Hooks(leave, lambda record: None, lambda figures, trainer: None)
    training = TrainingConfig(epochs=10_000)
    trainer = Trainer(network, training, config.dropout, Epochs(steps, lambda epoch: len(batches)), hooks)

    def window() -> float:
        began = time.perf_counter()
        with suppress(EnoughError):
            trainer.fit()
        return time.perf_counter() - began

    return window


def plain(config: ModelConfig, batches: list[Batch]) -> Callable[[], float]:
    """Return the same for plain PyTorch."""
    torch.manual_seed(1)
    network = PlainSeq2Seq(config, VOCABULARY)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    shapes = [shape_of(batch) for batch in batches]

    def window() -> float:
        began = time.perf_counter()
        for batch, shape in zip(batches, shapes, strict=True):
            optimizer.zero_grad()
            loss = network(batch) / shape.words
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return time.perf_counter() - began

    return window


def measure(config: ModelConfig) -> dict[str, float]:
    """Return the target words a second of the products alone, the trainer and plain PyTorch."""
    batches = make_batches()
    shapes = [shape_of(batch) for batch in batches]
    words = sum(shape.words for shape in shapes)
    windows = {"trainer": ours(config, batches), "plain PyTorch": plain(config, batches)}
    taken: dict[str, list[float]] = {name: [] for name in windows}
    for window in windows.values():
        window()  # warms up
    for _ in range(WINDOWS):
        for name, window in windows.items():
            taken[name].append(window())
    alone = sum(shape.words / limit(config, VOCABULARY, shape) for shape in shapes)
    return {"matrix products alone": words / alone} | {
        name: words / statistics.median(times) for name, times in taken.items()
    }
