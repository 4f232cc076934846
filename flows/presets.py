"""Presets: YAML files that state only what differs from the defaults."""

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import RunConfig, build_config
from pipeline.errors import InputError


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    folder = resources.files("flows") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset: str, overrides: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a preset (a name, or a YAML file of the user's) with overrides by dotted name.

    Raises InputError for an unknown preset, with the nearest, and for anything wrong in it or in the overrides.

    >>> load_config("captions", {"training.epochs": 3}).training.epochs
    3
    """
    if preset.endswith((".yaml", ".yml")):
        path = Path(preset)
        if not path.is_file():
            raise InputError(f"--preset {preset}: there is no such file")
        try:
            return _build(path.stem, path.read_text("utf8"), overrides)
        except UnicodeDecodeError as error:
            raise InputError(f"--preset {preset}: not UTF-8 ({error.reason}); convert the file to UTF-8") from None
    names = preset_names()
    if preset not in names:
        near = difflib.get_close_matches(preset, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise InputError(f"--preset {preset}: there is no such preset; {hint} (or give a .yaml file)")
    return _build(preset, (resources.files("flows") / "presets" / f"{preset}.yaml").read_text("utf8"), overrides)


def _build(name: str, text: str, overrides: Mapping[str, Any]) -> RunConfig:
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"--preset {name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise InputError(f"--preset {name}: a preset is a mapping of sections, not {type(content).__name__}")
    return build_config({"name": name, **content}, overrides)
