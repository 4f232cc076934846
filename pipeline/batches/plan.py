"""Buckets of similar length, the plan of an epoch, and each worker's share of it: arithmetic on lengths.

A *global batch* holds the pairs that all workers together process in one step. It is planned from (seed, epoch) and
lengths alone, so the number of workers changes the speed and not the mathematics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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


def order_by_length(lengths: Lengths, noise: NDArray[np.float64]) -> Indices:
    """Sort pairs by source length, then by target length, ascending and descending in turn: neighbours stay similar.

    `noise`, one number per pair, orders pairs of equal lengths.

    >>> lengths = Lengths(np.array([2, 3, 3, 2]), np.array([5, 9, 4, 3]))
    >>> order_by_length(lengths, np.zeros(4)).tolist()
    [3, 0, 1, 2]
    """
    direction = np.where(lengths.source % 2 == 0, 1, -1)
    return np.lexsort((noise, direction * lengths.target, lengths.source))


def cut(order: Indices, lengths: Lengths, tokens: int, max_padding: float) -> list[Indices]:
    """Cut an order into batches of at most `tokens` padded tokens; a longer pair gets a batch of its own.

    A batch ends early, but with at least half of the pairs that fit, at the last pair that keeps the share of padding
    at `max_padding` or below; if no pair does, at the one with the least padding. Then it is shortened to a multiple of
    `ROWS` pairs.
    """
    batches: list[Indices] = []
    start = 0
    while start < order.size:
        # At most this many pairs fit: `first` has the shortest source of the rest.
        first = order[start]
        window = order[start : start + max(1, tokens // max(1, int(lengths.source[first])) + 1)]
        source, target = lengths.source[window], lengths.target[window]
        padded = np.arange(1, window.size + 1) * (np.maximum.accumulate(source) + np.maximum.accumulate(target))
        fitting = max(1, int(np.searchsorted(padded, tokens, side="right")))
        padding = 1.0 - np.cumsum(source + target)[:fitting] / padded[:fitting]
        least = fitting // 2
        tight = np.flatnonzero(padding[least:] <= max_padding)
        end = least + 1 + int(tight[-1] if tight.size else padding[least:].argmin())
        end -= end % ROWS if end >= 2 * ROWS else 0
        batches.append(window[:end])
        start += end
    return batches


def plan_epoch(lengths: Lengths, tokens: int, max_padding: float, seed: int, epoch: int) -> list[Indices]:
    """Return the global batches of an epoch in training order, with every pair exactly once."""
    generator = np.random.default_rng((seed, epoch))
    order = order_by_length(lengths, generator.random(lengths.source.size))
    batches = cut(order, lengths, tokens, max_padding)
    return [batches[index] for index in generator.permutation(len(batches))]


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
