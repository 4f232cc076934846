"""Presets: YAML files that state only what differs from the defaults."""

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from flows.permitted import check_config, check_read
from pipeline.config import RunConfig
from pipeline.errors import InputError, without_secrets
from pipeline.overrides import (
    EXTENDS,
    UnboundedYaml,
    assignments,
    build_config,
    flatten,
    nearest_name,
    read_yaml,
    refuse_unknown,
)

MOST_BYTES = 2**18
EVALUATION_FIELDS = ("corpus.", "evaluation.bootstrap_samples", "evaluation.bleu_tokenizer", "registry.experiment")
"""The beginnings of the names of fields that an evaluation of registered models uses."""


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("flows") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset: str, overrides: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a preset (a name, or a YAML file of the user's) with overrides by dotted name.

    A preset that `extends` another states what differs from that one. Raises InputError for an unknown preset, with
    the nearest, for anything wrong in it or in the overrides, and for files that the run may not read.

    >>> load_config("captions", {"training.epochs": 3}).training.epochs
    3
    """
    if preset.endswith((".yaml", ".yml")):
        content = {"name": Path(preset).stem} | _of_file(preset)
        config = build_config(content, overrides, unquoted=content.keys())
    else:
        config = build_config({"name": preset} | _named(preset, f"--preset {preset}"), overrides)
    check_config(config)
    return config


def command_of(flow: str, preset: str, overrides: Mapping[str, Any]) -> list[str]:
    """Return the command that runs a flow on a preset with overrides, in words, without secrets.

    >>> command_of("train", "captions", {"training.epochs": 3})
    ['nmt', 'train', '--preset', 'captions', '--set', 'training.epochs=3']
    """
    changes = [word for assignment in assignments(overrides) for word in ("--set", assignment)]
    return [without_secrets(word) for word in ("nmt", flow, "--preset", preset, *changes)]


def check_evaluation(
    preset: str | None,
    overrides: Mapping[str, Any],
    references: Sequence[str] = (),
    test_set: str | None = None,
    split: str = "test",
) -> None:
    """Raise InputError for what is wrong with an evaluation's preset and overrides, whichever model it is of."""
    if preset is not None:
        load_config(preset, overrides)
    for name, value in overrides.items():
        refuse_unknown(name, value)
        if not name.startswith(EVALUATION_FIELDS):
            raise InputError(
                f"{name}={value}: an evaluation does not use this field, and a model searches as it was registered; "
                f"set one of {', '.join(EVALUATION_FIELDS)}"
            )
    if test_set is not None:
        others = [f"{name}={value}" for name, value in overrides.items() if name.startswith("corpus.")]
        others += [f"--reference {name}" for name in references] + [f"--split {split}"] * (split != "test")
        if others:
            raise InputError(f"--test-set {test_set}: the set says itself what it is; leave out {others[0]}")
    if references and "corpus.path" not in overrides:
        raise InputError(
            f"--reference {references[0]}: a test set as a training has it has one reference; name pairs with several "
            "with --set corpus.path=FILE"
        )


def _of_file(preset: str) -> dict[str, Any]:
    """Return what a preset of the user's says. What is in a file that is no preset is not quoted."""
    check_read(preset, f"--preset {preset}")
    path = Path(preset)
    if not path.is_file():
        raise InputError(f"--preset {preset}: there is no such file")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"--preset {preset}: {path.stat().st_size:,} bytes are no preset, which has few lines")
    try:
        content = _parse(path.read_text("utf8"), preset)
    except UnicodeDecodeError as error:
        raise InputError(f"--preset {preset}: not UTF-8 ({error.reason}); convert the file to UTF-8") from None
    foreign = [name for name in content if name.partition(".")[0] not in RunConfig.model_fields]
    if any(nearest_name(name) is None for name in foreign):
        raise InputError(
            f"--preset {preset}: not a preset: it has other sections than {', '.join(RunConfig.model_fields)}; "
            "`nmt presets --fields` lists all names"
        )
    return content


def _named(name: str, asked_by: str) -> dict[str, Any]:
    """Return what a preset of the package and those that it extends say, by dotted name."""
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise InputError(f"{asked_by}: there is no such preset; {hint} (or give a .yaml file)")
    return _parse((resources.files("flows") / "presets" / f"{name}.yaml").read_text("utf8"), name)


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        content = read_yaml(text) or {}
    except UnboundedYaml as error:
        raise InputError(f"--preset {name}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InputError(f"--preset {name}: not YAML{where}; correct it") from None
    if not isinstance(content, Mapping):
        raise InputError(f"--preset {name}: a preset is a mapping of sections, not {type(content).__name__}")
    own = dict(content)
    extended = own.pop(EXTENDS, None)
    base = {} if extended is None else _named(str(extended), f"--preset {name}: extends {extended}")
    return base | dict(flatten(own))
