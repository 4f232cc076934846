"""What holds of the whole network beside its equations; the rest is in test_equations and test_combinations."""

from typing import Literal

import pytest
import torch

from model.config import ModelConfig
from model.dropout import DropoutNoise
from model.seq2seq import Seq2Seq
from tests.model.combinations import SOURCES, TARGETS, describe, make_batch, network, products

NETWORKS = [
    *products(attention=("none",), peeky=(False, True)),
    *products(attention=("general",), input_feeding=(False, True), tied_embeddings=("none", "all"), layers=(2,)),
    *products(attention=("mlp",), decoder=("bahdanau",), coverage=(True,), local_window=(2,), layers=(2,)),
]


@pytest.fixture(params=NETWORKS, ids=describe)
def model(request: pytest.FixtureRequest) -> Seq2Seq:
    config: ModelConfig = request.param
    return network(config)


def test_a_batch_is_the_sum_of_its_sentences(model: Seq2Seq) -> None:
    singles = [model(make_batch([s], [t]), label_smoothing=0.1) for s, t in zip(SOURCES, TARGETS, strict=True)]
    batch = model(make_batch(extra=2), label_smoothing=0.1)
    torch.testing.assert_close(batch.smoothed, sum(loss.smoothed for loss in singles))
    assert batch.tokens == sum(loss.tokens for loss in singles) == 9


def test_shares_with_dropout_add_up_to_the_whole(model: Seq2Seq) -> None:
    def loss(rows: list[int]) -> torch.Tensor:
        batch = make_batch([SOURCES[r] for r in rows], [TARGETS[r] for r in rows])
        smoothed: torch.Tensor = model(
            batch, DropoutNoise(0.5, 1, 1, torch.tensor(rows), model.mask_units), 0.1
        ).smoothed
        return smoothed

    torch.testing.assert_close(loss([0, 1, 2]), loss([0, 2]) + loss([1]))


@pytest.mark.parametrize(("tied", "tables"), [("none", 3), ("decoder", 2), ("all", 1)])
def test_tied_embeddings_share_one_table(tied: Literal["none", "decoder", "all"], tables: int) -> None:
    config = ModelConfig(embedding_size=4, encoder_size=2, decoder_size=4, tied_embeddings=tied)
    model = Seq2Seq(config, 9, 9)
    shared = {model.source_embedding.weight, model.target_embedding.weight, model.output.weight}
    assert len(shared) == tables
    assert (model.output.weight is model.target_embedding.weight) == (tied != "none")
    loss = model(make_batch()).smoothed
    loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in shared)


def test_uniform_initialisation_is_that_of_sutskever_et_al() -> None:
    torch.manual_seed(3)
    config = ModelConfig(embedding_size=24, encoder_size=12, decoder_size=24, layers=2, initialisation="uniform")
    for name, parameter in Seq2Seq(config, 50, 50).named_parameters():
        assert parameter.abs().max() <= 0.08, name
        assert parameter.abs().max() > 0.05, f"{name} is not drawn"
        if parameter.numel() > 200:
            assert parameter.std().item() == pytest.approx(0.08 / 3**0.5, rel=0.15), name


def test_default_initialisation_has_no_bias_and_embeddings_of_norm_one() -> None:
    torch.manual_seed(3)
    model = Seq2Seq(ModelConfig(embedding_size=64, encoder_size=12, decoder_size=64, layers=2), 200, 200)
    assert model.target_embedding.weight.norm(dim=1).mean().item() == pytest.approx(1.0, abs=0.05)
    for name, parameter in model.named_parameters():
        assert (parameter.abs().sum() > 0) == (parameter.dim() > 1), name
