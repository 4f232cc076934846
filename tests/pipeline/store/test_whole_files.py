"""Files and folders that take their place whole, in an order that survives a machine that loses its power."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store import whole_files
from pipeline.store.artifact_folder import remove_killed, replace_folder, temporary_folder
from pipeline.store.whole_files import make_private, put_in_place, tighten, write_whole
from pipeline.store.writable import close_home


def test_all_is_on_the_disk_before_it_is_renamed_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = whole_files.sync, Path.rename

    def told_sync(path: Path) -> None:
        done.append(f"sync {path.name}")
        sync(path)

    def told_rename(path: Path, to: Path) -> Path:
        done.append(f"rename {path.name}")
        return rename(path, to)

    monkeypatch.setattr(whole_files, "sync", told_sync)
    monkeypatch.setattr(Path, "rename", told_rename)
    new = tmp_path / "new"
    (new / "below").mkdir(parents=True)
    (new / "below" / "file").touch()
    put_in_place(new, tmp_path / "there")
    assert sorted(done[:3]) == ["sync below", "sync file", "sync new"]
    assert done[3:] == ["rename new", f"sync {tmp_path.name}"]


def test_the_old_output_is_deleted_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "fingerprint"
    target.mkdir()
    (target / "old").touch()
    deleted: list[bool] = []
    with temporary_folder(target) as folder, monkeypatch.context() as patch:
        (folder / "new").touch()
        patch.setattr("shutil.rmtree", lambda *_, **__: deleted.append((target / "new").exists()))
        replace_folder(folder, target)
    assert deleted == [True]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


KILLED = """
import os, sys
from pathlib import Path
from pipeline.store import artifact_folder
artifact_folder.put_in_place = lambda *_: os.kill(os.getpid(), 9)
with artifact_folder.temporary_folder(Path(sys.argv[1])) as folder:
    artifact_folder.replace_folder(folder, Path(sys.argv[1]))
"""
"""Killed while it replaces an output, between its two renamings."""


def test_what_killed_processes_left_is_taken_back(tmp_path: Path) -> None:
    target = tmp_path / "fingerprint"
    target.mkdir()
    (target / "old").touch()
    assert subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False).returncode == -9
    assert not target.exists()
    with temporary_folder(target) as ours:
        remove_killed(target)
        assert {path.name for path in tmp_path.iterdir()} == {"fingerprint", ours.name}
    assert (target / "old").exists()


def test_folders_are_private_and_existing_ones_are_left(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "home" / "store")
    make_private(tmp_path / "home" / "store")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, tmp_path / "home", tmp_path / "home/store")
    }
    assert modes == {tmp_path.name: 0o755, "home": 0o700, "store": 0o700}
    tighten(tmp_path / "nowhere")


def test_an_existing_home_is_closed_but_no_folder_of_all(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, closed in ((0o755, 0o700), (0o770, 0o700), (0o700, 0o700), (0o1777, 0o1777)):
        nmt_home.mkdir(exist_ok=True)
        nmt_home.chmod(mode)
        close_home()
        assert stat.S_IMODE(nmt_home.stat().st_mode) == closed
    nmt_home.chmod(0o755)
    monkeypatch.setenv("HOME", str(nmt_home / "me"))
    close_home()
    assert stat.S_IMODE(nmt_home.stat().st_mode) == 0o755, "the user's own folder is in it"
