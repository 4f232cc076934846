"""How a registered model is made again: the options of `nmt train`, or a preset with everything in it."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import assignments, build_config, dump_fields, field_names, flatten, parse_overrides

HEADER = "# {uri} as it was trained, in full: `nmt train --preset FILE` makes it again.\n"


def recorded_config(content: Mapping[str, Any]) -> RunConfig | None:
    """Return a configuration from what was recorded of it; None if this program has no such any more.

    Fields that this program does not have are left out: they had no influence, or it could not repeat them.
    """
    known = set(field_names())
    try:
        return build_config({name: value for name, value in flatten(content) if name in known}, {})
    except (InputError, ValidationError):
        return None


def changes(config: RunConfig, base: RunConfig) -> list[str] | None:
    """Return the `--set` options that turn one configuration into another; None if there are no such."""
    ours, theirs = dump_fields(config), dump_fields(base)
    different = {name: value for name, value in ours.items() if value != theirs[name]}
    options = assignments({name: value for name, value in different.items() if name not in {"name", "description"}})
    try:
        made = build_config(base.model_dump(), parse_overrides(options))
    except InputError:
        return None
    left = {"name": base.name, "description": base.description}
    return options if made == config.model_copy(update=left) and config.name == base.name else None


def preset_of(config: RunConfig, uri: str) -> str:
    """Return a preset, as YAML, that is this configuration, whatever the defaults become."""
    content = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=10**6)
    return HEADER.format(uri=uri) + content


def exactly(config: RunConfig, training: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with the number of workers and the device that a training had.

    Another number of workers makes the same model up to rounding alone. Where the batches depend on that number it was
    given, or is part of what the training is known by, and is left as it is.
    """
    if "workers" not in training or config.batching.tokens_per_worker is not None:
        return config
    usual = training["workers"] == 1 and training.get("device") == "cpu"
    if usual or config.training.num_workers is not None:
        return config
    told = {"num_workers": training["workers"], "device": training.get("device", config.training.device)}
    return config.model_copy(update={"training": config.training.model_copy(update=told)})
