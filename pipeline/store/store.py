"""Content-addressed artifacts: the store decides what is fresh, not the orchestrator.

    $NMT_HOME/store/<stage>/<fingerprint>/manifest.json   what it was made from, with which versions, hashes, figures
    $NMT_HOME/store/<stage>/<fingerprint>/...             the stage's files

A fingerprint is the SHA-256 of the stage's name and version, its section of the configuration and the
fingerprints of its inputs. Output is written to a temporary folder beside its place and renamed into it, so
what is there is whole; its files are checked against the manifest before they are used again.

Where `$NMT_STORAGE` is set, what is made here is copied there, the manifest last, and what another machine has made is
copied from there, checked and renamed into place: a stage always works on files of its own machine.
"""

import hashlib
import json
import logging
import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import ExternalError
from pipeline.store.artifact_folder import MANIFEST, copy_here, copy_there, file_hash, temporary_folder, whole_manifest
from pipeline.store.storage import Folder, home, shared_folder

RECORDED_PACKAGES = ("torch", "ray", "datasets", "sentencepiece", "mlflow", "sacrebleu", "prefect", "pyarrow", "numpy")

Figures = Mapping[str, Any]
"""What a stage measured of its output; goes into the manifest and must be JSON."""


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results."""
    found = {name: metadata.version(name) for name in RECORDED_PACKAGES}
    return {"python": platform.python_version(), **found}


@dataclass(frozen=True)
class Stage:
    """What a stage's output depends on."""

    name: str
    version: int
    """Raised by the author when the meaning of the stage changes: older output is then no longer taken."""
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Fingerprints by the input's name."""

    @property
    def fingerprint(self) -> str:
        """What the stage's output is found by."""
        return fingerprint({"stage": self.name, "version": self.version, "config": self.config, "inputs": self.inputs})

    @property
    def address(self) -> str:
        """Where the stage's output is in every store."""
        return f"{self.name}/{self.fingerprint}"


@dataclass(frozen=True)
class Artifact:
    """A stage's finished output."""

    path: Path
    fingerprint: str
    figures: Figures
    reused: bool
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
        self, root: Path | None = None, shared: Folder | None = None, building: Callable[[], None] = lambda: None
    ) -> None:
        """Open the store in `root`, in front of `shared`; by default those of `$NMT_HOME` and, if set, `$NMT_STORAGE`.

        `building` is called whenever something is not there and has to be built.

        Raises InputError if `$NMT_STORAGE` is no place for one.
        """
        self._building = building
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
        manifest = self._find(stage.address)
        if manifest is None:
            return None
        return Artifact(self.place(stage), stage.fingerprint, manifest["figures"], reused=True)

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
                manifest = self._write_manifest(temporary, stage, figures)
                temporary.rename(place)
            self._share(place, manifest)
        return Artifact(place, stage.fingerprint, figures, reused=False)

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
    def _write_manifest(folder: Path, stage: Stage, figures: Figures) -> dict[str, Any]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            "stage": stage.name,
            "version": stage.version,
            "fingerprint": stage.fingerprint,
            "created": datetime.now(UTC).isoformat(),
            "config": stage.config,
            "inputs": stage.inputs,
            "versions": versions(),
            "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
            "figures": figures,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf8")
        return manifest


def node_store(shared: Folder) -> Store:
    """Return the store of a node of a cluster, in front of `shared`: in its `$NMT_HOME`, by default in ~/.cache/nmt."""
    own = home() if os.environ.get("NMT_HOME") else Path.home() / ".cache" / "nmt"
    return Store(own / "store", shared)
