"""Output files: complete or not at all, and nothing else is lost by writing them."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.store.outputs import check_place, whole_file


def write(target: Path, content: str = "new\n") -> None:
    with whole_file(target) as place:
        place.write_text(content)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def _umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
def test_a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    write(tmp_path / "new.txt")
    assert mode(tmp_path / "new.txt") == 0o640
    old = tmp_path / "old.txt"
    old.write_text("old\n")
    old.chmod(0o664)
    write(old)
    assert (old.read_text(), mode(old)) == ("new\n", 0o664)


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old\n")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(ValueError, match="stopped"), whole_file(tmp_path / name) as place:  # noqa: PT012
            place.write_text("half")
            raise ValueError("stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old\n"


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.txt").symlink_to("there/a.txt")
    if exists:
        (tmp_path / "there" / "a.txt").write_text("old\n")
    write(tmp_path / "link.txt")
    assert os.readlink(tmp_path / "link.txt") == "there/a.txt"  # noqa: PTH115
    assert (tmp_path / "there" / "a.txt").read_text() == "new\n"


def test_devices_and_pipes_are_written_directly(tmp_path: Path) -> None:
    """A link to /dev/null stands for it: replacing that as root would break the machine of the tests."""
    (tmp_path / "null").symlink_to("/dev/null")
    check_place(tmp_path / "null", "null", [0])
    write(tmp_path / "null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert found == ["new\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_is_read_is_refused_by_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    source = folder / "in.txt"
    source.write_text("Hallo\n")
    (tmp_path / "link.txt").symlink_to(source)
    (tmp_path / "hard.txt").hardlink_to(source)
    for target in (source, folder / ".." / "data" / "in.txt", tmp_path / "link.txt", tmp_path / "hard.txt"):
        with pytest.raises(InputError, match=r"--output x: that is the file to translate; name another"):
            check_place(target, "x", [tmp_path / "gone.txt", source])
    with source.open() as opened, pytest.raises(InputError, match="--output x: that is the file to translate"):
        check_place(tmp_path / "hard.txt", "x", [opened.fileno()])
    check_place(folder / "out.txt", "x", [source])


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--output x: that is a folder; name a file"):
        check_place(tmp_path, "x", [])
    with pytest.raises(InputError, match=f"--output x: there is no folder {tmp_path}/no"):
        check_place(tmp_path / "no" / "a.txt", "x", [])
    (tmp_path / "a.txt").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write anything.
    with pytest.raises(InputError, match="--output x: it is write-protected; name another, or allow writing it"):
        check_place(tmp_path / "a.txt", "x", [])
