"""Draws follow the tempered top-k distribution, and depend on the seed and the sentence alone."""

import pytest
import torch

from model.search.config import SearchConfig
from model.search.greedy import draw
from model.seq2seq import SPECIAL_TOKENS, Seq2Seq
from tests.model.forced import SOURCES, find


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3), (1.0, 1), (1e-300, None)])
def test_tokens_are_drawn_from_the_tempered_top_k_distribution(temperature: float, top_k: int | None) -> None:
    logits = torch.tensor([0.3, -torch.inf, 1.0, -2.0, 0.8, -torch.inf], dtype=torch.float64)
    kept = logits if top_k is None else logits.where(logits >= logits.sort().values[-top_k], -torch.inf)
    expected = ((kept - kept.max()) / temperature).softmax(-1)
    evenly = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    config = SearchConfig(temperature=temperature, top_k=top_k)
    drawn = draw(logits.log_softmax(-1).expand(10_000, -1), evenly, config)
    shares = torch.bincount(drawn, minlength=6) / 10_000
    assert torch.allclose(shares.double(), expected, atol=2e-4)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_no_token_that_is_ruled_out_is_ever_drawn(uniform: float) -> None:
    logp = torch.tensor([[-torch.inf, 0.4, 0.6, -torch.inf]]).log_softmax(-1)
    token = draw(logp, torch.tensor([uniform], dtype=torch.float64), SearchConfig(temperature=1.0))
    assert token.tolist() == [1 if uniform == 0.0 else 2]


def test_sampled_sentences_have_the_frequencies_of_the_model(network: Seq2Seq) -> None:
    """Thousands of draws of a sentence of one token against the probabilities of the first step."""
    count, source = 4000, SOURCES[2]
    config = SearchConfig(temperature=2.5, top_k=8, n_best=count, max_length=1)
    (found,) = find(network, [source], config, attention=False)
    with torch.inference_mode():
        memory, state = network.encode(torch.tensor([source]), torch.tensor([len(source)]))
        logp = network.step(torch.tensor([SPECIAL_TOKENS.start]), state, memory)[0][0]
        logp[[SPECIAL_TOKENS.padding, SPECIAL_TOKENS.start]] = -torch.inf
    top = logp.topk(8)
    expected = (top.values / 2.5).softmax(-1)
    drawn = [(h.tokens or [SPECIAL_TOKENS.end])[0] for h in found]
    for token, probability in zip(top.indices.tolist(), expected.tolist(), strict=True):
        deviation = (probability * (1 - probability) / count) ** 0.5
        assert drawn.count(token) / count == pytest.approx(probability, abs=5 * deviation)
    assert set(drawn) <= set(top.indices.tolist())


def test_the_seed_and_the_sentence_say_what_is_drawn(network: Seq2Seq) -> None:
    def drawn(sources: list[list[int]], seed: int = 1, n_best: int = 1) -> list[list[list[int]]]:
        config = SearchConfig(temperature=2.0, seed=seed, n_best=n_best)
        return [sorted(h.tokens for h in row) for row in find(network, sources, config, attention=False)]

    assert drawn(SOURCES) == drawn(SOURCES)
    assert drawn(SOURCES) != drawn(SOURCES, seed=2)
    first, second = drawn([SOURCES[0], SOURCES[0]], n_best=5)
    assert first == second
    assert len({tuple(tokens) for tokens in first}) > 1, "the draws of one sentence are independent"
    assert drawn(SOURCES[:1])[0][0] in first


def test_sentences_that_the_model_cannot_tell_apart_are_drawn_independently(network: Seq2Seq) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    (first,), (second,) = find(network, SOURCES[2:4], SearchConfig(temperature=1.0, min_length=5, max_length=9))
    assert first.tokens != second.tokens


@pytest.mark.parametrize("fields", [{"top_k": 1, "temperature": 5.0}, {"temperature": 1e-9}])
def test_the_most_probable_token_alone_is_greedy_search(network: Seq2Seq, fields: dict[str, float]) -> None:
    sampled = find(network, SOURCES, SearchConfig(**fields))  # type: ignore[arg-type]
    greedy = find(network, SOURCES, SearchConfig(beam=1))
    assert [h.tokens for (h,) in sampled] == [h.tokens for (h,) in greedy]
