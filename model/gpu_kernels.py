"""What lies between two products of a decoder's step, one launch each, by Triton where it is installed.

torch needs five launches forward and sixteen backward for an LSTM's gates, four and five for attention, and each reads
and writes its operands in memory again. Here each function is a kernel that reads its operands once. It computes what
unroll.py has in torch, in float32, and tests hold both to the same results.

Shapes: B sentences, S source positions, H units of a state, A annotation units, K units of a key, G units of all gates
(4H of an LSTM, 3H of a GRU). Tensors are float32 on one GPU. Those that are rows of a wider buffer may have any stride
between rows; keys, annotations, biases and cells are contiguous.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # torch for GPUs on Linux brings it; without, the steps are those in torch.
    triton, tl = None, SimpleNamespace(constexpr=int)

UNITS = 128
"""Units that a program computes at once."""


def fuses(tensor: Tensor) -> bool:
    """Return whether these kernels compute on such a tensor: float32 on a GPU, with Triton."""
    return triton is not None and tensor.is_cuda and tensor.dtype == torch.float32


def _kernel(function: Callable[..., None]) -> Any:
    return function if triton is None else triton.jit(function)


@_kernel
def _tanh(values):
    # Exact to 1e-7, and for all values: exp of a large one is infinite, and the quotient 0.
    return 1.0 - 2.0 / (1.0 + tl.exp(2.0 * values))


@_kernel
def _lstm_forward(gates, cells, next_cells, hidden, size, gates_row, hidden_row, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first = unit < size, gates + row * gates_row + unit
    enter = tl.sigmoid(tl.load(first, mask=there))
    forget = tl.sigmoid(tl.load(first + size, mask=there))
    candidate = _tanh(tl.load(first + 2 * size, mask=there))
    out = tl.sigmoid(tl.load(first + 3 * size, mask=there))
    cell = forget * tl.load(cells + row * size + unit, mask=there) + enter * candidate
    tl.store(first, enter, mask=there)
    tl.store(first + size, forget, mask=there)
    tl.store(first + 2 * size, candidate, mask=there)
    tl.store(first + 3 * size, out, mask=there)
    tl.store(next_cells + row * size + unit, cell, mask=there)
    tl.store(hidden + row * hidden_row + unit, out * _tanh(cell), mask=there)


@_kernel
def _lstm_backward(gates, cells, next_cells, d_hidden, d_cells, size, gates_row, d_hidden_row, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, own = unit < size, gates + row * gates_row + unit, row * size + unit
    enter, forget = tl.load(first, mask=there), tl.load(first + size, mask=there)
    candidate, out = tl.load(first + 2 * size, mask=there), tl.load(first + 3 * size, mask=there)
    tanh, d_state = (
        _tanh(tl.load(next_cells + own, mask=there)),
        tl.load(d_hidden + row * d_hidden_row + unit, mask=there),
    )
    d_cell = tl.load(d_cells + own, mask=there) + d_state * out * (1.0 - tanh * tanh)
    d_forget = d_cell * tl.load(cells + own, mask=there)
    tl.store(first, d_cell * candidate * enter * (1.0 - enter), mask=there)
    tl.store(first + size, d_forget * forget * (1.0 - forget), mask=there)
    tl.store(first + 2 * size, d_cell * enter * (1.0 - candidate * candidate), mask=there)
    tl.store(first + 3 * size, d_state * tanh * out * (1.0 - out), mask=there)
    tl.store(d_cells + own, d_cell * forget, mask=there)


@_kernel
def _gru_forward(gates, parts, states, hidden, size, gates_row, parts_row, state_row, hidden_row, UNITS: tl.constexpr):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, part = unit < size, gates + row * gates_row + unit, parts + row * parts_row + unit
    reset = tl.sigmoid(tl.load(first, mask=there) + tl.load(part, mask=there))
    update = tl.sigmoid(tl.load(first + size, mask=there) + tl.load(part + size, mask=there))
    candidate = _tanh(tl.load(first + 2 * size, mask=there) + reset * tl.load(part + 2 * size, mask=there))
    state = tl.load(states + row * state_row + unit, mask=there)
    tl.store(first, reset, mask=there)
    tl.store(first + size, update, mask=there)
    tl.store(first + 2 * size, candidate, mask=there)
    tl.store(hidden + row * hidden_row + unit, candidate + update * (state - candidate), mask=there)


@_kernel
def _gru_backward(
    gates, parts, states, d_hidden, size, gates_row, parts_row, state_row, d_hidden_row, UNITS: tl.constexpr
):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, first, part = unit < size, gates + row * gates_row + unit, parts + row * parts_row + unit
    reset, update = tl.load(first, mask=there), tl.load(first + size, mask=there)
    candidate = tl.load(first + 2 * size, mask=there)
    d_state = tl.load(d_hidden + row * d_hidden_row + unit, mask=there)
    d_update = d_state * (tl.load(states + row * state_row + unit, mask=there) - candidate) * update * (1.0 - update)
    d_candidate = d_state * (1.0 - update) * (1.0 - candidate * candidate)
    d_reset = d_candidate * tl.load(part + 2 * size, mask=there) * reset * (1.0 - reset)
    tl.store(first, d_reset, mask=there)
    tl.store(first + size, d_update, mask=there)
    tl.store(first + 2 * size, d_candidate, mask=there)
    tl.store(part, d_reset, mask=there)
    tl.store(part + size, d_update, mask=there)
    tl.store(part + 2 * size, d_candidate * reset, mask=there)
    tl.store(d_hidden + row * d_hidden_row + unit, d_state * update, mask=there)


@_kernel
def _attend_forward(
    query,
    keys,
    biases,
    annotations,
    weights,
    context,
    scale,
    positions,
    key_size,
    size,
    query_row,
    context_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < positions, row * positions + position
    scores = tl.zeros([POSITIONS], tl.float32)
    for first in range(0, key_size, UNITS):
        unit = first + units
        some = there[:, None] & (unit < key_size)[None, :]
        key = tl.load(keys + source[:, None] * key_size + unit[None, :], mask=some, other=0.0)
        scores += tl.sum(
            key * tl.load(query + row * query_row + unit, mask=unit < key_size, other=0.0)[None, :], axis=1
        )
    scores = scale * scores + tl.load(biases + source, mask=there, other=-float("inf"))
    shares = tl.exp(scores - tl.max(scores, axis=0))
    shares = shares / tl.sum(shares, axis=0)
    tl.store(weights + source, shares, mask=there)
    for first in range(0, size, UNITS):
        unit = first + units
        some = there[:, None] & (unit < size)[None, :]
        values = tl.load(annotations + source[:, None] * size + unit[None, :], mask=some, other=0.0)
        tl.store(context + row * context_row + unit, tl.sum(shares[:, None] * values, axis=0), mask=unit < size)


@_kernel
def _attend_backward(
    d_context,
    weights,
    keys,
    annotations,
    d_scores,
    d_query,
    scale,
    positions,
    key_size,
    size,
    d_context_row,
    d_query_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < positions, row * positions + position
    d_shares = tl.zeros([POSITIONS], tl.float32)
    for first in range(0, size, UNITS):
        unit = first + units
        some = there[:, None] & (unit < size)[None, :]
        values = tl.load(annotations + source[:, None] * size + unit[None, :], mask=some, other=0.0)
        d_values = tl.load(d_context + row * d_context_row + unit, mask=unit < size, other=0.0)
        d_shares += tl.sum(values * d_values[None, :], axis=1)
    shares = tl.load(weights + source, mask=there, other=0.0)
    d_score = shares * (d_shares - tl.sum(shares * d_shares, axis=0))
    tl.store(d_scores + source, d_score, mask=there)
    for first in range(0, key_size, UNITS):
        unit = first + units
        some = there[:, None] & (unit < key_size)[None, :]
        key = tl.load(keys + source[:, None] * key_size + unit[None, :], mask=some, other=0.0)
        place = d_query + row * d_query_row + unit
        so_far = tl.load(place, mask=unit < key_size)
        tl.store(place, so_far + scale * tl.sum(d_score[:, None] * key, axis=0), mask=unit < key_size)


@_kernel
def _tanh_backward(
    readouts, d_readouts, d_fed, d_sums, size, readout_row, d_readout_row, d_fed_row, UNITS: tl.constexpr
):
    row, unit = tl.program_id(0).to(tl.int64), tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there = unit < size
    readout = tl.load(readouts + row * readout_row + unit, mask=there)
    d_readout = tl.load(d_readouts + row * d_readout_row + unit, mask=there)
    d_readout += tl.load(d_fed + row * d_fed_row + unit, mask=there)
    tl.store(d_sums + row * size + unit, d_readout * (1.0 - readout * readout), mask=there)


def _launch(kernel: Any, states_BH: Tensor, *arguments: Tensor | int) -> None:
    """Launch a kernel over the rows and units of a state."""
    rows, size = states_BH.shape
    kernel[rows, -(-size // UNITS)](*arguments, UNITS=UNITS)


def lstm_step(gates_BG: Tensor, cell_BH: Tensor, next_cell_BH: Tensor, hidden_BH: Tensor) -> None:
    """Complete a step: the gates' sums become the gates i, f, g, o; the next cell and the hidden state are written."""
    size = cell_BH.shape[1]
    sizes = (size, gates_BG.stride(0), hidden_BH.stride(0))
    _launch(_lstm_forward, cell_BH, gates_BG, cell_BH, next_cell_BH, hidden_BH, *sizes)


def lstm_back(gates_BG: Tensor, cell_BH: Tensor, next_cell_BH: Tensor, d_hidden_BH: Tensor, d_cell_BH: Tensor) -> None:
    """Go back over a step: the gates become the gradients of their sums, the next cell's gradient that of the cell."""
    sizes = (cell_BH.shape[1], gates_BG.stride(0), d_hidden_BH.stride(0))
    _launch(_lstm_backward, cell_BH, gates_BG, cell_BH, next_cell_BH, d_hidden_BH, d_cell_BH, *sizes)


def gru_step(gates_BG: Tensor, from_hidden_BG: Tensor, state_BH: Tensor, hidden_BH: Tensor) -> None:
    """Complete a step: the gates' sums of the inputs become the gates r, z, n; the hidden state is written.

    from_hidden_BG: the sums of the state before, with their bias; the reset gate multiplies the last third.
    """
    rows = (gates_BG.stride(0), from_hidden_BG.stride(0), state_BH.stride(0), hidden_BH.stride(0))
    _launch(_gru_forward, state_BH, gates_BG, from_hidden_BG, state_BH, hidden_BH, state_BH.shape[1], *rows)


def gru_back(gates_BG: Tensor, from_hidden_BG: Tensor, state_BH: Tensor, d_hidden_BH: Tensor) -> None:
    """Go back over a step: both sums become their gradients.

    The gradient of the hidden state becomes the part of that of the state before that does not come through the gates.
    """
    rows = (gates_BG.stride(0), from_hidden_BG.stride(0), state_BH.stride(0), d_hidden_BH.stride(0))
    _launch(_gru_backward, state_BH, gates_BG, from_hidden_BG, state_BH, d_hidden_BH, state_BH.shape[1], *rows)


def attend(
    query_BK: Tensor,
    keys_BSK: Tensor,
    padding_bias_BS: Tensor,
    annotations_BSA: Tensor,
    scale: float,
    weights_BS: Tensor,
    context_BA: Tensor,
) -> None:
    """Write the weights softmax(scale keys query + bias) of a query per sentence, and the annotations' sum by them."""
    rows, positions, key_size = keys_BSK.shape
    sizes = (positions, key_size, annotations_BSA.shape[2], query_BK.stride(0), context_BA.stride(0))
    tensors = (query_BK, keys_BSK, padding_bias_BS, annotations_BSA, weights_BS, context_BA)
    _attend_forward[rows,](*tensors, scale, *sizes, **_tile(positions))


def attend_back(
    d_context_BA: Tensor,
    weights_BS: Tensor,
    keys_BSK: Tensor,
    annotations_BSA: Tensor,
    scale: float,
    d_scores_BS: Tensor,
    d_query_BK: Tensor,
) -> None:
    """Write the gradients of the scores, without the scale, and add those of the query to `d_query_BK`."""
    rows, positions, key_size = keys_BSK.shape
    sizes = (positions, key_size, annotations_BSA.shape[2], d_context_BA.stride(0), d_query_BK.stride(0))
    tensors = (d_context_BA, weights_BS, keys_BSK, annotations_BSA, d_scores_BS, d_query_BK)
    _attend_backward[rows,](*tensors, scale, *sizes, **_tile(positions))


def readout_back(readout_BH: Tensor, d_readout_BH: Tensor, d_fed_BH: Tensor, d_sum_BH: Tensor) -> None:
    """Write the gradient of the sum whose tanh is the readout, which the loss and the next step have read."""
    rows = (readout_BH.stride(0), d_readout_BH.stride(0), d_fed_BH.stride(0))
    _launch(_tanh_backward, d_sum_BH, readout_BH, d_readout_BH, d_fed_BH, d_sum_BH, d_sum_BH.shape[1], *rows)


def _tile(positions: int) -> dict[str, int]:
    """Return how much of a sentence's keys a program has at once: all positions of some units, 4,096 numbers."""
    padded = max(16, 1 << (positions - 1).bit_length())
    return {"POSITIONS": padded, "UNITS": max(16, min(UNITS, 4096 // padded))}
