"""Buckets, the plan of an epoch and the workers' shares: tables and properties."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.batches.plan import Lengths, cut, order_by_length, padding_share, plan_epoch, share_rows, split_share


def lengths_of(pairs: list[tuple[int, int]]) -> Lengths:
    source, target = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    return Lengths(source, target)


def captions(count: int, seed: int = 0) -> Lengths:
    """Lengths that are spread and correlated as those of image captions are."""
    random = np.random.default_rng(seed)
    source = np.clip(random.gamma(9.0, 1.8, count), 4, 60).astype(np.int64)
    return Lengths(source, np.clip(source + random.normal(0, 2.5, count), 3, 60).astype(np.int64))


PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=200)


@given(
    pairs=PAIRS,
    tokens=st.integers(16, 400),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
    workers=st.integers(1, 5),
)
def test_every_pair_appears_exactly_once_an_epoch_over_all_ranks(
    pairs: list[tuple[int, int]], tokens: int, seed: int, epoch: int, workers: int
) -> None:
    plan = plan_epoch(lengths_of(pairs), tokens, 0.02, seed, epoch)
    seen = [int(i) for batch in plan for rank in range(workers) for i in batch[share_rows(batch.size, rank, workers)]]
    assert sorted(seen) == list(range(len(pairs)))


@given(pairs=PAIRS, tokens=st.integers(16, 400))
def test_no_batch_is_over_the_budget_unless_it_is_a_single_pair(pairs: list[tuple[int, int]], tokens: int) -> None:
    lengths = lengths_of(pairs)
    for batch in plan_epoch(lengths, tokens, 0.02, 1, 0):
        assert lengths.cost(batch) <= tokens or batch.size == 1


@given(pairs=PAIRS, seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_same_seed_and_epoch_same_plan(pairs: list[tuple[int, int]], seed: int, epoch: int) -> None:
    first, second = (plan_epoch(lengths_of(pairs), 100, 0.02, seed, epoch) for _ in range(2))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]


def test_epochs_and_seeds_differ() -> None:
    lengths = captions(500)
    plans = [plan_epoch(lengths, 1000, 0.02, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert len({str([batch.tolist() for batch in plan]) for plan in plans}) == 3


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_all_ranks_take_the_same_steps_at_nearly_the_same_cost(workers: int) -> None:
    lengths = captions(20_000)
    slowest, mean = 0, 0.0
    for batch in plan_epoch(lengths, 8192, 0.02, 1, 0):
        shares = [batch[share_rows(batch.size, rank, workers)] for rank in range(workers)]
        assert max(share.size for share in shares) - min(share.size for share in shares) <= 1
        costs = [lengths.cost(share) for share in shares]
        slowest, mean = slowest + max(costs), mean + sum(costs) / workers
    assert slowest <= 1.04 * mean, "what all wait for is the slowest share of each step"


@pytest.mark.parametrize("tokens", [2048, 4096])
def test_padding_of_captions_is_under_two_percent(tokens: int) -> None:
    lengths = captions(29_000)
    plan = plan_epoch(lengths, tokens, 0.02, 1, 0)
    assert padding_share(plan, lengths) < 0.02
    order = np.arange(29_000)
    in_order = np.split(order, cut(order, lengths, tokens, 1.0)[1:-1])
    assert padding_share(in_order, lengths) > 0.3, "without buckets most of this is lost: the test can fail"


def test_order_runs_up_and_down() -> None:
    lengths = lengths_of([(2, 5), (2, 3), (3, 4), (3, 9), (4, 1), (4, 7)])
    assert order_by_length(lengths, np.zeros(6)).tolist() == [1, 0, 3, 2, 4, 5]


@pytest.mark.parametrize(
    ("pairs", "tokens", "max_padding", "sizes"),
    [
        ([(2, 2)] * 6, 12, 0.0, [3, 3]),  # 3 pairs of 4 tokens fill a budget of 12
        ([(2, 2), (2, 2), (2, 4)], 100, 1.0, [3]),  # padding is allowed
        ([(2, 2), (2, 2), (2, 4)], 100, 0.0, [2, 1]),  # padding is not, and two of three are at least half
        ([(50, 50), (1, 1)], 20, 0.0, [1, 1]),  # too long for the budget: a batch of its own
        ([(2, 2), (9, 9), (9, 9), (9, 9)], 100, 0.0, [4]),  # never less than half of what fits
    ],
)
def test_cut(pairs: list[tuple[int, int]], tokens: int, max_padding: float, sizes: list[int]) -> None:
    bounds = cut(np.arange(len(pairs)), lengths_of(pairs), tokens, max_padding)
    assert np.diff(bounds).tolist() == sizes


def cut_one_by_one(lengths: Lengths, tokens: int, max_padding: float) -> list[int]:
    """Cut as `cut` says that it does, without looking for runs of equal lengths."""
    bounds = [0]
    while (start := bounds[-1]) < lengths.source.size:
        sizes = np.arange(1, lengths.source.size - start + 1)
        source, target = lengths.source[start:], lengths.target[start:]
        padded = sizes * (np.maximum.accumulate(source) + np.maximum.accumulate(target))
        fitting = max(1, int((padded <= tokens).sum()))
        padding = (1.0 - np.cumsum(source + target) / padded)[:fitting]
        enough = range(fitting // 2, fitting)
        tight = [place for place in enough if padding[place] <= max_padding]
        size = 1 + (tight[-1] if tight else min(enough, key=lambda place: padding[place]))
        bounds.append(start + size - (size % 8 if size >= 16 else 0))
    return bounds


@given(
    pairs=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=300),
    tokens=st.integers(1, 200),
    max_padding=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_runs_of_equal_lengths_are_cut_as_one_by_one(
    pairs: list[tuple[int, int]], tokens: int, max_padding: float
) -> None:
    lengths = lengths_of(sorted(pairs))
    bounds = cut(np.arange(len(pairs)), lengths, tokens, max_padding)
    assert bounds.tolist() == cut_one_by_one(lengths, tokens, max_padding)


SIDES = st.one_of(st.integers(1, 4), st.integers(1, 40_000))


@given(pairs=st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=100), seed=st.integers(0, 9))
@example(pairs=[(2, 3), (4, 9), (2, 9), (2, 3)], seed=0)  # Only even sources: all targets ascend.
def test_the_order_is_that_of_the_lengths_with_ties_by_chance(pairs: list[tuple[int, int]], seed: int) -> None:
    lengths, noise = lengths_of(pairs), np.random.default_rng(seed).random(len(pairs))
    direction = np.where(lengths.source % 2 == 0, 1, -1)
    expected = np.lexsort((noise, direction * lengths.target, lengths.source))
    assert order_by_length(lengths, noise).tolist() == expected.tolist()


def test_a_plan_knows_each_steps_tokens() -> None:
    lengths = captions(500)
    plan = plan_epoch(lengths, 1000, 0.02, 1, 0)
    assert plan.sums(lengths.target).tolist() == [int(lengths.target[batch].sum()) for batch in plan]
    assert [batch.tolist() for batch in plan[2:4]] == [plan[2].tolist(), plan[3].tolist()]


@pytest.mark.parametrize(
    ("size", "rank", "workers", "rows"),
    [(5, 0, 2, [0, 2, 4]), (5, 1, 2, [1, 3]), (1, 1, 2, []), (4, 0, 1, [0, 1, 2, 3])],
)
def test_share_rows(size: int, rank: int, workers: int, rows: list[int]) -> None:
    assert share_rows(size, rank, workers).tolist() == rows


@pytest.mark.parametrize(
    ("rows", "cost", "limit", "parts"),
    [
        ([0, 1, 2, 3], 100, None, [[0, 1, 2, 3]]),
        ([0, 1, 2, 3], 100, 100, [[0, 1, 2, 3]]),
        ([0, 1, 2, 3], 100, 50, [[0, 1], [2, 3]]),
        ([0, 1], 100, 10, [[0], [1]]),
        ([], 0, 10, [[]]),
    ],
)
def test_split_share(rows: list[int], cost: int, limit: int | None, parts: list[list[int]]) -> None:
    assert [part.tolist() for part in split_share(np.array(rows, dtype=np.int64), cost, limit)] == parts
