import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.search import Hypothesis, SearchConfig, _beam, search
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq

SOURCES = [[5, 6, 7, 8, 3], [9, 3], [10, 11, 12, 3], [13, 5, 13, 3], [6, 3]]


def run(network: Seq2Seq, batch: Batch, config: SearchConfig) -> list[list[Hypothesis]]:
    return search(network, batch.source_BS, batch.source_lengths_B, config)


def score(network: Seq2Seq, batch: Batch, tokens: list[int], ended: bool, config: SearchConfig) -> float:
    """Log-probability of given tokens (and `end`) for the one sentence of `batch`, over the length penalty."""
    memory, state = network.encode(batch.source_BS, batch.source_lengths_B)
    total, previous = 0.0, SPECIAL_TOKENS.start
    words = [*tokens, SPECIAL_TOKENS.end] if ended else tokens
    for word in words:
        logp, state, _ = network.step(torch.tensor([previous]), state, memory)
        total, previous = total + logp[0, word].item(), word
    return total / config.penalty(len(words))


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_batched_equals_single_whatever_the_padding(
    network: Seq2Seq, make_batch: Callable[..., Batch], beam: int
) -> None:
    config = SearchConfig(beam=beam)
    together = run(network, make_batch(SOURCES, SOURCES, extra=3), config)
    for source, hypotheses in zip(SOURCES, together, strict=True):
        (alone,) = run(network, make_batch([source], [source]), config)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone])


def test_beam_search_with_one_hypothesis_is_greedy(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    batch, config = make_batch(SOURCES, SOURCES), SearchConfig(beam=1)
    with torch.inference_mode():
        memory, state = network.encode(batch.source_BS, batch.source_lengths_B)
        beam = _beam(network, memory, state, 2 * batch.source_lengths_B + 10, config)
    greedy = run(network, batch, config)
    assert [h[0].tokens for h in greedy] == [h[0].tokens for h in beam]
    assert [h[0].score for h in greedy] == pytest.approx([h[0].score for h in beam])


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_scores_are_those_of_the_tokens_and_best_comes_first(
    network: Seq2Seq, make_batch: Callable[..., Batch], penalty: float
) -> None:
    for source in SOURCES:
        batch = make_batch([source], [source])
        for config in (SearchConfig(beam=4, length_penalty=penalty), SearchConfig(beam=1, length_penalty=penalty)):
            (hypotheses,) = run(network, batch, config)
            scores = [h.score for h in hypotheses]
            assert scores == sorted(scores, reverse=True)
            limit = int(2 * len(source) + 10)
            for found in hypotheses:
                ended = len(found.tokens) < limit
                assert found.score == pytest.approx(score(network, batch, found.tokens, ended, config))
                assert not {0, 2, 3} & set(found.tokens)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), penalty=st.sampled_from([0.0, 0.5, 1.0]))
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all(seed: int, penalty: float) -> None:
    """Exhaustive search over every translation is the slow, literal definition."""
    torch.manual_seed(seed)
    vocabulary, limit = 7, 3  # Words 1, 4, 5, 6.
    network = Seq2Seq(ModelConfig(embedding_size=4, encoder_size=3, decoder_size=4), vocabulary, vocabulary).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.8)
    network.eval()
    batch = Batch(torch.tensor([[5, 4, 3]]), torch.tensor([3]), torch.tensor([[2, 3]]))
    config = SearchConfig(beam=80, length_penalty=penalty, limit_ratio=0.0, limit_extra=limit)
    (hypotheses,) = search(network, batch.source_BS, batch.source_lengths_B, config)
    words = (1, 4, 5, 6)
    everything = [
        (score(network, batch, list(tokens), ended, config), list(tokens))
        for length in range(limit + 1)
        for tokens in itertools.product(words, repeat=length)
        for ended in ([True] if length < limit else [False])
    ]
    best_score, best_tokens = max(everything)
    assert hypotheses[0].score == pytest.approx(best_score)
    assert hypotheses[0].tokens == best_tokens


def test_keys_are_projected_once_a_sentence(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    calls: list[int] = []
    network.decoder.attention.project.register_forward_hook(lambda *_: calls.append(1))
    run(network, make_batch(SOURCES, SOURCES), SearchConfig(beam=3))
    assert len(calls) == 1


def test_finished_sentences_leave_the_batch(network: Seq2Seq, make_batch: Callable[..., Batch]) -> None:
    sizes: list[int] = []
    network.decoder.attention.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    run(network, make_batch(SOURCES, SOURCES), SearchConfig(beam=1))
    assert sizes[0] == len(SOURCES)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < len(SOURCES)


def test_length_penalty_is_that_of_wu_et_al() -> None:
    assert SearchConfig(length_penalty=0.0).penalty(9) == 1.0
    assert SearchConfig(length_penalty=1.0).penalty(1) == 1.0
    assert SearchConfig(length_penalty=0.6).penalty(13) == pytest.approx(3**0.6)
