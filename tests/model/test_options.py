"""Every value that an option's type allows is known wherever the option is read, and nothing else is."""

from typing import Any, Literal, get_args, get_origin

import pytest
import torch

from model.bridge import BRIDGES, COMBINATIONS, make_bridge
from model.config import BRIDGED_SIZES, AttentionKind, BridgeKind, CellKind, DecoderKind, ModelConfig
from model.decoder import make_decoder
from model.recurrent import RECURRENCES
from pipeline.ablation.systems import SCORES as COMPARED_SCORES
from pipeline.training.machine.matmul import Shape, operations
from tests.model.combinations import OPTIONS


def test_the_tests_try_every_value() -> None:
    literals = {
        name: get_args(field.annotation)
        for name, field in ModelConfig.model_fields.items()
        if get_origin(field.annotation) is Literal and name != "initialisation"
    }
    assert {name: OPTIONS[name] for name in literals} == literals


def test_registries_hold_the_values_of_their_option() -> None:
    assert set(RECURRENCES) == set(get_args(CellKind))
    assert set(BRIDGES) == set(get_args(BridgeKind))
    assert set(COMBINATIONS) == set(BRIDGED_SIZES)
    assert ("none", *COMPARED_SCORES) == get_args(AttentionKind)


@pytest.mark.parametrize("name", RECURRENCES)
def test_the_forms_of_a_cell_have_its_gates_and_states(name: CellKind) -> None:
    recurrence, inputs, lengths = RECURRENCES[name], torch.randn(2, 3, 5), torch.tensor([3, 1])
    cell = recurrence.cell(fed_size=6, size=4)
    gates, state = torch.randn(2, cell.gates * 4), (torch.zeros(2, 4),) * cell.states
    assert [tuple(part.shape) for part in cell(gates, torch.randn(2, 6), state)] == [(2, 4)] * cell.states
    _, last = recurrence.holding_layer(5, 4).read(inputs, lengths)
    assert len(last) == cell.states
    assert recurrence.layer(5, 4).fused.weight_ih_l0.shape == (cell.gates * 4, 5)


@pytest.mark.parametrize("name", BRIDGES)
def test_the_configuration_knows_the_size_that_a_bridge_gives(name: BridgeKind) -> None:
    config = ModelConfig.model_construct(
        cell="lstm", layers=1, bridge=name, encoder_size=3, bidirectional=True, decoder_size=5
    )
    states = (((torch.ones(2, 3),) * 2,) * 2,)
    ((hidden, cell),) = make_bridge(config)(states)
    assert hidden.shape == cell.shape == (2, getattr(config, BRIDGED_SIZES.get(name, "decoder_size")))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cell": "rnn"}, KeyError),
        ({"bridge": "sum"}, KeyError),
        ({"attention": "bilinear"}, KeyError),
        ({"decoder": "google"}, AssertionError),
    ],
)
def test_a_value_that_a_part_does_not_know_is_an_error_and_not_a_guess(
    options: dict[str, Any], error: type[Exception]
) -> None:
    config = ModelConfig().model_copy(update=options)
    makes = make_bridge if "bridge" in options else make_decoder
    with pytest.raises(error):
        makes(config)
    if "bridge" not in options:  # Of no account among the products.
        with pytest.raises(error):
            operations(config, 9, Shape(1, 2, 3, 3))


def test_every_order_of_attention_has_a_decoder() -> None:
    for decoder in get_args(DecoderKind):
        assert make_decoder(ModelConfig(decoder=decoder, input_feeding=False)) is not None
