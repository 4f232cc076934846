"""The artifacts of the store: what each was made from, and who needs it."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import ExternalError
from pipeline.registry.pull import VersionRecord, all_versions
from pipeline.registry.runs import (
    fingerprints_of_training,
    has_registry,
    reachable_server,
    tracking_uri,
    use_registry,
)
from pipeline.store.artifact_folder import unless_held
from pipeline.store.stages import VERSIONS
from pipeline.store.storage import home, shared_folder
from pipeline.store.store import Store
from pipeline.training.runs.run_record import RUN_RECORD, read_run_record, run_name
from pipeline.upkeep.artifacts import content_of, size_of, time_of
from pipeline.upkeep.lineage import CHAIN, JOINED, Manifests, trace

YOUNG = timedelta(hours=1)
"""What was made so lately may be in use between two stages, when nothing holds it."""
UNFINISHED = re.compile(r"training-([0-9a-f]{16})(\.jsonl)?")
"""The folder and the records of a training that has not ended, in `ray/` (see cluster/training.py)."""
BEING_MADE, OPEN, REGISTERING = "being made", "unfinished training", "a registration"
READS: Mapping[str, tuple[str, ...]] = {
    "corpus": (),
    "corpora": ("corpus",),
    "tokenizer": ("corpora", "corpus"),
    "encoded": ("tokenizer", "corpora", "corpus"),
    "training": ("encoded", "tokenizer", "corpora", "corpus"),
    "evaluation": ("training", "encoded", "tokenizer", "corpora", "corpus", "evaluation-set"),
    "model": (),
    "evaluation-set": ("corpora", "corpus"),
    "set-translations": ("model", "evaluation-set", "corpora", "corpus"),
    "scores": ("set-translations", "model", "evaluation-set", "corpora", "corpus"),
}
"""The stages whose outputs one reads while it is made; others read all."""


@dataclass(frozen=True)
class Stored:
    """An artifact, on this machine or in `$NMT_STORAGE`."""

    stage: str
    fingerprint: str
    """What it is stored under."""
    path: Path | None
    """None if it is in `$NMT_STORAGE` alone."""
    bytes: int
    made: datetime
    origin: str
    """What it was made from, for people."""
    shared: bool
    """Whether `$NMT_STORAGE` has it."""
    damaged: bool
    """Whether its manifest cannot be read."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    needed_by: tuple[str, ...] = ()
    """Registered versions, by their labels."""
    used_by: tuple[str, ...] = ()
    """What runs, or has stopped and can go on."""

    @property
    def address(self) -> str:
        """Its address in every store."""
        return f"{self.stage}/{self.fingerprint}"

    @property
    def young(self) -> bool:
        """Whether it was made or copied here so lately that a run may be about to use it."""
        copied = datetime.fromtimestamp(self.path.stat().st_mtime, UTC) if self.path else self.made
        return datetime.now(UTC) - max(copied, self.made) < YOUNG

    @property
    def users(self) -> str:
        """Who needs it, for people."""
        damaged = ("nobody: its manifest is damaged",) if self.damaged and not self.used_by else ()
        return ", ".join((*self.used_by, *damaged, *(() if damaged else _joined(self.needed_by)))) or "nobody"

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "path": None if self.path is None else str(self.path),
            "in_storage": self.shared,
            "bytes": self.bytes,
            "made": self.made.isoformat(),
            "from": self.origin,
            "inputs": dict(self.inputs),
            "damaged": self.damaged,
            "needed_by": list(self.needed_by),
            "used_by": list(self.used_by),
        }


def list_store() -> list[Stored]:
    """Return all artifacts of the store, in the order of the stages, and who needs each.

    Raises ExternalError if MLflow or `$NMT_STORAGE` fails: who needs what cannot be known then.
    """
    if os.environ.get("MLFLOW_TRACKING_URI") and not has_registry():
        raise ExternalError(f"MLFLOW_TRACKING_URI={tracking_uri()}: there is no database; correct it, or unset it")
    manifests = Manifests(Store())
    found = [artifact for stage in VERSIONS for artifact in _of_stage(stage, manifests)]
    needed, used = needs_of_versions(manifests, all_versions()), _needs_of_runs(found)
    return [
        replace(
            artifact,
            needed_by=tuple(needed.get(artifact.address, ())),
            used_by=tuple(used.get(artifact.address, ())),
        )
        for artifact in found
    ]


def _of_stage(stage: str, manifests: Manifests) -> list[Stored]:
    others = None if manifests.store.shared is None else manifests.store.shared / stage
    there = set() if others is None else {folder.name for folder in others.folders()}
    here = {folder.name: folder for folder in manifests.folders(stage)}
    found = []
    for name in sorted({*here, *there}):
        path, manifest = here.get(name), manifests.of(stage).get(name)
        if path is None and manifest is None:
            continue  # In the storage, without a manifest: being copied there.
        size = size_of(path)[1] if path else others.usage(name)[0] if others is not None else 0
        inputs = manifest.get("inputs") if manifest else None
        found.append(
            Stored(
                stage=stage,
                fingerprint=name,
                path=path,
                bytes=size,
                made=_made(path, manifest),
                origin=_origin(stage, manifest, manifests) if manifest else "",
                shared=name in there,
                damaged=manifest is None,
                inputs={str(key): str(value) for key, value in inputs.items()} if isinstance(inputs, dict) else {},
            )
        )
    return sorted(found, key=lambda artifact: artifact.made)


def _made(path: Path | None, manifest: Mapping[str, Any] | None) -> datetime:
    made = time_of(manifest) if manifest else None
    if made is not None:
        return made
    return datetime.fromtimestamp(path.stat().st_mtime if path else 0, UTC)


def _origin(stage: str, manifest: Mapping[str, Any], manifests: Manifests) -> str:
    """Return what an artifact was made from: its corpus by name, its inputs, and what tells it from others."""
    figures, config, inputs = manifest["figures"], manifest.get("config") or {}, manifest.get("inputs") or {}
    if stage in ("corpus", JOINED):
        return _corpus_name(figures)
    if stage == "model":
        return f"models:/{inputs.get('name')}/{inputs.get('version')}"
    told = {
        "tokenizer": f"{config.get('kind')} {config.get('vocabulary_size')}",
        "training": f"seed {config.get('training.seed')}",
    }.get(stage)
    reads = [str(value)[:8] for name, value in inputs.items() if name != "corpus" or stage not in CHAIN]
    return ", ".join(filter(None, [_corpus_of(stage, manifest, manifests).partition(", ")[0], *reads, told]))


def _corpus_of(stage: str, manifest: Mapping[str, Any], manifests: Manifests) -> str:
    """Return the name of the corpus at the beginning of a chain; nothing if that is gone."""
    inputs = manifest.get("inputs") or {}
    if "corpus" in inputs and stage in CHAIN:
        known = (each["figures"] for stage in ("corpus", JOINED) for each in manifests.of(stage).values())
        return next((_corpus_name(each) for each in known if each.get("fingerprint") == inputs["corpus"]), "")
    for name in ("encoded", "training"):
        if found := manifests.of(name).get(str(inputs.get(name))):
            return _corpus_of(name, found, manifests)
    return ""


def _corpus_name(figures: Mapping[str, Any]) -> str:
    origin = figures.get("origin") or {}
    pairs = (figures.get("pairs") or {}).get("train")
    told = " + ".join(origin.get("sources", ())) or f"{origin.get('dataset') or Path(str(origin.get('path'))).name}"
    if "commit" in origin:
        told += f"@{str(origin['commit'])[:8]}"
    return f"{told}, {pairs:,} pairs" if isinstance(pairs, int) else told


def _joined(labels: Iterable[str]) -> list[str]:
    """Return the labels of versions with the model's name once: captions/1, 2, 3."""
    told: list[str] = []
    last = ""
    for label in labels:
        name, _, version = label.rpartition("/")
        told.append(version if name == last else label)
        last = name
    return told


def needs_of_versions(manifests: Manifests, versions: Iterable[VersionRecord]) -> dict[str, list[str]]:
    """Return the registered versions that were made from each artifact, by its address."""
    contents = {folder.name: content_of(folder) for folder in manifests.folders("corpus")}
    needs: dict[str, list[str]] = {}
    for version in versions:
        lineage = trace(version, manifests)
        addresses = {*lineage.addresses.values(), *_copies(version, manifests)}
        wanted = {lineage.fingerprints.get(name) for name in ("corpus", *lineage.parts)}
        addresses |= {f"corpus/{name}" for name, known in contents.items() if not wanted.isdisjoint(known)}
        for address in addresses:
            needs.setdefault(address, []).append(version.label)
    return needs


def _copies(version: VersionRecord, manifests: Manifests) -> set[str]:
    """Return the copies of a version in the store, which `nmt translate` and others use."""
    created = str(round(version.registered.timestamp() * 1000))
    return {
        f"model/{name}"
        for name, manifest in manifests.of("model").items()
        if isinstance(inputs := manifest.get("inputs"), dict)
        and (inputs.get("name"), inputs.get("version"), inputs.get("created"))
        == (version.name, version.version, created)
    }


def _needs_of_runs(found: Iterable[Stored]) -> dict[str, list[str]]:
    """Return what is being made, or can go on, by the address of each artifact that it uses."""
    artifacts, needs = list(found), dict[str, list[str]]()
    sources = {artifact.fingerprint: {*artifact.inputs.values()} for artifact in artifacts if artifact.stage == JOINED}

    def keep(stages: Iterable[str], fingerprints: Mapping[str, str] | None, user: str) -> None:
        """Note the artifacts of stages: those with a fingerprint, or all if which of them is not known."""
        wanted = {*stages}
        for artifact in artifacts:
            known, of_stage = {artifact.fingerprint}, set[str]()
            if fingerprints is not None:
                name = "corpus" if artifact.stage == JOINED else artifact.stage
                of_stage = {fingerprints.get(name, "")}
            if artifact.stage == "corpus" and artifact.path is not None:
                known |= content_of(artifact.path)
                of_stage |= {part for content in of_stage for part in sources.get(content, ())}
            if artifact.stage in wanted and (fingerprints is None or not of_stage.isdisjoint(known)):
                needs.setdefault(artifact.address, []).append(user)

    for stage, name in held_artifacts():
        needs.setdefault(f"{stage}/{name}", []).append(BEING_MADE)
        known = fingerprints_of(name[:16]) if stage == "training" else None
        keep(READS.get(stage, tuple(VERSIONS)), known, f"{stage} {name[:8]}, {BEING_MADE}")
        if stage == "training":  # Its test sets are loaded before it, and read after it.
            keep(("evaluation-set",), None, f"{stage} {name[:8]}, {BEING_MADE}")
    for beginning in unfinished_trainings():
        keep(READS["training"], fingerprints_of(beginning), f"{OPEN} {beginning[:8]}")
    if _is_held(home() / "registry.lock"):
        keep((*CHAIN, JOINED), None, REGISTERING)
    return {address: list(dict.fromkeys(users)) for address, users in needs.items()}


def fingerprints_of(training: str) -> dict[str, str] | None:
    """Return what a training is made from, by the beginning of its fingerprint; None if nobody knows."""
    record = read_run_record(home() / "ray" / f"{run_name(training)}{RUN_RECORD}")
    if record is not None:
        return {**record.inputs, "training": record.fingerprint}
    if not has_registry():
        return None
    use_registry()
    with reachable_server():
        return fingerprints_of_training(training)


def unfinished_trainings() -> list[str]:
    """Return the beginnings of the fingerprints of trainings that can be continued, here and in `$NMT_STORAGE`."""
    folder, shared = home() / "ray", shared_folder("ray")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    names += shared.names() if shared is not None else []
    return sorted({match[1] for name in names if (match := UNFINISHED.fullmatch(name))})


def held_artifacts() -> list[tuple[str, str]]:
    """Return the stage and the fingerprint of what processes of this machine make or copy now."""
    locks = sorted((home() / "store").glob("*/.*.lock"))
    return [(path.parent.name, path.name[1:].removesuffix(".lock")) for path in locks if _is_held(path)]


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with unless_held(path) as free:
        return not free
