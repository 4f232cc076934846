"""Lines of text files: where they end, what is no text, and how many bad ones may be skipped."""

import io
import tarfile
from pathlib import Path

import pytest

import pipeline.rows.lines
from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location
from pipeline.rows.files import RowFile
from pipeline.rows.lines import BadLines, decode_lines, read_lines
from tests.pipeline.rows.contents import MARK, PACKERS, parquet_bytes, zipped

OPTION = "corpus.skip_bad_lines"


def tarred(name: str, content: bytes) -> bytes:
    buffer, info = io.BytesIO(), tarfile.TarInfo(name)
    info.size = len(content)
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def lines_of(content: bytes) -> list[str]:
    return [line.rstrip("\r\n") for line in decode_lines(io.BytesIO(content), "standard input")]


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.rows.lines, "LINE_BYTES", 1000)
    for content in (b"x" * 999 + b"\n" + b"y" * 1000, b"x\r" + b"y" * 1000):
        with pytest.raises(InputError, match="standard input line 2: 1,000 bytes without a line feed; end lines with"):
            lines_of(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\rb\r", ["a", "b"]),
        (b"a\r\rb", ["a", "", "b"]),
        (MARK + b"a\rb", ["a", "b"]),
        (b"a\r", ["a"]),
        (b"a\rb\nc", ["a\rb", "c"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (MARK, []),
    ],
)
def test_carriage_returns_end_lines_where_no_line_feed_does(content: bytes, expected: list[str]) -> None:
    assert [line for line in lines_of(content) if line or b"\r\r" in content] == expected


def test_a_long_file_of_old_macs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.rows.lines, "LINE_BYTES", 50)
    monkeypatch.setattr(pipeline.rows.lines, "CHUNK_BYTES", 7)
    expected = [f"line {number}" for number in range(100)]
    assert lines_of("\r".join(expected).encode()) == expected


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_is_packed_says_so_whatever_its_name(suffix: str) -> None:
    with pytest.raises(
        InputError, match=rf"standard input is compressed with \w+; decompress it, or end its name in {suffix}"
    ):
        lines_of(PACKERS[suffix](b"Ein Hund.\n" * 5))


def test_other_files_that_are_no_text() -> None:
    for content, what in (
        (zipped({"a.txt": b"x"}), r"a zip archive \(Word and Excel write them, too\); unpack it"),
        (parquet_bytes([{"de": "x"}]), "Parquet; end its name in .parquet"),
        (tarred("a.txt", b"x"), "a tar archive; unpack it and name a file in it"),
        (b"%PDF-1.7\n", "a PDF; save its text as a plain .txt"),
    ):
        with pytest.raises(InputError, match=f"standard input is {what}"):
            lines_of(content)
    assert lines_of(b"BZh is no word\nPAR1\n") == ["BZh is no word", "PAR1"]


def test_bad_lines_up_to_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\nthree\n\xfe\n")
    file = RowFile.local(tmp_path / "a.txt")
    with pytest.raises(InputError, match=rf"a.txt line 2: byte 0xFF is not UTF-8; .*, or set {OPTION}=1 to skip it$"):
        list(read_lines(file, BadLines(0, OPTION)))
    with pytest.raises(InputError, match=rf"a.txt line 4: .*; {OPTION}=1 has skipped 1 already, the first at .*line 2"):
        list(read_lines(file, BadLines(1, OPTION)))
    bad = BadLines(2, OPTION)
    for _ in range(2):  # A corpus from which splits are held out is read twice.
        assert list(read_lines(file, bad)) == ["one", "three"]
        assert bad.figures() == {"lines": 2, "first": [f"{tmp_path}/a.txt line 2", f"{tmp_path}/a.txt line 4"]}


def test_no_number_of_bad_lines_mends_a_wrong_column() -> None:
    with pytest.raises(InputError) as refused:
        Column("corpus.source_column", "de").text({"en": "x"}, Location("a", "line", 1))
    with pytest.raises(InputError, match=r"set corpus.source_column to one of them$"):
        BadLines(0, OPTION).refuse(refused.value, Location("a", "line", 1))
