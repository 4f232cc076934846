"""What holds of greedy search, beam search and sampling alike, with and without attention."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.search.config import SearchConfig
from model.seq2seq import Seq2Seq
from tests.model.conftest import VOCABULARY
from tests.model.forced import SOURCES, find, force, literal_score, repeats

SEARCHES = {
    "greedy": SearchConfig(beam=1),
    "beam": SearchConfig(beam=4, n_best=4, length_penalty=0.6),
    "sampling": SearchConfig(temperature=1.3, top_k=9, n_best=3, length_penalty=0.0),
}


@pytest.fixture
def without_attention() -> Seq2Seq:
    torch.manual_seed(7)
    config = ModelConfig(
        attention="none", input_feeding=False, embedding_size=12, encoder_size=5, decoder_size=12, layers=2
    )
    network = Seq2Seq(config, 23, 23).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.6)
    return network


@pytest.fixture(params=["attention", "no attention"])
def any_network(request: pytest.FixtureRequest, network: Seq2Seq, without_attention: Seq2Seq) -> Seq2Seq:
    return network if request.param == "attention" else without_attention


@pytest.mark.parametrize("kind", SEARCHES)
def test_batched_equals_single_whatever_the_padding_and_the_place(any_network: Seq2Seq, kind: str) -> None:
    together = find(any_network, SOURCES, SEARCHES[kind], padding=3)
    turned_round = find(any_network, SOURCES[::-1], SEARCHES[kind])[::-1]
    for source, *batched in zip(SOURCES, together, turned_round, strict=True):
        (alone,) = find(any_network, [source], SEARCHES[kind])
        for hypotheses in batched:
            assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
            assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone])
            for one, other in zip(hypotheses, alone, strict=True):
                assert torch.tensor(one.attention).allclose(torch.tensor(other.attention))


@pytest.mark.parametrize("kind", SEARCHES)
def test_scores_and_attention_are_those_of_the_tokens_and_the_best_comes_first(any_network: Seq2Seq, kind: str) -> None:
    """Rows of attention that were not reordered with their hypotheses would be those of other tokens."""
    config = SEARCHES[kind]
    for source, hypotheses in zip(SOURCES, find(any_network, SOURCES, config), strict=True):
        assert len(hypotheses) == config.n_best
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)
        for found in hypotheses:
            forced = force(any_network, source, found.tokens, found.ended)
            assert found.score == pytest.approx(literal_score(forced, config))
            assert found.ended or len(found.tokens) == 2 * len(source) + 10
            assert not {0, 2, 3} & set(found.tokens)
            assert len(found.attention) == len(found.tokens) + found.ended
            assert torch.tensor(found.attention).allclose(torch.tensor(forced.attention))


@pytest.mark.parametrize("kind", SEARCHES)
def test_the_coverage_penalty_is_in_the_score(network: Seq2Seq, kind: str) -> None:
    config = SearchConfig(**vars(SEARCHES[kind]) | {"coverage_penalty": 0.3})
    for source, hypotheses in zip(SOURCES, find(network, SOURCES, config, attention=False, padding=2), strict=True):
        for found in hypotheses:
            forced = force(network, source, found.tokens, found.ended)
            assert found.score == pytest.approx(literal_score(forced, config))


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize(("least", "most"), [(0, 3), (6, 8), (5, 5), (50, 60)])
def test_lengths_are_kept(any_network: Seq2Seq, kind: str, least: int, most: int) -> None:
    config = SearchConfig(**vars(SEARCHES[kind]) | {"min_length": least, "max_length": most})
    for source, hypotheses in zip(SOURCES, find(any_network, SOURCES, config), strict=True):
        limit = min(most, 2 * len(source) + 10)
        for found in hypotheses:
            assert min(least, limit) <= len(found.tokens) <= limit


@pytest.mark.parametrize("kind", SEARCHES)
def test_what_is_not_asked_for_is_not_kept_and_changes_nothing(network: Seq2Seq, kind: str) -> None:
    plain = find(network, SOURCES, SEARCHES[kind], attention=False)
    full = find(network, SOURCES, SEARCHES[kind])
    assert [[(h.tokens, h.score) for h in row] for row in plain] == [[(h.tokens, h.score) for h in row] for row in full]
    assert not any(h.attention for row in plain for h in row)


@pytest.mark.parametrize("kind", SEARCHES)
def test_keys_are_projected_once_and_finished_sentences_leave_the_batch(
    network: Seq2Seq, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected: list[int] = []
    sizes: list[int] = []
    step = network.step

    def counted(token_B: Tensor, *others: Any) -> tuple[Any, ...]:
        sizes.append(len(token_B))
        return step(token_B, *others)

    network.get_submodule("decoder.attention.score.keys").register_forward_hook(lambda *_: projected.append(1))
    monkeypatch.setattr(network, "step", counted)
    find(network, SOURCES, SEARCHES[kind])
    assert len(projected) == 1
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_occurs_twice(any_network: Seq2Seq, kind: str, size: int) -> None:
    """Of a model that prefers to say 5 and 6 all the time."""
    with torch.no_grad():
        bias = dict(any_network.named_parameters())["output.bias"]
        bias[5] += 8.0
        bias[6] += 7.5
    config = SearchConfig(**vars(SEARCHES[kind]) | {"no_repeat_ngram": size, "min_length": 8})
    plain = SearchConfig(**vars(config) | {"no_repeat_ngram": 0})
    assert any(repeats(h.tokens, size) for row in find(any_network, SOURCES, plain) for h in row)
    for source, hypotheses in zip(SOURCES, find(any_network, SOURCES, config, padding=3), strict=True):
        (alone,) = find(any_network, [source], config)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        for found in hypotheses:
            assert not repeats(found.tokens, size)
            assert len(found.tokens) >= 8
            forced = force(any_network, source, found.tokens, found.ended)
            assert found.score == pytest.approx(literal_score(forced, config))


@pytest.mark.parametrize("kind", SEARCHES)
def test_ngrams_longer_than_any_translation_change_nothing(network: Seq2Seq, kind: str) -> None:
    config = SearchConfig(**vars(SEARCHES[kind]) | {"no_repeat_ngram": 100})
    assert find(network, SOURCES, config) == find(network, SOURCES, SEARCHES[kind])


@pytest.mark.parametrize("kind", SEARCHES)
def test_what_cannot_go_on_without_a_repeat_ends_however_short(any_network: Seq2Seq, kind: str) -> None:
    words = VOCABULARY - 3  # All but padding, start and end.
    config = SearchConfig(beam=3, n_best=1, no_repeat_ngram=1, min_length=30, max_length=40)
    config = SearchConfig(**vars(config) | {"beam": SEARCHES[kind].beam, "temperature": SEARCHES[kind].temperature})
    ((found,),) = find(any_network, [[5] * 20 + [3]], config)
    assert (len(found.tokens), len({*found.tokens}), found.ended) == (words, words, True)
    assert math.isfinite(found.score)


def test_a_model_without_attention_has_no_coverage(without_attention: Seq2Seq) -> None:
    with pytest.raises(ValueError, match=r"coverage_penalty=0\.2 needs attention weights, and this model"):
        find(without_attention, SOURCES, SearchConfig(coverage_penalty=0.2))


def test_length_penalty_is_that_of_wu_et_al() -> None:
    assert SearchConfig(length_penalty=0.0).penalty(9) == 1.0
    assert SearchConfig(length_penalty=1.0).penalty(1) == 1.0
    assert SearchConfig(length_penalty=0.6).penalty(13) == pytest.approx(3**0.6)


def test_coverage_penalty_is_that_of_wu_et_al_and_finite() -> None:
    attended = torch.tensor([[2.0, 0.5, 0.25, 9.0], [1.0, 0.0, 1.0, 1.0]])  # The last column is padding.
    some, none = SearchConfig(coverage_penalty=0.4).coverage(attended, torch.tensor([3, 3])).tolist()
    assert some == pytest.approx(0.4 * (math.log(0.5) + math.log(0.25)))
    assert -math.inf < none < some


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beam": 0}, "beam=0 must be at least 1"),
        ({"min_length": -1}, "min_length=-1 must be at least 0"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram=-1 must be at least 0"),
        ({"length_penalty": math.nan}, "length_penalty=nan must be between 0 and 10"),
        ({"coverage_penalty": math.inf}, "coverage_penalty=inf must be between 0 and 10"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"top_k": 5}, "top_k=5 is for sampling, which needs a temperature"),
        ({"n_best": 6}, "n_best=6 is more than the beam=5 can hold; raise beam or lower n_best"),
        ({"min_length": 9, "max_length": 8}, "min_length=9 is more than max_length=8"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**fields)  # type: ignore[arg-type]
