"""Builds a configuration from a preset and overrides by dotted name; errors suggest the nearest valid name."""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipeline.config import RunConfig
from pipeline.errors import InputError

EXTENDS = "extends"
"""What a preset's file calls the preset that it extends."""
DEEPEST = 20
"""How deep the values of a preset may be nested; none needs more than three levels."""
UNQUOTED = "..."
"""What messages have in place of a value."""
TEXT, NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"


OF_A_SOURCE = ("corpus.path", "corpus.dataset")
"""Fields that say where all pairs come from: given, they take the place of a preset's several sources."""
OF_SEVERAL = ("corpus.sources", "corpus.temperature", "corpus.curriculum")


def field_names(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all fields, such as training.epochs."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from field_names(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def parse_overrides(assignments: list[str]) -> dict[str, Any]:
    """Parse `section.field=value` assignments into values by dotted name; values are YAML.

    >>> parse_overrides(["training.epochs=3", "corpus.path=data/x"])
    {'training.epochs': 3, 'corpus.path': 'data/x'}

    Raises InputError for an assignment without a name or an equals sign.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set {assignment}: write section.field=value, such as training.epochs=3")
        overrides[name.strip()] = _parse(name.strip(), text)
    return overrides


def assignments(overrides: Mapping[str, Any]) -> list[str]:
    """Return overrides as `parse_overrides` reads them.

    >>> assignments({"training.epochs": 3, "training.until": ["2G tokens", "1 hour"], "corpus.subset": None})
    ['training.epochs=3', 'training.until=["2G tokens", "1 hour"]', 'corpus.subset=null']
    """
    return [f"{name}={_unparsed(name, value)}" for name, value in overrides.items()]


def _unparsed(name: str, value: Any) -> str:
    plain = isinstance(value, str) and _parse(name, value) == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def _parse(name: str, text: str) -> Any:
    """Parse a value as YAML, except for text fields: `no` is a language, 2024 may be a folder."""
    try:
        value = _load(text, f"{name}.")
    except (yaml.YAMLError, ValueError):  # ValueError: a date or number that there is none, such as 2024-13-01 and 0x.
        return text
    return text if value is not None and name in text_fields() else value


def read_yaml(text: str) -> Any:
    """Return the content of a preset's YAML; what is written in a text field is its text, quotes or not.

    YAML 1.1 would read `no` (Norwegian) as false and 12:30 as 750. Raises yaml.YAMLError, for aliases too.

    >>> read_yaml("corpus: {target_column: no, path: 007, subset: null, seed: 2}")
    {'corpus': {'target_column': 'no', 'path': '007', 'subset': None, 'seed': 2}}
    """
    try:
        return _load(text, "")
    except ValueError as error:
        raise yaml.YAMLError(str(error)) from None


def _load(text: str, prefix: str) -> Any:
    """Return a YAML value; the names in its mappings are those of fields after `prefix`."""
    check_yaml(text)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _mark_texts(root, text_fields() | {EXTENDS}, prefix)
        return loader.construct_document(root)
    finally:
        loader.dispose()


class UnboundedYaml(yaml.YAMLError):
    """YAML that could grow without end; the message quotes nothing of it."""


def check_yaml(text: str) -> None:
    """Raise UnboundedYaml for what could grow without end: aliases, which may name themselves, and deep nesting."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        assert event.start_mark is not None
        place = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise UnboundedYaml(f"{place} has an alias; write out what it stands for")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UnboundedYaml(f"{place} is nested more than {DEEPEST} times")


def _mark_texts(node: yaml.Node, texts: set[str], prefix: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _mark_texts(item, texts, prefix)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode | yaml.SequenceNode):
            _mark_texts(value, texts, f"{name}.")
        elif isinstance(value, yaml.ScalarNode) and name in texts and value.tag != NULL:
            value.tag = TEXT


def text_fields() -> set[str]:
    """Return the dotted names of the fields whose value is what is written, whatever YAML would make of it.

    Those of the items of a list bear the list's name: corpus.sources.path.
    """
    found = {name: _field(name) for name in field_names()}
    for name, field in list(found.items()):
        for item in get_args(field.annotation):
            if isinstance(item, type) and issubclass(item, BaseModel):
                found |= {f"{name}.{inner}": info for inner, info in item.model_fields.items()}
    return {name for name, field in found.items() if field.annotation in (str, str | None)}


def _field(name: str) -> FieldInfo:
    section, _, last = name.rpartition(".")
    model = type(getattr(RunConfig(), section)) if section else RunConfig
    return model.model_fields[last]


def build_config(preset: Mapping[str, Any], overrides: Mapping[str, Any], unquoted: Collection[str] = ()) -> RunConfig:
    """Return the configuration of a preset's content and overrides by dotted name.

    Raises InputError with the name, the value, and the nearest valid name or the bound. Values by the names in
    `unquoted` are left out: they come from a file that may be something else than a preset.

    >>> build_config({"training": {"epochs": 3}}, {"training.epochs": 5}).training.epochs
    5
    """
    flat = dict(flatten(preset))
    if overrides.get("tokenizer.model") is not None:  # Takes the place of all that a preset says of training one.
        flat = {name: value for name, value in flat.items() if not name.startswith("tokenizer.")}
    if any(overrides.get(name) is not None for name in OF_A_SOURCE):
        flat = {name: value for name, value in flat.items() if name not in OF_SEVERAL}
    flat |= overrides
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        refuse_unknown(name, _quotable(name, value, overrides, unquoted))
        section, _, field = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[field] = value
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise InputError(_explain(error, overrides, unquoted)) from None


def _quotable(name: str, value: Any, overrides: Mapping[str, Any], unquoted: Collection[str]) -> Any:
    return UNQUOTED if name in unquoted and name not in overrides else value


def flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested sections by dotted name."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def refuse_unknown(name: str, value: Any) -> None:
    """Raise InputError, with the nearest valid name, for a dotted name that is no field."""
    if name in field_names():
        return
    if name in RunConfig.model_fields:
        raise InputError(f"{name}={value}: {name} is a section; set one of its fields, such as {name}.<field>=...")
    near = nearest_name(name)
    hint = f"did you mean {near}?" if near else "`nmt presets --fields` lists all names"
    raise InputError(f"{name}={value}: there is no field {name}; {hint}")


def nearest_name(name: str) -> str | None:
    """Return the field whose dotted name is nearest; None if none is near.

    A valid field in the wrong section, or in none, is found by its last part.
    """
    names, last = list(field_names()), name.rpartition(".")[2]
    same = (known for known in names if known.rpartition(".")[2] == last)
    return next(iter(difflib.get_close_matches(name, names, 1, 0.6)), None) or next(same, None)


def _explain(error: ValidationError, overrides: Mapping[str, Any], unquoted: Collection[str]) -> str:
    """Return the first mistake in one line."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "string_type" and not isinstance(first["input"], str | None):
        reason = "a text is needed; put it in quotes"
    if isinstance(first["input"], Mapping):  # A rule about several fields names them in its message.
        return f"{name}: {reason}{more}" if name else f"{reason}{more}"
    value = " ".join(str(_quotable(name, first["input"], overrides, unquoted)).splitlines())
    return f"{name}={value}: {reason}{more}"


def dump_fields(config: RunConfig) -> dict[str, Any]:
    """Return the values of all fields by dotted name."""
    nested = config.model_dump(mode="json")
    return dict(flatten(nested))


def field_help() -> Iterator[tuple[str, str, str]]:
    """Yield the dotted name, default and description, with the choices, of every field."""
    defaults = dump_fields(RunConfig())
    for name in field_names():
        yield name, yaml.safe_dump(defaults[name]).splitlines()[0], _description(_field(name))


def _description(field: FieldInfo) -> str:
    """Describe a field, with its choices where the description does not name them all."""
    kinds = [field.annotation, *get_args(field.annotation)]  # Such as a Literal, or one and None.
    choices = [str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    unnamed = set(choices) - set(re.findall(r"[\w-]+", str(field.description)))
    return f"{field.description} [{', '.join(choices)}]" if unnamed else str(field.description)
