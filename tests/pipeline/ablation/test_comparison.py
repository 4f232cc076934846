"""What is measured of the systems: arithmetic on lengths, seeds and translations."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ablation.comparison import Outcome, Spread, bleu_by_length, choose_sentences, measure, spread
from pipeline.ablation.systems import System, plan_ablation
from pipeline.batches.tokenizer import train_tokenizer
from pipeline.config import RunConfig
from pipeline.corpus.corpus import prepare_corpus
from pipeline.metrics.lengths import Bucket, count_words, length_buckets
from pipeline.metrics.metrics import BLEU
from pipeline.store.store import Store
from tests.outcomes import Translate, make_outcome, smaller

Make = Callable[[System, Translate], Outcome]


@pytest.fixture
def make(nmt_home: Path, tiny: RunConfig, tmp_path: Path) -> Make:
    corpus = prepare_corpus(tiny.corpus, Store())
    tokenizer = train_tokenizer(corpus, tiny.tokenizer, Store())
    return lambda system, translate: make_outcome(system, corpus, tokenizer, tmp_path, translate)


def give_source(source: str, reference: str) -> str:
    return source


def give_reference(source: str, reference: str) -> str:
    return reference


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], Spread(3.0, None)), ([1.0, 3.0], Spread(2.0, 2**0.5)), ([2.0, 2.0, 2.0], Spread(2.0, 0.0))],
)
def test_mean_and_sample_deviation(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


@given(st.lists(st.integers(1, 80), min_size=1, max_size=300))
def test_buckets_hold_every_sentence_once_and_none_holds_too_few(lengths: list[int]) -> None:
    buckets = length_buckets(lengths)
    assert sum(bucket.sentences for bucket in buckets) == len(lengths)
    for bucket in buckets:
        assert bucket.sentences == sum(bucket.first <= length <= bucket.last for length in lengths)
        assert bucket.sentences >= min(len(lengths), max(2, len(lengths) // 20))
    assert buckets[0].first == min(lengths)
    assert buckets[-1].last == max(lengths)
    assert all(before.last + 1 == after.first for before, after in pairwise(buckets))


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([4] * 30 + [5] * 30 + [6] * 30, [(4, 4), (5, 5), (6, 6)]),
        ([4] * 30 + [5] * 30 + [40], [(4, 4), (5, 40)]),
        (list(range(1, 21)) * 10, [(1, 3), (4, 6), (7, 9), (10, 12), (13, 15), (16, 18), (19, 20)]),
    ],
)
def test_buckets(lengths: list[int], expected: list[tuple[int, int]]) -> None:
    assert [(bucket.first, bucket.last) for bucket in length_buckets(lengths)] == expected


def test_sentences_go_from_short_to_long_and_the_longest_are_left_out() -> None:
    sentences = [" ".join("x" * length) for length in (9, 3, 60, 26, 25, 12, 3)]
    assert [count_words(sentences[place]) for place in choose_sentences(sentences, 3)] == [3, 12, 25]
    assert choose_sentences(sentences, 1) == [5], "the median"
    assert choose_sentences(sentences, 99) == [1, 0, 5, 4], "each once, the first of equal ones"
    assert choose_sentences(["x " * 30], 3) == [0], "rather a long one than none"


def test_a_system_that_translates_better_is_significantly_better(make: Make, tiny: RunConfig) -> None:
    plan = smaller(plan_ablation(tiny), "base", "+ bidirectional", "+ dropout")
    base, better, same = plan.systems
    outcomes = [
        make(base, give_source),
        make(better, give_reference),
        make(same, give_reference),
    ]
    first, second, third = measure(plan.ladder, outcomes, 100, BLEU)
    assert (first.difference, first.p) == (None, None)
    assert first.interval[0] <= first.bleu.mean <= first.interval[1]
    assert second.bleu.mean == pytest.approx(100.0)
    assert second.bleu.deviation is None
    assert second.difference == pytest.approx(100.0 - first.bleu.mean)
    assert second.p is not None
    assert second.p < 0.05
    assert (third.difference, third.p) == (0.0, 1.0)
    assert second.parameters > first.parameters


def test_over_seeds_means_deviations_and_the_largest_p(make: Make, tiny: RunConfig) -> None:
    ablation = tiny.ablation.model_copy(update={"seeds": 2})
    plan = smaller(plan_ablation(tiny.model_copy(update={"ablation": ablation})), "base", "+ bidirectional")
    # The second system is better with the first seed, and the same with the second.
    outcomes = [
        make(system, give_reference if system.name != "base" and system.config.training.seed == 1 else give_source)
        for system in plan.trainings()
    ]
    first, second = measure(plan.ladder, outcomes, 100, BLEU)
    assert first.perplexity == Spread(3.5, 0.5**0.5)
    assert first.bleu.deviation == 0.0
    assert second.bleu.mean == pytest.approx((100.0 + first.bleu.mean) / 2)
    assert second.p == 1.0, "with one of the seeds there is no difference"
    assert second.training_seconds.mean == 15.0


def test_bleu_of_each_bucket(make: Make, tiny: RunConfig) -> None:
    base = plan_ablation(tiny).systems[0]
    outcome = make(base, lambda source, reference: reference if count_words(source) < 10 else "nothing")
    buckets = [Bucket(1, 9, 0), Bucket(10, 99, 0)]
    assert bleu_by_length("base", [outcome], buckets, BLEU) == [pytest.approx(100.0), pytest.approx(0.0, abs=1.0)]
