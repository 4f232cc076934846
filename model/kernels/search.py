"""A step of search between its products: the likeliest tokens of every hypothesis, and what becomes of them.

Shapes: N hypotheses (Y of each sentence side by side), B sentences, J candidates of a sentence to go on with, Z
hypotheses of a sentence that have ended, L steps, S source positions, V vocabulary, C tokens that no translation has,
T both sides of a step, E embedding units, H decoder units, A annotation units, K units of a key, U units that a cell
multiplies (what it is fed, then its hidden state), X units of a row (context vector, then hidden state), I and G units
of a product's rows before and after it, W tokens of a block.
"""

import math
from typing import Any

import numpy as np

from .attention import weigh
from .threads import run, share
from .vectors import exponential, f4, inline, kernel, largest

__all__ = ["advance", "attend", "best_tokens", "feed", "follow", "multiply_few"]

BLOCK = 64
"""Tokens of the vocabulary whose maximum decides whether they are looked at one by one."""
NONE = f4(-np.inf)


@inline
def _multiply_few(part: int, parts: int, rows_NI: Any, weights_GI: Any, sums_NG: Any) -> None:
    count, units = rows_NI.shape
    whole = count // 4 * 4
    for g in share(weights_GI.shape[0], part, parts):
        weight_I = weights_GI[g]
        for n in range(0, whole, 4):
            a, b, c, d = f4(0.0), f4(0.0), f4(0.0), f4(0.0)
            for i in range(units):
                weight = weight_I[i]
                a += weight * rows_NI[n, i]
                b += weight * rows_NI[n + 1, i]
                c += weight * rows_NI[n + 2, i]
                d += weight * rows_NI[n + 3, i]
            sums_NG[n, g] += a
            sums_NG[n + 1, g] += b
            sums_NG[n + 2, g] += c
            sums_NG[n + 3, g] += d
        for n in range(whole, count):
            total = f4(0.0)
            for i in range(units):
                total += weight_I[i] * rows_NI[n, i]
            sums_NG[n, g] += total


@kernel
def multiply_few(*arguments: Any) -> None:
    """Add the products of a few rows with all rows of the weights, each of which is read from memory once."""
    run(_multiply_few, arguments[1].size * len(arguments[0]) // 32, arguments)


@kernel
def feed(
    parents_N: Any, tokens_N: Any, table_VE: Any, words_NE: Any, readouts_NH: Any, inputs_NU: Any, count: int
) -> None:
    """Write the embedding of each hypothesis' last token, and feed it the readout of the row that it goes on from."""
    for n in range(count):
        token, parent = tokens_N[n], parents_N[n]
        for e in range(words_NE.shape[1]):
            words_NE[n, e] = table_VE[token, e]
        for h in range(readouts_NH.shape[1]):
            inputs_NU[n, h] = readouts_NH[parent, h]


@kernel
def follow(
    parents_N: Any, before_TNX: Any, at: int, cells_TNH: Any, inputs_NU: Any, fed: int, next_TNH: Any, count: int
) -> None:
    """Hand every hypothesis the states of a layer in the row that it goes on from."""
    for n in range(count):
        parent = parents_N[n]
        for h in range(cells_TNH.shape[2]):
            inputs_NU[n, fed + h] = before_TNX[1, parent, at + h]
            next_TNH[0, n, h] = cells_TNH[1, parent, h]


@inline
def _attend(
    part: int,
    parts: int,
    rows_TNX: Any,
    keys_BSK: Any,
    annotations_BSA: Any,
    lengths_B: Any,
    sentences_B: Any,
    beam: int,
    scale: float,
    weights_NS: Any,
) -> None:
    units, notes = keys_BSK.shape[2], annotations_BSA.shape[2]
    for n in share(weights_NS.shape[0], part, parts):
        b = sentences_B[n // beam]
        row_X, weights_S, length = rows_TNX[1, n], weights_NS[n], lengths_B[b]
        query_K = row_X[notes:]
        for s in range(length):
            product, key_K = f4(0.0), keys_BSK[b, s]
            for k in range(units):
                product += query_K[k] * key_K[k]
            weights_S[s] = product * f4(scale)
        weigh(weights_S, length, annotations_BSA[b], row_X[:notes])


@kernel
def attend(*arguments: Any) -> None:
    """Attend by the product of query and key: every hypothesis to its sentence."""
    run(_attend, arguments[1][0].size * len(arguments[7]) // 4, arguments)


@inline
def _rule_out(row_V: Any, never_C: Any, end: int, early: bool, ngram: int, before_L: Any) -> None:
    """Rule out the tokens that cannot follow those so far; `SearchRequest.rule_out` says which."""
    ends = row_V[end]
    for token in never_C:
        row_V[token] = NONE
    if early:
        row_V[end] = NONE
    if ngram:
        length = len(before_L)
        for first in range(length - ngram + 1):
            same = True
            for place in range(ngram - 1):
                same = same and before_L[first + place] == before_L[length - ngram + 1 + place]
            if same:
                row_V[before_L[first + ngram - 1]] = NONE
        highest = row_V[0]
        for value in row_V:
            highest = max(highest, value)
        if highest == NONE:  # Where all else would repeat, a translation ends, even one that is too short.
            row_V[end] = ends


@inline
def _history(tokens_LN: Any, parents_LN: Any, length: int, row: int, before_L: Any) -> None:
    """Write the tokens of a hypothesis so far."""
    for step in range(length, 0, -1):
        before_L[step - 1] = tokens_LN[step, row]
        row = parents_LN[step, row]


@inline
def _keep_best(value: Any, row: int, token: int, logp_J: Any, rows_J: Any, tokens_J: Any) -> None:
    """Put a candidate into its place among the best, behind those as probable as it is."""
    place = len(logp_J) - 1
    while place > 0 and logp_J[place - 1] < value:
        logp_J[place], rows_J[place], tokens_J[place] = logp_J[place - 1], rows_J[place - 1], tokens_J[place - 1]
        place -= 1
    logp_J[place], rows_J[place], tokens_J[place] = value, row, token


@inline
def _best_of_one(
    row_V: Any,
    bias_V: Any,
    never_C: Any,
    end: int,
    early: bool,
    ngram: int,
    tokens_LN: Any,
    parents_LN: Any,
    before_L: Any,
    n: int,
    before: Any,
    best_J: Any,
    rows_J: Any,
    tokens_J: Any,
) -> None:
    """Put hypothesis n's extensions, of log-probability `before`, among the best of its sentence."""
    highest, total = row_V[0] + bias_V[0], f4(0.0)
    for v in range(len(bias_V)):
        value = row_V[v] + bias_V[v]
        row_V[v] = value
        highest = largest(highest, value)
    for v in range(len(bias_V)):
        total += exponential(row_V[v] - highest)
    normaliser = highest + f4(math.log(total))
    if ngram:
        _history(tokens_LN, parents_LN, len(before_L), n, before_L)
    _rule_out(row_V, never_C, end, early, ngram, before_L)
    for first in range(0, len(bias_V), BLOCK):
        block_W = row_V[first : first + BLOCK]
        highest = block_W[0]
        for value in block_W:
            highest = largest(highest, value)
        if before + (highest - normaliser) > best_J[-1]:
            for w in range(len(block_W)):
                value = before + (block_W[w] - normaliser)
                if value > best_J[-1]:
                    _keep_best(value, n, first + w, best_J, rows_J, tokens_J)


@inline
def _best_tokens(
    part: int,
    parts: int,
    logits_NV: Any,
    bias_V: Any,
    never_C: Any,
    end: int,
    early: bool,
    ngram: int,
    tokens_LN: Any,
    parents_LN: Any,
    length: int,
    logp_N: Any,
    logp_BJ: Any,
    rows_BJ: Any,
    tokens_BJ: Any,
    count: int,
) -> None:
    beam, before_L = logp_BJ.shape[1] // 2, np.empty(length, np.int64)
    for b in share(count // beam, part, parts):
        for j in range(2 * beam):
            logp_BJ[b, j], rows_BJ[b, j], tokens_BJ[b, j] = NONE, 0, never_C[0]
        for n in range(b * beam, (b + 1) * beam):
            if logp_N[n] != NONE:
                _best_of_one(
                    *(logits_NV[n], bias_V, never_C, end, early, ngram, tokens_LN, parents_LN, before_L),
                    *(n, logp_N[n], logp_BJ[b], rows_BJ[b], tokens_BJ[b]),
                )


@kernel
def best_tokens(*arguments: Any) -> None:
    """Find each sentence's most probable extensions of its hypotheses by one token, and their log-probabilities.

    Of candidates that are equally probable, the hypothesis in the first row comes first, and of its tokens the lowest.
    The logits, without their bias, are overwritten. length: tokens of every hypothesis so far, which rows 1 to `length`
    of `tokens` hold. count: hypotheses.
    """
    run(_best_tokens, arguments[0].size, arguments)


@inline
def _coverage(attended_S: Any, length: int, penalty: float) -> Any:
    """Return cp of `SearchConfig.coverage`."""
    total = f4(0.0)
    for s in range(min(length, len(attended_S))):
        total += f4(math.log(min(max(attended_S[s], f4(1.1754944e-38)), f4(1.0))))
    return f4(penalty) * total


@kernel
def advance(
    logp_BJ: Any,
    rows_BJ: Any,
    tokens_BJ: Any,
    end: int,
    length: int,
    n_best: int,
    penalties_L: Any,
    coverage: float,
    attended_NS: Any,
    lengths_B: Any,
    limits_B: Any,
    sentences_B: Any,
    logp_N: Any,
    tokens_N: Any,
    parents_N: Any,
    ended_B: Any,
    scores_BZ: Any,
    places_BZ3: Any,
    count: int,
) -> int:
    """End hypotheses, let others go on, and leave out the sentences that are done; return how many are left.

    All is as in beam.py. Of the sentences that are left, their hypotheses' log-probabilities, last tokens and the rows
    that they go on from are written side by side. Of one that ends, the score is written and, in places, the row, the
    length and the last token, which is -1 if it ends by `end`. count: sentences.
    """
    beam, left = logp_BJ.shape[1] // 2, 0
    for place in range(count):
        b, at, going = sentences_B[place], left * beam, 0
        at_limit = limits_B[b] <= length
        for j in range(2 * beam):
            logp, row, token = logp_BJ[place, j], rows_BJ[place, j], tokens_BJ[place, j]
            goes_on = token != end and going < beam
            if goes_on:
                logp_N[at + going], tokens_N[at + going], parents_N[at + going] = logp, token, row
                going += 1
            if logp > NONE and ((token == end and j < beam) or (goes_on and at_limit)):
                z = ended_B[b]
                scores_BZ[b, z] = logp / penalties_L[length] + _coverage(attended_NS[row], lengths_B[b], coverage)
                places_BZ3[b, z, 0], places_BZ3[b, z, 1], places_BZ3[b, z, 2] = (
                    row,
                    length,
                    -1 if token == end else token,
                )
                ended_B[b] += 1
        bound, better = logp_N[at] / penalties_L[limits_B[b]], 0
        for z in range(ended_B[b]):
            better += scores_BZ[b, z] >= bound
        if not at_limit and ended_B[b] < beam and better < n_best:
            sentences_B[left] = b
            left += 1
    return left
