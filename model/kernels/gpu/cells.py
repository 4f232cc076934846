"""One step of a layer's cell for all sentences, forward and back; ../cells.py says what each function takes.

Shapes: B sentences, T steps, H units, G units of all gates, X units of a row, U units that a cell multiplies.
"""

from typing import Any

from torch import Tensor

from .language import jit, launch_cells, tanh, tl

__all__ = ["gru_back", "gru_step", "lstm_back", "lstm_step", "readout_back", "readout_step"]


@jit
def _lstm_forward(gates, cells, next_cells, hidden, hidden_row, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first = unit < size, gates + row * 4 * size + unit
    enter = tl.sigmoid(tl.load(first, mask=there))
    forget = tl.sigmoid(tl.load(first + size, mask=there))
    candidate = tanh(tl.load(first + 2 * size, mask=there))
    out = tl.sigmoid(tl.load(first + 3 * size, mask=there))
    cell = forget * tl.load(cells + row * size + unit, mask=there) + enter * candidate
    tl.store(first, enter, mask=there)
    tl.store(first + size, forget, mask=there)
    tl.store(first + 2 * size, candidate, mask=there)
    tl.store(first + 3 * size, out, mask=there)
    tl.store(next_cells + row * size + unit, cell, mask=there)
    tl.store(hidden + row * hidden_row + unit, out * tanh(cell), mask=there)


def lstm_step(gates_TBG: Tensor, cells_TBH: Tensor, rows_TBX: Tensor, at: int, t: int) -> None:
    """Overwrite what enters the gates with their values, and write both states after step t."""
    rows, size = cells_TBH.shape[1:]
    tensors = gates_TBG[t], cells_TBH[t], cells_TBH[t + 1], rows_TBX[t + 1, :, at:]
    launch_cells(_lstm_forward, rows, size, *tensors, rows_TBX.stride(1))


@jit
def _lstm_backward(gates, cells, next_cells, d_hidden, d_cells, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, own = unit < size, gates + row * 4 * size + unit, row * size + unit
    enter, forget = tl.load(first, mask=there), tl.load(first + size, mask=there)
    candidate, out = tl.load(first + 2 * size, mask=there), tl.load(first + 3 * size, mask=there)
    squashed, d_state = tanh(tl.load(next_cells + own, mask=there)), tl.load(d_hidden + own, mask=there)
    d_cell = tl.load(d_cells + own, mask=there) + d_state * out * (1.0 - squashed * squashed)
    d_forget = d_cell * tl.load(cells + own, mask=there)
    tl.store(first, d_cell * candidate * enter * (1.0 - enter), mask=there)
    tl.store(first + size, d_forget * forget * (1.0 - forget), mask=there)
    tl.store(first + 2 * size, d_cell * enter * (1.0 - candidate * candidate), mask=there)
    tl.store(first + 3 * size, d_state * squashed * out * (1.0 - out), mask=there)
    tl.store(d_cells + own, d_cell * forget, mask=there)


def lstm_back(gates_TBG: Tensor, cells_TBH: Tensor, d_hidden_BH: Tensor, d_cell_BH: Tensor, t: int) -> None:
    """Overwrite the gates by the gradients of what entered them, and the cell's gradient by that before step t."""
    rows, size = d_cell_BH.shape
    tensors = gates_TBG[t], cells_TBH[t], cells_TBH[t + 1], d_hidden_BH, d_cell_BH
    launch_cells(_lstm_backward, rows, size, *tensors)


@jit
def _gru_forward(gates, inner, states, next_states, state_row, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, part = unit < size, gates + row * 3 * size + unit, inner + row * 3 * size + unit
    reset = tl.sigmoid(tl.load(first, mask=there) + tl.load(part, mask=there))
    update = tl.sigmoid(tl.load(first + size, mask=there) + tl.load(part + size, mask=there))
    candidate = tanh(tl.load(first + 2 * size, mask=there) + reset * tl.load(part + 2 * size, mask=there))
    state = tl.load(states + row * state_row + unit, mask=there)
    tl.store(first, reset, mask=there)
    tl.store(first + size, update, mask=there)
    tl.store(first + 2 * size, candidate, mask=there)
    tl.store(next_states + row * state_row + unit, candidate + update * (state - candidate), mask=there)


def gru_step(gates_TBG: Tensor, inner_TBG: Tensor, rows_TBX: Tensor, at: int, t: int) -> None:
    """Overwrite the sums in `gates` with the gates' values, and write the state after step t."""
    rows, size = gates_TBG.shape[1], gates_TBG.shape[2] // 3
    tensors = gates_TBG[t], inner_TBG[t], rows_TBX[t, :, at:], rows_TBX[t + 1, :, at:]
    launch_cells(_gru_forward, rows, size, *tensors, rows_TBX.stride(1))


@jit
def _gru_backward(gates, inner, states, d_hidden, d_before, state_row, d_before_row, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, part = unit < size, gates + row * 3 * size + unit, inner + row * 3 * size + unit
    reset, update = tl.load(first, mask=there), tl.load(first + size, mask=there)
    candidate, d_state = tl.load(first + 2 * size, mask=there), tl.load(d_hidden + row * size + unit, mask=there)
    d_update = d_state * (tl.load(states + row * state_row + unit, mask=there) - candidate) * update * (1.0 - update)
    d_candidate = d_state * (1.0 - update) * (1.0 - candidate * candidate)
    d_reset = d_candidate * tl.load(part + 2 * size, mask=there) * reset * (1.0 - reset)
    tl.store(first, d_reset, mask=there)
    tl.store(first + size, d_update, mask=there)
    tl.store(first + 2 * size, d_candidate, mask=there)
    tl.store(part, d_reset, mask=there)
    tl.store(part + size, d_update, mask=there)
    tl.store(part + 2 * size, d_candidate * reset, mask=there)
    tl.store(d_before + row * d_before_row + unit, d_state * update, mask=there)


def gru_back(
    gates_TBG: Tensor, inner_TBG: Tensor, rows_TBX: Tensor, at: int, d_hidden_BH: Tensor, d_inputs_BU: Tensor, t: int
) -> None:
    """Overwrite gates and inner sums by their gradients; write what of the state's gradient goes past the gates."""
    rows, size = d_hidden_BH.shape
    tensors = gates_TBG[t], inner_TBG[t], rows_TBX[t, :, at:], d_hidden_BH, d_inputs_BU[:, at:]
    launch_cells(_gru_backward, rows, size, *tensors, rows_TBX.stride(1), d_inputs_BU.stride(0))


@jit
def _readout_forward(readouts, readout_row, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    place = readouts + row * readout_row + unit
    tl.store(place, tanh(tl.load(place, mask=unit < size)), mask=unit < size)


def readout_step(rows_TBX: Tensor, size: int, t: int) -> None:
    """Apply tanh to what row t is fed."""
    launch_cells(_readout_forward, rows_TBX.shape[1], size, rows_TBX[t], rows_TBX.stride(1))


@jit
def _readout_backward(d_readouts, readouts, d_fed, d_sums, readout_row, d_fed_row, size, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there = unit < size
    readout = tl.load(readouts + row * readout_row + unit, mask=there)
    d_readout = tl.load(d_readouts + row * size + unit, mask=there) + tl.load(
        d_fed + row * d_fed_row + unit, mask=there
    )
    tl.store(d_sums + row * size + unit, d_readout * (1.0 - readout * readout), mask=there)


def readout_back(d_readouts_TBH: Tensor, rows_TBX: Tensor, d_inputs_BU: Tensor, d_sums_TBH: Tensor, t: int) -> None:
    """Write the gradient of the sum whose tanh is readout t, which row t + 1 is fed."""
    rows, size = d_sums_TBH.shape[1:]
    tensors: tuple[Any, ...] = d_readouts_TBH[t], rows_TBX[t + 1], d_inputs_BU, d_sums_TBH[t]
    launch_cells(_readout_backward, rows, size, *tensors, rows_TBX.stride(1), d_inputs_BU.stride(0))
