"""One worker of a distributed training: its share of the data, the model, the loop. Knows torch, but not Ray."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
import torch.distributed as dist

from model.search.config import SearchConfig
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from pipeline.batches.ahead import ahead
from pipeline.batches.collate import Ragged, collate
from pipeline.batches.mixture import Mixture, Place, plan_mixture
from pipeline.batches.plan import Indices, Lengths, Plan, plan_epoch, share_rows, split_share
from pipeline.config import RunConfig
from pipeline.data_config import BatchingConfig
from pipeline.inference.subwords import Subwords
from pipeline.inference.translator import Translator
from pipeline.metrics.metrics import Metric
from pipeline.noise.epochs import NoisyEpochs
from pipeline.noise.noise import Noise, NoisyEpoch
from pipeline.noise_config import NoiseConfig
from pipeline.training.checkpoint import load_checkpoint
from pipeline.training.gpu.graphs import CudaGraphs
from pipeline.training.hooks import Epochs, Hooks, Share
from pipeline.training.perplexity import perplexity, teacher_forced_nll
from pipeline.training.progress import Progress
from pipeline.training.trainer import Trainer

# By default, glibc returns large freed blocks to the system and faults them in again at every step, which takes a third
# of the time on CPU. It reads these variables when a process starts.
WORKER_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    # oneDNN compiles a kernel for every new shape, in about a millisecond, and keeps 1,024: an epoch has more.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4096",
}

NO_NOISE = NoiseConfig()
NOISY_SHARE = 1.5
"""A share that noise makes larger than so many times its part of a step is computed in parts."""
STEPS_AHEAD = 4
"""Of which the shares are prepared for a GPU before it takes them."""


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
    during_training: int | None = None
    """Validation pairs that are used; None: all."""
    mixture: Mixture | None = None
    """The sources' shares; None: every pair once an epoch."""
    languages: tuple[str | None, str | None] = (None, None)
    """Tags of both sides."""

    @property
    def validation_rows(self) -> Indices:
        """The rows of the validation pairs that are used: spread evenly, since neighbours may be alike."""
        count = len(self.validation_pairs)
        used = min(count, self.during_training or count)
        return np.arange(used) * count // used


def make_epochs(
    data: TrainingData, batching: BatchingConfig, seed: int, workers: WorkerInfo, noise: NoiseConfig = NO_NOISE
) -> Epochs:
    """Return this worker's share of every step of every epoch, with noise in it.

    An epoch is planned with the lengths that its noise makes. Its tokens are counted as they are stored, so that
    amounts of training mean the same with noise and without.

    Raises InputError for noise that the tokenizer cannot make.
    """
    source, target = data.train
    lengths = Lengths(source.lengths, target.lengths)
    noisy = None
    if noise.kinds:
        noisy = NoisyEpochs(Noise(noise, seed, batching.max_length, data.subwords, data.languages), data.train)
    plans = _Plans(data.mixture, lengths, noisy, batching, workers.size, seed)

    def collated(epoch: int, first: int) -> Iterator[list[Share]]:
        batches, made = plans.of(epoch), noisy.get(epoch) if noisy else None
        for number in range(first, len(batches)):
            batch = batches[number]
            rows = share_rows(batch.size, workers.rank, workers.size)
            if made and rows.size:
                yield noisy_shares(made, batch[rows], rows)
                continue
            parts = split_share(rows, lengths.cost(batch[rows]), batching.worker_tokens)
            yield [make_share(data.train, batch, part) for part in parts if part.size]

    def noisy_shares(made: NoisyEpoch, pairs: Indices, rows: Indices) -> list[Share]:
        sides, places = made.rows(pairs), np.arange(pairs.size)
        limit = batching.worker_tokens or int(NOISY_SHARE * batching.step_tokens(workers.size) / workers.size)
        parts = split_share(places, Lengths(sides[0].lengths, sides[1].lengths).cost(places), limit)
        return [make_share(sides, places, part, rows[part]) for part in parts]

    def steps(epoch: int, first: int) -> Generator[list[Share], None, None]:
        if workers.device.type == "cpu":  # All cores compute: a thread would only take from them.
            yield from collated(epoch, first)
            return
        if noisy:
            plans.of(epoch)
            noisy.begin(epoch + 1)
        with closing(ahead(pinned(collated(epoch, first)), STEPS_AHEAD)) as prepared:
            for shares in prepared:
                # From pinned memory, the host need not wait for the copies.
                yield [share.map(lambda tensor: tensor.to(workers.device, non_blocking=True)) for share in shares]

    def describe(epoch: int, number: int) -> str:
        batch = plans.of(epoch)[number]
        longest = int(batch[lengths.target[batch].argmax()])
        tokens = target.values[target.offsets[longest] : target.offsets[longest + 1] - 1].tolist()
        return (
            f"{batch.size:,} pairs, the longest with the target {shorten(data.subwords.decode_target([tokens])[0], 80)}"
        )

    return Epochs(steps, plans.tokens, describe, plans.resume)


class _Plans:
    """The plan of the epoch that is trained on: with noise by its lengths, of several sources in their shares."""

    def __init__(
        self,
        mixture: Mixture | None,
        lengths: Lengths,
        noisy: NoisyEpochs | None,
        batching: BatchingConfig,
        workers: int,
        seed: int,
    ) -> None:
        self._mixture, self._lengths, self._noisy = mixture, lengths, noisy
        self._batching, self._workers, self._seed = batching, workers, seed
        self._starts = {0: Place()}
        self.of = lru_cache(maxsize=1)(self._plan)
        """Return the plan of an epoch; with a mixture, of the first, of the next, or of one resumed."""
        self.tokens = lru_cache(maxsize=1)(self._tokens)
        """Return the target tokens of every step of an epoch, as they are stored."""

    def resume(self, progress: Progress) -> None:
        """Note where the epoch of a training that goes on has started."""
        before = progress.step - progress.batch
        self._starts[progress.epoch] = Place(Fraction(progress.epoch), before, progress.tokens_before)

    def _plan(self, epoch: int) -> Plan:
        planned = self._noisy.get(epoch).lengths if self._noisy else self._lengths
        batching = self._batching
        if self._mixture is None:
            tokens = batching.step_tokens(self._workers)
            return plan_epoch(planned, tokens, batching.max_padding, self._seed, epoch)
        made = plan_mixture(planned, self._mixture, batching, self._workers, self._seed, self._starts[epoch])
        tokens = int(made.sums(self._lengths.target).sum())
        self._starts[epoch + 1] = self._starts[epoch].after(Fraction(1), len(made), tokens)
        return made

    def _tokens(self, epoch: int) -> list[int]:
        return list(map(int, self.of(epoch).sums(self._lengths.target)))


def make_share(sides: tuple[Ragged, Ragged], batch: Indices, rows: Indices, numbers: Indices | None = None) -> Share:
    """Return the share of a global batch of pairs that is the sentences in its `rows`, on the CPU.

    `numbers` are those rows of a global batch of which `batch` is a part.
    """
    source, target = sides
    collated = collate(source, target, batch[rows], SPECIAL_TOKENS, torch.device("cpu"))
    return Share(
        collated, torch.from_numpy(rows if numbers is None else numbers), int(target.lengths[batch[rows]].sum())
    )


def pinned(steps: Iterator[list[Share]]) -> Iterator[list[Share]]:
    """Yield the steps' shares in memory that a GPU can read while the host goes on."""
    for shares in steps:
        yield [share.map(torch.Tensor.pin_memory) for share in shares]


def gather_texts(texts: Sequence[str], device: torch.device) -> list[list[str]]:
    """Return the texts of each worker, by rank; a collective. They travel as JSON: nothing is unpickled."""
    if not dist.is_initialized():
        return [list(texts)]
    own = torch.frombuffer(bytearray(json.dumps(list(texts)).encode()), dtype=torch.uint8).to(device)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, torch.tensor([own.numel()], device=device))
    longest = max(int(size) for size in sizes)
    received = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in sizes]
    dist.all_gather(received, torch.nn.functional.pad(own, (0, longest - own.numel())))
    return [json.loads(bytes(part[: int(size)].tolist())) for part, size in zip(received, sizes, strict=True)]


def make_validation(
    data: TrainingData, metrics: Sequence[Metric], workers: WorkerInfo
) -> Callable[[Seq2Seq], Mapping[str, float]]:
    """Return a function that scores a model on the validation set, with every worker translating its share.

    Uses greedy search, fast and good enough to rank checkpoints; the best is scored with the configured search later.
    """
    used = data.validation_rows.tolist()
    rows = used[workers.rank :: workers.size]
    sources = [data.validation_pairs[row][0] for row in rows]
    references = [data.validation_pairs[row][1] for row in used]

    def validate(model: Seq2Seq) -> Mapping[str, float]:
        translations = Translator(model, data.subwords, SearchConfig(beam=1)).translate(sources)
        nll, tokens = teacher_forced_nll(model, *data.validation, rows)
        totals = torch.tensor([nll, tokens], dtype=torch.float64)
        if dist.is_initialized():
            totals = totals.to(workers.device)
            dist.all_reduce(totals)
        nll, tokens = totals.tolist()
        everything = [""] * len(references)
        for rank, share in enumerate(gather_texts(translations, workers.device)):
            everything[rank :: workers.size] = share
        return {
            **{metric.key: metric.exact_score(everything, references) for metric in metrics},
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
    epochs = make_epochs(data, run.batching, run.training.seed, workers, run.noise)
    peak = run.training.learning_rate * run.batching.rate_factor(workers.size)
    training = run.training.model_copy(update={"learning_rate": peak})
    graphs = CudaGraphs(workers.device) if workers.device.type == "cuda" else None
    trainer = Trainer(network, training, run.model.dropout, epochs, hooks, graphs=graphs)
    if checkpoint is not None:
        load_checkpoint(trainer, checkpoint)
        epochs.resume(trainer.progress)
    return trainer


def use_threads(count: int) -> None:
    """Compute with `count` threads. More threads than cores make OpenMP spin, and a step ten times slower."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
