"""A registered version, checked back to its corpus: every hash on the way, and that each stage leads to the next."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config import RunConfig
from pipeline.inference.weights import WEIGHTS
from pipeline.registry.pull import VersionRecord, version_record
from pipeline.registry.versions import IDENTITY_TAG, identity_of
from pipeline.source_config import SourceConfig
from pipeline.store.artifact_folder import MANIFEST, file_hash
from pipeline.store.storage import home
from pipeline.store.store import Store, versions
from pipeline.store.whole_files import make_private
from pipeline.upkeep.artifacts import AGAIN, Checked, Problem, check_artifact
from pipeline.upkeep.bundle_check import BundleCheck
from pipeline.upkeep.corpus_check import changed_sources, check_joined, check_pin
from pipeline.upkeep.lineage import CHAIN, LINKS, PART, Lineage, Manifests, trace
from pipeline.upkeep.recipe import exactly, recorded_config

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verification:
    """What a registered version was made from, and whether all of it is still what it was."""

    version: VersionRecord
    rows: Sequence[Checked]
    """The version's own files, then the artifacts from evaluation to corpus, and the corpora of several sources."""
    notes: Sequence[str]
    """What is no damage, but good to know."""
    config: RunConfig | None
    """What makes it again; None if that was not recorded, or is not known to this program."""
    figures: Mapping[str, Mapping[str, Any]]
    """Of every stage, as recorded when it was registered where the artifact is gone."""
    versions: Mapping[str, str]
    """Of Python and the packages that trained it."""
    other_code: Sequence[str]
    """The stages that other code than this program's has made."""

    @property
    def problems(self) -> list[Problem]:
        """All that is missing or damaged."""
        return [problem for row in self.rows for problem in row.problems]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or damaged."""
        return not self.problems

    @property
    def changed_versions(self) -> dict[str, str]:
        """The packages whose version is another here, with the one here."""
        here = versions()
        return {name: here[name] for name, value in self.versions.items() if name in here and here[name] != value}


def verify(model: str) -> Verification:
    """Check a registered version, named as for `nmt translate --model`, and all that it was made from.

    What is in `$NMT_STORAGE` alone is copied here first. Nothing else changes: what is damaged stays where it is.

    Raises InputError if there is no such version, ExternalError if MLflow or `$NMT_STORAGE` fails.
    """
    version = version_record(model)
    store = Store()
    manifests = Manifests(store)
    make_private(home())
    with TemporaryDirectory(dir=home(), prefix=".verify-") as folder:  # Where `nmt clean` finds it after a kill.
        bundle = BundleCheck(version, Path(folder))
        recorded = bundle.record or version.training_run()
        stages = bundle.record.get("stages", {})
        stored = {stage: each.get("fingerprint") for stage, each in stages.items() if stage.startswith("corpus")}
        lineage = trace(version, manifests, stored)
        rows = {stage: _check_stage(stage, lineage, store) for stage in (*CHAIN, *lineage.parts)}
        _check_links(rows, lineage)
        _check_corpora(rows, lineage, _hash_of_splits(bundle.metadata))
        notes = list(_check_recorded(rows, version, stages, recorded))
        bundle.compare(rows["training"], rows["tokenizer"])
        _check_identity(rows["evaluation"], version, bundle)
        own_code = bundle.checked.path is None or bundle.own_code
    kept = {stage: each.get("figures", {}) for stage, each in stages.items()} or recorded
    figures = {stage: row.figures or kept.get(stage) or {} for stage, row in rows.items()}
    config = _config(recorded, bundle.metadata)
    made_with = (rows["training"].manifest or {}).get("versions") or recorded.get("versions") or {}
    other_code = [stage for stage, row in rows.items() if row.other_code] + ([] if own_code else ["the version's own"])
    return Verification(
        version=version,
        rows=[bundle.checked, *rows.values()],
        notes=[*notes, *changed_sources(_sources(rows, config), rows["tokenizer"], config)],
        config=config and exactly(config, figures["training"]),
        figures=figures,
        versions={str(name): str(value) for name, value in made_with.items()},
        other_code=other_code,
    )


def _check_stage(stage: str, lineage: Lineage, store: Store) -> Checked:
    if stage in lineage.addresses:
        return check_artifact(store, lineage.addresses[stage], stage if stage.startswith(PART) else None)
    wanted = lineage.fingerprints.get(stage, "")
    what = f"there is no {stage} {wanted[:12]} in {store.root}" if wanted else "which one it was is not recorded"
    if store.shared is not None and wanted:
        what += f" or {store.shared.uri}"
    return Checked(stage, wanted or UNKNOWN, problems=[Problem(stage, what, AGAIN)])


def _check_corpora(rows: Mapping[str, Checked], lineage: Lineage, recorded: Mapping[str, str]) -> None:
    """Report a corpus that is not what it is known by, and of several sources each that is not."""
    wanted = lineage.fingerprints.get("corpus")
    if not lineage.parts:
        check_pin(rows["corpus"], wanted, recorded)
        return
    for name in lineage.parts:
        check_pin(rows[name], lineage.fingerprints.get(name, rows[name].figures.get("fingerprint")), {})
    check_joined(rows["corpus"], wanted, recorded, {name.removeprefix(PART): rows[name] for name in lineage.parts})


def _sources(rows: Mapping[str, Checked], config: RunConfig | None) -> Iterator[tuple[Checked, SourceConfig | None]]:
    """Yield the corpus of each source with what was configured of it."""
    sources: dict[str, SourceConfig] = {}
    if config is not None:
        sources = {"corpus": config.corpus} | {f"{PART}{source.name}": source for source in config.corpus.sources}
    for name, row in rows.items():
        if name == "corpus" or name.startswith(PART):
            yield row, sources.get(name)


def _check_links(rows: Mapping[str, Checked], lineage: Lineage) -> None:
    """Report what was made from something else than the version was registered with."""
    for stage, names in LINKS.items():
        for name in names:
            found, wanted = rows[stage].inputs.get(name), lineage.fingerprints.get(name)
            if rows[stage].manifest is not None and found != wanted:
                what = f"it was made from the {name} {str(found)[:12]}, the version from {str(wanted)[:12]}"
                rows[stage].report(MANIFEST, what, AGAIN)


def _check_recorded(
    rows: Mapping[str, Checked], version: VersionRecord, stages: Mapping[str, Any], recorded: Mapping[str, Any]
) -> Iterator[str]:
    """Report manifests that are not as they were at the registration; yield which have been made again since.

    An older version has no hashes of manifests, but the figures of most of them.
    """
    for stage, row in rows.items():
        if row.path is None or row.manifest is None:
            continue
        if stage in stages:
            same = file_hash(row.path / MANIFEST) == stages[stage].get("manifest")
        else:
            same = stage == "evaluation" or stage not in recorded or row.figures == recorded[stage]
        if same or MANIFEST in row.damaged:
            continue
        if row.made is not None and row.made > version.registered:
            yield f"{stage}: made again on {row.made:%Y-%m-%d}, after the version was registered"
        else:
            row.report(MANIFEST, "it is not as it was when the version was registered", AGAIN)


def _check_identity(evaluation: Checked, version: VersionRecord, bundle: BundleCheck) -> None:
    """Report scores that are not those by which the version is known."""
    wanted = version.tags.get(IDENTITY_TAG)
    if evaluation.manifest is None or wanted is None or WEIGHTS not in bundle.hashes or bundle.checked.damaged:
        return
    if identity_of(evaluation.fingerprint, bundle.hashes[WEIGHTS], evaluation.figures) != wanted:
        evaluation.report(MANIFEST, "its scores are not those that were registered", AGAIN)


def _hash_of_splits(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    found = metadata.get("sha256")
    return found if isinstance(found, dict) else {}


def _config(recorded: Mapping[str, Any], metadata: Mapping[str, Any]) -> RunConfig | None:
    """Return the recorded configuration; an older one is pinned by what MLflow's description of the model says."""
    content = recorded.get("config")
    if not isinstance(content, dict):
        return None
    pinned = metadata.get("corpus")
    if "stages" not in recorded and isinstance(pinned, dict) and isinstance(content.get("corpus"), dict):
        exact = {name: pinned[name] for name in ("path", "target_path", "revision") if name in pinned}
        content = content | {"corpus": content["corpus"] | exact}
    return recorded_config(content)


def public(found: Verification, command: Sequence[str]) -> dict[str, Any]:
    """Return a verification as JSON values, with the words of the command that makes the model again."""
    return {
        "model": found.version.uri,
        "name": found.version.name,
        "version": found.version.version,
        "aliases": list(found.version.aliases),
        "registered": found.version.registered.isoformat(),
        "run_id": found.version.run_id,
        "whole": found.whole,
        "stages": [
            {
                "stage": row.name,
                "fingerprint": row.fingerprint,
                "state": row.state.partition(":")[0],
                "damaged": row.damaged,
                "made": row.made and row.made.isoformat(),
                "files": row.files,
                "bytes": row.bytes,
                "path": None if row.path is None or row.name == "version" else os.fspath(row.path),
            }
            for row in found.rows
        ],
        "problems": [vars(problem) for problem in found.problems],
        "notes": list(found.notes),
        "figures": {stage: dict(figures) for stage, figures in found.figures.items()},
        "versions": dict(found.versions),
        "other_code": list(found.other_code),
        "command": list(command),
    }
