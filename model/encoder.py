"""Source tokens to annotations, and to the states that the decoder starts from.

Shapes: B sentences, S source positions, P positions of all sentences (B x S), E embedding units, I input units of a
layer, D units of one direction, A annotation units (D or 2D).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .dropout import DropoutNoise, drop
from .recurrent import RECURRENCES, GruLayer, LstmLayer
from .unrolled.cells import CellState


def reversal_index(lengths_B: Tensor, size: int) -> Tensor:
    """Return int64 (P): the positions of all sentences, with each sentence reversed and padding where it was.

    >>> reversal_index(torch.tensor([3, 2]), 4).tolist()
    [2, 1, 0, 3, 5, 4, 6, 7]
    """
    positions_1S = torch.arange(size, device=lengths_B.device).unsqueeze(0)
    mirrored_BS = lengths_B.unsqueeze(1) - 1 - positions_1S
    first_B1 = torch.arange(0, lengths_B.shape[0] * size, size, device=lengths_B.device).unsqueeze(1)
    return (first_B1 + torch.where(mirrored_BS >= 0, mirrored_BS, positions_1S)).flatten()


def take_rows(values_BSD: Tensor, index_P: Tensor) -> Tensor:
    """Return the values at the positions `index_P`, int64: it copies whole rows, far faster than `gather` does."""
    return values_BSD.flatten(0, 1).index_select(0, index_P).view_as(values_BSD)


@dataclass(frozen=True)
class Encoding:
    """What the encoder makes of a batch."""

    annotations_BSA: Tensor
    """States of the top layer at every position, both directions side by side."""
    last: tuple[tuple[CellState, ...], ...]
    """The state of every layer and direction after the last token that it reads."""

    @property
    def summary(self) -> Tensor:
        """The fixed context vector (B, A): the top layer's last hidden states (Cho et al. 2014, section 2.2)."""
        return torch.cat([state[0] for state in self.last[-1]], dim=-1)


class Encoder(nn.Module):
    """Annotates every token with the states of one direction or of both (Bahdanau et al. 2015, section 3.2).

    All layers are one-directional, and a backward one reads each sentence reversed within its length: the result is
    that of a packed bidirectional layer, on torch's fast path for plain padded tensors. Padding follows the tokens in
    both directions, so it reaches no state that is used. Annotations are in the order of the source, even if it is
    read reversed.
    """

    def __init__(self, config: ModelConfig, with_cells: bool) -> None:
        """Make the layers; `with_cells` asks for an LSTM's cells at the last tokens."""
        super().__init__()
        recurrence = RECURRENCES[config.cell]
        layer = recurrence.holding_layer if with_cells else recurrence.layer
        self._backwards = (False, True) if config.bidirectional else (config.reversed_source,)
        sizes = [config.embedding_size] + [config.annotation_size] * (config.layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(layer(size, config.encoder_size) for _ in self._backwards) for size in sizes
        )

    def forward(self, embedded_BSE: Tensor, lengths_B: Tensor, noise: DropoutNoise | None = None) -> Encoding:
        """Read the sentences, with dropout between the layers and on the annotations."""
        reversal_P = reversal_index(lengths_B, embedded_BSE.shape[1])
        outputs_BSA, last = embedded_BSE, []
        for number, directions in enumerate(self.layers):
            inputs_BSI = drop(outputs_BSA, noise) if number else embedded_BSE
            assert isinstance(directions, nn.ModuleList)
            read = [
                _read(layer, inputs_BSI, lengths_B, reversal_P if backwards else None)
                for layer, backwards in zip(directions, self._backwards, strict=True)
            ]
            outputs_BSA = torch.cat([outputs_BSD for outputs_BSD, _ in read], dim=-1)
            last.append(tuple(state for _, state in read))
        return Encoding(drop(outputs_BSA, noise), tuple(last))


def _read(
    layer: nn.Module, inputs_BSI: Tensor, lengths_B: Tensor, reversal_P: Tensor | None
) -> tuple[Tensor, CellState]:
    """Return a layer's states in the order of the source, and the last; with `reversal_P`, read backwards."""
    assert isinstance(layer, LstmLayer | GruLayer)
    if reversal_P is None:
        return layer.read(inputs_BSI, lengths_B)
    outputs_BSD, last = layer.read(take_rows(inputs_BSI, reversal_P), lengths_B)
    return take_rows(outputs_BSD, reversal_P), last
