"""Packed files: read as they were, however many parts they have, and in little memory."""

import tracemalloc
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.rows.files import RowFile, find_files
from pipeline.rows.lines import read_lines
from pipeline.rows.packing import members_of, side_of, table_of
from pipeline.store.storage import local_folder
from tests.pipeline.rows.contents import PACKERS, in_two, zipped

LINES = [f"Satz {number}" for number in range(3000)]
CONTENT = "".join(f"{line}\n" for line in LINES).encode()


@pytest.mark.parametrize("suffix", PACKERS)
def test_one_member_and_several(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.de{suffix}"
    for content in (PACKERS[suffix](CONTENT), in_two(PACKERS[suffix], CONTENT)):
        path.write_bytes(content)
        assert list(read_lines(RowFile.local(path))) == LINES


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_a_cut_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.de{suffix}"
    whole = zipped({"a.de": CONTENT}) if suffix == ".zip" else PACKERS[suffix](CONTENT)
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=rf"a.de\{suffix}( after line \d+)?: broken \w+ \(.*\); download it or "):
            list(read_lines(find_files(str(path))[0]))


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.de{suffix}"

    def peak(megabytes: int) -> int:
        content = (b"Ein Hund. " * 400 + b"\n") * (megabytes * 2**18 // 1000)
        path.write_bytes(zipped({"a.de": content}) if suffix == ".zip" else PACKERS[suffix](content))
        file = find_files(str(path))[0]
        tracemalloc.start()
        assert sum(1 for _ in read_lines(file)) == content.count(b"\n")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(12) < 1.5 * peak(4)


@pytest.mark.parametrize("content", [b"", b"Hallo\n", b"PK\x03\x04", b"x" * 1000])
def test_what_is_no_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a.zip: broken zip \(.*\); download it or zip the files again"):
        find_files(str(tmp_path / "a.zip"))


def test_an_encrypted_zip(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.de": CONTENT}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"a.zip: the zip is encrypted; unpack it and name a file in it"):
        members_of(local_folder(tmp_path), "a.zip", "a.zip")


def test_the_sides_of_an_archive() -> None:
    members = ["LICENSE", "README", "T.de-pt_BR.de", "T.de-pt_BR.pt_BR", "T.de-pt_BR.xml"]
    assert [side_of(members, code, "a.zip") for code in ("de", "pt", "pt-BR", "pt_br", "en")] == [
        "T.de-pt_BR.de",
        *["T.de-pt_BR.pt_BR"] * 3,
        None,
    ]
    with pytest.raises(InputError, match=r"a.zip: several files of de \(a.de, b.de\); unpack it and name one of them"):
        side_of(["a.de", "b.de"], "de", "a.zip")
    assert [table_of(names) for names in (["a.tsv", "README"], ["a.tsv", "b.csv"], ["README"])] == ["a.tsv", None, None]
