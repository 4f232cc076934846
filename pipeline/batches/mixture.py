"""Shares of several sources in training: by weight, by temperature, by the stages of a curriculum.

A mixed epoch has as many pairs as all sources together, drawn in the shares asked for. Each source is an endless
stream of permutations of its rows: a small one is repeated whole before any of its pairs comes again, a large one is
read on in the next epoch where this one left off. An epoch is planned in rounds, so that a pair that is repeated does
not stand beside itself, and the batches of a round are spread so that every stretch of them has the shares.

All is computed from the seed, the lengths and where the epoch starts: nothing is stored, and no worker matters.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.amounts import Amount
from pipeline.batches.plan import Indices, Lengths, Plan, cut, plan_epoch, sort_by_length
from pipeline.data_config import BatchingConfig, CorpusConfig
from pipeline.store.stages import Settings

MIXING_DEFAULTS: Final[Mapping[str, Any]] = {"weights": None, "temperature": None, "curriculum": []}
LEAST_BATCHES = 100
"""Of a round, about: with fewer, neighbours in length are not alike, and a batch is full of padding."""
BLOCK_ROWS = 2**16
"""Of a small source so many rows are permuted at once, pass by pass."""


@dataclass(frozen=True)
class Place:
    """How far a training is, where an epoch starts or in the middle of one."""

    epochs: Fraction = Fraction(0)
    """By pairs, in the middle of one."""
    step: int = 0
    tokens: int = 0
    """Of the targets."""
    seconds: float = 0.0
    """Of no meaning here: a mixture depends on the data alone."""

    def after(self, pairs: Fraction, steps: int, tokens: int) -> "Place":
        """Return the place after some steps; `pairs` is their part of an epoch."""
        return Place(self.epochs + pairs, self.step + steps, self.tokens + tokens)


@dataclass(frozen=True)
class Stage:
    """A part of the training with the same shares."""

    shares: tuple[float, ...] | None
    """Of the sources in order, 1 together; None: every pair once an epoch."""
    until: Amount | None = None
    """None: it does not end."""


@dataclass(frozen=True)
class Mixture:
    """What share each source has, and when."""

    rows: tuple[int, ...]
    """Training pairs of each source, in the order in which they are encoded."""
    stages: tuple[Stage, ...]
    """The last one does not end."""

    @classmethod
    def of(cls, config: CorpusConfig, rows: Mapping[str, int]) -> Self | None:
        """Return the mixture of the sources with so many pairs each, by name; None if each pair comes once an epoch."""
        names = [source.name for source in config.sources]
        sizes = tuple(rows[name] for name in names) if names else ()
        weights = [source.weight for source in config.sources if source.weight is not None]
        if config.temperature is not None:
            weights = [size ** (1.0 / config.temperature) for size in sizes]
        if not weights and not config.curriculum:
            return None
        stages = [
            Stage(_shares([stage.weights.get(name, 0.0) for name in names]), Amount.parse(stage.until))
            for stage in config.curriculum
        ]
        return cls(sizes, (*stages, Stage(_shares(weights) if weights else None)))


def mixing_settings(config: CorpusConfig) -> Settings:
    """Return what a training depends on besides the pairs."""
    weights = {source.name: source.weight for source in config.sources if source.weight is not None}
    stages = [stage.model_dump(mode="json") for stage in config.curriculum]
    values = {"weights": weights or None, "temperature": config.temperature, "curriculum": stages}
    return Settings(values, MIXING_DEFAULTS)


def _shares(weights: list[float]) -> tuple[float, ...]:
    return tuple(weight / math.fsum(weights) for weight in weights)


def plan_mixture(
    lengths: Lengths, mixture: Mixture, batching: BatchingConfig, workers: int, seed: int, start: Place
) -> Plan:
    """Return the global batches of the epoch that begins at `start`, in training order.

    Where a stage of the curriculum ends within it, the stage ends with that batch, and the pairs that are left of the
    epoch are planned with the shares of the next one.
    """
    assert start.epochs.denominator == 1
    total, place, plans = lengths.source.size, start, list[Plan]()
    for stage in mixture.stages:
        left = total - round((place.epochs - start.epochs) * total)
        if left and (stage.until is None or stage.until.of(place) < 1):
            plan = _plan_stage(lengths, mixture, stage, batching, workers, seed, int(start.epochs), left)
            tokens = plan.sums(lengths.target)
            steps = _steps_until(stage.until, place, plan.sizes, tokens, total)
            plans.append(Plan(plan.order, plan.bounds, plan.turns[:steps]))
            pairs = Fraction(int(plan.sizes[:steps].sum()), total)
            place = place.after(pairs, steps, int(tokens[:steps].sum()))
    return plans[0] if len(plans) == 1 else join_plans(plans)


def _steps_until(until: Amount | None, place: Place, sizes: Indices, tokens: Indices, total: int) -> int:
    """Return after how many of the steps, of so many pairs and tokens each, a stage ends."""
    if until is None:
        return sizes.size
    if until.unit == "updates":
        return min(sizes.size, int(until.number) - place.step)
    if until.unit == "tokens":
        values, missing = tokens, int(until.number) - place.tokens
    else:
        values, missing = sizes, math.ceil((until.number - place.epochs) * total)
    return min(sizes.size, int(np.searchsorted(np.cumsum(values), missing)) + 1)


def _plan_stage(
    lengths: Lengths,
    mixture: Mixture,
    stage: Stage,
    batching: BatchingConfig,
    workers: int,
    seed: int,
    epoch: int,
    left: int,
) -> Plan:
    """Return the plan of the last `left` pairs of an epoch in the shares of a stage."""
    total, tokens = lengths.source.size, batching.step_tokens(workers)
    if stage.shares is None and left == total:
        return plan_epoch(lengths, tokens, batching.max_padding, seed, epoch)
    shares = stage.shares or _shares([float(rows) for rows in mixture.rows])
    ends = [count * (epoch + 1) for count in apportion(total, shares)]
    counts = apportion(left, shares)
    streams = [
        draw(rows, max(0, end - count), count, seed, source)
        for source, (rows, end, count) in enumerate(zip(mixture.rows, ends, counts, strict=True))
    ]
    mean = float(lengths.source.mean() + lengths.target.mean())
    repeats = max(count / rows for rows, count in zip(mixture.rows, counts, strict=True))
    most = left * mean / (LEAST_BATCHES * tokens)
    rounds = max(1, min(math.ceil(repeats), int(most)))
    generator = np.random.default_rng((seed, epoch, left))
    firsts = np.cumsum([0, *mixture.rows])
    plans = []
    for drawn in _rounds(streams, rounds):
        pairs = np.concatenate([first + rows for first, rows in zip(firsts, drawn, strict=False)])
        sources = np.repeat(np.arange(len(drawn), dtype=np.int16), [rows.size for rows in drawn])
        mixed = generator.permutation(pairs.size)
        mixed = mixed[sort_by_length(Lengths(lengths.source[pairs[mixed]], lengths.target[pairs[mixed]]))]
        bounds = cut(pairs[mixed], lengths, tokens, batching.max_padding)
        plans.append(Plan(pairs[mixed], bounds, _spread(sources[mixed], bounds, len(drawn), generator)))
    return join_plans(plans)


def _rounds(streams: list[NDArray[np.int32]], rounds: int) -> Iterator[list[NDArray[np.int32]]]:
    """Yield the rows that each source has in each round: the same share of what it has in all."""
    for number in range(rounds):
        yield [rows[rows.size * number // rounds : rows.size * (number + 1) // rounds] for rows in streams]


def apportion(total: int, shares: tuple[float, ...]) -> list[int]:
    """Return whole numbers in the given shares that are `total` together: what is left goes to the largest parts of 1.

    >>> apportion(10, (0.5, 0.25, 0.25))
    [5, 3, 2]
    """
    exact = np.array(shares) * total
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def draw(rows: int, begin: int, count: int, seed: int, source: int) -> NDArray[np.int32]:
    """Return `count` rows, from the place `begin` on, of the endless stream of permutations of a source's rows."""
    if not count:
        return np.empty(0, dtype=np.int32)
    passes = max(1, BLOCK_ROWS // rows)
    block = rows * passes
    first = begin // block
    blocks = [
        _block(rows, passes, (seed, source, number, 1)) for number in range(first, (begin + count - 1) // block + 1)
    ]
    return np.concatenate(blocks)[begin - first * block :][:count]


def _block(rows: int, passes: int, seed: tuple[int, ...]) -> NDArray[np.int32]:
    generator, once = np.random.default_rng(seed), np.arange(rows, dtype=np.int32)
    if passes == 1:
        return generator.permutation(once)
    return generator.permuted(np.tile(once, (passes, 1)), axis=1).ravel()


def _spread(sources: NDArray[np.int16], bounds: Indices, count: int, generator: np.random.Generator) -> Indices:
    """Return the batches of a round in a random order in which every stretch has the shares of the whole.

    `sources` has the source of every pair. The batches of which a source has the most pairs, ordered by how many it
    has, are spread over the round so that every part of it has as many of them, and of every size.
    """
    batches = bounds.size - 1
    if not batches:
        return np.empty(0, dtype=np.int64)
    pairs = np.stack([np.add.reduceat((sources == source).astype(np.int64), bounds[:-1]) for source in range(count)])
    main = pairs.argmax(axis=0)
    order = np.lexsort((generator.random(batches), pairs[main, np.arange(batches)], main))
    times = [_times(size, generator) for size in np.bincount(main, minlength=count).tolist()]
    return order[np.argsort(np.concatenate(times))]


def _times(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a random time in [0, 1) for each of some neighbours, so that neighbours are far apart.

    One of each two is in the first half, the other in the second; of each half, one of each two in its first half; and
    so on (nested scrambling, Owen 1995).
    """
    bits = max(0, count - 1).bit_length()
    places = np.arange(count)
    times: NDArray[np.float64] = generator.random(count)
    for bit in reversed(range(bits)):
        parents = places >> (bit + 1)
        flips = generator.integers(0, 2, size=2 ** (bits - bit - 1))
        times += (((places >> bit) & 1) ^ flips[parents]) * 2 ** (bits - 1 - bit)
    times /= 2**bits
    return times


def join_plans(plans: list[Plan]) -> Plan:
    """Return the steps of plans one after the other."""
    pairs = np.cumsum([0, *(plan.order.size for plan in plans)])
    batches = np.cumsum([0, *(plan.bounds.size - 1 for plan in plans)])
    return Plan(
        np.concatenate([plan.order for plan in plans]),
        np.concatenate([*(plan.bounds[:-1] + first for plan, first in zip(plans, pairs, strict=False)), pairs[-1:]]),
        np.concatenate([plan.turns + first for plan, first in zip(plans, batches, strict=False)]),
    )
