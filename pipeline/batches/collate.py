"""From ragged token rows to padded tensors.

Shapes: B sentences, S source positions, T target positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from model.seq2seq import Batch, SpecialTokens
from pipeline.batches.plan import Indices


@dataclass(frozen=True)
class Ragged:
    """Rows of tokens laid out like an Arrow list column; `values` may be memory-mapped."""

    values: NDArray[np.int32]
    offsets: Indices
    """int64 (rows + 1,): row i is values[offsets[i]:offsets[i + 1]]."""

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """Lay out lists of tokens."""
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return cls(np.fromiter((token for row in rows for token in row), np.int32, int(offsets[-1])), offsets)

    @classmethod
    def joined(cls, parts: Sequence["Ragged"]) -> "Ragged":
        """Concatenate the rows of several."""
        values = np.concatenate([part.values for part in parts]) if parts else np.array([], dtype=np.int32)
        lengths = np.concatenate([part.lengths for part in parts]) if parts else np.array([], dtype=np.int64)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @classmethod
    def of_arrays(cls, rows: Sequence[NDArray[np.int32]]) -> "Ragged":
        """Lay out arrays of tokens; there is at least one."""
        return cls(np.concatenate(rows), np.cumsum([0, *map(len, rows)], dtype=np.int64))

    def row(self, row: int) -> NDArray[np.int32]:
        """Return the tokens of a row."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: Indices) -> "Ragged":
        """Return some of the rows, as rows of their own."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Ragged(
            self.values[np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)], offsets
        )

    @cached_property
    def lengths(self) -> Indices:
        """Tokens of each row."""
        return np.diff(self.offsets)

    def pad(self, rows: Indices, padding: int) -> NDArray[np.int64]:
        """Return rows as an array (B, longest), with `padding` at their ends."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        positions = np.arange(int(lengths.max(initial=0)))
        inside = positions < lengths[:, None]
        padded = np.full(inside.shape, padding, dtype=np.int64)
        padded[inside] = self.values[(starts[:, None] + positions)[inside]]
        return padded


def collate(source: Ragged, target: Ragged, rows: Indices, tokens: SpecialTokens, device: torch.device) -> Batch:
    """Return the batch of the pairs `rows`. Rows end with `end`; `start` is added before each target."""
    target_BT = target.pad(rows, tokens.padding)
    start_B1 = np.full((rows.size, 1), tokens.start, dtype=np.int64)
    return Batch(
        source_BS=torch.from_numpy(source.pad(rows, tokens.padding)).to(device),
        source_lengths_B=torch.from_numpy(source.lengths[rows]).to(device),
        target_BT=torch.from_numpy(np.concatenate([start_B1, target_BT], axis=1)).to(device),
    )
