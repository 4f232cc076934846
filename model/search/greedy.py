"""Greedy search and sampling, batched over sentences: one hypothesis per sentence, one token per step.

Shapes: B sentences (sampling copies each one for every draw), N hypotheses that go on, L tokens so far, S source
positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from ..attention import SourceMemory
from ..decoder import DecoderState
from .config import SearchConfig
from .hypotheses import Hypothesis, SearchRequest, on_host

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""Takes log-probabilities (N, V), their rows in the batch and the step; returns the next tokens (N,)."""


def greedy_search(request: SearchRequest, memory: SourceMemory, state: DecoderState) -> list[Hypothesis]:
    """Take the most probable token at every step."""
    return _unroll(request, memory, state, lambda logp_NV, _rows, _step: logp_NV.max(dim=-1).indices)


def sample(
    request: SearchRequest, memory: SourceMemory, state: DecoderState, sources: list[list[int]]
) -> list[list[Hypothesis]]:
    """Draw `n_best` independent translations of each sentence; return them best first.

    Every draw has its own stream of random numbers, seeded by its source tokens, so that neither the batch nor the
    place in it matters.
    """
    config, count = request.config, request.config.n_best
    copies = torch.arange(len(sources), device=request.lengths_B.device).repeat_interleave(count)
    request = replace(request, lengths_B=request.lengths_B[copies], limits_B=request.limits_B[copies])
    steps = range(int(request.limits_B.max()))
    streams = [Random(f"{config.seed} {copy} {source}") for source in sources for copy in range(count)]  # noqa: S311
    uniforms_BL = torch.tensor([[stream.random() for _ in steps] for stream in streams], dtype=torch.float64)
    uniforms_BL = uniforms_BL.to(copies.device)

    def choose(logp_NV: Tensor, rows: Tensor, step: int) -> Tensor:
        return draw(logp_NV, uniforms_BL[rows, step], config)

    found = _unroll(request, memory.select(copies), state.select(copies), choose)
    groups = [found[start : start + count] for start in range(0, len(found), count)]
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]


def draw(logp_NV: Tensor, uniform_N: Tensor, config: SearchConfig) -> Tensor:
    """Return the tokens at which the tempered distributions' cumulated mass passes numbers drawn from [0, 1)."""
    assert config.temperature is not None
    if config.top_k is not None:  # What ties with the last of them stays in.
        last_N1 = logp_NV.topk(min(config.top_k, logp_NV.shape[1])).values[:, -1:]
        logp_NV = logp_NV.masked_fill(logp_NV < last_N1, -torch.inf)
    # Relative to the highest, so that no temperature is too low.
    below_NV = logp_NV.double() - logp_NV.max(dim=-1, keepdim=True).values
    mass_NV = (below_NV / config.temperature).softmax(dim=-1).cumsum(dim=-1)
    threshold_N1 = uniform_N.unsqueeze(1) * mass_NV[:, -1:]
    # `right` takes the first token beyond the threshold, never one of probability 0.
    return torch.searchsorted(mass_NV, threshold_N1, right=True).squeeze(1)


def _unroll(request: SearchRequest, memory: SourceMemory, state: DecoderState, choose: Choose) -> list[Hypothesis]:
    """Extend each hypothesis by the token that `choose` returns, until `end` or its limit; it then leaves the batch."""
    model, limits_B = request.model, request.limits_B
    size, device, dtype = limits_B.shape[0], limits_B.device, memory.padding_bias_BS.dtype
    tokens_BL = torch.full((size, int(limits_B.max())), model.tokens.padding, device=device)
    logp_B = torch.zeros(size, dtype=dtype, device=device)
    attended_BS = torch.zeros_like(request.attended(memory.padding_bias_BS))
    seen: list[tuple[Tensor, Tensor]] = []
    token_N = torch.full((size,), model.tokens.start, device=device)
    active_N = torch.arange(size, device=device)
    for length in range(tokens_BL.shape[1]):
        logp_NV, state, weights_NS = model.step(token_N, state, memory)
        token_N = choose(request.rule_out(logp_NV, tokens_BL[active_N, :length]), active_N, length)
        tokens_BL[active_N, length] = token_N
        logp_B[active_N] += logp_NV.gather(1, token_N.unsqueeze(1)).squeeze(1)
        attended_BS[active_N] += request.attended(weights_NS)
        if request.attention:
            seen.append((active_N, weights_NS))
        going_on_N = (token_N != model.tokens.end) & (limits_B[active_N] > length + 1)
        if not going_on_N.all():
            kept = going_on_N.nonzero().squeeze(1)
            active_N, token_N, state, memory = active_N[kept], token_N[kept], state.select(kept), memory.select(kept)
            if not kept.numel():
                break
    return _finish(request, tokens_BL, logp_B, attended_BS, seen)


def _finish(
    request: SearchRequest, tokens_BL: Tensor, logp_B: Tensor, attended_BS: Tensor, seen: list[tuple[Tensor, Tensor]]
) -> list[Hypothesis]:
    """Cut rows of tokens at `end`, which counts for the length, or at padding, and score them.

    seen: of every step, the hypotheses that went on and their attention weights; empty if they are not asked for.
    """
    tokens_BL, logp_B, attended_BS, lengths_B, *flat = on_host(
        tokens_BL, logp_B, attended_BS, request.lengths_B, *(tensor for step in seen for tensor in step)
    )
    rows, tokens, lengths = tokens_BL.tolist(), request.model.tokens, lengths_B.tolist()
    attention: list[list[list[float]]] = [[] for _ in rows]
    for active_N, weights_NS in zip(flat[::2], flat[1::2], strict=True):
        for row, weights in zip(active_N.tolist(), weights_NS.tolist(), strict=True):
            attention[row].append(weights)
    stops = (tokens.end, tokens.padding)
    counts = [next((place for place, token in enumerate(row) if token in stops), len(row)) for row in rows]
    ended = [count < len(row) and row[count] == tokens.end for row, count in zip(rows, counts, strict=True)]
    steps = [count + end for count, end in zip(counts, ended, strict=True)]
    scores = request.config.scores(logp_B, steps, attended_BS, lengths_B)
    return [
        Hypothesis(row[:count], score, [weights[:length] for weights in matrix], end)
        for row, count, score, matrix, length, end in zip(rows, counts, scores, attention, lengths, ended, strict=True)
    ]
