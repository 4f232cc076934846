"""Greedy search and sampling, batched over sentences: one hypothesis of each, one token a step.

Shapes: B sentences (or draws) still going, L tokens so far, S source positions, V target vocabulary.
"""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState
from .config import SearchConfig
from .hypotheses import Hypothesis, SearchRequest

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""From log-probabilities (B, V), the rows of the batch that they are of and the step: the next tokens (B,)."""


def greedy_search(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> list[Hypothesis]:
    """Take the most probable token at every step."""
    return _unroll(request, memory, state, lambda logp_BV, _rows, _step: logp_BV.max(dim=-1).indices)


def sample(
    request: SearchRequest, memory: SourceMemory, state: DecoderState, sources: list[list[int]]
) -> list[list[Hypothesis]]:
    """Draw `n_best` translations of each sentence, independently; the most probable comes first.

    Every draw has a stream of random numbers of its own, seeded by its source tokens: neither the batch nor the
    place in it has an influence.
    """
    config, count = request.config, request.config.n_best
    copies = torch.arange(len(sources), device=request.lengths_B.device).repeat_interleave(count)
    request = SearchRequest(
        request.model, config, request.lengths_B[copies], request.limits_B[copies], request.attention
    )
    steps = range(int(request.limits_B.max()))
    streams = [Random(f"{config.seed} {copy} {source}") for source in sources for copy in range(count)]  # noqa: S311
    uniforms_BL = torch.tensor([[stream.random() for _ in steps] for stream in streams], dtype=torch.float64)
    uniforms_BL = uniforms_BL.to(copies.device)

    def choose(logp_BV: Tensor, rows: Tensor, step: int) -> Tensor:
        return draw(logp_BV, uniforms_BL[rows, step], config)

    found = _unroll(request, memory.select(copies), state.select(copies), choose)
    groups = [found[start : start + count] for start in range(0, len(found), count)]
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]


def draw(logp_BV: Tensor, uniform_B: Tensor, config: SearchConfig) -> Tensor:
    """Return the token at which the tempered distribution's cumulated mass passes a number drawn from [0, 1)."""
    assert config.temperature is not None
    if config.top_k is not None:  # What ties with the last of them stays in: which one is it?
        last_B1 = logp_BV.topk(min(config.top_k, logp_BV.shape[1])).values[:, -1:]
        logp_BV = logp_BV.masked_fill(logp_BV < last_B1, -torch.inf)
    # From the highest down, so that no temperature is too low for it.
    below_BV = logp_BV.double() - logp_BV.max(dim=-1, keepdim=True).values
    mass_BV = (below_BV / config.temperature).softmax(dim=-1).cumsum(dim=-1)
    threshold_B1 = uniform_B.unsqueeze(1) * mass_BV[:, -1:]
    # `right`: the first token beyond the threshold, never one of probability 0.
    return torch.searchsorted(mass_BV, threshold_B1, right=True).squeeze(1)


def _unroll(request: SearchRequest, memory: SourceMemory, state: DecoderState, choose: Choose) -> list[Hypothesis]:
    """Lengthen each hypothesis by what `choose` says until `end` or its limit; it leaves the batch then."""
    model, limits_B = request.model, request.limits_B
    size, device, dtype = limits_B.shape[0], limits_B.device, memory.padding_bias_BS.dtype
    tokens_BL = torch.full((size, int(limits_B.max())), model.tokens.padding, device=device)
    logp_B = torch.zeros(size, dtype=dtype, device=device)
    attended_BS = torch.zeros_like(request.attended(memory.padding_bias_BS))
    attention: list[list[list[float]]] = [[] for _ in range(size)]
    token_B = torch.full((size,), model.tokens.start, device=device)
    active = torch.arange(size, device=device)
    for length in range(tokens_BL.shape[1]):
        logp_BV, state, weights_BS = model.step(token_B, state, memory)
        token_B = choose(request.rule_out(logp_BV, length), active, length)
        tokens_BL[active, length] = token_B
        logp_B[active] += logp_BV.gather(1, token_B.unsqueeze(1)).squeeze(1)
        attended_BS[active] += request.attended(weights_BS)
        if request.attention:
            for row, weights in zip(active.tolist(), weights_BS.tolist(), strict=True):
                attention[row].append(weights)
        going_on = (token_B != model.tokens.end) & (limits_B[active] > length + 1)
        if not going_on.all():
            kept = going_on.nonzero().squeeze(1)
            active, token_B, state, memory = active[kept], token_B[kept], state.select(kept), memory.select(kept)
            if not kept.numel():
                break
    return _finish(request, tokens_BL.tolist(), logp_B, attended_BS, attention)


def _finish(
    request: SearchRequest,
    rows: list[list[int]],
    logp_B: Tensor,
    attended_BS: Tensor,
    attention: list[list[list[float]]],
) -> list[Hypothesis]:
    """Cut rows of tokens at their `end` (which counts for the length) or at their padding; score them."""
    tokens, lengths = request.model.tokens, request.lengths_B.tolist()
    stops = (tokens.end, tokens.padding)
    counts = [next((place for place, token in enumerate(row) if token in stops), len(row)) for row in rows]
    ended = [count < len(row) and row[count] == tokens.end for row, count in zip(rows, counts, strict=True)]
    steps = [count + end for count, end in zip(counts, ended, strict=True)]
    scores = request.config.scores(logp_B, steps, attended_BS, request.lengths_B)
    return [
        Hypothesis(row[:count], score, [weights[:length] for weights in seen], end)
        for row, count, score, seen, length, end in zip(rows, counts, scores, attention, lengths, ended, strict=True)
    ]
