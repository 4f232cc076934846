"""From the encoder's last states to the decoder's first, layer by layer.

Shapes: B sentences, D units of one encoder direction, A annotation units, H decoder units.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .config import BridgeKind, ModelConfig
from .recurrent import RECURRENCES
from .unrolled.cells import CellState

LastStates = tuple[tuple[CellState, ...], ...]
"""The last state of every encoder layer and direction."""


class ProjectionBridge(nn.Module):
    """tanh(W [h of all directions] + b) (after Bahdanau et al. 2015, A.2.2, who take the backward one alone).

    An LSTM's cell is another projection of the same hidden states, without tanh, since a cell is not bounded.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        states = RECURRENCES[config.cell].cell.states
        self.projections = nn.ModuleList(
            nn.ModuleList(nn.Linear(config.annotation_size, config.decoder_size) for _ in range(states))
            for _ in range(config.layers)
        )

    def forward(self, last: LastStates) -> tuple[CellState, ...]:
        """Return the first state of every decoder layer."""
        first: list[CellState] = []
        for projections, directions in zip(self.projections, last, strict=True):
            summary_BA = torch.cat([state[0] for state in directions], dim=-1)
            assert isinstance(projections, nn.ModuleList)
            hidden_BH, *cell_BH = (projection(summary_BA) for projection in projections)
            first.append((torch.tanh(hidden_BH), *cell_BH))
        return tuple(first)


COMBINATIONS: dict[BridgeKind, Callable[[list[Tensor]], Tensor]] = {
    "concat": lambda parts: torch.cat(parts, dim=-1),
    "mean": lambda parts: torch.stack(parts).mean(0),
    "max": lambda parts: torch.stack(parts).amax(0),
}
"""Functions from the states (B, D) of all directions to the decoder's (B, H)."""


class CombiningBridge(nn.Module):
    """Combines both directions' states without weights: side by side, by their mean, or by each unit's maximum."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._combine = COMBINATIONS[config.bridge]

    def forward(self, last: LastStates) -> tuple[CellState, ...]:
        """Return the first state of every decoder layer; an LSTM's cell combines the cells."""
        return tuple(
            tuple(self._combine(list(parts)) for parts in zip(*directions, strict=True)) for directions in last
        )


class ZeroBridge(nn.Module):
    """Zeros: the decoder learns about the source only through its inputs."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._states, self._size = RECURRENCES[config.cell].cell.states, config.decoder_size

    def forward(self, last: LastStates) -> tuple[CellState, ...]:
        """Return the first state of every decoder layer."""
        return tuple(
            tuple(directions[0][0].new_zeros(directions[0][0].shape[0], self._size) for _ in range(self._states))
            for directions in last
        )


BRIDGES: dict[BridgeKind, type[ProjectionBridge | CombiningBridge | ZeroBridge]] = {
    "projection": ProjectionBridge,
    **dict.fromkeys(COMBINATIONS, CombiningBridge),
    "zero": ZeroBridge,
}


def make_bridge(config: ModelConfig) -> nn.Module:
    """Return the bridge that `config.bridge` names."""
    return BRIDGES[config.bridge](config)
