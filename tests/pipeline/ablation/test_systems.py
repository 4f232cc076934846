"""Which systems an ablation trains: a table, and what is refused."""

from typing import Any

import pytest

from flows.presets import load_config
from model.scores import SCORES
from pipeline.ablation.systems import AblationPlan, plan_ablation
from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import build_config
from pipeline.store.stages import fingerprint
from tests.conftest import TINY

LADDER = ["base", "+ bidirectional", "+ dropout", "+ attention", "+ input feeding"]
TRAINED = len(LADDER) + len(SCORES) - 1
"""Systems, of which one is in both tables."""


def planned(**overrides: Any) -> AblationPlan:
    values = {name.replace("__", "."): value for name, value in overrides.items()}
    return plan_ablation(build_config({"name": "tiny"}, TINY | values))


def config_of(plan: AblationPlan, name: str) -> RunConfig:
    return next(system.config for system in plan.systems if system.name == name)


@pytest.mark.parametrize(
    ("system", "bidirectional", "dropout", "attention", "input_feeding"),
    [
        ("base", False, 0.0, "none", False),
        ("+ bidirectional", True, 0.0, "none", False),
        ("+ dropout", True, 0.1, "none", False),
        ("+ attention", True, 0.1, "general", False),
        ("+ input feeding", True, 0.1, "general", True),
        ("score dot", True, 0.1, "dot", False),
        ("score scaled-dot", True, 0.1, "scaled-dot", False),
        ("score concat", True, 0.1, "concat", False),
        ("score mlp", True, 0.1, "mlp", False),
    ],
)
def test_the_systems(system: str, bidirectional: bool, dropout: float, attention: str, input_feeding: bool) -> None:
    model = config_of(planned(), system).model
    assert (model.bidirectional, model.dropout, model.attention, model.input_feeding) == (
        bidirectional,
        dropout,
        attention,
        input_feeding,
    )


def test_each_row_is_tested_against_the_one_before_and_each_score_against_general() -> None:
    plan = planned()
    assert [(row.label, row.against) for row in plan.ladder.rows] == list(zip(LADDER, [None, *LADDER], strict=False))
    assert [row.label for row in plan.scores.rows] == list(SCORES)
    assert {row.against for row in plan.scores.rows if row.label != "general"} == {"general"}


def test_what_both_tables_need_is_trained_once() -> None:
    plan = planned()
    assert len(plan.systems) == TRAINED
    assert next(row.system for row in plan.scores.rows if row.label == "general") == "+ attention"
    assert "general is the ladder's `+ attention`" in plan.scores.caption
    dot = planned(model__attention="dot")
    assert len(dot.systems) == TRAINED
    assert next(row.system for row in dot.scores.rows if row.label == "dot") == "+ attention"


def test_the_ladder_ends_at_the_presets_own_model() -> None:
    assert config_of(planned(), "+ input feeding") == build_config({"name": "tiny"}, TINY)


def test_where_dot_products_do_not_fit_all_scores_have_one_size_that_does() -> None:
    plan = planned(model__encoder_size=24)
    assert len(plan.systems) == TRAINED + 1
    by_label = {row.label: config_of(plan, row.system).model for row in plan.scores.rows}
    assert {model.encoder_size for model in by_label.values()} == {16}
    assert "2 x 16 units, not the preset's 2 x 24" in plan.scores.caption
    assert {config_of(plan, name).model.encoder_size for name in LADDER} == {24}


@pytest.mark.parametrize(("given", "used"), [(0.0, 0.2), (0.3, 0.3)])
def test_a_preset_without_dropout_gets_some_for_the_step(given: float, used: float) -> None:
    plan = planned(model__dropout=given)
    assert [config_of(plan, name).model.dropout for name in LADDER] == [0.0, 0.0, used, used, used]


def test_all_have_the_budget_the_data_and_the_seeds_of_each_other() -> None:
    plan = planned(ablation__epochs=7, ablation__seeds=2, training__seed=5)
    assert {system.config.training.epochs for system in plan.systems} == {7}
    for section in ("corpus", "tokenizer", "batching", "evaluation"):
        assert len({getattr(system.config, section) for system in plan.systems}) == 1
    trainings = list(plan.trainings())
    assert [system.config.training.seed for system in trainings] == [5] * TRAINED + [6] * TRAINED
    assert len({fingerprint(system.config.model_dump()) for system in trainings}) == 2 * TRAINED


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.coverage": True}, r"model\.coverage=true: no system of the ablation has it; set model\.coverage=fal"),
        ({"model.local_window": 3}, r"model\.local_window=3: no system .* set model\.local_window=null"),
        ({"model.decoder": "bahdanau", "model.input_feeding": False}, r"model\.decoder=bahdanau: .*decoder=luong"),
        (
            {"model.encoder_size": 16, "model.decoder_size": 33, "model.tied_embeddings": "none"},
            r"model\.decoder_size=33: the scores dot and scaled-dot need",
        ),
        ({"model.bridge": "concat"}, r"ablation, system 'base': model: bridge=concat gives the decoder"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(overrides: dict[str, Any], message: str) -> None:
    config = build_config({"name": "tiny"}, TINY | overrides)
    with pytest.raises(InputError, match=message):
        plan_ablation(config)


@pytest.mark.parametrize("preset", ["captions", "multi30k-de-en"])
def test_the_main_presets_have_an_ablation(preset: str) -> None:
    plan = plan_ablation(load_config(preset, {}))
    assert config_of(plan, "+ input feeding").model == load_config(preset, {}).model
