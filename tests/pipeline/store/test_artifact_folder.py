"""Manifests that are believed, and temporary folders that become artifacts or vanish."""

import json
from pathlib import Path

import pytest

from pipeline.store.artifact_folder import file_hash, read_manifest, replace_folder, temporary_folder, whole_manifest


def write_artifact(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("content")
    manifest = {"figures": {}, "files": {"a.txt": file_hash(folder / "a.txt")}} | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_files_are_checked_against_the_manifest(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "x")
    assert whole_manifest(folder) == read_manifest(folder) == json.loads((folder / "manifest.json").read_text())
    (folder / "a.txt").write_text("damaged")
    assert whole_manifest(folder) is None
    (folder / "a.txt").unlink()
    assert whole_manifest(folder) is None
    assert read_manifest(folder) is not None


@pytest.mark.parametrize(
    "changes", [{"files": {"../a.txt": ""}}, {"files": {"/a": ""}}, {"files": 3}, {"figures": None}]
)
def test_manifests_that_are_not_believed(tmp_path: Path, changes: dict[str, object]) -> None:
    assert read_manifest(write_artifact(tmp_path / "x", **changes)) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_manifests_that_are_none(tmp_path: Path, content: str) -> None:
    (write_artifact(tmp_path / "x") / "manifest.json").write_text(content)
    assert read_manifest(tmp_path / "x") is None
    assert read_manifest(tmp_path / "nowhere") is None


def test_a_temporary_folder_becomes_the_artifact_or_vanishes(tmp_path: Path) -> None:
    target = tmp_path / "stage" / "fingerprint"
    with temporary_folder(target) as folder:
        (folder / "a.txt").write_text("half")
    assert list(target.parent.iterdir()) == []
    for content in ("old", "new"):
        with temporary_folder(target) as folder:
            assert folder.parent == target.parent, "on the same disk: renaming is atomic"
            (folder / "a.txt").write_text(content)
            replace_folder(folder, target)
        assert (target / "a.txt").read_text() == content
        assert list(target.parent.iterdir()) == [target]
