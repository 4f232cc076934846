"""A score is registered once, and what cannot do with its class alone says so."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from model.config import SCORES_OF_EQUAL_SIZES, AttentionKind, ModelConfig
from model.cost import Queries
from model.decoder import InputFeedingDecoder, plain_loop_because
from model.scores import SCORES, DotScore, GeneralScore, Score
from model.seq2seq import Seq2Seq
from tests.model.combinations import SOURCES, make_batch


def test_every_value_of_the_option_is_registered() -> None:
    assert tuple(SCORES) == tuple(value for value in get_args(AttentionKind) if value != "none")


@pytest.mark.parametrize("name", SCORES)
def test_the_configuration_knows_which_scores_need_equal_sizes(name: AttentionKind) -> None:
    assert SCORES[name](4, 4).key_size > 0
    if name in SCORES_OF_EQUAL_SIZES:
        with pytest.raises(AssertionError):
            SCORES[name](4, 6)
    else:
        score = SCORES[name](4, 6)
        assert score(torch.ones(2, 3, 4), score.keys(torch.ones(2, 5, 6))).shape == (2, 3, 5)


class CosineScore(GeneralScore):
    """A product score whose forward is another: unroll.py would compute its base's."""

    def forward(self, queries_BTH: Tensor, keys_BSK: Tensor) -> Tensor:
        return super().forward(nn.functional.normalize(queries_BTH, dim=-1), nn.functional.normalize(keys_BSK, dim=-1))


class LearntScaleScore(DotScore):
    """A product score whose scale is made of a weight, which would get no gradient from unroll.py."""

    def __init__(self, decoder_size: int, annotation_size: int) -> None:
        super().__init__(decoder_size, annotation_size)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @property
    def scale(self) -> Any:  # type: ignore[override]
        return self.log_scale.exp()


def network_with(score: type[Score], monkeypatch: pytest.MonkeyPatch) -> Seq2Seq:
    """Return a network with input feeding that attends by `score`."""
    monkeypatch.setitem(SCORES, "general", score)
    config = ModelConfig(embedding_size=6, encoder_size=3, decoder_size=6)
    torch.manual_seed(4)
    network = Seq2Seq(config, 9, 9).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
    return network


@pytest.mark.parametrize("score", [GeneralScore, CosineScore])
def test_what_is_trained_is_what_searches(score: type[Score], monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = network_with(score, monkeypatch), make_batch()
    memory, state = network.encode(batch.source_BS, batch.source_lengths_B)
    embedded = network.target_embedding(batch.target_BT)
    assert isinstance(network.decoder, InputFeedingDecoder)
    assert network.decoder.unrolls == (score is GeneralScore)
    assert plain_loop_because(network.config) == (None if score is GeneralScore else "attention=general")
    _, stepped, _ = network.decoder(embedded, state, memory)
    torch.testing.assert_close(network.decoder.read_out(embedded, state, memory), stepped)
    assert len(stepped) == len(SOURCES)


def test_a_score_that_neither_the_loop_nor_unroll_is_sure_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="plain_loop_because must name"):
        network_with(LearntScaleScore, monkeypatch)


def test_a_score_that_does_not_list_its_products_is_an_error_and_not_a_guess() -> None:
    class Uncounted(Score):
        pass

    queries = Queries(sentences=2, source=3, steps=5, positions=1)
    with pytest.raises(NotImplementedError):
        list(Uncounted.matmuls(4, 4, queries))
    for score in SCORES.values():
        assert sum(matmul.operations for matmul in score.matmuls(4, 4, queries)) > 0
