"""One artifact of the store: its files against its manifest, its manifest against its fingerprint. Nothing changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pipeline.batches.mixture import MIXING_DEFAULTS
from pipeline.config import RunConfig
from pipeline.corpus.splits import SPLITS, split_path
from pipeline.errors import ExternalError
from pipeline.store.artifact_folder import MANIFEST, file_hash, read_manifest
from pipeline.store.code import code_digest
from pipeline.store.stages import VERSIONS, Settings, StageName, fingerprint
from pipeline.store.store import Store

WHOLE, DAMAGED, MISSING = "whole", "damaged", "missing"
AGAIN = "the command below makes it again"
VALIDATION_DEFAULTS = {"bleu_tokenizer": "13a", "pairs": None}
"""Those of `train_stage` in cluster/training.py, which takes seconds to import."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what to do about it."""

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.where}: {self.what}; {self.remedy}"


@dataclass
class Checked:
    """An artifact, or the files of a registered version, and what was found to be wrong with it."""

    name: str
    fingerprint: str
    path: Path | None = None
    manifest: dict[str, Any] | None = None
    files: int = 0
    bytes: int = 0
    made: datetime | None = None
    damaged: list[str] = field(default_factory=list)
    """The names of the files that are not what they were."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def state(self) -> str:
        """In a word; for a damaged one with its first file."""
        if self.path is None:
            return MISSING
        more = f" and {len(self.damaged) - 1} more" if len(self.damaged) > 1 else ""
        return f"{DAMAGED}: {self.damaged[0]}{more}" if self.damaged else WHOLE

    @property
    def figures(self) -> Mapping[str, Any]:
        """What its stage measured; nothing if that is not known."""
        return self.manifest["figures"] if self.manifest else {}

    @property
    def inputs(self) -> Mapping[str, str]:
        """The fingerprints of what it says it was made from."""
        found = self.manifest.get("inputs") if self.manifest else None
        return found if isinstance(found, dict) else {}

    @property
    def other_code(self) -> bool:
        """Whether it was made by other code than this program's."""
        made_by = (self.manifest or {}).get("made_by")
        return isinstance(made_by, dict) and code_digest(str(made_by.get("module"))) != made_by.get("code")

    def report(self, file: str, what: str, remedy: str) -> None:
        """Note that one of its files is damaged; what was noted first of a file explains the rest."""
        if file not in self.damaged:
            self.damaged.append(file)
            self.problems.append(Problem(f"{self.name}: {(self.path or Path()) / file}", what, remedy))


def check_artifact(store: Store, address: str, name: str | None = None) -> Checked:
    """Check an artifact by its address, after copying it here if it is in `$NMT_STORAGE` alone.

    Messages call it by `name`, else by its stage.
    Every file is compared with its hash in the manifest, and the fingerprint is computed again from what the manifest
    says it was made from. Raises ExternalError if `$NMT_STORAGE` fails.
    """
    stage, _, wanted = address.partition("/")
    checked = Checked(name or stage, wanted)
    folder = store.root / address
    if not folder.is_dir() and not _copy_here(store, address, checked):
        return checked
    checked.path, checked.manifest = folder, read_manifest(folder)
    checked.files, checked.bytes = size_of(folder)
    remedy = remedy_of(store, address)
    if checked.manifest is None:
        checked.report(MANIFEST, "it cannot be read, so that nothing here can be checked", remedy)
        return checked
    checked.made = time_of(checked.manifest)
    for name, digest in checked.manifest["files"].items():
        if not (folder / name).is_file():
            checked.report(name, "it is not there", remedy)
        elif file_hash(folder / name) != digest:
            checked.report(name, "its bytes are not those that were written", remedy)
    if checked.manifest.get("stage") != stage or not agrees(checked.manifest, wanted):
        checked.report(
            MANIFEST, f"its configuration or its inputs are not those of the fingerprint {wanted[:12]}", remedy
        )
    return checked


def _copy_here(store: Store, address: str, checked: Checked) -> bool:
    """Copy an artifact from `$NMT_STORAGE`; return whether it was there, whole."""
    if store.shared is None or not (store.shared / address).has(MANIFEST):
        places = f"{store.root}{'' if store.shared is None else f' or {store.shared.uri}'}"
        checked.problems.append(Problem(checked.name, f"there is no {address[:20]} in {places}", AGAIN))
        return False
    try:
        store.fetch(address)
    except ExternalError:
        (store.shared / address).has(MANIFEST)  # Raises if the storage itself has failed meanwhile.
        checked.problems.append(
            Problem(checked.name, f"{(store.shared / address).uri} is damaged, and not here", AGAIN)
        )
        return False
    return True


def remedy_of(store: Store, address: str) -> str:
    """Return what mends a damaged artifact."""
    if store.shared is not None and (store.shared / address).has(MANIFEST):
        return f"remove {store.root / address}, and it is copied from {store.shared.uri}"
    return AGAIN


def agrees(manifest: Mapping[str, Any], wanted: str) -> bool:
    """Whether a manifest describes what has this fingerprint.

    What an older version of the stage has made is computed with the defaults of today. If that gives another
    fingerprint, its default may have been another then, and the fingerprint that it names has to do.
    """
    try:
        stage, version = cast(StageName, manifest["stage"]), int(manifest["version"])
        settings = Settings(manifest["config"], defaults_of(stage))
        content = {"stage": stage, "version": version, "config": settings.changed, "inputs": manifest["inputs"]}
        same = fingerprint(content) == wanted
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return bool(manifest.get("fingerprint") == wanted and (same or version < VERSIONS.get(stage, 0)))


def defaults_of(stage: StageName) -> Mapping[str, Any]:
    """Return the defaults that the fingerprints of a stage leave out, by the names in its manifest."""
    config = RunConfig()
    if stage == "training":
        return Settings.joined(
            model=Settings.of(config.model),
            training=Settings.of(config.training),
            noise=Settings.of(config.noise),
            validation=Settings({}, VALIDATION_DEFAULTS),
            mixing=Settings({}, MIXING_DEFAULTS),
        ).defaults
    if stage == "corpora":
        return {"leaks": "remove"}
    section = {"encoded": "batching"}.get(stage, stage)
    return Settings.of(getattr(config, section)).defaults if section in RunConfig.model_fields else {}


def content_of(folder: Path) -> set[str]:
    """Return what the corpus in a folder may be known by: what its manifest says it holds, and what it does hold."""
    manifest = read_manifest(folder)
    if manifest is not None:
        listed: dict[str, Any] = {split: manifest["files"].get(f"{split}.jsonl") for split in SPLITS}
        return {str(manifest["figures"].get("fingerprint")), fingerprint(listed)}
    files = {split: split_path(folder, split) for split in SPLITS}
    if not all(file.is_file() for file in files.values()):
        return set()
    return {fingerprint({split: file_hash(file) for split, file in files.items()})}


def size_of(folder: Path) -> tuple[int, int]:
    """Return the number of files in a folder, and their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def time_of(manifest: Mapping[str, Any]) -> datetime | None:
    """Return when an artifact was made; None if its manifest does not say so."""
    try:
        made = datetime.fromisoformat(str(manifest.get("created")))
    except ValueError:
        return None
    return made if made.tzinfo else made.replace(tzinfo=UTC)
