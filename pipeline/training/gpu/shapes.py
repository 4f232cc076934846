"""Few shapes for many batches: sizes rounded up, and tensors of such a shape that stay where they are.

Shapes: B sentences, S source positions, T target positions, `start` among them; all with padding.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from model.seq2seq import SPECIAL_TOKENS, Batch

POSITIONS = 4
"""Positions are multiples of this: each one more is a step of the recurrence, in which a GPU waits for itself."""
SENTENCES = 8
"""Sentences are multiples of this, and have at most this many sizes between a power of two and the next."""


@dataclass(frozen=True)
class RoundedShape:
    """The shape of a batch, rounded up; a target's positions count `start`."""

    sentences: int
    source: int
    target: int

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return the shape that a batch is padded to."""
        (sentences, source), target = batch.source_BS.shape, batch.target_BT.shape[1]
        return cls(round_sentences(sentences), round_positions(source), round_positions(target - 1) + 1)


def round_positions(count: int) -> int:
    """Return the next multiple of `POSITIONS`."""
    return -(-count // POSITIONS) * POSITIONS


def round_sentences(count: int) -> int:
    """Return the next of `SENTENCES` sizes between a power of two and the next, so that shapes are few at any size.

    >>> [round_sentences(count) for count in (1, 8, 65, 128, 513, 577, 1025)]
    [8, 8, 72, 128, 576, 640, 1152]
    """
    step = max(SENTENCES, (1 << (count - 1).bit_length()) // (2 * SENTENCES))
    return -(-count // step) * step


class StaticBatch:
    """A batch, and the places of its sentences in the global one, in tensors that stay where they are."""

    def __init__(self, shape: RoundedShape, device: torch.device) -> None:
        def make(*sizes: int) -> Tensor:
            return torch.zeros(sizes, dtype=torch.int64, device=device)

        self.batch = Batch(
            make(shape.sentences, shape.source), make(shape.sentences), make(shape.sentences, shape.target)
        )
        self.rows_B = make(shape.sentences)

    def fill(self, batch: Batch, rows_B: Tensor) -> None:
        """Copy a batch of at most this size, with its sentences' places, and pad it.

        Each sentence that is added has one source token, since attention needs something to attend to, and no target
        token: so it has no loss, and its gradients are zero.
        """
        _pad(self.batch.source_BS, batch.source_BS, SPECIAL_TOKENS.padding)
        _pad(self.batch.source_lengths_B, batch.source_lengths_B, 1)
        _pad(self.batch.target_BT, batch.target_BT, SPECIAL_TOKENS.padding)
        _pad(self.rows_B, rows_B, 0)


def _pad(static: Tensor, values: Tensor, padding: int) -> None:
    static.fill_(padding)
    static[tuple(slice(size) for size in values.shape)].copy_(values)
