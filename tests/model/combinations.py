"""Every combination of options that goes together, each with a tiny network and batch in double precision."""

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import torch

from model.config import SCORES_OF_EQUAL_SIZES, AttentionKind, BridgeKind, CellKind, DecoderKind, ModelConfig
from model.scores import SCORES
from model.seq2seq import SPECIAL_TOKENS, Batch, Seq2Seq

VOCABULARY = 9
BRIDGES = get_args(BridgeKind)
# Of different lengths, so that there is padding; one of a single word.
SOURCES = [[5, 8, 6, 7, 3], [3], [7, 4, 3]]
TARGETS = [[6, 3], [7, 5, 4, 3], [8, 6, 3]]

OPTIONS: dict[str, tuple[Any, ...]] = {
    "cell": get_args(CellKind),
    "bidirectional": (True, False),
    "reversed_source": (False, True),
    "bridge": BRIDGES,
    "attention": get_args(AttentionKind),
    "decoder": get_args(DecoderKind),
    "input_feeding": (False, True),
    "peeky": (False, True),
    "local_window": (None, 2),
    "coverage": (False, True),
    "tied_embeddings": get_args(ModelConfig.model_fields["tied_embeddings"].annotation),
}
"""Of each option the values, those that its type allows; the first is the plainest."""


def sizes(options: dict[str, Any]) -> dict[str, int] | None:
    """Return sizes that suit the options, different ones wherever they may differ; None if there are none."""
    directions = 2 if options["bidirectional"] else 1
    annotation_is_state = options["attention"] in SCORES_OF_EQUAL_SIZES or options["bridge"] == "concat"
    direction_is_state = options["bridge"] in ("mean", "max")
    if annotation_is_state and direction_is_state and directions == 2:
        return None
    encoder = 3 if direction_is_state else 2
    decoder = encoder if direction_is_state else encoder * directions if annotation_is_state else 5
    embedding = decoder if options["tied_embeddings"] != "none" else 3 if decoder == 4 else 4
    return {"embedding_size": embedding, "encoder_size": encoder, "decoder_size": decoder}


def go_together(options: dict[str, Any]) -> bool:
    """Return whether there is a network with these options."""
    attends = options["attention"] != "none"
    bahdanau, peeky = options["decoder"] == "bahdanau", options["peeky"]
    needs_attention = bahdanau or options["input_feeding"] or options["local_window"] or options["coverage"]
    return (
        not (options["reversed_source"] and options["bidirectional"])
        and (attends or not needs_attention)
        and (attends or peeky or options["bridge"] != "zero")
        and not (peeky and attends)
        and not (peeky and options["tied_embeddings"] != "none")
        and not (bahdanau and options["input_feeding"])
        and sizes(options) is not None
    )


def every_choice() -> Iterator[dict[str, Any]]:
    """Yield every product of the options, allowed or not."""
    for values in itertools.product(*OPTIONS.values()):
        yield dict(zip(OPTIONS, values, strict=True))


def products(**choices: tuple[Any, ...]) -> Iterator[ModelConfig]:
    """Yield the allowed networks of a product of options; those not named have the first value of `OPTIONS`."""
    choices = {name: values[:1] for name, values in OPTIONS.items()} | {"layers": (1,)} | choices
    for values in itertools.product(*choices.values()):
        options = dict(zip(choices, values, strict=True))
        if go_together(options):
            yield ModelConfig.model_validate(options | sizes(options))  # type: ignore[operator]


def describe(config: ModelConfig) -> str:
    """Name a combination."""
    direction = "bi" if config.bidirectional else "reversed" if config.reversed_source else "uni"
    order = "feeding" if config.input_feeding else "peeky" if config.peeky else config.decoder
    extras = [f"local{config.local_window}"] if config.local_window else []
    extras += ["coverage"] if config.coverage else []
    extras += [f"tied-{config.tied_embeddings}"] if config.tied_embeddings != "none" else []
    return "-".join(
        [config.cell, str(config.layers), direction, config.bridge, config.attention.replace("-", ""), order, *extras]
    )


SIZES = {"cell": OPTIONS["cell"], "layers": (1, 2)}
DECODERS = [
    *products(attention=("none",), peeky=(False, True), **SIZES),
    *products(
        attention=tuple(SCORES),
        decoder=OPTIONS["decoder"],
        input_feeding=(False, True),
        local_window=(None, 2),
        coverage=(False, True),
        **SIZES,
    ),
]
"""All decoders behind one encoder: order x score x window x coverage x cell x layers, and those without attention."""

READ = {"bidirectional": (True, False), "reversed_source": (False, True), "bridge": BRIDGES} | SIZES
ENCODERS = [
    *products(attention=("none",), peeky=(False, True), **READ),
    *products(attention=("general",), input_feeding=(True,), **READ),
    *products(attention=("concat",), decoder=("bahdanau",), **READ),
]
"""All encoders and bridges before four decoders: direction x bridge x cell x layers."""

TIED = [
    *products(attention=("general",), decoder=("luong", "bahdanau"), tied_embeddings=("decoder", "all")),
    *products(attention=("general",), input_feeding=(True,), tied_embeddings=("decoder", "all")),
    *products(attention=("none",), tied_embeddings=("decoder", "all")),
]

COMBINATIONS = {describe(config): config for config in [*DECODERS, *ENCODERS, *TIED]}


def covering() -> dict[str, ModelConfig]:
    """Return a few of all combinations: every value of an option is in one, and so is every kind of decoder."""

    def has(config: ModelConfig) -> set[tuple[Any, ...]]:
        decoder = config.decoder, config.input_feeding, config.peeky, config.attention == "none"
        return {decoder, *((name, getattr(config, name)) for name in (*OPTIONS, "layers"))}

    missing, chosen = set().union(*map(has, COMBINATIONS.values())), {}
    while missing:
        best = max(COMBINATIONS, key=lambda name: len(has(COMBINATIONS[name]) & missing))
        chosen[best], missing = COMBINATIONS[best], missing - has(COMBINATIONS[best])
    return chosen


@cache
def network(config: ModelConfig) -> Seq2Seq:
    """Return a network with weights larger than at the start of training, so that all make a difference."""
    torch.manual_seed(7)
    model = Seq2Seq(config, VOCABULARY, VOCABULARY).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def make_batch(sources: list[list[int]] = SOURCES, targets: list[list[int]] = TARGETS, extra: int = 0) -> Batch:
    """Pad rows (targets without `start`), with `extra` more columns of padding than they need."""

    def pad(rows: list[list[int]]) -> torch.Tensor:
        width = max(map(len, rows)) + extra
        return torch.tensor([row + [SPECIAL_TOKENS.padding] * (width - len(row)) for row in rows])

    started = [[SPECIAL_TOKENS.start, *target] for target in targets]
    return Batch(pad(sources), torch.tensor([len(row) for row in sources]), pad(started))
