"""Training on the same batches by the trainer, its plain loop and plain PyTorch, and the matrix products alone.

Windows of the implementations alternate, so that a machine that changes its pace changes all of them. Figures are
medians of the windows, and ratios are those of the medians.
"""

import statistics
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import torch

from model.config import ModelConfig
from model.decoder import AttentiveDecoder
from model.kernels import load
from model.products import fastest_products
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq
from pipeline.batches.collate import Ragged, collate
from pipeline.batches.plan import Lengths, plan_epoch, share_rows
from pipeline.config import Precision, TrainingConfig
from pipeline.training.gpu.graphs import CudaGraphs
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.machine.matmul import matmul_seconds
from pipeline.training.machine.precision import matmul_precision
from pipeline.training.machine.speed_limit import shape_of
from pipeline.training.trainer import Trainer
from tests.benchmarks.plain import PlainSeq2Seq

VOCABULARY, TOKENS, BATCHES, WINDOWS = 8000, 2048, 12, 5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Window = Callable[[], float]
"""Takes one pass over the batches; returns its seconds."""


@cache
def _sentences(vocabulary: int) -> tuple[Lengths, Ragged, Ragged]:
    """Return 20,000 pairs of sentences as long as those of Multi30k, of any tokens."""
    generator = np.random.default_rng(1)
    source = np.clip(generator.normal(15.0, 4.5, 20_000).round(), 5, 40).astype(np.int64)
    target = np.clip(source + generator.normal(0.0, 2.0, source.size).round(), 5, 40).astype(np.int64)
    rows = [
        Ragged.of_rows([[*generator.integers(4, vocabulary, size - 1), SPECIAL_TOKENS.end] for size in lengths])
        for lengths in (source, target)
    ]
    return Lengths(source, target), rows[0], rows[1]


def make_shares(
    tokens: int = TOKENS,
    vocabulary: int = VOCABULARY,
    rank: int = 0,
    workers: int = 1,
    batches: int = BATCHES,
    max_padding: float = 0.02,
) -> list[Share]:
    """Return a worker's shares of batches of sentences as long as those of Multi30k, of any tokens."""
    lengths, source, target = _sentences(vocabulary)
    shares = []
    for batch in plan_epoch(lengths, tokens, max_padding, seed=1, epoch=0)[:batches]:
        part = share_rows(batch.size, rank, workers)
        collated = collate(source, target, batch[part], SPECIAL_TOKENS, DEVICE)
        shares.append(Share(collated, torch.from_numpy(part).to(DEVICE), int(target.lengths[batch[part]].sum())))
    return shares


def words_of(shares: Sequence[Share]) -> int:
    """Return the target tokens of all, padding not counted."""
    return sum(share.tokens for share in shares)


class EnoughError(Exception):
    """Raised to leave the trainer's loop at the end of a window."""


def make_training(
    config: ModelConfig,
    shares: Sequence[Share],
    precision: Precision = "fp32",
    *,
    vocabulary: int = VOCABULARY,
    plain_loop: bool = False,
    graphs: bool = True,
) -> Trainer:
    """Return a trainer whose epochs are these shares; with `graphs`, by CUDA graphs where there is a GPU."""
    torch.manual_seed(1)

    def steps(_: int, first: int) -> Generator[list[Share], None, None]:
        for share in shares[first:]:
            yield [share]

    def leave(_: object) -> Mapping[str, float]:
        raise EnoughError

    network = Seq2Seq(config, vocabulary, vocabulary).to(DEVICE)
    if plain_loop and isinstance(network.decoder, AttentiveDecoder):
        network.decoder.unrolls = False
    hooks = Hooks(leave, lambda record: None, lambda figures, trainer: None)
    training = TrainingConfig(epochs=10_000, precision=precision)
    epochs = Epochs(steps, lambda epoch: [share.tokens for share in shares])
    api = CudaGraphs(DEVICE) if graphs and DEVICE.type == "cuda" else None
    return Trainer(network, training, config.dropout, epochs, hooks, graphs=api)


def window_of(trainer: Trainer) -> Window:
    """Return a window of a trainer, which ends with its epoch, when the losses of all steps have been read."""

    def window() -> float:
        began = time.perf_counter()
        with suppress(EnoughError):
            trainer.fit()
        took = time.perf_counter() - began
        trainer.progress = replace(trainer.progress, validation_due=False)  # It has not taken place.
        return took

    return window


def ours(
    config: ModelConfig,
    shares: Sequence[Share],
    precision: Precision = "fp32",
    *,
    vocabulary: int = VOCABULARY,
    plain_loop: bool = False,
) -> Window:
    """Return a window of the trainer; with `plain_loop`, the reference that the unrolled decoder is held to."""
    return window_of(make_training(config, shares, precision, vocabulary=vocabulary, plain_loop=plain_loop))


def without_kernels(window: Window) -> Window:
    """Return a window that computes as it does where numba is missing."""

    def by_torch() -> float:
        with patch.object(load, "_kernels", lambda: None):
            return window()

    return by_torch


def plain(config: ModelConfig, shares: Sequence[Share], vocabulary: int = VOCABULARY) -> Window:
    """Return a window of plain PyTorch."""
    torch.manual_seed(1)
    network = PlainSeq2Seq(config, vocabulary).to(DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batches: list[tuple[Batch, int]] = [(share.batch, share.tokens) for share in shares]

    def window() -> float:
        began = time.perf_counter()
        for batch, tokens in batches:
            optimizer.zero_grad()
            loss = network(batch) / tokens
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        loss.item()  # Waits for a GPU.
        return time.perf_counter() - began

    return window


def rates(shares: Sequence[Share], windows: Mapping[str, Window]) -> dict[str, float]:
    """Return the target tokens a second of each, by windows that alternate."""
    taken: dict[str, list[float]] = {name: [] for name in windows}
    for window in windows.values():
        window()  # warms up
    for _ in range(WINDOWS):
        for name, window in windows.items():
            taken[name].append(window())
    return {name: words_of(shares) / statistics.median(times) for name, times in taken.items()}


def matmul_rate(config: ModelConfig, shares: Sequence[Share], precision: Precision = "fp32") -> float:
    """Return the target tokens per second of the matrix products alone, in that precision."""
    with fastest_products(DEVICE), matmul_precision(precision, DEVICE):
        seconds = [matmul_seconds(config, VOCABULARY, shape_of(share), DEVICE, 0.1) for share in shares[::3]]
    return words_of(shares[::3]) / sum(seconds)
