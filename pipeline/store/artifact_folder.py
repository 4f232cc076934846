"""The folder of an artifact: its manifest, whether it is whole, and how it gets from one machine to others, whole."""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.store.storage import Folder

MANIFEST = "manifest.json"


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest, unless it cannot be read or names files outside of the artifact."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf8"))
        names = manifest["figures"].keys() and manifest["files"].keys()
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    inside = all((folder / name).resolve().is_relative_to(folder.resolve()) for name in names)
    return dict(manifest) if inside else None


def whole_manifest(folder: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest if all its files are as the manifest says."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    try:
        whole = all(file_hash(folder / name) == digest for name, digest in manifest["files"].items())
    except FileNotFoundError:
        return None
    return manifest if whole else None


@contextmanager
def temporary_folder(place: Path) -> Iterator[Path]:
    """Make an empty folder beside an artifact's place, to be renamed into it; it is deleted if it is not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name[:12]}-", dir=place.parent))
    try:
        folder.chmod(0o755)  # A temporary folder is its owner's alone; other users' workers read this one.
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(temporary: Path, place: Path) -> None:
    """Rename a whole folder into an artifact's place; what was there before is deleted."""
    old = place.with_name(f"{temporary.name}-old")
    if place.exists():
        place.rename(old)
    temporary.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def copy_here(source: Folder, place: Path) -> dict[str, Any] | None:
    """Copy an artifact into its place on this machine and return its manifest; None if it is not there.

    One that is damaged is not taken either, and loses its manifest: whoever makes it anew then puts it there.
    """
    if not source.has(MANIFEST):
        return None
    with temporary_folder(place) as temporary:
        source.download(MANIFEST, temporary / MANIFEST)
        listed = read_manifest(temporary) or {"files": {}}
        for name in filter(source.has, listed["files"]):
            source.download(name, temporary / name)
        manifest = whole_manifest(temporary)
        if manifest is None:
            logging.getLogger(__name__).warning("%s: damaged, and not taken", source.uri)
            source.remove(MANIFEST)
            return None
        try:
            temporary.rename(place)
        except OSError:
            if not place.exists():  # Else another process was faster.
                raise
    return manifest


def copy_there(place: Path, manifest: Mapping[str, Any], target: Folder) -> None:
    """Copy an artifact of this machine to where others find it, unless it is there; the manifest last."""
    if not target.has(MANIFEST):
        for name in (*manifest["files"], MANIFEST):
            target.upload(place / name, name)
