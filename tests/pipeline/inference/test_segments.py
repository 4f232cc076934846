"""Where long lines are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inference.segments import split_line
from pipeline.inference.subwords import Subwords


def pieces_of(line: str, size: int = 3) -> list[tuple[int, int]]:
    """Return pieces of `size` characters at most, none over a blank."""
    offsets = []
    for is_blank, run in itertools.groupby(enumerate(line), key=lambda found: found[1].isspace()):
        inside = [index for index, _ in run]
        if not is_blank:
            offsets += [(begin, min(begin + size, inside[-1] + 1)) for begin in range(inside[0], inside[-1] + 1, size)]
    return offsets


@pytest.mark.parametrize(
    ("line", "most", "parts"),
    [
        ("abc def. ghi", 9, ["abc def. ghi"]),
        ("abc def. ghi jkl", 4, ["abc def.", "ghi jkl"]),
        ("a. bcd efg hij", 3, ["a. bcd efg", "hij"]),  # An end of a sentence in the first half is none to cut at.
        ("abc def ghi jkl", 2, ["abc def", "ghi jkl"]),
        ("abcdefghijklmnop", 2, ["abcdef", "ghijkl", "mnop"]),
        ("是的。好的。", 1, ["是的。", "好的。"]),
        ("हाँ। नहीं। हाँ।", 4, ["हाँ। नहीं।", "हाँ।"]),
        ("ہاں۔نہیں۔", 2, ["ہاں۔", "نہیں۔"]),
        ("هل؟ نعم؟ لا؟", 2, ["هل؟", "نعم؟", "لا؟"]),
        ("「是。」「不。」", 2, ["「是。」", "「不。」"]),
        ("กิกิกิ", 1, ["กิ", "กิ", "กิ"]),  # A letter and its marks stay together.
        ("?。????", 1, ["?。", "?", "???"]),  # The rest of a piece that was cut counts for what follows.
        ("", 3, []),
        ("   ", 3, []),
    ],
)
def test_where_lines_are_cut(line: str, most: int, parts: list[str]) -> None:
    assert split_line(line, pieces_of(line), most) == parts


@given(st.text(st.sampled_from("ab .!? \n\u3000。漢"), max_size=80), st.integers(1, 9), st.integers(1, 4))
def test_parts_are_the_line_and_none_is_too_long(line: str, most: int, size: int) -> None:
    parts = split_line(line, pieces_of(line, size), most)
    assert "".join("".join(parts).split()) == "".join(line.split())
    assert all(part == part.strip() and part for part in parts)
    if len(pieces_of(line, size)) > most:
        assert all(len(pieces_of(part, size)) <= most for part in parts)


@given(st.text(max_size=200), st.integers(1, 6))
def test_any_text_is_cut_at_the_tokenizers_offsets(subwords: Subwords, line: str, most: int) -> None:
    line = line.encode("utf8", "ignore").decode()
    parts = split_line(line, subwords.source_offsets(line), most)
    assert "".join("".join(parts).split()) == "".join(line.split())
