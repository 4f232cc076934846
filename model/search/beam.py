"""Beam search, batched over sentences.

Shapes: B sentences still searched, Y hypotheses of each, N hypotheses of all sentences or of some, J candidates to go
on with, L tokens so far, S source positions, V vocabulary, Q blocks of the vocabulary, W tokens of a block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState
from .hypotheses import Hypothesis, SearchRequest, on_host

BLOCK = 64
"""Tokens of a block of the vocabulary."""

Ended = list[list[Hypothesis]]
"""The hypotheses of every sentence of the batch that have ended, with their scores."""


@dataclass(frozen=True)
class _Beams:
    """The hypotheses that can go on, of the sentences that are not done."""

    sentences_B: Tensor
    tokens_BYL: Tensor
    """The hypotheses so far, from `start`."""
    logp_BY: Tensor
    attended_BYS: Tensor
    """Sums of the attention weights, for the coverage penalty; (B, Y, 0) without one."""
    attention_BYLS: Tensor
    """The attention weights of every step; (B, Y, L, 0) if they are not asked for."""
    state: DecoderState
    """Of N = B x Y rows, a sentence's hypotheses side by side; `memory` has one row per sentence."""
    memory: SourceMemory

    def keep_sentences(self, kept: Tensor) -> "_Beams":
        beam = self.logp_BY.shape[1]
        rows = (kept.unsqueeze(1) * beam + torch.arange(beam, device=kept.device)).flatten()
        return _Beams(
            self.sentences_B[kept],
            self.tokens_BYL[kept],
            self.logp_BY[kept],
            self.attended_BYS[kept],
            self.attention_BYLS[kept],
            self.state.select(rows),
            self.memory.select(kept),
        )

    def follow(self, origin_BY: Tensor, token_BY: Tensor, logp_BY: Tensor) -> "_Beams":
        """Extend the hypotheses `origin` by one token each; all that belongs to a hypothesis moves with it."""
        rows_B1 = torch.arange(origin_BY.shape[0], device=origin_BY.device).unsqueeze(1)
        return _Beams(
            self.sentences_B,
            torch.cat([self.tokens_BYL[rows_B1, origin_BY], token_BY.unsqueeze(2)], dim=2),
            logp_BY,
            self.attended_BYS[rows_B1, origin_BY],
            self.attention_BYLS[rows_B1, origin_BY],
            self.state.select((rows_B1 * origin_BY.shape[1] + origin_BY).flatten()),
            self.memory,
        )


def beam_search(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable hypotheses of every sentence (Sutskever et al. 2014, section 3.2).

    Returns up to `n_best` hypotheses per sentence, best first by their scores with length and coverage penalty.
    """
    ended: Ended = [[] for _ in range(request.limits_B.shape[0])]
    beams = _start(request, memory, state)
    for length in range(1, int(request.limits_B.max()) + 1):
        beams = _advance(request, beams, ended, length)
        _end_at_limit(request, beams, ended, length)
        kept = _unfinished(request, beams, ended, length)
        if kept.numel() < beams.sentences_B.numel():
            beams = beams.keep_sentences(kept)
            if not kept.numel():
                break
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[: request.config.n_best] for found in ended]


def _start(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> _Beams:
    size, beam, device = request.limits_B.shape[0], request.config.beam, request.limits_B.device
    copies = torch.arange(size, device=device).repeat_interleave(beam)
    state, positions_BS = state.select(copies), memory.padding_bias_BS
    logp_BY = torch.full((size, beam), -torch.inf, dtype=positions_BS.dtype, device=device)
    logp_BY[:, 0] = 0.0  # All hypotheses start alike: only the first may go on.
    return _Beams(
        torch.arange(size, device=device),
        torch.full((size, beam, 1), request.model.tokens.start, device=device),
        logp_BY,
        positions_BS.new_zeros(size, beam, request.attended(positions_BS).shape[1]),
        positions_BS.new_zeros(size, beam, 0, positions_BS.shape[1] if request.attention else 0),
        state,
        memory,
    )


def _advance(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> _Beams:
    """Extend every hypothesis by one token; score those that end with it and move them to `ended`."""
    beam = beams.logp_BY.shape[1]
    logp_NV, beams = _step(request, beams)
    next_NV = request.rule_out(logp_NV, beams.tokens_BYL.flatten(0, 1)[:, 1:])
    # Of 2Y candidates at most Y end, since each hypothesis can end in one way: Y are left to go on.
    logp_BJ, origin_BJ, token_BJ = top_candidates(beams.logp_BY, next_NV, 2 * beam)
    ends_BJ = token_BJ == request.model.tokens.end
    possible_BJ = logp_BJ > -torch.inf
    rows_N, candidates_N = (ends_BJ & possible_BJ)[:, :beam].nonzero(as_tuple=True)
    origins_N = origin_BJ[rows_N, candidates_N]
    _finish(request, beams, ended, (rows_N, origins_N), logp_BJ[rows_N, candidates_N], by_end=True)
    # The first Y candidates that go on, most probable first: those that end sort last, and the sort is stable.
    chosen_BY = ends_BJ.int().sort(dim=1, stable=True).indices[:, :beam]
    return beams.follow(origin_BJ.gather(1, chosen_BY), token_BJ.gather(1, chosen_BY), logp_BJ.gather(1, chosen_BY))


def top_candidates(logp_BY: Tensor, next_NV: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return each sentence's `count` most probable extensions of its hypotheses by one token.

    Takes the log-probabilities of the hypotheses and of the tokens after each (N = B x Y). Returns the candidates'
    log-probabilities (B, J), highest first, the hypotheses that they extend, and their tokens. They are all in the
    `count` blocks of the vocabulary with the highest maxima, so that the whole is read once and only blocks are sorted.
    """
    (size, beam), (_, vocabulary) = logp_BY.shape, next_NV.shape
    width = min(BLOCK, vocabulary)
    whole = vocabulary // width * width
    blocks_NQW = next_NV[:, :whole].view(size * beam, -1, width)
    rest_N1W = torch.nn.functional.pad(next_NV[:, whole:], (0, width + whole - vocabulary), value=-torch.inf)
    highest_NQ = torch.cat([blocks_NQW.amax(2), rest_N1W.amax(1, keepdim=True)], dim=1)
    blocks = highest_NQ.shape[1]
    highest_BYQ = logp_BY.unsqueeze(2) + highest_NQ.view(size, beam, blocks)
    chosen_BJ = highest_BYQ.flatten(1).topk(min(count, beam * blocks), dim=1).indices
    # All tokens of the chosen blocks; beyond the vocabulary, the last token stands in and is impossible.
    origin_BJ, first_BJ = chosen_BJ // blocks, chosen_BJ % blocks * width
    token_BJW = first_BJ.unsqueeze(2) + torch.arange(width, device=next_NV.device)
    flat_BJW = origin_BJ.unsqueeze(2) * vocabulary + token_BJW.clamp(max=vocabulary - 1)
    next_BJW = next_NV.view(size, -1).gather(1, flat_BJW.flatten(1)).view_as(flat_BJW)
    logp_BJW = logp_BY.gather(1, origin_BJ).unsqueeze(2) + next_BJW.masked_fill(token_BJW >= vocabulary, -torch.inf)
    logp_BJ, places_BJ = logp_BJW.flatten(1).topk(count, dim=1)
    found_BJ = flat_BJW.flatten(1).gather(1, places_BJ)
    return logp_BJ, found_BJ // vocabulary, found_BJ % vocabulary


def _step(request: SearchRequest, beams: _Beams) -> tuple[Tensor, _Beams]:
    """Feed every hypothesis its last token; return the log-probabilities of the next (N, V), and keep the weights."""
    logp_NV, state, weights_NS = request.model.step(beams.tokens_BYL[:, :, -1].flatten(), beams.state, beams.memory)
    shape = (*beams.logp_BY.shape, 1, weights_NS.shape[1] if request.attention else 0)
    kept_BY1S = weights_NS[:, : shape[3]].reshape(shape)
    return logp_NV, _Beams(
        beams.sentences_B,
        beams.tokens_BYL,
        beams.logp_BY,
        beams.attended_BYS + request.attended(weights_NS).reshape(beams.attended_BYS.shape),
        torch.cat([beams.attention_BYLS, kept_BY1S], dim=2),
        state,
        beams.memory,
    )


def _finish(
    request: SearchRequest, beams: _Beams, ended: Ended, places: tuple[Tensor, ...], logp_N: Tensor, *, by_end: bool
) -> None:
    """Score the hypotheses at `places` (sentences, hypotheses of each) and add them to those that have ended."""
    if not logp_N.numel():
        return
    sentences_N = beams.sentences_B[places[0]]
    sentences_N, lengths_N, tokens_NL, logp_N, attended_NS, attention_NLS = on_host(
        sentences_N,
        request.lengths_B[sentences_N],
        beams.tokens_BYL[places],
        logp_N,
        beams.attended_BYS[places],
        beams.attention_BYLS[places],
    )
    steps = [attention_NLS.shape[1]] * logp_N.numel()
    for sentence, tokens, score, attention, length in zip(
        sentences_N.tolist(),
        tokens_NL[:, 1:].tolist(),
        request.config.scores(logp_N, steps, attended_NS, lengths_N),
        attention_NLS.tolist(),
        lengths_N.tolist(),
        strict=True,
    ):
        kept = [weights[:length] for weights in attention] if request.attention else []
        ended[sentence].append(Hypothesis(tokens, score, kept, by_end))


def _end_at_limit(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> None:
    """End the hypotheses of the sentences that have reached their limit."""
    at_limit_B = request.limits_B[beams.sentences_B] <= length
    places = (at_limit_B.unsqueeze(1) & (beams.logp_BY > -torch.inf)).nonzero(as_tuple=True)
    _finish(request, beams, ended, places, beams.logp_BY[places], by_end=False)


def _unfinished(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> Tensor:
    """Return the rows of the sentences that are not done.

    A sentence is done at its limit, when `beam` hypotheses have ended, or when none that goes on can still reach the
    `n_best`: log-probabilities only fall, the length penalty is largest at the limit, and the coverage penalty is at
    most 0.
    """
    config, kept = request.config, []
    found = on_host(beams.sentences_B, request.limits_B[beams.sentences_B], beams.logp_BY[:, 0])
    sentences, limits, best_going = (tensor.tolist() for tensor in found)
    for row, sentence in enumerate(sentences):
        scores = sorted((hypothesis.score for hypothesis in ended[sentence]), reverse=True)
        if limits[row] <= length or len(scores) >= config.beam:
            continue
        bound = best_going[row] / config.penalty(limits[row])
        if len(scores) < config.n_best or scores[config.n_best - 1] < bound:
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64, device=request.limits_B.device)
