"""What is held out: whole groups of a source, as many pairs as asked for, whatever the order of the pairs."""

import hashlib
import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.held_out import choose_sources, hash_pair, source_of

Pair = tuple[str, str]
CORPORA = st.sets(st.tuples(st.integers(0, 9).map(str), st.integers(0, 9).map(str)), min_size=1)
SIZES = st.lists(st.integers(1, 8), min_size=1, max_size=2)


def held_out(pairs: set[Pair], sizes: list[int], seed: int = 1) -> list[set[Pair]] | None:
    chosen = choose_sources([hash_pair(pair, seed) for pair in pairs], sizes)
    hashes = {pair: source_of(hash_pair(pair, seed)) for pair in pairs}
    return None if chosen is None else [{pair for pair in pairs if hashes[pair] in part} for part in chosen]


@given(CORPORA, SIZES)
def test_a_source_is_in_one_split_and_a_split_has_its_size(pairs: set[Pair], sizes: list[int]) -> None:
    parts = held_out(pairs, sizes)
    groups = Counter(source for source, _ in pairs)
    if parts is None:
        assert len(groups) <= sum(sizes), "every split takes at most as many sources as its size"
        return
    train = pairs - set().union(*parts)
    sources = [{source for source, _ in part} for part in (*parts, train)]
    assert train
    assert sum(map(len, sources)) == len(groups), "none is in two of them"
    for size, part, of_part in zip(sizes, parts, sources, strict=False):
        assert size <= len(part) < size + max(groups[source] for source in of_part)


@given(st.sets(st.text(max_size=5), min_size=8), st.integers(0, 3))
def test_pairs_of_different_sources_are_held_out_by_their_own_hashes(sources: set[str], seed: int) -> None:
    """As before there were groups: results on such a corpus do not change."""
    pairs = {(source, "same") for source in sources}
    ranks = {pair: hashlib.blake2b(json.dumps([seed, *pair]).encode(), digest_size=16).digest() for pair in pairs}
    first = sorted(pairs, key=ranks.__getitem__)
    assert held_out(pairs, [3, 4], seed) == [set(first[:3]), set(first[3:7])]


@given(CORPORA, st.integers(1, 3), st.integers(1, 3))
def test_the_first_split_depends_on_no_other_size(pairs: set[Pair], size: int, other: int) -> None:
    alone, both = held_out(pairs, [size]), held_out(pairs, [size, other])
    if both:  # Else there are too few pairs for two splits.
        assert alone
        assert alone[0] == both[0]


def test_a_group_larger_than_the_split_stays_in_train_unless_the_others_do_not_suffice() -> None:
    single = {(f"single {number}", "x") for number in range(20)}
    large = {(f"large {number}", str(target)) for number in range(20) for target in range(50)}
    parts = held_out(single | large, [8, 8])
    assert parts
    assert set().union(*parts) <= single
    parts = held_out(large, [8, 8])
    assert parts
    assert [len(part) for part in parts] == [50, 50]


def test_sources_with_many_translations_are_not_preferred() -> None:
    """With the smallest rank of its pairs, a group of 30 would be 30 times as likely to be held out."""
    single = {(f"single {number}", "x") for number in range(500)}
    large = {(f"large {number}", str(target)) for number in range(500) for target in range(30)}
    shares = []
    for seed in range(10):
        parts = held_out(single | large, [600], seed)
        assert parts
        sources = {source for source, _ in parts[0]}
        shares.append(sum(source.startswith("large") for source in sources) / len(sources))
    assert 0.35 < sum(shares) / len(shares) < 0.65
