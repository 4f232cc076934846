import pytest
import torch

from model.config import ModelConfig
from model.dropout import DropoutNoise, drop
from tests.model.combinations import COMBINATIONS, SOURCES, TARGETS, describe, make_batch, network, products
from tests.model.literal import LiteralNetwork, Masks


def noise(rows: list[int]) -> DropoutNoise:
    return DropoutNoise(0.4, seed=11, step=2, rows_B=torch.tensor(rows), units=10)


def test_a_sentence_gets_the_same_masks_in_any_share() -> None:
    whole, share = noise([0, 1, 2, 3, 4, 5]), noise([1, 4])
    for units in (7, 3):
        torch.testing.assert_close(
            whole.mask(torch.ones(6, 1, units))[[1, 4]], share.mask(torch.ones(2, 1, units)), rtol=0, atol=0
        )


def test_one_mask_a_sentence_and_the_expectation_is_kept() -> None:
    values = torch.ones(2000, 3, 50)
    dropped = drop(values, DropoutNoise(0.4, 3, 1, torch.arange(2000), 50))
    assert (dropped == dropped[:, :1]).all()
    assert set(dropped.flatten().tolist()) == {0.0, torch.tensor(2**16 / round(0.6 * 2**16)).item()}
    assert abs(dropped.mean().item() - 1) < 0.02


@pytest.mark.parametrize("config", list(COMBINATIONS.values())[::7], ids=describe)
def test_a_network_uses_all_the_units_that_it_asks_for(config: ModelConfig) -> None:
    model = network(config)
    noise = DropoutNoise(0.4, 1, 1, torch.arange(3), model.mask_units)
    model(make_batch(), noise)
    with pytest.raises(AssertionError, match="every mask"):
        noise.mask(torch.ones(3, 1, 1))


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.1, 0.5, 0.9999999])
def test_what_is_kept_is_scaled_so_that_the_expectation_is_exact(rate: float) -> None:
    masks = DropoutNoise(rate, 5, 7, torch.arange(500), 400).mask(torch.ones(1, 1, 400))
    assert masks.mean().item() == pytest.approx(1, abs=5 * (max(rate, 1e-9) / max(1 - rate, 2**-16) / 200_000) ** 0.5)


def test_no_noise_no_change() -> None:
    values = torch.randn(2, 3, 4)
    assert drop(values, None) is values


DROPPED = [
    *products(attention=("none",), peeky=(False, True), cell=("lstm", "gru"), layers=(1, 3)),
    *products(
        attention=("concat",),
        decoder=("luong", "bahdanau"),
        input_feeding=(False, True),
        coverage=(False, True),
        cell=("lstm", "gru"),
        layers=(1, 2, 3),
    ),
    *products(attention=("general",), bidirectional=(False,), reversed_source=(False, True), layers=(2,)),
]


@pytest.mark.parametrize("config", DROPPED, ids=describe)
def test_a_network_with_dropout_equals_its_equations_with_the_same_masks(config: ModelConfig) -> None:
    """On words, between the layers of both stacks, on the annotations and on the readout."""
    rows = torch.tensor([5, 0, 3])

    def noise() -> DropoutNoise:
        return DropoutNoise(0.4, 2, 1, rows, network(config).mask_units)

    def draw(drawn: DropoutNoise, size: int, times: int = 1) -> list[torch.Tensor]:
        return [drawn.mask(torch.ones(3, 1, size).double())[:, 0] for _ in range(times)]

    drawn, layer_masks = noise(), config.layers - 1
    (source_word,) = draw(drawn, config.embedding_size)
    encoder_layers, (annotation,) = (
        draw(drawn, config.annotation_size, layer_masks),
        draw(drawn, config.annotation_size),
    )
    decoder_layers = draw(drawn, config.decoder_size, layer_masks)
    (target_word,), (readout,) = draw(drawn, config.embedding_size), draw(drawn, config.readout_size)
    expected = torch.zeros((), dtype=torch.float64)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        masks = Masks(
            source_word[row],
            [mask[row] for mask in encoder_layers],
            annotation[row],
            [mask[row] for mask in decoder_layers],
            target_word[row],
            readout[row],
        )
        literal = LiteralNetwork(network(config), masks)
        decoded = literal.decode(literal.encode(source), [2, *target[:-1]])
        expected -= sum(step.logp[word] for step, word in zip(decoded.steps, target, strict=True))
    torch.testing.assert_close(network(config)(make_batch(extra=1), noise()).nll, expected)
