"""The shape letters that end a tensor's name have one legend, which every file's own part of it agrees with."""

import re
from pathlib import Path

import pytest

import model
from model import seq2seq

FOLDER = Path(str(model.__file__)).parent
LEGEND = set(re.findall(r"(?:^|\s{2,})([A-Z])  ", str(seq2seq.__doc__), re.MULTILINE))
FILES = sorted(FOLDER.rglob("*.py"))


def letters_of(path: Path) -> set[str]:
    """Return the letters that end names in a file's code."""
    suffixes = re.findall(r"\b_?[a-z][a-z0-9_]*_([A-Z0-9]*[A-Z][A-Z0-9]*)\b", path.read_text("utf8"))
    return set("".join(suffixes)) - set("0123456789")


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_every_letter_is_in_the_legend_and_in_the_files_own(path: Path) -> None:
    letters = letters_of(path)
    assert letters <= LEGEND
    own = re.search(r"^Shapes: (.*?)(?:\n\n|\"\"\")", path.read_text("utf8"), re.MULTILINE | re.DOTALL)
    if letters and path.name != "seq2seq.py":
        assert own is not None, "the file has no legend"
        assert letters <= set(re.findall(r"\b[A-Z]\b", own[1]))


def test_the_legend_is_found() -> None:
    assert set("BSTEDAHKRV") <= LEGEND
    assert letters_of(FOLDER / "bridge.py") == set("BAH")
