"""One step of a layer's cell for all sentences, forward and back; model/unrolled has the equations and the buffers.

Shapes: B sentences, T steps, H units, G units of all gates, F units fed, U units that a cell multiplies (F + H), X
units of a row: what a step is fed, its hidden state, and what else lies there. Row t + 1 of `rows` and `cells` is the
state after step t, and `at` the first unit of the state.
"""

from typing import Any

from .threads import run, share
from .vectors import f4, inline, kernel, logistic, tanh

__all__ = ["gru_back", "gru_step", "lstm_back", "lstm_step", "readout_back", "readout_step"]


@inline
def _lstm_step(part: int, parts: int, gates_TBG: Any, cells_TBH: Any, rows_TBX: Any, at: int, t: int) -> None:
    size = cells_TBH.shape[2]
    for b in share(cells_TBH.shape[1], part, parts):
        gates_G, before_H, after_H = gates_TBG[t, b], cells_TBH[t, b], cells_TBH[t + 1, b]
        in_H, forget_H = gates_G[:size], gates_G[size : 2 * size]
        candidate_H, out_H = gates_G[2 * size : 3 * size], gates_G[3 * size :]
        hidden_H = rows_TBX[t + 1, b][at : at + size]
        for h in range(size):
            i, f = logistic(in_H[h]), logistic(forget_H[h])
            g, o = tanh(candidate_H[h]), logistic(out_H[h])
            c = f * before_H[h] + i * g
            in_H[h], forget_H[h], candidate_H[h], out_H[h] = i, f, g, o
            after_H[h] = c
            hidden_H[h] = o * tanh(c)


@kernel
def lstm_step(*arguments: Any) -> None:
    """Overwrite what enters the gates with their values, and write both states after step t."""
    run(_lstm_step, arguments[0][0].size, arguments)


@inline
def _lstm_back(part: int, parts: int, gates_TBG: Any, cells_TBH: Any, d_hidden_BH: Any, d_cell_BH: Any, t: int) -> None:
    size = cells_TBH.shape[2]
    for b in share(cells_TBH.shape[1], part, parts):
        gates_G, before_H, after_H = gates_TBG[t, b], cells_TBH[t, b], cells_TBH[t + 1, b]
        in_H, forget_H = gates_G[:size], gates_G[size : 2 * size]
        candidate_H, out_H = gates_G[2 * size : 3 * size], gates_G[3 * size :]
        d_hidden_H, d_cell_H = d_hidden_BH[b], d_cell_BH[b]
        for h in range(size):
            i, f, g, o, k, dh = in_H[h], forget_H[h], candidate_H[h], out_H[h], tanh(after_H[h]), d_hidden_H[h]
            dc = d_cell_H[h] + dh * o * (f4(1.0) - k * k)
            in_H[h] = dc * g * i * (f4(1.0) - i)
            forget_H[h] = dc * before_H[h] * f * (f4(1.0) - f)
            candidate_H[h] = dc * i * (f4(1.0) - g * g)
            out_H[h] = dh * k * o * (f4(1.0) - o)
            d_cell_H[h] = dc * f


@kernel
def lstm_back(*arguments: Any) -> None:
    """Overwrite the gates by the gradients of what entered them, and the cell's gradient by that before step t."""
    run(_lstm_back, arguments[0][0].size, arguments)


@inline
def _gru_step(part: int, parts: int, gates_TBG: Any, inner_TBG: Any, rows_TBX: Any, at: int, t: int) -> None:
    size = gates_TBG.shape[2] // 3
    for b in share(gates_TBG.shape[1], part, parts):
        gates_G, inner_G = gates_TBG[t, b], inner_TBG[t, b]
        reset_H, update_H, candidate_H = gates_G[:size], gates_G[size : 2 * size], gates_G[2 * size :]
        inner_reset_H, inner_update_H = inner_G[:size], inner_G[size : 2 * size]
        inner_candidate_H = inner_G[2 * size :]
        before_H, after_H = rows_TBX[t, b][at : at + size], rows_TBX[t + 1, b][at : at + size]
        for h in range(size):
            r = logistic(reset_H[h] + inner_reset_H[h])
            z = logistic(update_H[h] + inner_update_H[h])
            n = tanh(candidate_H[h] + r * inner_candidate_H[h])
            reset_H[h], update_H[h], candidate_H[h] = r, z, n
            after_H[h] = n + z * (before_H[h] - n)


@kernel
def gru_step(*arguments: Any) -> None:
    """Overwrite the sums in `gates` with the gates' values, and write the state after step t."""
    run(_gru_step, arguments[0][0].size, arguments)


@inline
def _gru_back(
    part: int,
    parts: int,
    gates_TBG: Any,
    inner_TBG: Any,
    rows_TBX: Any,
    at: int,
    d_hidden_BH: Any,
    d_inputs_BU: Any,
    t: int,
) -> None:
    size = gates_TBG.shape[2] // 3
    for b in share(gates_TBG.shape[1], part, parts):
        gates_G, inner_G = gates_TBG[t, b], inner_TBG[t, b]
        reset_H, update_H, candidate_H = gates_G[:size], gates_G[size : 2 * size], gates_G[2 * size :]
        inner_reset_H, inner_update_H = inner_G[:size], inner_G[size : 2 * size]
        inner_candidate_H = inner_G[2 * size :]
        before_H, d_hidden_H = rows_TBX[t, b][at : at + size], d_hidden_BH[b]
        d_before_H = d_inputs_BU[b][at : at + size]
        for h in range(size):
            r, z, n, dh = reset_H[h], update_H[h], candidate_H[h], d_hidden_H[h]
            dn = dh * (f4(1.0) - z) * (f4(1.0) - n * n)
            dz = dh * (before_H[h] - n) * z * (f4(1.0) - z)
            dr = dn * inner_candidate_H[h] * r * (f4(1.0) - r)
            reset_H[h], update_H[h], candidate_H[h] = dr, dz, dn
            inner_reset_H[h], inner_update_H[h], inner_candidate_H[h] = dr, dz, dn * r
            d_before_H[h] = dh * z


@kernel
def gru_back(*arguments: Any) -> None:
    """Overwrite gates and inner sums by their gradients; write what of the state's gradient goes past the gates."""
    run(_gru_back, arguments[0][0].size, arguments)


@inline
def _readout_step(part: int, parts: int, rows_TBX: Any, size: int, t: int) -> None:
    for b in share(rows_TBX.shape[1], part, parts):
        fed_F = rows_TBX[t, b][:size]
        for h in range(size):
            fed_F[h] = tanh(fed_F[h])


@kernel
def readout_step(*arguments: Any) -> None:
    """Apply tanh to what row t is fed."""
    run(_readout_step, arguments[0].shape[1] * arguments[1], arguments)


@inline
def _readout_back(
    part: int, parts: int, d_readouts_TBH: Any, rows_TBX: Any, d_inputs_BU: Any, d_sums_TBH: Any, t: int
) -> None:
    size = d_sums_TBH.shape[2]
    for b in share(d_sums_TBH.shape[1], part, parts):
        d_readout_H, fed_F, d_fed_F, d_sum_H = (
            d_readouts_TBH[t, b],
            rows_TBX[t + 1, b][:size],
            d_inputs_BU[b][:size],
            d_sums_TBH[t, b],
        )
        for h in range(size):
            a = fed_F[h]
            d_sum_H[h] = (d_readout_H[h] + d_fed_F[h]) * (f4(1.0) - a * a)


@kernel
def readout_back(*arguments: Any) -> None:
    """Write the gradient of the sum whose tanh is readout t, which row t + 1 is fed."""
    run(_readout_back, arguments[3][0].size // 4, arguments)
