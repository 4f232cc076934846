"""Content-addressed artifacts: the store decides what is fresh, not the orchestrator.

    $NMT_HOME/store/<stage>/<fingerprint>/manifest.json   what it was made from, with which versions, hashes, figures
    $NMT_HOME/store/<stage>/<fingerprint>/...             the stage's files

stages.py says what a fingerprint covers. Output is written to a temporary folder beside its place and renamed into it,
so what is there is whole; its files are checked against the manifest before they are used again. The code that made it
is not part of the fingerprint, but its digest is in the manifest: output of other code is reused, and said to be.

Where `$NMT_STORAGE` is set, what is made here is copied there, the manifest last, and what another machine has made is
copied from there, checked and renamed into place: a stage always works on files of its own machine.
"""

import json
import logging
import os
import platform
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import ExternalError
from pipeline.store.artifact_folder import (
    MANIFEST,
    copy_here,
    copy_there,
    file_hash,
    put_in_place,
    temporary_folder,
    whole_manifest,
)
from pipeline.store.code import code_digest
from pipeline.store.stages import Stage, StageName
from pipeline.store.storage import Folder, home, shared_folder

RECORDED_PACKAGES = ("torch", "ray", "datasets", "sentencepiece", "mlflow", "sacrebleu", "prefect", "pyarrow", "numpy")

Figures = Mapping[str, Any]
"""What a stage measured of its output; goes into the manifest and must be JSON."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results."""
    found = {name: metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **found}


class Reuse(IntEnum):
    """Whether an output was there before, and whether the code that is here now would have made the same."""

    NO = 0
    YES = 1
    OTHER_CODE = 2

    @property
    def text(self) -> str:
        """For people: how it was reused."""
        return "reused, made by other code" if self is Reuse.OTHER_CODE else "reused"


@dataclass(frozen=True)
class Artifact:
    """A stage's finished output."""

    path: Path
    fingerprint: str
    figures: Figures
    reused: Reuse
    """Whether it was there before."""


@contextmanager
def _lock(path: Path, stage: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logging.getLogger(__name__).warning("another process makes the same %s: waiting for it", stage)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class Store:
    """The artifacts under `root`; safe for several processes at once.

    Machines take no locks from each other: what two make at the same time is made twice, and should their copies in
    `$NMT_STORAGE` mix, the check against the manifest finds it.
    """

    def __init__(
        self,
        root: Path | None = None,
        shared: Folder | None = None,
        building: Callable[[], None] = lambda: None,
        fresh: Collection[StageName] = (),
    ) -> None:
        """Open the store in `root`, in front of `shared`; by default those of `$NMT_HOME` and, if set, `$NMT_STORAGE`.

        `building` is called whenever something is not there and has to be built. The output of the stages in `fresh` is
        made anew, once, whatever is there; what was there is replaced when the new is whole.

        Raises InputError if `$NMT_STORAGE` is no place for one.
        """
        self._building = building
        self._fresh, self._renewed = frozenset(fresh), set[str]()
        self.root = root or home() / "store"
        self.shared = shared if root else shared_folder("store")

    def place(self, stage: Stage) -> Path:
        """Return where the stage's output is, or will be."""
        return self.root / stage.address

    def address(self, place: Path) -> str:
        """Return the address, in every store, of what is at a place in this one."""
        return place.relative_to(self.root).as_posix()

    def find(self, stage: Stage) -> Artifact | None:
        """Return the stage's output if it is there and whole, here or in `$NMT_STORAGE`; set damaged output aside.

        Raises ExternalError if `$NMT_STORAGE` fails.
        """
        manifest = None if self.renews(stage) else self._find(stage.address)
        if manifest is None:
            return None
        return Artifact(self.place(stage), stage.fingerprint, manifest["figures"], _reuse(manifest))

    def renews(self, stage: Stage) -> bool:
        """Whether the stage's output is to be made anew, whatever is there."""
        return stage.name in self._fresh and stage.address not in self._renewed

    def produce(self, stage: Stage, build: Callable[[Path], Figures]) -> Artifact:
        """Return the stage's output, made by `build` if it is not there.

        `build` writes files into the empty folder that it is given and returns its figures. If it raises,
        nothing is left behind. Two processes of a machine that want the same output make it once.

        Raises ExternalError if `$NMT_STORAGE` fails; what was made is then kept here, and copied there the next time.
        """
        place = self.place(stage)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _lock(place.with_name(f".{place.name}.lock"), stage.name):
            found = self.find(stage)
            if found is not None:
                return found
            self._building()
            with temporary_folder(place) as temporary:
                figures = build(temporary)
                manifest = self._write_manifest(temporary, stage, figures, build.__module__)
                put_in_place(temporary, place)
            if self.renews(stage) and self.shared is not None:
                (self.shared / stage.address).remove(MANIFEST)
            self._renewed.add(stage.address)
            self._share(place, manifest)
        return Artifact(place, stage.fingerprint, figures, Reuse.NO)

    def fetch(self, address: str) -> Path:
        """Return the folder of an output that is there, by its address; processes of a machine copy it once.

        Raises ExternalError if it is not there, or `$NMT_STORAGE` fails.
        """
        place = self.root / address
        if self.shared is None:
            if not place.is_dir():
                raise ExternalError(f"{place}: {socket.gethostname()} has no such folder; share it, or set NMT_STORAGE")
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):
            if self._find(address) is None:
                raise ExternalError(
                    f"{(self.shared / address).uri}: not there, or damaged; give the same command again"
                )
        return place

    def manifests(self, stage_name: str) -> list[dict[str, Any]]:
        """Return the manifests of all finished outputs of a stage, here and in `$NMT_STORAGE`, the newest last."""
        places = (path for path in self.root.glob(f"{stage_name}/*/{MANIFEST}") if "." not in path.parent.name)
        found = {path.parent.name: json.loads(path.read_text("utf8")) for path in places}
        if self.shared is not None:
            others = self.shared / stage_name
            for name in others.names():
                if name not in found and (others / name).has(MANIFEST):
                    found[name] = json.loads((others / name).read(MANIFEST))
        return sorted(found.values(), key=lambda manifest: str(manifest["created"]))

    def _find(self, address: str) -> dict[str, Any] | None:
        """Return the manifest of an output that is whole and here, also of one that had to be copied to be here."""
        place = self.root / address
        manifest = whole_manifest(place)
        if manifest is not None:
            self._share(place, manifest)
            return manifest
        if place.exists():
            place.rename(place.with_name(f"{place.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))
        return copy_here(self.shared / address, place) if self.shared is not None else None

    def _share(self, place: Path, manifest: Mapping[str, Any]) -> None:
        if self.shared is not None:
            copy_there(place, manifest, self.shared / self.address(place))

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
    """Return the store of a node of a cluster, in front of `shared`: in its `$NMT_HOME`, by default in ~/.cache/nmt."""
    own = home() if os.environ.get("NMT_HOME") else Path.home() / ".cache" / "nmt"
    return Store(own / "store", shared)
