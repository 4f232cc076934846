"""What a network cannot be is refused, with the field, the reason and the remedy; its neighbours are allowed."""

from typing import Any

import pytest
from pydantic import ValidationError

from model.config import ModelConfig

Options = dict[str, Any]
NO_ATTENTION: Options = {"attention": "none", "input_feeding": False}
UNTIED: Options = {"tied_embeddings": "none"}
REFUSED: list[tuple[Options, str, list[Options]]] = [
    # What is refused; what the message says; what it says to set instead, each of which is allowed.
    (
        {"reversed_source": True},
        "reversed_source=true: a bidirectional encoder already reads from the end; "
        "set bidirectional=false or reversed_source=false",
        [{"bidirectional": False}, {"reversed_source": False}],
    ),
    (
        {"attention": "none"},
        "input_feeding=true feeds back the attentional vector, and attention=none has none; "
        "set input_feeding=false or another attention",
        [{"input_feeding": False}, {"attention": "general"}],
    ),
    (
        NO_ATTENTION | {"local_window": 3},
        "local_window=3 changes attention, and attention=none has none; set local_window=null or another attention",
        [{"local_window": None}, {"attention": "mlp"}],
    ),
    (
        NO_ATTENTION | {"coverage": True},
        "coverage=true changes attention, and attention=none has none; set coverage=false or another attention",
        [{"coverage": False}, {"attention": "concat"}],
    ),
    (
        NO_ATTENTION | {"decoder": "bahdanau"},
        "decoder=bahdanau says when to attend, and attention=none never does; set decoder=luong or another attention",
        [{"decoder": "luong"}, {"attention": "dot"}],
    ),
    (
        NO_ATTENTION | {"bridge": "zero"},
        "bridge=zero with attention=none leaves the decoder without the source; "
        "set another bridge, peeky=true, or another attention",
        [{"bridge": "projection"}, {"peeky": True} | UNTIED, {"attention": "scaled-dot"}],
    ),
    (
        {"peeky": True} | UNTIED,
        "peeky=true shows every step the same context vector, but attention=general gives each its own; "
        "set attention=none and input_feeding=false, or peeky=false",
        [NO_ATTENTION, {"peeky": False}],
    ),
    (
        {"decoder": "bahdanau"},
        "input_feeding=true: decoder=bahdanau already has the context in its recurrent input; set input_feeding=false",
        [{"input_feeding": False}, {"decoder": "luong"}],
    ),
    (
        {"attention": "dot", "encoder_size": 100},
        "attention=dot multiplies a state of decoder_size=256 units with an annotation of 2 x encoder_size=100; "
        "make them equal or set attention=general",
        [{"encoder_size": 128}, {"attention": "general"}, {"decoder_size": 200, "embedding_size": 200}],
    ),
    (
        {"attention": "scaled-dot", "bidirectional": False},
        "attention=scaled-dot multiplies a state of decoder_size=256 units with an annotation of encoder_size=128; "
        "make them equal or set attention=general",
        [{"encoder_size": 256}, {"attention": "general"}, {"bidirectional": True}],
    ),
    (
        {"bridge": "concat", "encoder_size": 100},
        "bridge=concat gives the decoder 2 x encoder_size=100 units, but decoder_size=256; "
        "make them equal or set bridge=projection",
        [{"encoder_size": 128}, {"bridge": "projection"}],
    ),
    (
        {"bridge": "mean"},
        "bridge=mean gives the decoder encoder_size=128 units, but decoder_size=256; "
        "make them equal or set bridge=projection",
        [{"encoder_size": 256}, {"bridge": "projection"}],
    ),
    (
        {"bridge": "max"},
        "bridge=max gives the decoder encoder_size=128 units, but decoder_size=256; "
        "make them equal or set bridge=projection",
        [{"encoder_size": 256}, {"bridge": "projection"}],
    ),
    (
        NO_ATTENTION | {"peeky": True},
        "peeky=true gives the output layer the state and the context, which are wider than an embedding; "
        "set tied_embeddings=none, not all",
        [UNTIED, {"peeky": False}],
    ),
    (
        {"embedding_size": 64, "tied_embeddings": "decoder"},
        "embedding_size=64 and decoder_size=256 must be equal when tied_embeddings=decoder; "
        "make them equal or set tied_embeddings=none",
        [{"embedding_size": 256}, {"decoder_size": 64}, UNTIED],
    ),
]


@pytest.mark.parametrize(("options", "message", "remedies"), REFUSED, ids=[message[:40] for _, message, _ in REFUSED])
def test_options_that_exclude_each_other_are_refused_and_every_remedy_works(
    options: Options, message: str, remedies: list[Options]
) -> None:
    with pytest.raises(ValidationError) as refusal:
        ModelConfig.model_validate(options)
    (error,) = refusal.value.errors()
    assert error["msg"] == f"Value error, {message}"
    for remedy in remedies:
        ModelConfig.model_validate(options | remedy)


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 0},
        {"encoder_size": 0},
        {"decoder_size": 0},
        {"embedding_size": 0},
        {"local_window": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"attention": "bilinear"},
        {"cell": "rnn"},
        {"bridge": "sum"},
        {"initialisation": "normal"},
        {"heads": 2},
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(options: Options) -> None:
    with pytest.raises(ValidationError) as refusal:
        ModelConfig.model_validate(options)
    assert [error["loc"] for error in refusal.value.errors()] == [tuple(options)]


def test_the_defaults_are_luongs_model_with_input_feeding() -> None:
    config = ModelConfig()
    assert (config.attention, config.decoder, config.input_feeding) == ("general", "luong", True)
    assert (config.annotation_size, config.readout_size) == (256, 256)
    assert ModelConfig(bidirectional=False).annotation_size == 128
    peeky = ModelConfig.model_validate(NO_ATTENTION | UNTIED | {"peeky": True})
    assert peeky.readout_size == 512
