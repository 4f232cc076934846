"""Which corpus a version is scored on: the one that it was trained on, a preset's, or one that the user names."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flows.presets import load_config, preset_names
from pipeline.config import RunConfig
from pipeline.corpus.splits import Split
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import EvaluationSet
from pipeline.overrides import build_config
from pipeline.registry.pull import PulledVersion

SOURCES = {"corpus.path", "corpus.dataset"}
OF_A_SOURCE = {"path", "target_path", "dataset", "subset", "revision"}
"""Fields of a corpus that mean nothing for another source."""
REMEDY = "name what to score on with --preset or --set corpus.path=FILE"


def names_source(overrides: Collection[str]) -> bool:
    """Whether overrides say where the pairs come from."""
    return not SOURCES.isdisjoint(overrides)


def evaluation_config(version: PulledVersion, preset: str | None, overrides: Mapping[str, Any]) -> RunConfig:
    """Return the configuration whose corpus a version is scored on: without a preset, the one that it was trained on.

    Versions record their corpus; those from before they did have the name of their preset. Raises InputError where
    neither is of use here, and for anything wrong in the overrides.
    """
    if preset is not None:
        return load_config(preset, overrides)
    recorded = version.metadata
    name, corpus = recorded.get("preset"), recorded.get("corpus")
    if corpus is not None and names_source(overrides):
        columns_and_sizes = {field: value for field, value in corpus.items() if field not in OF_A_SOURCE}
        return build_config({"name": name, "corpus": columns_and_sizes}, overrides)
    if corpus is not None and (corpus["path"] is None or Path(corpus["path"]).exists()):
        return build_config({"name": name, "corpus": corpus}, overrides)
    if corpus is None and name in preset_names():
        return load_config(name, overrides)
    if corpus is None and names_source(overrides):
        return build_config({}, overrides)
    reason = f"on {corpus['path']}, which is not there" if corpus else "which is not known here"
    trained = f"was trained with preset {name}, {reason}" if name else "has no record of what it was trained on"
    raise InputError(f"{version.uri} {trained}; {REMEDY}")


def describe(
    version: PulledVersion,
    preset: str | None,
    overrides: Mapping[str, Any],
    config: RunConfig,
    split: Split,
    pairs: EvaluationSet,
) -> str:
    """Return a sentence on what a version was scored on."""
    if names_source(overrides):
        return f"On {pairs.name}."
    changes = [f"{name}={value}" for name, value in overrides.items() if name.startswith("corpus.")]
    test_set = f"On the {split} set of preset {config.name}" + (f" with {', '.join(changes)}" if changes else "")
    recorded = version.metadata.get("sha256", {}).get(split)
    if preset is None and not changes and recorded not in (None, pairs.fingerprint):
        test_set += ", which has changed since the training"
    return f"{test_set}."
