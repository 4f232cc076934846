"""One worker of a distributed training: its share of the data, the model, the loop. Knows torch, but not Ray."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
import torch.distributed as dist

from model.search.config import SearchConfig
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from pipeline.batches.collate import Ragged, collate
from pipeline.batches.plan import Indices, Lengths, plan_epoch, share_rows, split_share
from pipeline.config import BatchingConfig, RunConfig
from pipeline.inference.subwords import Subwords
from pipeline.inference.translator import Translator
from pipeline.metrics.bleu_statistics import bleu_of_statistics, bleu_statistics
from pipeline.training.checkpoint import load_checkpoint
from pipeline.training.perplexity import perplexity, teacher_forced_nll
from pipeline.training.trainer import Epochs, Hooks, Share, Trainer

# By default, glibc returns large freed blocks to the system and faults them in again at every step, which takes a third
# of the time on CPU. It reads these variables when a process starts.
WORKER_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}


@dataclass(frozen=True)
class WorkerInfo:
    """A worker's rank, the number of workers, and its device."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class TrainingData:
    """The data of a worker: memory-mapped token rows, and the raw validation pairs."""

    train: tuple[Ragged, Ragged]
    validation: tuple[Ragged, Ragged]
    validation_pairs: list[tuple[str, str]]
    subwords: Subwords


def make_epochs(data: TrainingData, batching: BatchingConfig, seed: int, workers: WorkerInfo) -> Epochs:
    """Return this worker's share of every step of every epoch."""
    source, target = data.train
    lengths = Lengths(source.lengths, target.lengths)

    @lru_cache(maxsize=1)
    def plan(epoch: int) -> list[Indices]:
        return plan_epoch(lengths, batching.tokens, batching.max_padding, seed, epoch)

    def steps(epoch: int) -> Iterator[list[Share]]:
        for batch in plan(epoch):
            rows = share_rows(batch.size, workers.rank, workers.size)
            parts = split_share(rows, lengths.cost(batch[rows]), batching.worker_tokens)
            yield [
                Share(
                    collate(source, target, batch[part], SPECIAL_TOKENS, workers.device),
                    torch.from_numpy(part),
                    batch.size,
                )
                for part in parts
                if part.size
            ]

    return Epochs(steps, lambda epoch: len(plan(epoch)))


def make_validation(data: TrainingData, workers: WorkerInfo) -> Callable[[Seq2Seq], Mapping[str, float]]:
    """Return a function that scores a model on the validation set, with every worker on its share.

    Uses greedy search, fast and good enough to rank checkpoints; the best is scored with the configured search later.
    """
    rows = range(workers.rank, len(data.validation_pairs), workers.size)
    sources = [data.validation_pairs[row][0] for row in rows]
    references = [data.validation_pairs[row][1] for row in rows]

    def validate(model: Seq2Seq) -> Mapping[str, float]:
        translations = Translator(model, data.subwords, SearchConfig(beam=1)).translate(sources)
        nll, tokens = teacher_forced_nll(model, *data.validation, rows)
        # The statistics behind the scores are sums, so the result is that of the whole set.
        totals = torch.tensor([nll, tokens, *bleu_statistics(translations, references)], dtype=torch.float64)
        if dist.is_initialized():
            totals = totals.to(workers.device)
            dist.all_reduce(totals)
        nll, tokens, *statistics = totals.tolist()
        return {
            "bleu": bleu_of_statistics(statistics),
            "validation_loss": nll / tokens,
            "validation_perplexity": perplexity(nll, round(tokens)),
        }

    return validate


def make_trainer(
    data: TrainingData, run: RunConfig, workers: WorkerInfo, hooks: Hooks, checkpoint: Path | None = None
) -> Trainer:
    """Return a trainer at the start, or in the state of `checkpoint`."""
    torch.manual_seed(run.training.seed)
    network = Seq2Seq(run.model, data.subwords.source_size, data.subwords.target_size).to(workers.device)
    if dist.is_initialized():
        for parameter in network.parameters():
            dist.broadcast(parameter.data, src=0)
    epochs = make_epochs(data, run.batching, run.training.seed, workers)
    trainer = Trainer(network, run.training, run.model.dropout, epochs, hooks)
    if checkpoint is not None:
        load_checkpoint(trainer, checkpoint)
    return trainer


def use_threads(count: int) -> None:
    """Compute with `count` threads. More threads than cores make OpenMP spin, and a step ten times slower."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
