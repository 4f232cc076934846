"""Random numbers that are computed from what they are for: the same in any order, on any worker, after any resume.

They are the outputs of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), read
at places instead of one after the other.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.batches.plan import Indices

Keys = NDArray[np.uint64]

MASK: Final = 2**64 - 1
GOLDEN: Final = 0x9E3779B97F4A7C15
STREAM: Final = 0xD1342543DE82EF95
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def pair_keys(seed: int, epoch: int, pairs: Indices) -> Keys:
    """Return a key of 64 bits for each pair in an epoch."""
    return _mixed(pairs.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(_mixed_one(_mixed_one(seed) + epoch)))


def stream(keys: Keys, purpose: int) -> Keys:
    """Return the keys of one of the purposes that a pair's random numbers have."""
    return _mixed(keys + np.uint64(purpose * STREAM & MASK))


def numbers(keys: Keys, places: NDArray[np.int64] | int) -> Keys:
    """Return the random numbers of 64 bits at places of the keys' streams."""
    return _mixed(keys + (np.atleast_1d(places).astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))


def uniform(keys: Keys, place: int) -> NDArray[np.float64]:
    """Return random numbers in [0, 1)."""
    return np.asarray((numbers(keys, place) >> np.uint64(11)) * 2.0**-53)


class Stream:
    """The random numbers of one key, one after the other, as `uniform` has them."""

    def __init__(self, key: int) -> None:
        """Start with the number at place 0."""
        self._state = key

    def uniform(self) -> float:
        """Return the next number, in [0, 1)."""
        self._state = (self._state + GOLDEN) & MASK
        return (_mixed_one(self._state) >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """Return the next number as a whole one in [0, limit)."""
        return int(self.uniform() * limit)


def _mixed(numbers: Keys) -> Keys:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(FIRST)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(SECOND)
    return numbers ^ (numbers >> np.uint64(31))


def _mixed_one(number: int) -> int:
    number &= MASK
    number = (number ^ (number >> 30)) * FIRST & MASK
    number = (number ^ (number >> 27)) * SECOND & MASK
    return number ^ (number >> 31)
