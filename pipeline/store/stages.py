"""What a stage's output depends on, and the version of every stage.

A fingerprint is the SHA-256 of the stage's name and version, the settings that differ from their defaults, and the
fingerprints of its inputs. So a new field with a neutral default changes no fingerprint.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from pipeline.errors import InputError

StageName = Literal[
    "corpus",
    "corpora",
    "tokenizer",
    "encoded",
    "training",
    "evaluation",
    "ablation",
    "model",
    "evaluation-set",
    "set-translations",
    "scores",
]
VERSIONS: Mapping[StageName, int] = {
    "corpus": 3,
    "corpora": 1,
    "tokenizer": 2,
    "encoded": 1,
    "training": 3,
    "evaluation": 4,
    "ablation": 1,
    "model": 1,
    "evaluation-set": 1,
    "set-translations": 2,
    "scores": 2,
}
"""Raise a stage's version when its code makes something else from the same settings and inputs (a new rule in the
caption grammar, say), or when the default or the meaning of a field changes. Older output is not reused then."""
assert {*VERSIONS} == {*get_args(StageName)}
TRAINING_STAGES: Mapping[str, StageName] = {
    "corpus": "corpus",
    "tokenizer": "tokenizer",
    "batches": "encoded",
    "training": "training",
    "evaluation": "evaluation",
}
"""The stages of a training in their order, by what users call them: `nmt train --fresh-from NAME`."""
ABLATION_STAGES: Mapping[str, StageName] = {**TRAINING_STAGES, "report": "ablation"}


@dataclass(frozen=True)
class Settings:
    """The fields of a configuration that a stage's output depends on."""

    values: Mapping[str, Any]
    """Values by field name; must be JSON."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults by field name, of the fields that have one."""

    @classmethod
    def of(cls, section: BaseModel, include: set[str] | None = None, exclude: set[str] | None = None) -> Self:
        """Return the fields of a section: those in `include`, or all except those in `exclude`."""
        values = section.model_dump(mode="json", include=include, exclude=exclude)
        fields = type(section).model_fields
        defaults = {name: fields[name].get_default() for name in values if not fields[name].is_required()}
        return cls(values, to_jsonable_python(defaults))

    @classmethod
    def joined(cls, **parts: "Settings") -> Self:
        """Return the settings of several sections under dotted names, such as training.epochs."""
        return cls(
            {f"{part}.{name}": value for part, settings in parts.items() for name, value in settings.values.items()},
            {f"{part}.{name}": value for part, settings in parts.items() for name, value in settings.defaults.items()},
        )

    @property
    def changed(self) -> dict[str, Any]:
        """The values that differ from their defaults."""
        return {name: v for name, v in self.values.items() if name not in self.defaults or self.defaults[name] != v}

    def agree_with(self, recorded: Mapping[str, Any]) -> bool:
        """Return whether recorded values mean the same; a field that did not exist yet had its default."""
        return {**self.defaults, **recorded} == {**self.defaults, **self.values}


@dataclass(frozen=True)
class Stage:
    """What a stage's output depends on."""

    name: StageName
    settings: Settings
    inputs: Mapping[str, str]
    """Fingerprints by the input's name."""

    @property
    def version(self) -> int:
        """The version of the stage's code; see `VERSIONS`."""
        return VERSIONS[self.name]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything the output depends on; the output is stored under it."""
        return fingerprint(
            {"stage": self.name, "version": self.version, "config": self.settings.changed, "inputs": self.inputs}
        )

    @property
    def address(self) -> str:
        """The path of the output in every store: name/fingerprint."""
        return f"{self.name}/{self.fingerprint}"


def fresh_stages(first: str | None, stages: Mapping[str, StageName] = TRAINING_STAGES) -> list[StageName]:
    """Return the stages to make again: from `first` on, "all" for every one, none for None.

    Raises InputError for another name.
    """
    if first is None:
        return []
    names = ["all", *stages]
    if first not in names:
        raise InputError(f"fresh={first}: there is no such stage; choose one of {', '.join(names)}")
    return list(stages.values())[max(0, names.index(first) - 1) :]


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON object; the order of its keys does not matter.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
