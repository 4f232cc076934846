"""Shares of several sources: of every stretch of batches, for every worker, in every stage of a curriculum."""

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pipeline.batches.mixture import Mixture, Place, apportion, draw, plan_mixture
from pipeline.batches.plan import Indices, Lengths, Plan, plan_epoch, share_rows
from pipeline.data_config import BatchingConfig, CorpusConfig

BATCHING = BatchingConfig(tokens=2048)
SMALL = BatchingConfig(tokens=256)


def lengths_of(*sources: tuple[int, float]) -> Lengths:
    """Return lengths of so many pairs with this mean, source by source."""
    generator = np.random.default_rng(3)
    sides = [np.clip(generator.gamma(3.0, mean / 3.0, (2, rows)), 2, 100).astype(np.int64) for rows, mean in sources]
    source, target = np.concatenate(sides, axis=1)
    return Lengths(source, target)


def mixture_of(rows: tuple[int, ...], weights: tuple[float, ...] | None = None, **fields: Any) -> Mixture:
    sources = [{"name": name} | ({} if weights is None else {"weight": weights[n]}) for n, name in zip_names(rows)]
    found = Mixture.of(CorpusConfig(sources=sources, **fields), {name: rows[n] for n, name in zip_names(rows)})
    assert found is not None
    return found


def zip_names(rows: tuple[int, ...]) -> list[tuple[int, str]]:
    return list(enumerate("abc"[: len(rows)]))


def counts(plan: Plan, lengths: Lengths, first: int) -> tuple[Indices, Indices]:
    """Return how many pairs each step has of the source whose pairs come first, and in all."""
    return plan.sums((np.arange(lengths.source.size) < first).astype(np.int64)), plan.sizes


def pairs_of(plan: Plan) -> list[int]:
    return [int(pair) for batch in plan for pair in batch]


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_thousand_batches_have_the_shares_asked_for_wherever_they_begin(epoch: int) -> None:
    rows = (1_000_000, 20_000)
    lengths = lengths_of((rows[0], 27.0), (rows[1], 15.0))
    plan = plan_mixture(lengths, mixture_of(rows, (1.0, 1.0)), BATCHING, 1, 1, Place(Fraction(epoch)))
    own, all_pairs = counts(plan, lengths, rows[0])
    for begin in (0, 700, 1234, len(plan) // 2, len(plan) - 1000):
        window = slice(begin, begin + 1000)
        assert own[window].sum() / all_pairs[window].sum() == pytest.approx(0.5, rel=0.02)
    assert (int(own.sum()), int(all_pairs.sum())) == (510_000, 1_020_000)


def test_two_workers_have_together_what_one_has() -> None:
    lengths, mixture = lengths_of((900, 20.0), (100, 9.0)), mixture_of((900, 100), (1.0, 1.0))
    plan = plan_mixture(lengths, mixture, SMALL, 1, 1, Place())
    again = plan_mixture(lengths, mixture, SMALL, 2, 1, Place())  # Without tokens_per_worker, a step is no larger.
    for batch, same in zip(plan, again, strict=True):
        shares = np.concatenate([same[share_rows(same.size, rank, 2)] for rank in range(2)])
        assert sorted(batch.tolist()) == sorted(shares.tolist())


def test_a_repeated_source_has_each_pair_as_often_and_a_large_one_is_read_on() -> None:
    rows = (3000, 70)
    lengths, mixture = lengths_of((rows[0], 20.0), (rows[1], 20.0)), mixture_of(rows, (1.0, 1.0))
    seen = Counter[int]()
    for epoch in range(4):
        found = Counter(pairs_of(plan_mixture(lengths, mixture, SMALL, 1, 1, Place(Fraction(epoch)))))
        assert found.total() == sum(rows)
        small = [found[pair] for pair in range(rows[0], sum(rows))]
        assert max(small) - min(small) <= 2  # It ends in the middle of one pass and began in another.
        seen += found
        for low, high in ((0, rows[0]), (rows[0], sum(rows))):
            times = [seen[pair] for pair in range(low, high)]
            assert max(times) - min(times) <= 1


def test_a_pass_ends_before_the_next_begins() -> None:
    stream = draw(rows=90, begin=0, count=900, seed=1, source=0)
    for begin in range(0, 900, 90):
        assert sorted(stream[begin : begin + 90].tolist()) == list(range(90))
    assert draw(90, 37, 500, 1, 0).tolist() == stream[37:537].tolist()
    assert draw(90, 0, 90, 1, 1).tolist() != stream[:90].tolist() != draw(90, 0, 90, 2, 0).tolist()


def test_large_sources_are_streams_of_permutations_too() -> None:
    rows = 70_000
    stream = draw(rows, 0, 2 * rows, 1, 0)
    assert sorted(stream[rows:].tolist()) == list(range(rows))
    assert draw(rows, rows - 5, 10, 1, 0).tolist() == stream[rows - 5 : rows + 5].tolist()


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 0.9), (2.0, 0.75), (1e9, 0.5)])
def test_temperature_makes_small_sources_larger(temperature: float, share: float) -> None:
    lengths, mixture = lengths_of((900, 20.0), (100, 20.0)), mixture_of((900, 100), temperature=temperature)
    own, all_pairs = counts(plan_mixture(lengths, mixture, SMALL, 1, 1, Place()), lengths, 900)
    assert own.sum() / all_pairs.sum() == pytest.approx(share)


def test_without_shares_there_is_no_mixture() -> None:
    assert Mixture.of(CorpusConfig(), {}) is None
    assert Mixture.of(CorpusConfig(sources=[{"name": "a"}, {"name": "b"}]), {"a": 9, "b": 1}) is None


@pytest.mark.parametrize("until", ["20 updates", "2000 tokens", "0.25 epochs"])
def test_a_stage_that_ends_inside_an_epoch_ends_with_that_batch(until: str) -> None:
    lengths = lengths_of((900, 20.0), (100, 20.0))
    stages = [{"until": until, "weights": {"a": 1.0}}, {"until": "2 epochs", "weights": {"b": 3.0, "a": 1.0}}]
    mixture = mixture_of((900, 100), curriculum=stages)
    plan = plan_mixture(lengths, mixture, SMALL, 1, 1, Place())
    own, sizes = counts(plan, lengths, 900)
    tokens = plan.sums(lengths.target)
    end = {
        "20 updates": 20,
        "2000 tokens": int(np.searchsorted(np.cumsum(tokens), 2000)) + 1,
        "0.25 epochs": int(np.searchsorted(np.cumsum(sizes), 250)) + 1,
    }[until]
    assert 0 < end < len(plan)
    assert own[:end].tolist() == sizes[:end].tolist()
    assert own[end:].sum() / sizes[end:].sum() == pytest.approx(0.25, abs=0.005)
    assert sizes.sum() == 1000  # The epoch is no shorter for it.

    second = Place(Fraction(1), len(plan), int(tokens.sum()))
    own, sizes = counts(plan_mixture(lengths, mixture, SMALL, 1, 1, second), lengths, 900)
    assert own.sum() / sizes.sum() == 0.25
    third = plan_mixture(lengths, mixture, SMALL, 1, 1, Place(Fraction(2), 100, 40_000))
    assert [each.tolist() for each in third] == [each.tolist() for each in plan_epoch(lengths, 256, 0.02, 1, 2)]


def test_several_stages_may_end_in_one_epoch_and_one_may_begin_over() -> None:
    lengths = lengths_of((900, 20.0), (100, 20.0))
    stages = [
        {"until": "5 updates", "weights": {"b": 1.0}},
        {"until": "1 token", "weights": {"b": 1.0}},  # Over before it begins.
        {"until": "12 updates", "weights": {"a": 1.0}},
    ]
    plan = plan_mixture(lengths, mixture_of((900, 100), curriculum=stages), SMALL, 1, 1, Place())
    own, sizes = counts(plan, lengths, 900)
    assert own[:5].sum() == 0
    assert own[5:12].tolist() == sizes[5:12].tolist()
    assert own[12:].sum() / sizes[12:].sum() == pytest.approx(0.9, abs=0.002)
    assert sizes.sum() == 1000


def test_counts_are_whole_and_complete() -> None:
    for total in (0, 1, 7, 1000):
        assert sum(apportion(total, (1 / 3, 1 / 3, 1 / 3))) == total
