"""Content-addressed artifacts: the store decides what is up to date, not the orchestrator.

    $NMT_HOME/store/<stage>/<fingerprint>/manifest.json   inputs, configuration, versions, file hashes, figures
    $NMT_HOME/store/<stage>/<fingerprint>/...             the stage's files

stages.py says what a fingerprint covers. Output is written to a temporary folder, which is renamed when it is complete;
its files are checked against the manifest before they are reused. The code that made it is not part of the fingerprint,
but its digest is in the manifest: output made by other code is reused, and reported as such.

If `$NMT_STORAGE` is set, new output is copied there, the manifest last, and output of other machines is copied from
there and checked. A stage always works on files of its own machine.
"""

import json
import logging
import os
import platform
import shutil
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import ExternalError
from pipeline.store.artifact_folder import (
    MANIFEST,
    damage,
    download_artifact,
    file_hash,
    held,
    lock_of,
    parse_manifest,
    remove_killed,
    replace_folder,
    temporary_folder,
    unless_held,
    upload_artifact,
    whole_manifest,
)
from pipeline.store.code import code_digest
from pipeline.store.stages import Stage, StageName
from pipeline.store.storage import Folder, home, shared_folder
from pipeline.store.whole_files import make_private

RECORDED_PACKAGES = ("torch", "ray", "datasets", "sentencepiece", "mlflow", "sacrebleu", "prefect", "pyarrow", "numpy")

Figures = Mapping[str, Any]
"""What a stage measured; part of the manifest, so it must be JSON."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    found = {name: metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **found}


class Reuse(IntEnum):
    """Whether an output was in the store already, and made by the present code or by other code."""

    NO = 0
    YES = 1
    OTHER_CODE = 2
    MEANWHILE = 3
    """It was not, but another process made it while this one waited."""

    @property
    def text(self) -> str:
        """The word for it in progress messages."""
        words = {Reuse.OTHER_CODE: "reused, made by other code", Reuse.MEANWHILE: "made by another command meanwhile"}
        return words.get(self, "reused")


@dataclass(frozen=True)
class Artifact:
    """A stage's finished output."""

    path: Path
    fingerprint: str
    figures: Figures
    reused: Reuse
    """Whether it was in the store already."""


class Store:
    """The artifacts under `root`; safe to use from several processes at once.

    Machines do not lock each other out: two that need the same output at the same time both make it. Should their
    copies in `$NMT_STORAGE` mix, the check against the manifest finds out.
    """

    def __init__(
        self,
        root: Path | None = None,
        shared: Folder | None = None,
        building: Callable[[], None] = lambda: None,
        fresh: Collection[StageName] = (),
    ) -> None:
        """Open the store in `root`, a cache of `shared`; default: `$NMT_HOME`, and `$NMT_STORAGE` if set.

        `building` is called before an output is built. Outputs of the stages in `fresh` are built again, once each,
        even if the store has them; the old output is replaced when the new one is complete.

        Raises InputError if `$NMT_STORAGE` is not a valid address.
        """
        self._building = building
        self._fresh, self._renewed = frozenset(fresh), set[str]()
        self.root = root or home() / "store"
        self.shared = shared if root else shared_folder("store")

    def folder(self, stage: Stage) -> Path:
        """Return the folder of the stage's output, whether it exists or not."""
        return self.root / stage.address

    def address(self, folder: Path) -> str:
        """Return the address, valid in every store, of an output in this one."""
        return folder.relative_to(self.root).as_posix()

    def find(self, stage: Stage) -> Artifact | None:
        """Return the stage's output if it is here or in `$NMT_STORAGE` and undamaged; damaged output is renamed.

        Raises ExternalError if `$NMT_STORAGE` fails.
        """
        manifest = None if self.renews(stage) else self._find(stage.address)
        if manifest is None:
            return None
        return Artifact(self.folder(stage), stage.fingerprint, manifest["figures"], _reuse(manifest))

    def renews(self, stage: Stage) -> bool:
        """Return whether the stage's output has to be built again, even if the store has it."""
        return stage.name in self._fresh and stage.address not in self._renewed

    def produce(
        self, stage: Stage, build: Callable[[Path], Figures], while_waiting: Callable[[], None] | None = None
    ) -> Artifact:
        """Return the stage's output, built by `build` if the store does not have it.

        `build` receives an empty folder, writes files into it and returns its figures. If it raises, nothing is left
        behind. Two processes of a machine that need the same output build it once: the other one waits, and calls
        `while_waiting` every second. It builds the output if the first one ends without it.

        Raises ExternalError if `$NMT_STORAGE` fails; the output is then kept here and copied the next time. Raises
        StoppedError if this run is told to end while it waits.

        >>> from tempfile import TemporaryDirectory
        >>> from pipeline.store.stages import Settings
        >>> def build(folder: Path) -> Figures:
        ...     return {"characters": (folder / "greeting.txt").write_text("hello")}
        >>> stage = Stage("tokenizer", Settings({"kind": "bpe"}), inputs={"corpus": "9f86d0"})
        >>> with TemporaryDirectory() as root:
        ...     made, again = (Store(Path(root)).produce(stage, build) for _ in range(2))
        ...     made.figures, made.reused.name, again.reused.name
        ({'characters': 5}, 'NO', 'YES')
        """
        folder = self.folder(stage)
        make_private(folder.parent)
        before = folder.exists()
        with held(lock_of(folder), stage.name, while_waiting) as waited:
            remove_killed(folder)
            found = self.find(stage)
            if found is not None:
                made = waited and not before and found.reused is Reuse.YES
                return replace(found, reused=Reuse.MEANWHILE) if made else found
            self._building()
            with temporary_folder(folder) as temporary:
                figures = build(temporary)
                manifest = self._write_manifest(temporary, stage, figures, build.__module__)
                replace_folder(temporary, folder)
            if self.renews(stage) and self.shared is not None:
                (self.shared / stage.address).remove(MANIFEST)
            self._renewed.add(stage.address)
            self._share(folder, manifest)
        return Artifact(folder, stage.fingerprint, figures, Reuse.NO)

    def unless_made(self, stage: Stage) -> AbstractContextManager[bool]:
        """Keep the stage from being made while the context lasts; yield False if a process is at it now."""
        make_private(self.folder(stage).parent)
        return unless_held(lock_of(self.folder(stage)))

    def fetch(self, address: str) -> Path:
        """Return the folder of an existing output by its address; the processes of a machine download it once.

        Raises ExternalError if it does not exist or `$NMT_STORAGE` fails.
        """
        folder = self.root / address
        if self.shared is None:
            if not folder.is_dir():
                raise ExternalError(
                    f"{folder}: {socket.gethostname()} has no such folder; share NMT_HOME, or set NMT_STORAGE"
                )
            return folder
        make_private(folder.parent)
        with FileLock(lock_of(folder)):
            remove_killed(folder)
            if self._find(address) is None:
                raise ExternalError(f"{(self.shared / address).uri}: missing or damaged; run the same command again")
        return folder

    def manifests(self, stage_name: str) -> list[dict[str, Any]]:
        """Return the readable manifests of all outputs of a stage, here and in `$NMT_STORAGE`, oldest first."""
        paths = (path for path in self.root.glob(f"{stage_name}/*/{MANIFEST}") if "." not in path.parent.name)
        found = {path.parent.name: parse_manifest(path.read_bytes()) for path in paths}
        if self.shared is not None:
            others = self.shared / stage_name
            for name in others.names():
                if name not in found and (others / name).has(MANIFEST):
                    found[name] = parse_manifest((others / name).read(MANIFEST))
        return sorted(filter(None, found.values()), key=lambda manifest: str(manifest["created"]))

    def _find(self, address: str) -> dict[str, Any] | None:
        """Return the manifest of an undamaged output, after downloading it if necessary; None if there is none."""
        folder = self.root / address
        manifest = whole_manifest(folder)
        if manifest is not None:
            self._share(folder, manifest)
            return manifest
        if folder.exists():
            for older in folder.parent.glob(f"{folder.name}.damaged-*"):  # One is enough to look at.
                shutil.rmtree(older, ignore_errors=True)
            aside = folder.with_name(f"{folder.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            logging.getLogger(__name__).warning(
                "%s: %s is damaged; set aside as %s, and made or copied anew", folder, damage(folder), aside.name
            )
            folder.rename(aside)
        return download_artifact(self.shared / address, folder) if self.shared is not None else None

    def _share(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        if self.shared is not None:
            upload_artifact(folder, manifest, self.shared / self.address(folder))

    @staticmethod
    def _write_manifest(folder: Path, stage: Stage, figures: Figures, module: str) -> dict[str, Any]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            "stage": stage.name,
            "version": stage.version,
            "fingerprint": stage.fingerprint,
            "created": datetime.now(UTC).isoformat(),
            "config": stage.settings.values,
            "inputs": stage.inputs,
            "versions": versions(),
            "made_by": {"module": module, "code": code_digest(module)},
            "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
            "figures": figures,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf8")
        return manifest


def _reuse(manifest: Mapping[str, Any]) -> Reuse:
    made_by = manifest.get("made_by", {"module": "", "code": ""})
    return Reuse.YES if code_digest(made_by["module"]) == made_by["code"] else Reuse.OTHER_CODE


def node_store(shared: Folder) -> Store:
    """Return the store of a cluster's node, a cache of `shared`, in its `$NMT_HOME` (default ~/.cache/nmt)."""
    own = home() if os.environ.get("NMT_HOME") else Path.home() / ".cache" / "nmt"
    return Store(own / "store", shared)
