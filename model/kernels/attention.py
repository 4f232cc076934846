"""One query of attention for every sentence, forward and back: scores, softmax and context vector in one pass.

Shapes: B sentences, T steps, S source positions, H decoder units, A annotation units, K units of a key, X units of a
row. A query stands in row `query` of `rows` from unit `at` on; the context vector goes to row `context` of `contexts`
from unit `to` on. Padding is not read: positions at and beyond a sentence's length have weight 0 and no gradient.
"""

from typing import Any

from .threads import run, share
from .vectors import exponential, f4, inline, kernel, largest, tanh

__all__ = [
    *("concat_back", "concat_step", "mlp_back", "mlp_first", "mlp_first_back", "mlp_step", "product_back"),
    "product_step",
]


@inline
def weigh(weights_S: Any, length: int, annotations_SA: Any, context_A: Any) -> None:
    """Turn the scores in `weights` into weights, and write the context vector."""
    highest, total = weights_S[0], f4(0.0)
    for s in range(length):
        highest = largest(highest, weights_S[s])
    for s in range(length):
        weights_S[s] = exponential(weights_S[s] - highest)
        total += weights_S[s]
    weights_S[length:] = f4(0.0)
    context_A[:] = f4(0.0)
    for s in range(length):
        weights_S[s] /= total
        weight, annotation_A = weights_S[s], annotations_SA[s]
        for a in range(len(context_A)):
            context_A[a] += weight * annotation_A[a]


@inline
def _unweigh(weights_S: Any, length: int, annotations_SA: Any, d_context_A: Any, d_scores_S: Any) -> None:
    """Write the gradients of the scores."""
    mean = f4(0.0)
    for s in range(length):
        product, annotation_A = f4(0.0), annotations_SA[s]
        for a in range(len(d_context_A)):
            product += annotation_A[a] * d_context_A[a]
        d_scores_S[s] = product
        mean += weights_S[s] * product
    for s in range(length):
        d_scores_S[s] = weights_S[s] * (d_scores_S[s] - mean)
    d_scores_S[length:] = f4(0.0)


@inline
def _product_step(
    part: int,
    parts: int,
    rows_TBX: Any,
    query: int,
    at: int,
    contexts_TBX: Any,
    context: int,
    to: int,
    keys_BSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    scale: float,
    t: int,
) -> None:
    units, notes = keys_BSK.shape[2], annotations_BSA.shape[2]
    for b in share(keys_BSK.shape[0], part, parts):
        query_K, weights_S, length = rows_TBX[query, b][at : at + units], weights_TBS[t, b], lengths_B[b]
        for s in range(length):
            product, key_K = f4(0.0), keys_BSK[b, s]
            for k in range(units):
                product += query_K[k] * key_K[k]
            weights_S[s] = product * f4(scale)
        weigh(weights_S, length, annotations_BSA[b], contexts_TBX[context, b][to : to + notes])


@kernel
def product_step(*arguments: Any) -> None:
    """Attend by the product of query and key."""
    run(_product_step, arguments[6].size // 4, arguments)


@inline
def _product_back(
    part: int,
    parts: int,
    d_contexts_TBX: Any,
    to: int,
    keys_BSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    scale: float,
    d_scores_TBS: Any,
    d_queries_BH: Any,
    t: int,
) -> None:
    notes = annotations_BSA.shape[2]
    for b in share(keys_BSK.shape[0], part, parts):
        d_scores_S, length, d_query_H = d_scores_TBS[t, b], lengths_B[b], d_queries_BH[b]
        _unweigh(weights_TBS[t, b], length, annotations_BSA[b], d_contexts_TBX[t, b][to : to + notes], d_scores_S)
        for s in range(length):
            factor, key_K = d_scores_S[s] * f4(scale), keys_BSK[b, s]
            for k in range(len(d_query_H)):
                d_query_H[k] += factor * key_K[k]


@kernel
def product_back(*arguments: Any) -> None:
    """Write the gradients of the scores and add that of the query."""
    run(_product_back, arguments[2].size // 4, arguments)


@inline
def _concat_step(
    part: int,
    parts: int,
    queries_TBK: Any,
    contexts_TBX: Any,
    context: int,
    to: int,
    keys_BSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    energy_K: Any,
    t: int,
) -> None:
    notes = annotations_BSA.shape[2]
    for b in share(keys_BSK.shape[0], part, parts):
        query_K, weights_S, length = queries_TBK[t, b], weights_TBS[t, b], lengths_B[b]
        for s in range(length):
            score, key_K = f4(0.0), keys_BSK[b, s]
            for k in range(len(query_K)):
                score += energy_K[k] * tanh(query_K[k] + key_K[k])
            weights_S[s] = score
        weigh(weights_S, length, annotations_BSA[b], contexts_TBX[context, b][to : to + notes])


@kernel
def concat_step(*arguments: Any) -> None:
    """Attend by the energy of tanh(query + key)."""
    run(_concat_step, arguments[4].size, arguments)


@inline
def _concat_back(
    part: int,
    parts: int,
    d_contexts_TBX: Any,
    to: int,
    queries_TBK: Any,
    keys_BSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    energy_K: Any,
    d_scores_TBS: Any,
    d_queries_TBK: Any,
    d_keys_BSK: Any,
    d_energy_BK: Any,
    t: int,
) -> None:
    notes = annotations_BSA.shape[2]
    for b in share(keys_BSK.shape[0], part, parts):
        query_K, d_query_K, d_scores_S, length = (
            queries_TBK[t, b],
            d_queries_TBK[t, b],
            d_scores_TBS[t, b],
            lengths_B[b],
        )
        _unweigh(weights_TBS[t, b], length, annotations_BSA[b], d_contexts_TBX[t, b][to : to + notes], d_scores_S)
        d_energy_K = d_energy_BK[b]
        d_query_K[:] = f4(0.0)
        for s in range(length):
            factor, key_K, d_key_K = d_scores_S[s], keys_BSK[b, s], d_keys_BSK[b, s]
            for k in range(len(query_K)):
                value = tanh(query_K[k] + key_K[k])
                d_sum = factor * energy_K[k] * (f4(1.0) - value * value)
                d_energy_K[k] += factor * value
                d_query_K[k] += d_sum
                d_key_K[k] += d_sum


@kernel
def concat_back(*arguments: Any) -> None:
    """Write the gradients of scores and queries; add those of keys and energies, of each sentence its own."""
    run(_concat_back, arguments[3].size, arguments)


@inline
def _mlp_first(part: int, parts: int, queries_TBK: Any, keys_BSK: Any, lengths_B: Any, first_BSK: Any, t: int) -> None:
    for b in share(keys_BSK.shape[0], part, parts):
        query_K, length = queries_TBK[t, b], lengths_B[b]
        for s in range(length):
            key_K, out_K = keys_BSK[b, s], first_BSK[b, s]
            for k in range(len(query_K)):
                out_K[k] = tanh(query_K[k] + key_K[k])
        first_BSK[b, length:] = f4(0.0)


@kernel
def mlp_first(*arguments: Any) -> None:
    """Write the first hidden layer, tanh(query + key); 0 at padding."""
    run(_mlp_first, arguments[1].size, arguments)


@inline
def _mlp_step(
    part: int,
    parts: int,
    second_TBSK: Any,
    contexts_TBX: Any,
    context: int,
    to: int,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    energy_K: Any,
    t: int,
) -> None:
    notes = annotations_BSA.shape[2]
    for b in share(annotations_BSA.shape[0], part, parts):
        weights_S, length = weights_TBS[t, b], lengths_B[b]
        for s in range(length):
            score, hidden_K = f4(0.0), second_TBSK[t, b, s]
            for k in range(len(energy_K)):
                value = tanh(hidden_K[k])
                hidden_K[k] = value
                score += energy_K[k] * value
            weights_S[s] = score
        weigh(weights_S, length, annotations_BSA[b], contexts_TBX[context, b][to : to + notes])


@kernel
def mlp_step(*arguments: Any) -> None:
    """Apply tanh to the second hidden layer, and attend by its energy."""
    run(_mlp_step, arguments[4].size, arguments)


@inline
def _mlp_back(
    part: int,
    parts: int,
    d_contexts_TBX: Any,
    to: int,
    second_TBSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    weights_TBS: Any,
    energy_K: Any,
    d_scores_TBS: Any,
    d_energy_BK: Any,
    t: int,
) -> None:
    notes = annotations_BSA.shape[2]
    for b in share(annotations_BSA.shape[0], part, parts):
        d_scores_S, length, d_energy_K = d_scores_TBS[t, b], lengths_B[b], d_energy_BK[b]
        _unweigh(weights_TBS[t, b], length, annotations_BSA[b], d_contexts_TBX[t, b][to : to + notes], d_scores_S)
        for s in range(length):
            factor, hidden_K = d_scores_S[s], second_TBSK[t, b, s]
            for k in range(len(energy_K)):
                value = hidden_K[k]
                d_energy_K[k] += factor * value
                hidden_K[k] = factor * energy_K[k] * (f4(1.0) - value * value)
        second_TBSK[t, b, length:] = f4(0.0)


@kernel
def mlp_back(*arguments: Any) -> None:
    """Write the gradients of the scores, add that of the energies, and overwrite the second layer by its gradient."""
    run(_mlp_back, arguments[3].size, arguments)


@inline
def _mlp_first_back(
    part: int, parts: int, d_first_BSK: Any, first_BSK: Any, lengths_B: Any, d_queries_TBK: Any, d_keys_BSK: Any, t: int
) -> None:
    for b in share(d_keys_BSK.shape[0], part, parts):
        d_query_K = d_queries_TBK[t, b]
        d_query_K[:] = f4(0.0)
        for s in range(lengths_B[b]):
            d_out_K, out_K, d_key_K = d_first_BSK[b, s], first_BSK[b, s], d_keys_BSK[b, s]
            for k in range(len(d_query_K)):
                d_sum = d_out_K[k] * (f4(1.0) - out_K[k] * out_K[k])
                d_query_K[k] += d_sum
                d_key_K[k] += d_sum


@kernel
def mlp_first_back(*arguments: Any) -> None:
    """Write the gradient of the queries and add that of the keys."""
    run(_mlp_first_back, arguments[0].size // 4, arguments)
