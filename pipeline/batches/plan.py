"""Buckets of similar length, the plan of an epoch, and each worker's share of it: arithmetic on lengths.

A *global batch* holds the pairs that all workers together process in one step. It is planned from (seed, epoch) and
lengths alone, so the number of workers changes the speed and not the mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

ROWS = 8
"""Batch sizes are multiples of this: few shapes, since some kernels are compiled for every new shape."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of each sentence pair, `end` included: two int64 arrays of the same size."""

    source: Indices
    target: Indices

    def __post_init__(self) -> None:
        assert self.source.shape == self.target.shape

    def cost(self, batch: Indices) -> int:
        """Return the padded tokens of `batch`, both sides together."""
        return int(batch.size * (self.source[batch].max() + self.target[batch].max())) if batch.size else 0

    def tokens(self, batch: Indices) -> int:
        """Return the tokens of `batch` without padding, both sides together."""
        return int(self.source[batch].sum() + self.target[batch].sum())


@dataclass(frozen=True)
class Plan(Sequence[Indices]):
    """The global batches of an epoch in training order: three arrays, also for millions of batches."""

    order: Indices
    """All pairs, sorted by length."""
    bounds: Indices
    """Where batches of neighbours begin and end in that order; one more than there are batches."""
    turns: Indices
    """The batches in the order in which they are trained on."""

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.turns.size

    @overload
    def __getitem__(self, place: int) -> Indices: ...

    @overload
    def __getitem__(self, place: slice) -> list[Indices]: ...

    def __getitem__(self, place: int | slice) -> Indices | list[Indices]:
        """Return the pairs of a step, or of several."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        batch = self.turns[place]
        return self.order[self.bounds[batch] : self.bounds[batch + 1]]

    @property
    def sizes(self) -> Indices:
        """The pairs of each step, in training order."""
        return np.diff(self.bounds)[self.turns]

    def sums(self, values: Indices) -> Indices:
        """Return what the pairs of each step have of something, such as target tokens, in training order."""
        return np.add.reduceat(values[self.order], self.bounds[:-1])[self.turns] if len(self) else self.turns


def order_by_length(lengths: Lengths, noise: NDArray[np.float64]) -> Indices:
    """Sort pairs by source length, then by target length, ascending and descending in turn: neighbours stay similar.

    `noise`, one number per pair, orders pairs of equal lengths.

    >>> lengths = Lengths(np.array([2, 3, 3, 2]), np.array([5, 9, 4, 3]))
    >>> order_by_length(lengths, np.zeros(4)).tolist()
    [3, 0, 1, 2]
    """
    order = sort_by_length(lengths)
    ends = _ends_of_runs(lengths.source[order], lengths.target[order])
    # Run by run: that is faster than to sort by noise first, since the runs are short.
    for run in map(slice, np.append(0, ends[:-1]), ends):
        order[run] = order[run][_argsort(noise[order[run]])]
    return order


def sort_by_length(lengths: Lengths) -> Indices:
    """Sort pairs as `order_by_length` does; those of equal lengths keep their order."""
    return _stable_order(lengths.source, np.where(lengths.source % 2 == 0, lengths.target, -lengths.target))


def _stable_order(first: Indices, second: Indices) -> Indices:
    """Return the order by two keys, in which equal pairs keep theirs. numpy sorts numbers of 16 bits in one pass."""
    low, high = (int(second.min()), int(second.max())) if second.size else (0, 0)
    width = high - low + 1
    if (int(first.max(initial=0)) + 1) * width <= 2**16:
        return np.argsort((first * width + (second - low)).astype(np.uint16), kind="stable")
    order = np.arange(first.size)
    for key in (second, first):
        fits = np.abs(key).max(initial=0) < 2**15
        order = order[np.argsort(key.astype(np.int16 if fits else np.int64)[order], kind="stable")]
    return order


def _argsort(numbers: NDArray[np.float64]) -> Indices:
    """Return the order of numbers, equal ones in their own; numpy has no stable sort of floats that is as fast."""
    order = np.argsort(numbers)
    ordered = numbers[order]
    return order if np.all(ordered[1:] > ordered[:-1]) else np.argsort(numbers, kind="stable")


def cut(order: Indices, lengths: Lengths, tokens: int, max_padding: float) -> Indices:
    """Cut an order into batches of at most `tokens` padded tokens; a longer pair gets a batch of its own.

    Returns where each batch begins, and where the last one ends. A batch ends early, but with at least half of the
    pairs that fit, at the last pair that keeps the share of padding at `max_padding` or below; if no pair does, at the
    one with the least padding. Then it is shortened to a multiple of `ROWS` pairs.
    """
    sources, targets = (side[order].astype(np.int32) for side in (lengths.source, lengths.target))
    ends = _ends_of_runs(sources, targets)
    numbers = np.arange(1, tokens + 2)
    bounds = [np.zeros(1, dtype=np.int64)]
    while (start := int(bounds[-1][-1])) < order.size:
        run = int(ends[np.searchsorted(ends, start, side="right")]) - start
        fitting = max(1, tokens // max(1, int(sources[start] + targets[start])))
        if run >= fitting:  # Pairs of equal lengths, without padding: all their batches at once.
            size = _whole_rows(fitting)
            bounds.append(start + size * np.arange(1, (run - fitting) // size + 2))
            continue
        # At most this many pairs fit: the first has the shortest source of the rest.
        window = slice(start, start + max(1, tokens // max(1, int(sources[start])) + 1))
        source, target = sources[window], targets[window]
        padded = numbers[: source.size] * (np.maximum.accumulate(source) + np.maximum.accumulate(target))
        fitting = max(1, int(np.searchsorted(padded, tokens, side="right")))
        padding = 1.0 - np.cumsum(source + target)[:fitting] / padded[:fitting]
        least = fitting // 2
        tight = np.flatnonzero(padding[least:] <= max_padding)
        size = least + 1 + int(tight[-1] if tight.size else padding[least:].argmin())
        bounds.append(np.array([start + _whole_rows(size)]))
    return np.concatenate(bounds)


def _ends_of_runs(sources: NDArray[Any], targets: NDArray[Any]) -> Indices:
    """Return where runs of pairs of equal lengths end."""
    changes = (sources[1:] != sources[:-1]) | (targets[1:] != targets[:-1])
    return np.append(np.flatnonzero(changes) + 1, sources.size)


def _whole_rows(size: int) -> int:
    return size - (size % ROWS if size >= 2 * ROWS else 0)


def plan_epoch(lengths: Lengths, tokens: int, max_padding: float, seed: int, epoch: int) -> Plan:
    """Return the global batches of an epoch in training order, with every pair exactly once."""
    generator = np.random.default_rng((seed, epoch))
    order = order_by_length(lengths, generator.random(lengths.source.size))
    bounds = cut(order, lengths, tokens, max_padding)
    return Plan(order, bounds, generator.permutation(bounds.size - 1))


def share_rows(size: int, rank: int, workers: int) -> Indices:
    """Return the rows of a global batch of `size` pairs that worker `rank` processes.

    Every `workers`-th row: a batch is sorted by length, so all shares cost nearly the same. A share is empty if the
    batch has fewer pairs than there are workers; that worker still takes part in the step.

    >>> share_rows(5, rank=1, workers=2).tolist()
    [1, 3]
    """
    return np.arange(rank, size, workers)


def split_share(rows: Indices, cost: int, limit: int | None) -> list[Indices]:
    """Split a share of `cost` padded tokens into parts of at most about `limit`, for gradient accumulation."""
    if not rows.size or limit is None or cost <= limit:
        return [rows]
    return np.array_split(rows, min(rows.size, -(-cost // limit)))


def padding_share(plan: Sequence[Indices], lengths: Lengths) -> float:
    """Return the share of padding among the padded tokens of a plan, in [0, 1)."""
    padded = sum(lengths.cost(batch) for batch in plan)
    return 1.0 - sum(lengths.tokens(batch) for batch in plan) / padded if padded else 0.0
