"""Fingerprints: what changes them, and what must not; and a reminder to raise a stage's version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.store import stages
from pipeline.store.stages import TRAINING_STAGES, VERSIONS, Settings, Stage, StageName, fingerprint, fresh_stages

STAGE = Stage("tokenizer", Settings({"size": 3}), {"corpus": "abc"})
DEFAULTS = Path(__file__).with_name("defaults.json")
SECTIONS_OF_STAGES: Mapping[StageName, tuple[str, ...]] = {
    "corpus": ("corpus",),
    "tokenizer": ("tokenizer",),
    "encoded": ("batching",),
    "training": ("model", "training", "noise"),
    "evaluation": ("evaluation",),
}


class Before(BaseModel):
    size: int = 3
    kind: str = "a"


class After(Before):
    added: bool = False


@pytest.mark.parametrize(
    "other",
    [
        Stage("corpus", Settings({"size": 3}), {"corpus": "abc"}),
        Stage("tokenizer", Settings({"size": 4}), {"corpus": "abc"}),
        Stage("tokenizer", Settings({"size": 3}), {"corpus": "abd"}),
    ],
)
def test_whatever_a_stage_depends_on_changes_its_fingerprint(other: Stage) -> None:
    assert other.fingerprint != STAGE.fingerprint


def test_a_raised_version_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = STAGE.fingerprint
    monkeypatch.setattr(stages, "VERSIONS", {**VERSIONS, "tokenizer": VERSIONS["tokenizer"] + 1})
    assert STAGE.fingerprint != before


def test_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("values", [{}, {"size": 4}])
def test_a_new_field_with_a_neutral_default_changes_no_fingerprint(values: dict[str, Any]) -> None:
    def of(section: BaseModel) -> Stage:
        return Stage("training", Settings.joined(model=Settings.of(section)), {})

    assert of(Before(**values)).fingerprint == of(After(**values)).fingerprint
    assert of(After(**values, added=True)).fingerprint != of(After(**values)).fingerprint


def test_what_was_recorded_before_a_field_existed_means_its_default() -> None:
    assert Settings.of(After(size=4)).agree_with({"size": 4, "kind": "a"})
    assert not Settings.of(After(size=4, added=True)).agree_with({"size": 4, "kind": "a"})
    assert not Settings.of(After(size=4)).agree_with({"size": 5, "kind": "a"})
    assert Settings.of(After(), include={"size"}).values == {"size": 3}
    assert Settings.of(After(), exclude={"size"}).values == {"kind": "a", "added": False}


def defaults_of(stage: StageName) -> Mapping[str, Any]:
    config = RunConfig()
    sections: Mapping[str, BaseModel] = {name: getattr(config, name) for name in SECTIONS_OF_STAGES[stage]}
    return Settings.joined(**{name: Settings.of(section) for name, section in sections.items()}).defaults


@pytest.mark.parametrize("stage", SECTIONS_OF_STAGES)
def test_a_changed_default_raises_the_version_of_its_stage(stage: StageName) -> None:
    """Fingerprints leave defaults out: output made with the old default would pass for that of the new one.

    After a change, bring `defaults.json` up to date: print(json.dumps({stage: {"version": ..., "defaults": ...}})).
    """
    stored, now, version = json.loads(DEFAULTS.read_text("utf8"))[stage], defaults_of(stage), VERSIONS[stage]
    changed = {name for name, value in stored["defaults"].items() if name not in now or now[name] != value}
    if version == stored["version"]:
        assert not changed, f"raise VERSIONS[{stage!r}] in pipeline/store/stages.py: the defaults of {changed} changed"
    assert (version, now) == (stored["version"], stored["defaults"]), (
        f"{DEFAULTS.name} is behind: add new fields (if their defaults leave the meaning of older output as it is, the "
        "version stays), or write the version that was raised"
    )


def test_stages_from_one_on() -> None:
    assert fresh_stages(None) == []
    assert fresh_stages("all") == list(TRAINING_STAGES.values()) == fresh_stages("corpus")
    assert fresh_stages("batches") == ["encoded", "training", "evaluation"]
    assert fresh_stages("evaluation") == ["evaluation"]
    with pytest.raises(InputError, match="fresh=registration: there is no such stage; choose one of all, corpus"):
        fresh_stages("registration")
