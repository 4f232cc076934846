"""Content-addressed artifacts: the store decides what is fresh, not the orchestrator.

    $NMT_HOME/store/<stage>/<fingerprint>/manifest.json   what it was made from, with which versions, hashes, figures
    $NMT_HOME/store/<stage>/<fingerprint>/...             the stage's files

A fingerprint is the SHA-256 of the stage's name and version, its section of the configuration and the
fingerprints of its inputs. Output is written to a temporary folder beside its place and renamed into it, so
what is there is whole; its files are checked against the manifest before they are used again.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

MANIFEST = "manifest.json"
RECORDED_PACKAGES = ("torch", "ray", "datasets", "sentencepiece", "mlflow", "sacrebleu", "prefect", "pyarrow", "numpy")

Figures = Mapping[str, Any]
"""What a stage measured of its output; goes into the manifest and must be JSON."""


def home() -> Path:
    """Return `$NMT_HOME`, by default the folder .nmt where the command is given, as an absolute path."""
    return Path(os.environ.get("NMT_HOME") or ".nmt").expanduser().resolve()


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        """The address of the stage's output."""
        return fingerprint({"stage": self.name, "version": self.version, "config": self.config, "inputs": self.inputs})


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
    """The artifacts under `root`; safe for several processes at once."""

    def __init__(self, root: Path | None = None) -> None:
        """Open (and create) the store in `root`, by default in `$NMT_HOME/store`."""
        self.root = root or home() / "store"

    def place(self, stage: Stage) -> Path:
        """Return where the stage's output is, or will be."""
        return self.root / stage.name / stage.fingerprint

    def find(self, stage: Stage) -> Artifact | None:
        """Return the stage's output if it is there and whole; set damaged output aside."""
        place = self.place(stage)
        if not place.exists():
            return None
        try:
            manifest = json.loads((place / MANIFEST).read_text("utf8"))
            damaged = next(
                (name for name, digest in manifest["files"].items() if file_hash(place / name) != digest), None
            )
        except (FileNotFoundError, ValueError, KeyError):
            damaged = MANIFEST
        if damaged is not None:
            place.rename(place.with_name(f"{place.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))
            return None
        return Artifact(place, stage.fingerprint, manifest["figures"], reused=True)

    def produce(self, stage: Stage, build: Callable[[Path], Figures]) -> Artifact:
        """Return the stage's output, made by `build` if it is not there.

        `build` writes files into the empty folder that it is given and returns its figures. If it raises,
        nothing is left behind. Two processes that want the same output make it once.
        """
        place = self.place(stage)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _lock(place.with_name(f".{place.name}.lock"), stage.name):
            found = self.find(stage)
            if found is not None:
                return found
            temporary = Path(tempfile.mkdtemp(prefix=f".{place.name[:12]}-", dir=place.parent))
            try:
                figures = build(temporary)
                self._write_manifest(temporary, stage, figures)
                temporary.chmod(0o755)  # A temporary folder is its owner's alone; other users' workers read this one.
                temporary.rename(place)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return Artifact(place, stage.fingerprint, figures, reused=False)

    def manifests(self, stage_name: str) -> list[dict[str, Any]]:
        """Return the manifests of all finished outputs of a stage, the newest last."""
        places = (path for path in self.root.glob(f"{stage_name}/*/{MANIFEST}") if "." not in path.parent.name)
        found = [json.loads(path.read_text("utf8")) for path in places]
        return sorted(found, key=lambda manifest: str(manifest["created"]))

    @staticmethod
    def _write_manifest(folder: Path, stage: Stage, figures: Figures) -> None:
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
