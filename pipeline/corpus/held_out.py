"""Which pairs are held out from train: all pairs of a source together, the same ones on every machine.

A source that stands in train with one translation and in test with another tests nothing. Pairs are not kept together
by their targets: a frequent one, such as "Yes.", would tie half a corpus into one group.
"""

import hashlib
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.cleaning.whole_corpus import blocks
from pipeline.corpus.pairs import Pair

SOURCE_BYTES, RANK_BYTES = 8, 16


class _Group(NamedTuple):
    """The distinct pairs of one source."""

    source: bytes
    rank: bytes
    pairs: int


def hash_pair(pair: Pair, seed: int) -> bytes:
    """Return 24 bytes: the hash of the source, then the pair's rank in a random order, its last byte first.

    The rank depends on the seed and the pair alone. So the same pairs are held out on every machine and in whatever
    order the corpus lists them, and a pair more or less in it changes little.
    """
    source = hashlib.blake2b(pair[0].encode("utf8", "surrogatepass"), digest_size=SOURCE_BYTES).digest()
    rank = hashlib.blake2b(json.dumps([seed, *pair]).encode(), digest_size=RANK_BYTES).digest()
    return source + rank[::-1]


def source_of(hashed: bytes) -> bytes:
    """Return the hash of the source from that of a pair."""
    return hashed[:SOURCE_BYTES]


FEW = 200_000
"""Pairs of which all are looked at; of more, those that may be chosen."""

Records = NDArray[np.void]
"""Many results of `hash_pair`, which may lie on the disk."""


def sources_of(records: Records) -> NDArray[np.uint64]:
    """Return the hashes of the sources as numbers."""
    return np.frombuffer(records.tobytes(), "<u8").reshape(-1, 3)[:, 0]


def source_number(source: bytes) -> int:
    """Return the hash of a source as a number."""
    return int.from_bytes(source, "little")


def choose_of_many(records: Records, wanted: NDArray[np.bool_], sizes: Sequence[int]) -> list[set[bytes]] | None:
    """Return what `choose_sources` returns for the wanted records, in memory that does not grow with their number.

    A group is chosen for its rank. So it is enough to look at the groups with the lowest ranks, unless these do not
    suffice because most groups are larger than a split.
    """
    count = int(np.count_nonzero(wanted))
    share = min(1.0, 50 * (sum(sizes) + 1000) / max(1, count))
    if count > FEW and share < 0.5:
        below = int(share * 2**16)
        low = _sources_below(records, wanted, below)
        found = [
            bytes(record)
            for block in blocks(records.size)
            for record in records[block][wanted[block] & np.isin(sources_of(records[block]), low)]
        ]
        ranked = {group.source for group in _groups(sorted(found)) if int.from_bytes(group.rank[:2], "big") < below}
        found = [record for record in found if source_of(record) in ranked]
        chosen = choose_sources(found, sizes)
        if chosen is not None and not any(
            _has_large(found, part, size) for part, size in zip(chosen, sizes, strict=True)
        ):
            return chosen
    return choose_sources([bytes(record) for record in records[wanted]], sizes)


def _sources_below(records: Records, wanted: NDArray[np.bool_], below: int) -> NDArray[np.uint64]:
    """Return the sources of wanted pairs whose rank, by its first 16 bits, is below a limit."""
    found = []
    for block in blocks(records.size):
        ends = np.frombuffer(records[block].tobytes(), np.uint8).reshape(-1, SOURCE_BYTES + RANK_BYTES)[:, -2:]
        ranks = ends[:, 1].astype(np.uint32) * 256 + ends[:, 0]
        found.append(sources_of(records[block])[wanted[block] & (ranks < below)])
    return np.unique(np.concatenate(found))


def _has_large(records: Iterable[bytes], sources: set[bytes], size: int) -> bool:
    """Return whether a group larger than its split was taken: there may be others with lower ranks."""
    counts = Counter(source_of(record) for record in records)
    return any(counts[source] > size for source in sources)


def choose_sources(hashes: Iterable[bytes], sizes: Sequence[int]) -> list[set[bytes]] | None:
    """Return the sources whose pairs are held out, a set of hashes for each size; None if nothing is left for train.

    `hashes` are those of the distinct pairs. For each size in turn, groups of pairs with the same source are taken in
    random order until there are as many pairs: with the last group there may be more. Groups larger than the size are
    taken only if the others do not suffice, since one would be the whole split. What is taken for a size does not
    depend on those after it.
    """
    ordered = sorted(hashes)
    chosen: list[set[bytes]] = []
    left = len(ordered)
    for size in sizes:
        groups = _take(size, (group for group in _groups(ordered) if not any(group.source in part for part in chosen)))
        taken = sum(group.pairs for group in groups)
        left -= taken
        if taken < size or left == 0:
            return None
        chosen.append({group.source for group in groups})
    return chosen


def _groups(ordered: Iterable[bytes]) -> Iterator[_Group]:
    """Yield the groups of pairs from their hashes in order.

    A group has the rank of one of its pairs. With the smallest of them, large groups would be held out more often; the
    first in this order is the smallest by the last bytes, which say nothing of a rank. A single pair has its own.
    """
    for source, hashes in itertools.groupby(ordered, source_of):
        group = list(hashes)
        yield _Group(source, group[0][SOURCE_BYTES:][::-1], len(group))


def _take(size: int, groups: Iterable[_Group]) -> list[_Group]:
    """Return the first groups in random order with `size` pairs together, or all of them."""
    taken: list[_Group] = []
    missing = size
    for group in heapq.nsmallest(size, groups, key=lambda group: (group.pairs > size, group.rank)):
        if missing <= 0:
            break
        taken.append(group)
        missing -= group.pairs
    return taken
