"""The folder of an artifact: its manifest, the check of its files, and copies from one machine to another."""

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
    """Return an artifact's manifest; None if it cannot be read or names files outside the folder."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf8"))
        names, figures = list(manifest["files"].keys()), manifest["figures"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    inside = all((folder / name).resolve().is_relative_to(folder.resolve()) for name in names)
    return dict(manifest) if inside and isinstance(figures, dict) else None


def whole_manifest(folder: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest if all its files have the recorded hashes, else None."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    try:
        whole = all(file_hash(folder / name) == digest for name, digest in manifest["files"].items())
    except FileNotFoundError:
        return None
    return manifest if whole else None


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Create an empty folder beside `target`, to be renamed to it; deleted at the end unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:12]}-", dir=target.parent))
    try:
        folder.chmod(0o755)  # mkdtemp lets only the owner in; workers of other users read this folder.
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_folder(temporary: Path, target: Path) -> None:
    """Rename a complete folder to `target`; the folder that was there before is deleted."""
    old = target.with_name(f"{temporary.name}-old")
    if target.exists():
        target.rename(old)
    temporary.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def download_artifact(source: Folder, target: Path) -> dict[str, Any] | None:
    """Copy an artifact to this machine and return its manifest; None if there is none.

    A damaged one is not copied and loses its manifest, so that the next machine that makes the output uploads it.
    """
    if not source.has(MANIFEST):
        return None
    with temporary_folder(target) as temporary:
        source.download(MANIFEST, temporary / MANIFEST)
        listed = read_manifest(temporary) or {"files": {}}
        for name in filter(source.has, listed["files"]):
            source.download(name, temporary / name)
        manifest = whole_manifest(temporary)
        if manifest is None:
            logging.getLogger(__name__).warning("%s: damaged, not used", source.uri)
            source.remove(MANIFEST)
            return None
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():  # Otherwise another process was faster.
                raise
    return manifest


def upload_artifact(folder: Path, manifest: Mapping[str, Any], target: Folder) -> None:
    """Copy an artifact of this machine to `target` unless it is there already; the manifest goes last."""
    if not target.has(MANIFEST):
        for name in (*manifest["files"], MANIFEST):
            target.upload(folder / name, name)
