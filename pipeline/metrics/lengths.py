"""Sentence lengths in words, and buckets of them: systems differ most on long sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.inference.segments import UNSPACED


def count_words(sentence: str) -> int:
    """Return the number of words, which are separated by spaces; where a script has none, that of characters.

    >>> count_words("Ein Hund bellt."), count_words("狗在叫 NBA")
    (3, 4)
    """
    return len(UNSPACED.sub(" x ", sentence).split())


@dataclass(frozen=True)
class Bucket:
    """The sentences of `first` to `last` words, both included."""

    first: int
    last: int
    sentences: int


def length_buckets(lengths: Sequence[int], most: int = 7) -> list[Bucket]:
    """Return buckets of equal width for sentences of these lengths, about `most` for the usual lengths.

    A bucket with less than a twentieth of the sentences is too small to score and is joined with a neighbour.

    >>> [(bucket.first, bucket.last) for bucket in length_buckets([4, 5, 6] * 10 + [30], most=3)]
    [(4, 4), (5, 5), (6, 30)]
    """
    ordered = sorted(lengths)
    fewest = max(2, len(ordered) // 20)
    # Without the shortest and longest twentieth: a few long sentences must not make all buckets wide.
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
