"""One query of attention for every sentence, forward and back; ../attention.py says what each function takes.

A program has one sentence: all of its positions, and some units at a time. Keys, annotations and what has their shape
are contiguous.

Shapes: B sentences, T steps, S source positions, H decoder units, A annotation units, K units of a key, X units of a
row.
"""

from torch import Tensor

from .language import jit, tile, tl

__all__ = ["product_back", "product_step"]


@jit
def weigh(scores, row, source, position, there, positions, annotations, notes, weights, context, units):
    """Write the weights of a sentence's scores, and its context vector."""
    scores = tl.where(there, scores, -float("inf"))
    shares = tl.exp(scores - tl.max(scores, axis=0))
    shares = shares / tl.sum(shares, axis=0)
    tl.store(weights + source, shares, mask=position < positions)
    for first in range(0, notes, units.shape[0]):
        unit = first + units
        some = there[:, None] & (unit < notes)[None, :]
        values = tl.load(annotations + source[:, None] * notes + unit[None, :], mask=some, other=0.0)
        tl.store(context + unit, tl.sum(shares[:, None] * values, axis=0), mask=unit < notes)


@jit
def unweigh(source, position, there, positions, annotations, notes, weights, d_context, d_scores, units):
    """Write and return the gradients of a sentence's scores."""
    d_shares = tl.zeros_like(position).to(tl.float32)
    for first in range(0, notes, units.shape[0]):
        unit = first + units
        some = there[:, None] & (unit < notes)[None, :]
        values = tl.load(annotations + source[:, None] * notes + unit[None, :], mask=some, other=0.0)
        d_values = tl.load(d_context + unit, mask=unit < notes, other=0.0)
        d_shares += tl.sum(values * d_values[None, :], axis=1)
    shares = tl.load(weights + source, mask=there, other=0.0)
    d_score = shares * (d_shares - tl.sum(shares * d_shares, axis=0))
    tl.store(d_scores + source, d_score, mask=position < positions)
    return d_score


@jit
def _product_forward(
    query,
    keys,
    annotations,
    lengths,
    weights,
    context,
    scale,
    positions,
    size,
    notes,
    query_row,
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
        scores += tl.sum(key * tl.load(query + row * query_row + unit, mask=unit < size, other=0.0)[None, :], axis=1)
    to = context + row * context_row
    weigh(scale * scores, row, source, position, there, positions, annotations, notes, weights, to, units)


def product_step(
    rows_TBX: Tensor,
    query: int,
    at: int,
    contexts_TBX: Tensor,
    context: int,
    to: int,
    keys_BSK: Tensor,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    scale: float,
    t: int,
) -> None:
    """Attend by the product of query and key."""
    (rows, positions, size), notes = keys_BSK.shape, annotations_BSA.shape[2]
    _product_forward[rows,](
        *(rows_TBX[query, :, at:], keys_BSK, annotations_BSA, lengths_B, weights_TBS[t], contexts_TBX[context, :, to:]),
        *(scale, positions, size, notes, rows_TBX.stride(1), contexts_TBX.stride(1)),
        **tile(positions),
    )


@jit
def _product_backward(
    d_context,
    keys,
    annotations,
    lengths,
    weights,
    d_scores,
    d_query,
    scale,
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
        some = there[:, None] & (unit < size)[None, :]
        key = tl.load(keys + source[:, None] * size + unit[None, :], mask=some, other=0.0)
        so_far = tl.load(d_query + row * size + unit, mask=unit < size)
        added = scale * tl.sum(d_score[:, None] * key, axis=0)
        tl.store(d_query + row * size + unit, so_far + added, mask=unit < size)


def product_back(
    d_contexts_TBX: Tensor,
    to: int,
    keys_BSK: Tensor,
    annotations_BSA: Tensor,
    lengths_B: Tensor,
    weights_TBS: Tensor,
    scale: float,
    d_scores_TBS: Tensor,
    d_queries_BH: Tensor,
    t: int,
) -> None:
    """Write the gradients of the scores and add that of the query."""
    (rows, positions, size), notes = keys_BSK.shape, annotations_BSA.shape[2]
    _product_backward[rows,](
        *(d_contexts_TBX[t, :, to:], keys_BSK, annotations_BSA, lengths_B, weights_TBS[t], d_scores_TBS[t]),
        *(d_queries_BH, scale, positions, size, notes, d_contexts_TBX.stride(1)),
        **tile(positions),
    )
