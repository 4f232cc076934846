"""From a registered version to the artifacts that it was made from: evaluation, training, rows, tokenizer, corpus."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.corpus.scored import SCORED_INPUT
from pipeline.inference.weights import WEIGHTS
from pipeline.registry.pull import VersionRecord
from pipeline.registry.versions import IDENTITY_TAG, identity_of
from pipeline.store.artifact_folder import read_manifest
from pipeline.store.store import Store
from pipeline.training.trained import CHECKPOINTS
from pipeline.upkeep.artifacts import content_of

CHAIN = ("evaluation", "training", "encoded", "tokenizer", "corpus")
"""The stages of a registered model, from its end to its beginning."""
LINKS: Mapping[str, tuple[str, ...]] = {
    "evaluation": ("training", "corpus"),
    "training": ("encoded",),
    "encoded": ("tokenizer", "corpus"),
    "tokenizer": ("corpus",),
    "corpus": (),
}
"""What each was made from."""
JOINED, PART = "corpora", "corpus "
"""The stage that joins several sources; how the names of their artifacts begin, where others are known by stage."""


@dataclass(frozen=True)
class Lineage:
    """Where the artifacts of a registered version are stored, as far as that is known."""

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """By stage; the corpus's is that of its content. The content of each of several sources by `part_of_corpus`."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Likewise; a corpus is stored under what it was read from, several sources together under their contents."""

    @property
    def parts(self) -> list[str]:
        """By which names those of several sources are known here; none if there is only one."""
        return [name for name in {**self.fingerprints, **self.addresses} if name.startswith(PART)]


class Manifests:
    """The manifests of a store and of `$NMT_STORAGE`, each read once."""

    def __init__(self, store: Store) -> None:
        """Read nothing yet."""
        self.store = store
        self._known: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, stage: str) -> Mapping[str, dict[str, Any]]:
        """Return the manifests of all outputs of a stage that can be read, by what each is stored under."""
        if stage not in self._known:
            found: dict[str, dict[str, Any]] = {}
            for folder in self.folders(stage):
                if manifest := read_manifest(folder):
                    found[folder.name] = manifest
            if self.store.shared is not None:
                there = {str(manifest.get("fingerprint")): manifest for manifest in self.store.manifests(stage)}
                found = there | found
            self._known[stage] = found
        return self._known[stage]

    def folders(self, stage: str) -> list[Path]:
        """Return the folders of all outputs of a stage on this machine."""
        root = self.store.root / stage
        return [path for path in sorted(root.iterdir()) if is_output(path)] if root.is_dir() else []


def is_output(path: Path) -> bool:
    """Whether a folder of the store is an output, and none that is being made or was set aside."""
    return path.is_dir() and "." not in path.name


def trace(version: VersionRecord, manifests: Manifests, stored: Mapping[str, str] | None = None) -> Lineage:
    """Return what a version was made from: as it was registered, and for the rest as the manifests say.

    `stored` is what its own corpus, and the corpus of each of several sources, is stored under, as far as it is known.
    """
    stored = stored or {}
    known = dict(version.fingerprints)
    if evaluation := _evaluation(version, known, manifests):
        known["evaluation"] = evaluation
    for stage in CHAIN:
        inputs = manifests.of(stage).get(known.get(stage, ""), {}).get("inputs")
        for name in LINKS[stage]:
            if isinstance(inputs, dict) and name in inputs:
                known.setdefault(name, str(inputs[name]))
    addresses = {stage: f"{stage}/{known[stage]}" for stage in CHAIN if stage in known and stage != "corpus"}
    contents = {"corpus": known.get("corpus"), **sources_of(known.get("corpus"), manifests)}
    several = len(contents) > 1 or any(name.startswith(PART) for name in stored)
    if several and contents["corpus"] is not None:
        addresses["corpus"] = f"{JOINED}/{contents.pop('corpus')}"
    for name in {**contents, **{name: None for name in stored if name.startswith(PART)}}:
        if found := stored.get(name) or next(iter(stored_corpora(contents.get(name), manifests)), None):
            addresses[name] = f"corpus/{found}"
    fingerprints = {stage: known[stage] for stage in CHAIN if stage in known}
    return Lineage(fingerprints | {name: str(each) for name, each in contents.items() if each}, addresses)


def sources_of(content: str | None, manifests: Manifests) -> dict[str, str]:
    """Return the contents of the sources that a corpus was joined from; nothing if it is that of one."""
    inputs = manifests.of(JOINED).get(content or "", {}).get("inputs")
    sources = inputs.items() if isinstance(inputs, dict) else ()
    return {f"{PART}{name}": str(each) for name, each in sources if not name.startswith(SCORED_INPUT)}


def _evaluation(version: VersionRecord, known: Mapping[str, str], manifests: Manifests) -> str | None:
    """Return the evaluation that a version was registered with.

    The run of a training that was evaluated again names the last evaluation alone: which one is a version's, its
    identity tells, where the scores and the weights are still there.
    """
    training = known.get("training", "")
    weights = best_weights(manifests.of("training").get(training))
    for name, manifest in manifests.of("evaluation").items():
        inputs = manifest.get("inputs")
        of_training = weights is not None and isinstance(inputs, dict) and inputs.get("training") == training
        if of_training and identity_of(name, str(weights), manifest["figures"]) == version.tags.get(IDENTITY_TAG):
            return name
    return None


def best_weights(manifest: Mapping[str, Any] | None) -> str | None:
    """Return the hash of the weights that a training was registered with, by its manifest."""
    try:
        assert manifest is not None
        name = manifest["figures"]["checkpoints"][0]["name"]
        return str(manifest["files"][f"{CHECKPOINTS}/{name}/{WEIGHTS}"])
    except (AssertionError, KeyError, IndexError, TypeError):
        return None


def stored_corpora(content: str | None, manifests: Manifests) -> Iterable[str]:
    """Return what the corpora with this content are stored under, those of this machine first."""
    if content is None:
        return []
    here = [folder.name for folder in manifests.folders("corpus") if content in content_of(folder)]
    others = manifests.of("corpus").items()
    return [
        *here,
        *(name for name, each in others if name not in here and each["figures"].get("fingerprint") == content),
    ]
