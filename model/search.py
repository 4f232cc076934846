"""Greedy and beam search, batched over sentences.

Shapes: B sentences still searched, K hypotheses of each, S source positions, V target vocabulary, L words so far.

A sentence's translation does not depend on what else is in the batch: its limit comes from its own length, a
hypothesis that ended keeps its score, and a sentence leaves the batch when it is done.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import Memory
from .decoder import DecoderState
from .seq2seq import Seq2Seq


@dataclass(frozen=True)
class SearchConfig:
    """How to search."""

    beam: int = 5
    """Hypotheses kept of each sentence; 1 is greedy search."""
    length_penalty: float = 1.0
    """Alpha of Wu et al. 2016; 0 compares sums of log-probabilities, which favours short translations."""
    limit_ratio: float = 2.0
    limit_extra: int = 10
    """A translation ends after at most limit_ratio * source tokens + limit_extra tokens."""

    def penalty(self, length: int) -> float:
        """lp(Y) = (5 + |Y|)^alpha / 6^alpha (Wu et al. 2016, "Google's NMT System", eq. 14)."""
        return float(((5.0 + length) / 6.0) ** self.length_penalty)


@dataclass(frozen=True)
class Hypothesis:
    """One translation: its tokens without `start` and `end`, and log-probability / length penalty."""

    tokens: list[int]
    score: float


@torch.inference_mode()
def search(model: Seq2Seq, source_BS: Tensor, lengths_B: Tensor, config: SearchConfig) -> list[list[Hypothesis]]:
    """Translate a padded batch; return up to `beam` hypotheses of each sentence, the best first."""
    memory, state = model.encode(source_BS, lengths_B)
    limits_B = (config.limit_ratio * lengths_B + config.limit_extra).long()
    if config.beam == 1:
        return [[hypothesis] for hypothesis in _greedy(model, memory, state, limits_B, config)]
    return _beam(model, memory, state, limits_B, config)


def _greedy(
    model: Seq2Seq, memory: Memory, state: DecoderState, limits_B: Tensor, config: SearchConfig
) -> list[Hypothesis]:
    """Take the most probable word at every step."""
    size, device = limits_B.shape[0], limits_B.device
    words_BL = torch.full((size, int(limits_B.max())), model.tokens.padding, device=device)
    scores_B = torch.zeros(size, dtype=memory.keys_BSH.dtype, device=device)
    token_B = torch.full((size,), model.tokens.start, device=device)
    active = torch.arange(size, device=device)
    for length in range(words_BL.shape[1]):
        logp_BV, state, _ = model.step(token_B, state, memory)
        best_B, token_B = _forbid(model, logp_BV).max(dim=-1)
        words_BL[active, length] = token_B
        scores_B[active] += best_B
        going_on = (token_B != model.tokens.end) & (limits_B[active] > length + 1)
        if not going_on.all():
            kept = going_on.nonzero().squeeze(1)
            active, token_B, state, memory = active[kept], token_B[kept], state.select(kept), memory.select(kept)
            if not kept.numel():
                break
    return [_finish(row, score, model, config) for row, score in zip(words_BL.tolist(), scores_B.tolist(), strict=True)]


def _forbid(model: Seq2Seq, logp_BV: Tensor) -> Tensor:
    """Rule out the tokens that no sentence contains."""
    logp_BV[:, [model.tokens.padding, model.tokens.start]] = -torch.inf
    return logp_BV


def _finish(row: list[int], score: float, model: Seq2Seq, config: SearchConfig) -> Hypothesis:
    """Cut a row of tokens at its `end` (which counts for the length) or at its padding."""
    stops = (model.tokens.end, model.tokens.padding)
    length = next((place for place, token in enumerate(row) if token in stops), len(row))
    ended = length < len(row) and row[length] == model.tokens.end
    return Hypothesis(row[:length], score / config.penalty(length + ended))


@dataclass(frozen=True)
class _Beams:
    """The hypotheses that have not ended, of the sentences that are not done."""

    sentences_B: Tensor
    words_BKL: Tensor
    scores_BK: Tensor
    state: DecoderState
    """Of B*K rows, the K hypotheses of a sentence side by side; `memory` likewise."""
    memory: Memory

    def keep_sentences(self, kept: Tensor, beam: int) -> "_Beams":
        rows = (kept.unsqueeze(1) * beam + torch.arange(beam, device=kept.device)).flatten()
        return _Beams(
            self.sentences_B[kept],
            self.words_BKL[kept],
            self.scores_BK[kept],
            self.state.select(rows),
            self.memory.select(rows),
        )


def _beam(
    model: Seq2Seq, memory: Memory, state: DecoderState, limits_B: Tensor, config: SearchConfig
) -> list[list[Hypothesis]]:
    """Keep the `beam` most probable hypotheses of every sentence (Sutskever et al. 2014, section 3.2)."""
    size, beam, device = limits_B.shape[0], config.beam, limits_B.device
    copies = torch.arange(size, device=device).repeat_interleave(beam)
    scores_BK = torch.full((size, beam), -torch.inf, dtype=memory.keys_BSH.dtype, device=device)
    scores_BK[:, 0] = 0.0  # All K start alike: only the first may spread.
    beams = _Beams(
        torch.arange(size, device=device),
        torch.full((size, beam, 1), model.tokens.start, device=device),
        scores_BK,
        state.select(copies),
        memory.select(copies),
    )
    ended: list[list[Hypothesis]] = [[] for _ in range(size)]
    for length in range(1, int(limits_B.max()) + 1):
        beams = _advance(model, beams, ended, length, config)
        kept = _unfinished(beams, ended, limits_B, length, config)
        if kept.numel() < beams.sentences_B.numel():
            beams = beams.keep_sentences(kept, beam)
            if not kept.numel():
                break
    return [sorted(hypotheses, key=lambda found: -found.score)[:beam] for hypotheses in ended]


def _advance(model: Seq2Seq, beams: _Beams, ended: list[list[Hypothesis]], length: int, config: SearchConfig) -> _Beams:
    """Lengthen every hypothesis by one word; move those that end with it to `ended`, with their scores."""
    size, beam = beams.scores_BK.shape
    logp_NV, state, _ = model.step(beams.words_BKL[:, :, -1].flatten(), beams.state, beams.memory)
    logp_BKV = _forbid(model, logp_NV).view(size, beam, -1)
    # Of 2K candidates at most K end, since each hypothesis can end in one way: K are left to go on.
    scores_BC, flat_BC = (beams.scores_BK.unsqueeze(2) + logp_BKV).flatten(1).topk(2 * beam, dim=1)
    origin_BC, token_BC = flat_BC // logp_BKV.shape[2], flat_BC % logp_BKV.shape[2]
    ends_BC = token_BC == model.tokens.end
    finite_BC = scores_BC > -torch.inf
    for row, place in (ends_BC & finite_BC)[:, :beam].nonzero().tolist():
        words = beams.words_BKL[row, origin_BC[row, place], 1:].tolist()
        score = float(scores_BC[row, place]) / config.penalty(length)
        ended[int(beams.sentences_B[row])].append(Hypothesis(words, score))
    # The first K candidates that go on, in the order of their scores: `ends` sorts last, the sort is stable.
    chosen_BK = ends_BC.int().sort(dim=1, stable=True).indices[:, :beam]
    origin_BK = origin_BC.gather(1, chosen_BK)
    rows = (torch.arange(size, device=origin_BK.device).unsqueeze(1) * beam + origin_BK).flatten()
    words_BKL = beams.words_BKL.gather(1, origin_BK.unsqueeze(2).expand(-1, -1, length))
    return _Beams(
        beams.sentences_B,
        torch.cat([words_BKL, token_BC.gather(1, chosen_BK).unsqueeze(2)], dim=2),
        scores_BC.gather(1, chosen_BK),
        state.select(rows),
        beams.memory,
    )


def _unfinished(
    beams: _Beams, ended: list[list[Hypothesis]], limits_B: Tensor, length: int, config: SearchConfig
) -> Tensor:
    """Return the rows of the sentences to go on with; end the hypotheses of those at their limit as they are.

    A sentence is done when `beam` hypotheses have ended, or when none that goes on can beat the best that has:
    log-probabilities only fall, and the penalty is largest at the limit.
    """
    kept: list[int] = []
    best_going = beams.scores_BK[:, 0].tolist()
    for row, sentence in enumerate(beams.sentences_B.tolist()):
        limit, found = int(limits_B[sentence]), ended[sentence]
        if length >= limit:
            found += [
                Hypothesis(words, score / config.penalty(length))
                for words, score in zip(
                    beams.words_BKL[row, :, 1:].tolist(), beams.scores_BK[row].tolist(), strict=True
                )
                if score > -torch.inf
            ]
        elif len(found) < config.beam and not (
            found and max(best.score for best in found) >= best_going[row] / config.penalty(limit)
        ):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64, device=limits_B.device)
