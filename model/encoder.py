"""Source tokens to annotations and a summary of the sentence.

Shapes: B sentences, S source positions, E embedding units, D units of one direction, A = 2D annotation units.
"""

import torch
from torch import Tensor, nn

from .dropout import DropoutNoise, drop


def reversal_index(lengths_B: Tensor, size: int) -> Tensor:
    """Return int64 (B, S) that turns each sentence round within its length and leaves padding in place."""
    positions_1S = torch.arange(size, device=lengths_B.device).unsqueeze(0)
    mirrored_BS = lengths_B.unsqueeze(1) - 1 - positions_1S
    return torch.where(mirrored_BS >= 0, mirrored_BS, positions_1S)


def take_positions(values_BSD: Tensor, index_BS: Tensor) -> Tensor:
    """Return values_BSD[b, index_BS[b, s]] for all b and s."""
    return values_BSD.gather(1, index_BS.unsqueeze(-1).expand(-1, -1, values_BSD.shape[-1]))


class BidirectionalEncoder(nn.Module):
    """Annotation of a word: its forward and backward LSTM states (Bahdanau et al. 2015, section 3.2).

    Two one-directional LSTMs, the second fed each sentence reversed within its length: the same result as a packed
    bidirectional one, on torch's fast path for plain padded tensors. Padding follows the words in
    both, so it cannot reach any state that is used.
    """

    def __init__(self, embedding_size: int, direction_size: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(embedding_size, direction_size, batch_first=True)
        self.backwards = nn.LSTM(embedding_size, direction_size, batch_first=True)

    def forward(
        self, embedded_BSE: Tensor, lengths_B: Tensor, noise: DropoutNoise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the annotations (B, S, A) and the summary (B, A): the last state of each direction."""
        reversal_BS = reversal_index(lengths_B, embedded_BSE.shape[1])
        forwards_BSD, _ = self.forwards(embedded_BSE)
        backwards_BSD, _ = self.backwards(take_positions(embedded_BSE, reversal_BS))
        last_B1 = (lengths_B - 1).unsqueeze(1)
        summary_BA = torch.cat(
            [take_positions(forwards_BSD, last_B1), take_positions(backwards_BSD, last_B1)], dim=-1
        ).squeeze(1)
        annotations_BSA = torch.cat([forwards_BSD, take_positions(backwards_BSD, reversal_BS)], dim=-1)
        return drop(annotations_BSA, noise), summary_BA
