"""The scores with hidden layers, concat and perceptron; ../attention.py says what each function takes.

Shapes: B sentences, T steps, S source positions, A annotation units, K units of a key, X units of a row.
"""

from torch import Tensor

from .attention import unweigh, weigh
from .language import jit, tanh, tile, tl

__all__ = ["concat_back", "concat_step", "mlp_back", "mlp_first", "mlp_first_back", "mlp_step"]


@jit
def _concat_forward(
    query,
    keys,
    annotations,
    lengths,
    weights,
    context,
    energy,
    positions,
    size,
    notes,
    context_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    scores = tl.zeros([POSITIONS], tl.float32)
    for first in range(0, size, UNITS):
        unit = first + units
        some = there[:, None] & (unit < size)[None, :]
        key = tl.load(keys + source[:, None] * size + unit[None, :], mask=some, other=0.0)
        asked = tl.load(query + row * size + unit, mask=unit < size, other=0.0)
        scores += tl.sum(
            tl.load(energy + unit, mask=unit < size, other=0.0)[None, :] * tanh(asked[None, :] + key), axis=1
        )
    to = context + row * context_row
    weigh(scores, row, source, position, there, positions, annotations, notes, weights, to, units)


def concat_step(
    queries_TBK: Tensor,
    contexts_TBX: Tensor,
    context: int,
    to: int,
    keys_BSK: Tensor,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    energy_K: Tensor,
    t: int,
) -> None:
    """Attend by the energy of tanh(query + key)."""
    (rows, positions, size), notes = keys_BSK.shape, annotations_BSA.shape[2]
    _concat_forward[rows,](
        *(queries_TBK[t], keys_BSK, annotations_BSA, lengths_B, weights_TBS[t], contexts_TBX[context, :, to:]),
        *(energy_K, positions, size, notes, contexts_TBX.stride(1)),
        **tile(positions),
    )


@jit
def _concat_backward(
    d_context,
    query,
    keys,
    annotations,
    lengths,
    weights,
    energy,
    d_scores,
    d_query,
    d_keys,
    d_energy,
    positions,
    size,
    notes,
    d_context_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    came = d_context + row * d_context_row
    d_score = unweigh(source, position, there, positions, annotations, notes, weights, came, d_scores, units)
    for first in range(0, size, UNITS):
        unit = first + units
        inside, own = unit < size, row * size + unit
        some, place = there[:, None] & inside[None, :], source[:, None] * size + unit[None, :]
        asked, weight = tl.load(query + own, mask=inside, other=0.0), tl.load(energy + unit, mask=inside, other=0.0)
        value = tanh(asked[None, :] + tl.load(keys + place, mask=some, other=0.0))
        d_sum = d_score[:, None] * weight[None, :] * (1.0 - value * value)
        tl.store(d_query + own, tl.sum(d_sum, axis=0), mask=inside)
        tl.store(d_keys + place, tl.load(d_keys + place, mask=some, other=0.0) + d_sum, mask=some)
        so_far = tl.load(d_energy + own, mask=inside)
        tl.store(d_energy + own, so_far + tl.sum(d_score[:, None] * value, axis=0), mask=inside)


def concat_back(
    d_contexts_TBX: Tensor,
    to: int,
    queries_TBK: Tensor,
    keys_BSK: Tensor,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    energy_K: Tensor,
    d_scores_TBS: Tensor,
    d_queries_TBK: Tensor,
    d_keys_BSK: Tensor,
    d_energy_BK: Tensor,
    t: int,
) -> None:
    """Write the gradients of scores and queries; add those of keys and energies, of each sentence its own."""
    (rows, positions, size), notes = keys_BSK.shape, annotations_BSA.shape[2]
    _concat_backward[rows,](
        *(d_contexts_TBX[t, :, to:], queries_TBK[t], keys_BSK, annotations_BSA, lengths_B, weights_TBS[t], energy_K),
        *(d_scores_TBS[t], d_queries_TBK[t], d_keys_BSK, d_energy_BK, positions, size, notes, d_contexts_TBX.stride(1)),
        **tile(positions),
    )


@jit
def _first_forward(query, keys, lengths, first_layer, positions, size, POSITIONS: tl.constexpr, UNITS: tl.constexpr):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    for first in range(0, size, UNITS):
        unit = first + units
        inside, place = unit < size, source[:, None] * size + unit[None, :]
        asked = tl.load(query + row * size + unit, mask=inside, other=0.0)
        value = tanh(asked[None, :] + tl.load(keys + place, mask=there[:, None] & inside[None, :], other=0.0))
        value = tl.where(there[:, None], value, 0.0)
        tl.store(first_layer + place, value, mask=(position < positions)[:, None] & inside[None, :])


def mlp_first(queries_TBK: Tensor, keys_BSK: Tensor, lengths_B: Tensor, first_BSK: Tensor, t: int) -> None:
    """Write the first hidden layer, tanh(query + key); 0 at padding."""
    rows, positions, size = keys_BSK.shape
    _first_forward[rows,](queries_TBK[t], keys_BSK, lengths_B, first_BSK, positions, size, **tile(positions))


@jit
def _mlp_forward(
    second,
    annotations,
    lengths,
    weights,
    context,
    energy,
    positions,
    size,
    notes,
    context_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    scores = tl.zeros([POSITIONS], tl.float32)
    for first in range(0, size, UNITS):
        unit = first + units
        some, place = there[:, None] & (unit < size)[None, :], source[:, None] * size + unit[None, :]
        value = tanh(tl.load(second + place, mask=some, other=0.0))
        tl.store(second + place, value, mask=some)
        scores += tl.sum(tl.load(energy + unit, mask=unit < size, other=0.0)[None, :] * value, axis=1)
    to = context + row * context_row
    weigh(scores, row, source, position, there, positions, annotations, notes, weights, to, units)


def mlp_step(
    second_TBSK: Tensor,
    contexts_TBX: Tensor,
    context: int,
    to: int,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    energy_K: Tensor,
    t: int,
) -> None:
    """Apply tanh to the second hidden layer, and attend by its energy."""
    (rows, positions, notes), size = annotations_BSA.shape, len(energy_K)
    _mlp_forward[rows,](
        *(second_TBSK[t], annotations_BSA, lengths_B, weights_TBS[t], contexts_TBX[context, :, to:], energy_K),
        *(positions, size, notes, contexts_TBX.stride(1)),
        **tile(positions),
    )


@jit
def _mlp_backward(
    d_context,
    second,
    annotations,
    lengths,
    weights,
    energy,
    d_scores,
    d_energy,
    positions,
    size,
    notes,
    d_context_row,
    POSITIONS: tl.constexpr,
    UNITS: tl.constexpr,
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    came = d_context + row * d_context_row
    d_score = unweigh(source, position, there, positions, annotations, notes, weights, came, d_scores, units)
    for first in range(0, size, UNITS):
        unit = first + units
        inside, own, place = unit < size, row * size + unit, source[:, None] * size + unit[None, :]
        value = tl.load(second + place, mask=there[:, None] & inside[None, :], other=0.0)
        weight = tl.load(energy + unit, mask=inside, other=0.0)
        so_far = tl.load(d_energy + own, mask=inside)
        tl.store(d_energy + own, so_far + tl.sum(d_score[:, None] * value, axis=0), mask=inside)
        d_value = d_score[:, None] * weight[None, :] * (1.0 - value * value)
        tl.store(second + place, d_value, mask=(position < positions)[:, None] & inside[None, :])


def mlp_back(
    d_contexts_TBX: Tensor,
    to: int,
    second_TBSK: Tensor,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    energy_K: Tensor,
    d_scores_TBS: Tensor,
    d_energy_BK: Tensor,
    t: int,
) -> None:
    """Write the gradients of the scores, add that of the energies, and overwrite the second layer by its gradient."""
    (rows, positions, notes), size = annotations_BSA.shape, len(energy_K)
    _mlp_backward[rows,](
        *(d_contexts_TBX[t, :, to:], second_TBSK[t], annotations_BSA, lengths_B, weights_TBS[t], energy_K),
        *(d_scores_TBS[t], d_energy_BK, positions, size, notes, d_contexts_TBX.stride(1)),
        **tile(positions),
    )


@jit
def _first_backward(
    d_first, first_layer, lengths, d_query, d_keys, positions, size, POSITIONS: tl.constexpr, UNITS: tl.constexpr
):
    row, position, units = tl.program_id(0).to(tl.int64), tl.arange(0, POSITIONS), tl.arange(0, UNITS)
    there, source = position < tl.load(lengths + row), row * positions + position
    for first in range(0, size, UNITS):
        unit = first + units
        some, place = there[:, None] & (unit < size)[None, :], source[:, None] * size + unit[None, :]
        value = tl.load(first_layer + place, mask=some, other=0.0)
        d_sum = tl.load(d_first + place, mask=some, other=0.0) * (1.0 - value * value)
        tl.store(d_query + row * size + unit, tl.sum(d_sum, axis=0), mask=unit < size)
        tl.store(d_keys + place, tl.load(d_keys + place, mask=some, other=0.0) + d_sum, mask=some)


def mlp_first_back(
    d_first_BSK: Tensor, first_BSK: Tensor, lengths_B: Tensor, d_queries_TBK: Tensor, d_keys_BSK: Tensor, t: int
) -> None:
    """Write the gradient of the queries and add that of the keys."""
    rows, positions, size = d_keys_BSK.shape
    tensors = d_first_BSK, first_BSK, lengths_B, d_queries_TBK[t], d_keys_BSK
    _first_backward[rows,](*tensors, positions, size, **tile(positions))
