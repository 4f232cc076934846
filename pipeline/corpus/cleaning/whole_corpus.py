"""What can be decided only of a whole corpus, from a few numbers per pair that lie on the disk.

Memory holds at most `AT_ONCE` keys: of a larger corpus, one part of the keys after the other.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.cleaning.chunks import SIGNATURE, Keys

AT_ONCE = 16_000_000
"""Keys that are sorted at once: about 400 MB."""
BLOCK = 4_000_000
MOST_TARGETS = 10
ROWS_OF_BAND = 4
"""Numbers of a signature in a band: pairs of which a band is equal are compared (Leskovec et al. 2014, 3.4)."""
ALIKE = 0.7
"""The share of a signature's numbers that near duplicates have in common: an estimate of their sets' overlap."""
FARTHEST, FACTOR = 6.0, 1.8
"""How far lengths may be apart: in standard deviations, and by a factor. Beyond both, a pair is dropped."""

Mask = NDArray[np.bool_]


class Columns:
    """Arrays on the disk that grow row by row, and are then mapped into memory."""

    def __init__(self, folder: Path) -> None:
        """Write into an existing folder."""
        self._folder = folder
        self._types: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Add rows to an array."""
        self._types[name] = (rows.dtype, rows.shape[1:])
        with (self._folder / name).open("ab") as file:
            file.write(rows.tobytes())

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Map an array."""
        dtype, shape = self._types[name]
        if not (self._folder / name).stat().st_size:  # Nothing cannot be mapped.
            return np.zeros((0, *shape), dtype)
        return np.memmap(self._folder / name, dtype=dtype, mode="r").reshape(-1, *shape)


def blocks(size: int) -> Iterator[slice]:
    """Yield slices that cover so many rows."""
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def places_among_equals(keys: Keys, wanted: Mask, at_once: int = AT_ONCE) -> NDArray[np.uint32]:
    """Return for every wanted row how many wanted rows before it have the same key; 0 for the others.

    >>> places_among_equals(np.array([7, 8, 7, 7], dtype=np.uint64), np.array([True, True, False, True])).tolist()
    [0, 0, 0, 1]
    """
    places = np.zeros(keys.size, dtype=np.uint32)
    parts = max(1, -(-int(np.count_nonzero(wanted)) // at_once))
    for part in range(parts):
        found = []
        for block in blocks(keys.size):
            chosen = wanted[block] & (keys[block] % np.uint64(parts) == part)
            found.append(np.flatnonzero(chosen) + block.start)
        rows = np.concatenate(found) if found else np.array([], dtype=np.int64)
        order = np.argsort(keys[rows], kind="stable")
        rows = rows[order]
        ordered = keys[rows]
        begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if rows.size else rows
        sizes = np.diff(np.append(begins, rows.size))
        places[rows] = np.arange(rows.size) - np.repeat(begins, sizes)
    return places


def near_duplicates(signatures: NDArray[np.uint32], wanted: Mask, at_once: int = AT_ONCE) -> Mask:
    """Return the wanted rows of which an earlier one that stays is nearly the same.

    Rows with an equal band are compared with the first of them, so the work grows in proportion to the corpus.
    """
    dropped = np.zeros(len(signatures), dtype=bool)
    for band in range(0, SIGNATURE, ROWS_OF_BAND):
        keys = np.concatenate(
            [_band_keys(signatures[block, band : band + ROWS_OF_BAND]) for block in blocks(len(signatures))]
        )
        parts = max(1, -(-keys.size // at_once))
        for part in range(parts):
            rows = np.flatnonzero(wanted & ~dropped & (keys % np.uint64(parts) == part))
            rows = rows[np.argsort(keys[rows], kind="stable")]
            ordered = keys[rows]
            begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if rows.size else rows
            first = np.repeat(rows[begins], np.diff(np.append(begins, rows.size)))
            later = np.flatnonzero(first != rows)
            for block in blocks(later.size):
                these, those = rows[later[block]], first[later[block]]
                alike = np.mean(signatures[these] == signatures[those], axis=1) >= ALIKE
                dropped[these[alike]] = True
    return dropped


def _band_keys(band: NDArray[np.uint32]) -> Keys:
    keys = np.zeros(len(band), dtype=np.uint64)
    for column in range(band.shape[1]):  # FNV-1a over numbers instead of bytes.
        keys = (keys ^ band[:, column]) * np.uint64(1_099_511_628_211)
    return keys


def unusual_ratios(lengths: NDArray[np.uint32], wanted: Mask) -> Mask:
    """Return the wanted pairs of which a side is far too short for the other.

    After Gale and Church (1993): the target has on average c characters for one of the source, with a variance that
    grows with the length, so (target - c source) / sqrt(length) has one distribution for all pairs. Its center and
    width are learnt from the corpus as medians, which pairs that do not belong together do not move.
    """
    if not wanted.any():
        return np.zeros(len(lengths), dtype=bool)
    source, target = (lengths[:, side].astype(np.float32) for side in (0, 1))
    usual = float(np.median(target[wanted] / np.maximum(source[wanted], 1)))
    away = (target - usual * source) / np.sqrt((usual * source + target) / 2 + 1)
    center = float(np.median(away[wanted]))
    width = 1.4826 * float(np.median(np.abs(away[wanted] - center))) + 0.1
    factor = (target + 5) / (usual * source + 5)
    apart = np.maximum(factor, 1 / factor) > FACTOR
    return wanted & apart & (np.abs(away - center) > FARTHEST * width)
