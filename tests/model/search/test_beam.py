"""Beam search finds the best, keeps what has ended, and stops no earlier than it may."""

from dataclasses import dataclass
from typing import cast

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.config import ModelConfig
from model.search.beam import beam_search, top_candidates
from model.search.config import SearchConfig
from model.search.hypotheses import SearchRequest
from model.search.search import search
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from tests.model.forced import SOURCES, everything, find


def test_beam_search_with_one_hypothesis_is_greedy(network: Seq2Seq) -> None:
    config = SearchConfig(beam=1, coverage_penalty=0.2)
    for source, (greedy,) in zip(SOURCES, find(network, SOURCES, config), strict=True):
        lengths = torch.tensor([len(source)])
        with torch.inference_mode():
            memory, state = network.encode(torch.tensor([source]), lengths)
            ((beam,),) = beam_search(
                SearchRequest(network, config, lengths, config.limits(lengths), True), memory, state
            )
        assert greedy.tokens == beam.tokens
        assert greedy.score == pytest.approx(beam.score)
        assert torch.tensor(greedy.attention).allclose(torch.tensor(beam.attention))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length_penalty=st.sampled_from([0.0, 0.5, 1.0]),
    coverage_penalty=st.sampled_from([0.0, 0.2, 2.0]),
    n_best=st.sampled_from([1, 7]),
    min_length=st.sampled_from([0, 2]),
    no_repeat_ngram=st.sampled_from([0, 1, 2]),
)
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all(
    seed: int, length_penalty: float, coverage_penalty: float, n_best: int, min_length: int, no_repeat_ngram: int
) -> None:
    """Exhaustive search over every translation is the slow, literal definition."""
    torch.manual_seed(seed)
    vocabulary, limit, source = 7, 3, [5, 4, 3]
    config = ModelConfig(embedding_size=4, encoder_size=3, decoder_size=4)
    network = Seq2Seq(config, vocabulary, vocabulary).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.8)
    searching = SearchConfig(
        beam=100,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        n_best=n_best,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        max_length=limit,
    )
    (found,) = find(network, [source], searching)
    best = everything(network, source, [1, 4, 5, 6], limit, searching)[:n_best]
    assert [h.score for h in found] == pytest.approx([score for score, _ in best])
    assert [h.tokens for h in found] == [tokens for _, tokens in best]


@dataclass(frozen=True)
class Rows:
    """Stands for a memory or a state: the tokens of each hypothesis so far."""

    tokens: Tensor
    padding_bias_BS: Tensor

    def select(self, rows: Tensor) -> "Rows":
        return Rows(self.tokens[rows], self.padding_bias_BS[rows])


class Scripted:
    """A model whose probabilities are written down: those of the next token after some sequences of tokens."""

    tokens = SPECIAL_TOKENS

    def __init__(self, script: dict[tuple[int, ...], dict[int, float]]) -> None:
        self.script = script
        self.steps = 0

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Rows, Rows]:
        rows = Rows(torch.zeros(len(source), 0, dtype=torch.int64), torch.zeros(source.shape, dtype=torch.float64))
        return rows, rows

    def step(self, token: Tensor, state: Rows, memory: Rows) -> tuple[Tensor, Rows, Tensor]:
        self.steps += 1
        tokens = torch.cat([state.tokens, token.unsqueeze(1)], dim=1)
        probabilities = torch.zeros(len(token), 7, dtype=torch.float64)
        for row, (_, *before) in zip(probabilities, tokens.tolist(), strict=True):
            for word, probability in self.script.get(tuple(before), {}).items():
                row[word] = probability
        return probabilities.log(), Rows(tokens, state.padding_bias_BS), torch.full_like(memory.padding_bias_BS, 1.0)


def find_scripted(model: Scripted, config: SearchConfig) -> list[tuple[list[int], float]]:
    (found,) = search(cast("Seq2Seq", model), torch.tensor([[4, 3]]), torch.tensor([2]), config)
    return [(hypothesis.tokens, round(hypothesis.score, 6)) for hypothesis in found]


def logs(*probabilities: float) -> float:
    return round(float(torch.tensor(probabilities, dtype=torch.float64).log().sum()), 6)


def test_a_hypothesis_that_ended_early_keeps_its_score_and_its_place() -> None:
    """[4] ends at the second step with 0.4; what goes on takes its place in the beam, and falls far behind it."""
    end = SPECIAL_TOKENS.end
    script = {(): {4: 0.5, 5: 0.45}, (4,): {end: 0.8, 6: 0.1}, (5,): {4: 0.5, 6: 0.4}}
    script |= {(5, 4): {end: 0.3, 6: 0.3}, (5, 6): {end: 0.3, 6: 0.2}}
    model = Scripted(script)
    config = SearchConfig(beam=3, n_best=3, length_penalty=0.0, max_length=6)
    found = find_scripted(model, config)
    assert found[0] == ([4], logs(0.5, 0.8))
    assert found[1:] == [([5, 4], logs(0.45, 0.5, 0.3)), ([5, 6], logs(0.45, 0.4, 0.3))]


def test_search_stops_when_no_hypothesis_can_be_among_the_n_best_any_more() -> None:
    """[] ends at once with 0.9, which nothing can beat; for the second best, the search has to go on."""
    end = SPECIAL_TOKENS.end
    script = {(): {end: 0.9, 4: 0.05, 5: 0.04}, (4,): {end: 0.1, 6: 0.8}, (5,): {end: 0.9}, (4, 6): {end: 1.0}}
    best, two = Scripted(script), Scripted(script)
    assert find_scripted(best, SearchConfig(beam=4, length_penalty=0.0)) == [([], logs(0.9))]
    assert best.steps == 1
    found = find_scripted(two, SearchConfig(beam=4, n_best=2, length_penalty=0.0))
    assert found == [([], logs(0.9)), ([4, 6], logs(0.05, 0.8))]
    assert two.steps == 3, "after two steps [5] is second with 0.036, and [4, 6] may still pass it with 0.04"


@settings(max_examples=200, deadline=None)
@given(
    beam=st.integers(1, 4),
    vocabulary=st.integers(5, 300),
    seed=st.integers(0, 100),
    ruled_out=st.lists(st.integers(0, 300), max_size=4),
)
@example(beam=2, vocabulary=5, seed=0, ruled_out=[0, 1])
def test_the_best_of_blocks_are_the_best_of_all(beam: int, vocabulary: int, seed: int, ruled_out: list[int]) -> None:
    torch.manual_seed(seed)
    logp_BY, next_NV = torch.randn(2, beam), torch.randn(2 * beam, vocabulary)
    next_NV[:, [token % vocabulary for token in ruled_out]] = -torch.inf
    logp_BY[0, 1:] = -torch.inf  # As at the first step.
    every_BZ = (logp_BY.unsqueeze(2) + next_NV.view(2, beam, -1)).flatten(1)
    expected_BJ, flat_BJ = every_BZ.topk(2 * beam, dim=1)
    logp_BJ, origin_BJ, token_BJ = top_candidates(logp_BY, next_NV, 2 * beam)
    assert torch.equal(logp_BJ, expected_BJ)
    # Of one that is impossible the probability is all that counts: its place may be any.
    possible_BJ = logp_BJ > -torch.inf
    assert torch.equal(every_BZ.gather(1, origin_BJ * vocabulary + token_BJ)[possible_BJ], logp_BJ[possible_BJ])
    assert torch.equal((origin_BJ * vocabulary + token_BJ)[possible_BJ], flat_BJ[possible_BJ])
