"""Sentences by their length in words: scores of short and of long ones tell systems apart."""

from collections.abc import Sequence
from dataclasses import dataclass


def words(sentence: str) -> int:
    """Return the words of a sentence: what spaces part."""
    return len(sentence.split())


@dataclass(frozen=True)
class Bucket:
    """Sentences of `first` to `last` words."""

    first: int
    last: int
    sentences: int


def length_buckets(lengths: Sequence[int], most: int = 7) -> list[Bucket]:
    """Return buckets for sentences of so many words: equally wide, joined where they would hold too few to score.

    Each holds at least a twentieth of the sentences, so that a rare length does not make a point of its own.

    >>> [(bucket.first, bucket.last) for bucket in length_buckets([4, 5, 6] * 10 + [30], most=3)]
    [(4, 4), (5, 5), (6, 30)]
    """
    ordered = sorted(lengths)
    fewest = max(2, len(ordered) // 20)
    # Of the usual lengths: the few longest sentences are no reason for wide buckets.
    usual = ordered[len(ordered) // 20 : len(ordered) - len(ordered) // 20]
    width = max(1, -(-(usual[-1] - usual[0] + 1) // most))
    starts = range(ordered[0], ordered[-1] + 1, width)
    counted = [(start, start + width - 1, sum(start <= n < start + width for n in ordered)) for start in starts]
    buckets = [Bucket(*bucket) for bucket in counted]
    while len(buckets) > 1 and min(bucket.sentences for bucket in buckets) < fewest:
        small = min(range(len(buckets)), key=lambda index: buckets[index].sentences)
        beside = [index for index in (small - 1, small + 1) if 0 <= index < len(buckets)]
        other = min(beside, key=lambda index: buckets[index].sentences)
        low, high = sorted((small, other))
        joined = Bucket(buckets[low].first, buckets[high].last, buckets[low].sentences + buckets[high].sentences)
        buckets[low : high + 1] = [joined]
    return [*buckets[:-1], Bucket(buckets[-1].first, ordered[-1], buckets[-1].sentences)]
