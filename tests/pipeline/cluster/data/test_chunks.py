"""Chunks of pairs on a cluster: the same results in the same order as on one core, and the same errors."""

from collections.abc import Iterator

import pytest

from pipeline import processes
from pipeline.cluster.connection import ray_cluster
from pipeline.cluster.data.chunks import chunks_on_cluster
from pipeline.corpus.captions import generate_pairs
from pipeline.corpus.cleaning.chunks import Asked, Cleaner
from pipeline.corpus.cleaning.leaks import find_leaks
from pipeline.corpus.held_out import hash_pair
from pipeline.processes import ALONE, ELSEWHERE, in_chunks

PAIRS = 20


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with ray_cluster():
        yield


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(processes, "PAIRS", PAIRS)
    monkeypatch.setenv("RAY_ADDRESS", "the one that this process is connected to")
    with chunks_on_cluster():
        yield


@pytest.mark.usefixtures("elsewhere")
def test_a_long_corpus_is_cleaned_and_searched_by_the_cluster() -> None:
    pairs = list(generate_pairs(PAIRS * (ALONE + 5) + 3, 1))
    asked = Asked(("copy", "language"), "de", "en", held_out_seed=1)
    there = list(in_chunks(pairs, Cleaner, (asked, hash_pair), processes=1))
    leaks = find_leaks(pairs, {"test": pairs[-7:]})
    assert [leak.number for leak in leaks][-7:] == [*range(len(pairs) - 7, len(pairs))]
    token = ELSEWHERE.set(None)
    here = list(in_chunks(pairs, Cleaner, (asked, hash_pair), processes=1))
    ELSEWHERE.reset(token)
    assert [chunk.lines for chunk in there] == [chunk.lines for chunk in here]
    assert [chunk.numbers for chunk in there] == [chunk.numbers for chunk in here]


@pytest.mark.usefixtures("elsewhere")
def test_what_goes_wrong_there_is_raised_here() -> None:
    pairs = [("a", "b")] * PAIRS * (ALONE + 2)
    pairs[-1] = (1, 2)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="expected string or bytes-like object"):
        list(in_chunks(pairs, Cleaner, (Asked(("mojibake",)), hash_pair), processes=1))


def test_without_an_address_everything_stays_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with chunks_on_cluster():
        assert ELSEWHERE.get() is None
