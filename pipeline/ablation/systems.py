"""Which systems an ablation compares: the ladder from the bare network to attention, and the scores of attention."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from model.config import SCORES_OF_EQUAL_SIZES, AttentionKind
from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import build_config, dump_fields

SCORES = tuple(score for score in get_args(AttentionKind) if score != "none")
EQUAL_SIZES = " and ".join(score for score in SCORES if score in SCORES_OF_EQUAL_SIZES)
DEFAULT_DROPOUT = 0.2
"""For the step `+ dropout`, if the preset has no dropout."""
NO_STEP = {"decoder": "luong", "coverage": False, "local_window": None, "peeky": False, "reversed_source": False}
"""Fields whose other values no step of the ladder has: dropping a preset's silently would mislead."""
BASE: Mapping[str, Any] = {"bidirectional": False, "dropout": 0.0, "attention": "none", "input_feeding": False}


@dataclass(frozen=True)
class System:
    """A model to train, and its name."""

    name: str
    config: RunConfig


@dataclass(frozen=True)
class Row:
    """A row of a table: its label, its system, and the row that it is tested against."""

    label: str
    system: str
    against: str | None


@dataclass(frozen=True)
class Table:
    """Rows to compare, and what a reader must know about them."""

    title: str
    rows: tuple[Row, ...]
    caption: str


@dataclass(frozen=True)
class AblationPlan:
    """The systems, each trained once per seed, and the tables that show them."""

    systems: tuple[System, ...]
    ladder: Table
    scores: Table

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by short names."""
        return {"ladder": self.ladder, "scores": self.scores}

    def trainings(self) -> Iterator[System]:
        """Yield each system with each seed: all systems with the first seed, then all with the second."""
        for number in range(self.systems[0].config.ablation.seeds):
            for system in self.systems:
                training = system.config.training
                seeded = training.model_copy(update={"seed": training.seed + number})
                yield System(system.name, system.config.model_copy(update={"training": seeded}))


def plan_ablation(preset: RunConfig) -> AblationPlan:
    """Return the systems that a preset's ablation trains and compares.

    The ladder adds one step at a time to the bare network, and ends at the preset's own model if that has all steps.
    The table of scores compares them in the ladder's model with attention, without input feeding. A system of both
    tables is trained once. All other fields (sizes, cell, layers, bridge, optimizer) are the preset's in every system.

    Raises InputError for a preset with options that no system has, or with sizes that do not fit one.
    """
    for name, neutral in NO_STEP.items():
        value = getattr(preset.model, name)
        if value != neutral:
            raise InputError(
                f"model.{name}={str(value).lower()}: no system of the ablation has it; "
                f"set model.{name}={'null' if neutral is None else str(neutral).lower()}, or train it by `nmt train`"
            )
    epochs = preset.ablation.epochs
    budget: dict[str, Any] = {"training.epochs": epochs, "training.until": None} if epochs else {}
    steps = list(_ladder(preset))
    ladder = [_system(preset, name, changes | budget) for name, changes in steps]
    attentive = next(changes for name, changes in steps if name == "+ attention")
    sizes = _size_for_scores(preset)
    known = {system.config: system for system in ladder}
    by_score = {}
    for score in SCORES:
        system = _system(preset, f"score {score}", attentive | budget | sizes | {"model.attention": score})
        by_score[score] = known.get(system.config, system)
    return AblationPlan(
        tuple(dict.fromkeys([*ladder, *by_score.values()])),
        _ladder_table(preset, ladder),
        _scores_table(preset, by_score, sizes),
    )


def _ladder(preset: RunConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step's name, with the fields that it and the steps before it set."""
    attention = "general" if preset.model.attention == "none" else preset.model.attention
    changes = {f"model.{name}": value for name, value in BASE.items()}
    yield "base", dict(changes)
    for name, step in (
        ("+ bidirectional", {"model.bidirectional": True}),
        ("+ dropout", {"model.dropout": preset.model.dropout or DEFAULT_DROPOUT}),
        ("+ attention", {"model.attention": attention}),
        ("+ input feeding", {"model.input_feeding": True}),
    ):
        changes |= step
        yield name, dict(changes)


def _system(preset: RunConfig, name: str, changes: Mapping[str, Any]) -> System:
    try:
        return System(name, build_config(dump_fields(preset), changes))
    except InputError as error:
        raise InputError(f"ablation, system {name!r}: {error}") from None


def _size_for_scores(preset: RunConfig) -> dict[str, Any]:
    """Return the encoder's size for all scores, since some need annotations of the decoder's size."""
    size, rest = divmod(preset.model.decoder_size, 2)
    if rest:
        raise InputError(
            f"model.decoder_size={preset.model.decoder_size}: the scores {EQUAL_SIZES} need annotations of the "
            "same size, from two directions; set an even model.decoder_size"
        )
    return {} if preset.model.encoder_size == size else {"model.encoder_size": size}


def _ladder_table(preset: RunConfig, ladder: list[System]) -> Table:
    rows = [
        Row(system.name, system.name, before.name if before else None)
        for before, system in zip([None, *ladder], ladder, strict=False)
    ]
    first = ladder[0].config.model
    caption = (
        f"Each system adds one step to the one before. Base: {first.layers} layer(s) of {first.cell.upper()}, "
        f"an encoder of {first.encoder_size} units that reads in one direction, a decoder of {first.decoder_size} "
        "units that starts from the encoder's last state and sees nothing else of the source, no dropout. "
        f"Dropout: {ladder[2].config.model.dropout}. Attention: Luong's, score {ladder[3].config.model.attention}. "
        "Δ and p: against the row before."
    )
    return Table(f"{preset.name}: the ladder", tuple(rows), caption)


def _scores_table(preset: RunConfig, by_score: Mapping[str, System], sizes: Mapping[str, Any]) -> Table:
    rows = [Row(score, by_score[score].name, None if score == "general" else "general") for score in SCORES]
    size = by_score["general"].config.model.encoder_size
    shared = [f"{score} is the ladder's `{s.name}`" for score, s in by_score.items() if not s.name.startswith("score ")]
    if sizes:
        note = (
            f"All have an encoder of 2 x {size} units, not the preset's 2 x {preset.model.encoder_size}: {EQUAL_SIZES} "
            f"need annotations of the decoder's {preset.model.decoder_size} units, and the same for all is fair. So "
            "none is a row of the ladder."
        )
    else:
        note = "; ".join(shared) + "." if shared else ""
    caption = f"The ladder's `+ attention` with each score, without input feeding. {note} Δ and p: against general."
    return Table(f"{preset.name}: the scores of attention", tuple(rows), " ".join(caption.split()))
