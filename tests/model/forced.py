"""The slow, literal definition that a search is held against: one sentence, one token a step, nothing batched."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.search.config import SearchConfig
from model.search.hypotheses import Hypothesis
from model.search.search import search
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq

SOURCES = [[5, 6, 7, 8, 3], [9, 3], [10, 11, 12, 3], [13, 5, 13, 3], [6, 3]]


def find(
    network: Seq2Seq, sources: list[list[int]], config: SearchConfig, attention: bool = True, padding: int = 0
) -> list[list[Hypothesis]]:
    """Search for rows of source tokens as one batch."""
    width = max(map(len, sources)) + padding
    source = torch.tensor([row + [SPECIAL_TOKENS.padding] * (width - len(row)) for row in sources])
    return search(network, source, torch.tensor([len(row) for row in sources]), config, attention)


@dataclass(frozen=True)
class Forced:
    logp: float
    attention: list[list[float]]


def force(network: Seq2Seq, source: list[int], tokens: list[int], ended: bool) -> Forced:
    """Feed a sentence's translation token by token; return its log-probability and the weights of each step."""
    with torch.inference_mode():
        memory, state = network.encode(torch.tensor([source]), torch.tensor([len(source)]))
        total, attention, previous = 0.0, [], SPECIAL_TOKENS.start
        for word in [*tokens, SPECIAL_TOKENS.end] if ended else tokens:
            logp, state, weights = network.step(torch.tensor([previous]), state, memory)
            total, previous = total + logp[0, word].item(), word
            attention.append(weights[0].tolist())
    return Forced(total, attention)


def literal_score(forced: Forced, config: SearchConfig) -> float:
    """Eq. 14 of Wu et al. 2016."""
    penalty = float((5 + len(forced.attention)) ** config.length_penalty / 6**config.length_penalty)
    covered = [sum(column) for column in zip(*forced.attention, strict=True)]
    return forced.logp / penalty + config.coverage_penalty * sum(math.log(min(mass, 1.0)) for mass in covered)


def everything(
    network: Seq2Seq, source: list[int], words: list[int], limit: int, config: SearchConfig
) -> list[tuple[float, list[int]]]:
    """Return score and tokens of every translation of at least `min_length` words, the best first."""
    every = []
    for length in range(config.min_length, limit + 1):
        for tokens in itertools.product(words, repeat=length):
            if config.no_repeat_ngram and repeats(tokens, config.no_repeat_ngram):
                continue
            forced = force(network, source, list(tokens), ended=length < limit)
            every.append((literal_score(forced, config), list(tokens)))
    return sorted(every, reverse=True)


def repeats(tokens: Sequence[int], size: int) -> bool:
    """Return whether an n-gram of `size` occurs twice."""
    ngrams = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
    return len(set(ngrams)) < len(ngrams)
