"""One layer through all positions of inputs that are known in advance: in the encoder, and in decoders without feeding.

Shapes: B sentences, T positions, P all of these, I input units, D units of the layer
(H in cells.py), G units of all gates.
"""

import torch
from torch import Tensor

from ..rounding import ROUNDING
from .cells import GruSteps, LayerStart, LstmSteps
from .run import product, unroll


def unroll_layer(inputs_BTI: Tensor, from_input_GI: Tensor, start: LayerStart) -> tuple[Tensor, ...]:
    """Return the states (B, T, D) after every position: hidden, and the cells of an LSTM (the equations: recurrent.py).

    start: what is fed is of no size. Differentiable in every tensor; backward() can run only once.
    """
    run = _LayerRun(inputs_BTI, from_input_GI, start)
    states = unroll(run, inputs_BTI, from_input_GI, *start.state, *start.weights, start.bias_G)
    return tuple(states_TBD.transpose(0, 1) for states_TBD in states)


class _LayerRun:
    """All positions of one batch."""

    def __init__(self, inputs_BTI: Tensor, from_input_GI: Tensor, start: LayerStart) -> None:
        self._inputs_TBI, self._from_input_GI, self._start = inputs_BTI.transpose(0, 1), from_input_GI, start

    def forward(self) -> tuple[Tensor, ...]:
        """Return the states (T, B, D)."""
        self._inputs_TBI = self._inputs_TBI.contiguous()
        gates_PG = ROUNDING.product(self._inputs_TBI.flatten(0, 1), self._from_input_GI.T).add_(self._start.bias_G)
        gates_TBG = gates_PG.view(*self._inputs_TBI.shape[:2], -1)
        kind = LstmSteps if len(self._start.state) == 2 else GruSteps
        self._steps: LstmSteps | GruSteps = kind(gates_TBG, 0, 0, self._start)
        for t in range(len(gates_TBG)):
            self._steps.step(t)
        return tuple(states_TBD[1:] for states_TBD in self._steps.states())

    def backward(self, *d_outputs: Tensor | None) -> tuple[Tensor, ...]:
        """Return the gradients of all inputs, in their order."""
        steps, from_input_GI = self._steps, self._from_input_GI
        d_hidden_TBD, *d_cells = d_outputs
        steps.prepare_backward()
        d_hidden_BD = torch.empty_like(steps.d_hidden_BH, memory_format=torch.contiguous_format)
        for t in reversed(range(len(steps.gates_TBG))):
            if d_hidden_TBD is None:
                d_hidden_BD.copy_(steps.d_hidden_BH)
            else:
                torch.add(d_hidden_TBD[t], steps.d_hidden_BH, out=d_hidden_BD)
            for d_cells_TBD in d_cells:
                if d_cells_TBD is not None and isinstance(steps, LstmSteps):
                    steps.d_cell_BH += d_cells_TBD[t]
            steps.back(t, d_hidden_BD)
        d_gates_TBG = steps.gates_TBG
        d_inputs_PI = ROUNDING.product(d_gates_TBG.flatten(0, 1), from_input_GI)
        d_inputs_BTI = d_inputs_PI.view_as(self._inputs_TBI).transpose(0, 1)
        return d_inputs_BTI, product(d_gates_TBG, self._inputs_TBI), *steps.gradients()
