"""Which corpus a version is scored on: the one that it was trained on, a preset's, or one that the user names."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.permitted import check_config, check_read
from flows.presets import load_config, preset_names
from pipeline.config import RunConfig
from pipeline.corpus.corpus import CorpusPart, prepare_corpus
from pipeline.corpus.scored import SCORED_INPUT
from pipeline.corpus.splits import Split
from pipeline.errors import InputError
from pipeline.evaluation.evaluation_set import EvaluationSet, Seen
from pipeline.overrides import OF_SEVERAL, build_config
from pipeline.registry.pull import PulledVersion
from pipeline.store.store import Store

SOURCES = {"corpus.path", "corpus.dataset", "corpus.sources"}
OF_A_SOURCE = {
    "path",
    "target_path",
    "dataset",
    "subset",
    "revision",
    "skip_bad_lines",
    *(name.removeprefix("corpus.") for name in OF_SEVERAL),
}
"""Fields of a corpus that mean nothing for another source."""
REMEDY = "name what to score on with --preset or --set corpus.path=FILE"


def names_source(overrides: Collection[str]) -> bool:
    """Return whether overrides say where the pairs come from."""
    return not SOURCES.isdisjoint(overrides)


def evaluation_config(version: PulledVersion, preset: str | None, overrides: Mapping[str, Any]) -> RunConfig:
    """Return the configuration whose corpus a version is scored on: without a preset, the one that it was trained on.

    A version records its corpus; an older one only the name of its preset. Raises InputError if neither can be used
    here, and for anything wrong in the overrides.
    """
    if preset is not None:
        return load_config(preset, overrides)
    config = _config_without_preset(version, overrides)
    check_config(config)
    return config


def _config_without_preset(version: PulledVersion, overrides: Mapping[str, Any]) -> RunConfig:
    name, corpus = version.metadata.get("preset"), version.metadata.get("corpus")
    if corpus is None:
        return _config_of_older(version, name, overrides)
    corpus = _as_it_was(corpus)
    if names_source(overrides):
        corpus = {field: value for field, value in corpus.items() if field not in OF_A_SOURCE}
    else:
        for path in filter(None, (source["path"] for source in [corpus, *corpus.get("sources", ())])):
            check_read(path, f"{version.uri} was trained on {path}")
            if not Path(path).exists():
                raise InputError(
                    f"{version.uri} was trained with preset {name} on {path}, which is not there; {REMEDY}"
                )
    scored_by = {"bleu_tokenizer": version.metadata.get("bleu_tokenizer")}
    sets = version.metadata.get("test_sets", [])
    return build_config({"name": name, "corpus": corpus, "evaluation": scored_by | {"test_sets": sets}}, overrides)


def _as_it_was(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded corpus with what held before there were rules for it, if it is so old."""
    return {"clean": "off", "leaks": "keep", **corpus}


def _config_of_older(version: PulledVersion, preset: str | None, overrides: Mapping[str, Any]) -> RunConfig:
    if preset in preset_names():
        return load_config(preset, overrides)
    if names_source(overrides):
        return build_config({}, overrides)
    if preset is None:
        raise InputError(f"{version.uri} has no record of what it was trained on; {REMEDY}")
    raise InputError(f"{version.uri} was trained with preset {preset}, which is not known here; {REMEDY}")


def describe(
    version: PulledVersion,
    preset: str | None,
    overrides: Mapping[str, Any],
    config: RunConfig,
    split: Split,
    pairs: EvaluationSet,
    test_set: str | None = None,
) -> str:
    """Return a sentence on what a version was scored on."""
    if test_set is not None:
        return f"On test set {test_set} of preset {config.name}."
    if names_source(overrides):
        return f"On {pairs.name}."
    changes = [f"{name}={value}" for name, value in overrides.items() if name.startswith("corpus.")]
    test_set = f"On the {split} set of preset {config.name}" + (f" with {', '.join(changes)}" if changes else "")
    recorded = version.metadata.get("sha256", {}).get(split)
    if preset is None and not changes and recorded not in (None, pairs.fingerprint):
        test_set += ", which has changed since the training"
    return f"{test_set}."


def training_parts(version: PulledVersion, store: Store) -> tuple[CorpusPart, ...] | None:
    """Return the pairs that a version was trained on, by source; None if they are neither here nor can be made.

    They are found by what they hold, so that a corpus that was moved or renamed is known. Nothing is downloaded.
    """
    metadata = version.metadata
    recorded, corpus = metadata.get("sha256", {}).get("train"), metadata.get("corpus")
    if recorded is None:
        return None
    found = {manifest["figures"]["fingerprint"]: manifest for manifest in store.manifests("corpus")}
    for manifest in [*found.values(), *store.manifests("corpora")]:
        if manifest["figures"]["sha256"]["train"] == recorded:
            several = manifest["stage"] == "corpora"
            sources = {name: each for name, each in manifest["inputs"].items() if not name.startswith(SCORED_INPUT)}
            contents = sources if several else {"": manifest["figures"]["fingerprint"]}
            if all(content in found for content in contents.values()):
                return tuple(
                    CorpusPart(
                        name,
                        store.fetch(f"corpus/{found[content]['fingerprint']}"),
                        content,
                        found[content]["figures"]["pairs"],
                        left_out=_left_out(manifest, name, store) if several else None,
                    )
                    for name, content in contents.items()
                )
    if corpus and _needs_no_network(corpus):
        with suppress(InputError, OSError):  # Its files have changed, are not there any more, or are none of ours.
            config = build_config({"corpus": _as_it_was(corpus)}, {})
            check_config(config)
            made = prepare_corpus(config.corpus, store)
            if made.split_fingerprint("train") == recorded:
                return made.parts
    return None


def _left_out(joined: Mapping[str, Any], name: str, store: Store) -> Path | None:
    """Return the rows of a source that were left out for the sake of another, if there are any."""
    rows = joined["figures"]["left_out_rows"].get(name)
    return None if rows is None else store.fetch(f"corpora/{joined['fingerprint']}") / rows


def _needs_no_network(corpus: Mapping[str, Any]) -> bool:
    sources = corpus.get("sources") or [corpus]
    return all(source["path"] is not None for source in sources)


def describe_seen(uri: str, pairs: EvaluationSet, seen: Seen | None) -> str:
    """Return a sentence on how much of the pairs a version was trained on; nothing if it was on none of them."""
    if seen is None:
        return f"Whether {uri} was trained on these pairs is not known here: its corpus is not in the store."
    if not seen.sources:
        return ""
    others = seen.sources - seen.pairs
    more = f", and {others:,} more of the sources with another target" if others else ""
    return (
        f"{seen.pairs:,} of the {pairs.pairs:,} pairs were in the training of {uri}{more}: its scores on them "
        "say nothing about new text."
    )
