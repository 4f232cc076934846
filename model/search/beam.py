"""Beam search, batched over sentences.

Shapes: B sentences still searched, K hypotheses of each, C candidates to follow them, L tokens so far, S source
positions, V target vocabulary, N hypotheses of several sentences.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState
from .hypotheses import Hypothesis, SearchRequest

BLOCK = 64

Ended = list[list[Hypothesis]]
"""Of every sentence of the batch, the hypotheses that have ended, with the scores they ended with."""


@dataclass(frozen=True)
class _Beams:
    """The hypotheses that have not ended, of the sentences that are not done."""

    sentences_B: Tensor
    tokens_BKL: Tensor
    """Of the hypotheses so far, `start` first."""
    logp_BK: Tensor
    attended_BKS: Tensor
    """Sums of the attention weights, which the coverage penalty is made of; without one, no columns."""
    attention_BKLS: Tensor
    """The attention weights of every step; no columns if they are not asked for."""
    state: DecoderState
    """Of B*K rows, the K hypotheses of a sentence side by side; `memory` has a row a sentence."""
    memory: SourceMemory

    def keep_sentences(self, kept: Tensor) -> "_Beams":
        beam = self.logp_BK.shape[1]
        rows = (kept.unsqueeze(1) * beam + torch.arange(beam, device=kept.device)).flatten()
        return _Beams(
            self.sentences_B[kept],
            self.tokens_BKL[kept],
            self.logp_BK[kept],
            self.attended_BKS[kept],
            self.attention_BKLS[kept],
            self.state.select(rows),
            self.memory.select(kept),
        )

    def follow(self, origin_BK: Tensor, token_BK: Tensor, logp_BK: Tensor) -> "_Beams":
        """Lengthen the hypotheses `origin` by a token each; all that belongs to a hypothesis moves with it."""
        rows_B1 = torch.arange(origin_BK.shape[0], device=origin_BK.device).unsqueeze(1)
        return _Beams(
            self.sentences_B,
            torch.cat([self.tokens_BKL[rows_B1, origin_BK], token_BK.unsqueeze(2)], dim=2),
            logp_BK,
            self.attended_BKS[rows_B1, origin_BK],
            self.attention_BKLS[rows_B1, origin_BK],
            self.state.select((rows_B1 * origin_BK.shape[1] + origin_BK).flatten()),
            self.memory,
        )


def beam_search(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable hypotheses of every sentence (Sutskever et al. 2014, section 3.2).

    Returns up to `n_best` hypotheses of each, the best first by their scores, with length and coverage penalty.
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
    logp_BK = torch.full((size, beam), -torch.inf, dtype=positions_BS.dtype, device=device)
    logp_BK[:, 0] = 0.0  # All K start alike: only the first may spread.
    return _Beams(
        torch.arange(size, device=device),
        torch.full((size, beam, 1), request.model.tokens.start, device=device),
        logp_BK,
        positions_BS.new_zeros(size, beam, request.attended(positions_BS).shape[1]),
        positions_BS.new_zeros(size, beam, 0, positions_BS.shape[1] if request.attention else 0),
        state,
        memory,
    )


def _advance(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> _Beams:
    """Lengthen every hypothesis by one token; move those that end with it to `ended`, with their scores."""
    beam = beams.logp_BK.shape[1]
    logp_NV, beams = _step(request, beams)
    # Of 2K candidates at most K end, since each hypothesis can end in one way: K are left to go on.
    logp_BC, origin_BC, token_BC = best(beams.logp_BK, request.rule_out(logp_NV, length - 1), 2 * beam)
    ends_BC = token_BC == request.model.tokens.end
    possible_BC = logp_BC > -torch.inf
    rows_N, candidates_N = (ends_BC & possible_BC)[:, :beam].nonzero(as_tuple=True)
    origins_N = origin_BC[rows_N, candidates_N]
    _finish(request, beams, ended, (rows_N, origins_N), logp_BC[rows_N, candidates_N], by_end=True)
    # The first K candidates that go on, in the order of their probabilities: `ends` sorts last, the sort is stable.
    chosen_BK = ends_BC.int().sort(dim=1, stable=True).indices[:, :beam]
    return beams.follow(origin_BC.gather(1, chosen_BK), token_BC.gather(1, chosen_BK), logp_BC.gather(1, chosen_BK))


def best(logp_BK: Tensor, next_NV: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` most probable of all hypotheses lengthened by one token.

    Given the log-probabilities of the hypotheses and of the tokens after each (B * K, V): returns those of the best
    (B, C), highest first, their hypotheses and their tokens. The best of all are among the blocks of the vocabulary
    with the highest maxima: so the whole is read once, and sorted nowhere.
    """
    (size, beam), (_, vocabulary) = logp_BK.shape, next_NV.shape
    width = min(BLOCK, vocabulary)
    whole = vocabulary // width * width
    blocks_NDW = next_NV[:, :whole].view(size * beam, -1, width)
    rest_N1W = torch.nn.functional.pad(next_NV[:, whole:], (0, width + whole - vocabulary), value=-torch.inf)
    highest_ND = torch.cat([blocks_NDW.amax(2), rest_N1W.amax(1, keepdim=True)], dim=1)
    count_of_blocks = highest_ND.shape[1]
    highest_BF = (logp_BK.unsqueeze(2) + highest_ND.view(size, beam, -1)).flatten(1)
    chosen_BC = highest_BF.topk(min(count, highest_BF.shape[1]), dim=1).indices
    # Every token of the chosen blocks; the place of one beyond the vocabulary repeats its last and counts as none.
    origin_BC, first_BC = chosen_BC // count_of_blocks, chosen_BC % count_of_blocks * width
    token_BCW = first_BC.unsqueeze(2) + torch.arange(width, device=next_NV.device)
    flat_BCW = origin_BC.unsqueeze(2) * vocabulary + token_BCW.clamp(max=vocabulary - 1)
    next_BCW = next_NV.view(size, -1).gather(1, flat_BCW.flatten(1)).view_as(flat_BCW)
    logp_BCW = logp_BK.gather(1, origin_BC).unsqueeze(2) + next_BCW.masked_fill(token_BCW >= vocabulary, -torch.inf)
    logp_BC, places_BC = logp_BCW.flatten(1).topk(count, dim=1)
    found_BC = flat_BCW.flatten(1).gather(1, places_BC)
    return logp_BC, found_BC // vocabulary, found_BC % vocabulary


def _step(request: SearchRequest, beams: _Beams) -> tuple[Tensor, _Beams]:
    """Feed every hypothesis its last token; return the log-probabilities of the next (N, V), and note the weights."""
    logp_NV, state, weights_NS = request.model.step(beams.tokens_BKL[:, :, -1].flatten(), beams.state, beams.memory)
    shape = (*beams.logp_BK.shape, 1, weights_NS.shape[1] if request.attention else 0)
    kept_BK1S = weights_NS[:, : shape[3]].reshape(shape)
    return logp_NV, _Beams(
        beams.sentences_B,
        beams.tokens_BKL,
        beams.logp_BK,
        beams.attended_BKS + request.attended(weights_NS).reshape(beams.attended_BKS.shape),
        torch.cat([beams.attention_BKLS, kept_BK1S], dim=2),
        state,
        beams.memory,
    )


def _finish(
    request: SearchRequest, beams: _Beams, ended: Ended, places: tuple[Tensor, ...], logp_N: Tensor, *, by_end: bool
) -> None:
    """Score the hypotheses at `places` (rows, hypotheses of the row) and add them to those that have ended."""
    if not logp_N.numel():
        return
    sentences_N = beams.sentences_B[places[0]]
    lengths_N = request.lengths_B[sentences_N]
    steps = [beams.attention_BKLS.shape[2]] * logp_N.numel()
    for sentence, tokens, score, attention, length in zip(
        sentences_N.tolist(),
        beams.tokens_BKL[places][:, 1:].tolist(),
        request.config.scores(logp_N, steps, beams.attended_BKS[places], lengths_N),
        beams.attention_BKLS[places].tolist(),
        lengths_N.tolist(),
        strict=True,
    ):
        kept = [weights[:length] for weights in attention] if request.attention else []
        ended[sentence].append(Hypothesis(tokens, score, kept, by_end))


def _end_at_limit(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> None:
    """End the hypotheses of the sentences at their limit as they are."""
    at_limit_B = request.limits_B[beams.sentences_B] <= length
    places = (at_limit_B.unsqueeze(1) & (beams.logp_BK > -torch.inf)).nonzero(as_tuple=True)
    _finish(request, beams, ended, places, beams.logp_BK[places], by_end=False)


def _unfinished(request: SearchRequest, beams: _Beams, ended: Ended, length: int) -> Tensor:
    """Return the rows of the sentences to go on with.

    A sentence is done at its limit, when `beam` hypotheses have ended, or when none that goes on can be among the
    `n_best` any more: log-probabilities only fall, the length penalty is largest at the limit, and the coverage
    penalty is at most 0.
    """
    config, kept = request.config, []
    limits, best_going = request.limits_B[beams.sentences_B].tolist(), beams.logp_BK[:, 0].tolist()
    for row, sentence in enumerate(beams.sentences_B.tolist()):
        scores = sorted((hypothesis.score for hypothesis in ended[sentence]), reverse=True)
        if limits[row] <= length or len(scores) >= config.beam:
            continue
        bound = best_going[row] / config.penalty(limits[row])
        if len(scores) < config.n_best or scores[config.n_best - 1] < bound:
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64, device=request.limits_B.device)
