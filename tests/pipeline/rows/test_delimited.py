"""CSV and TSV as they come: other separators, no names, very long cells, rows that are broken."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile
from pipeline.rows.lines import BadLines
from pipeline.rows.readers import read_rows

NAMED = [Column("corpus.source_column", "de"), Column("corpus.target_column", "en")]
NUMBERED = [Column("corpus.source_column", "1"), Column("corpus.target_column", "2")]


def rows_of(path: Path, content: str | bytes, columns: list[Column], most: int = 0) -> list[list[str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    bad = BadLines(most, "corpus.skip_bad_lines")
    return [list(row.values()) for _, row in read_rows(RowFile.local(path), columns, bad=bad)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("columns", [NAMED, NUMBERED])
def test_csv_tells_what_separates_its_cells(tmp_path: Path, delimiter: str, columns: list[Column]) -> None:
    rows = [["Ein Hund, ja; gut.", "A dog, yes | no."], ['Sie sagt: "ja"', "x\ty\nz"], ["1,5", "1.5"]]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows([["de", "en"], *rows] if columns is NAMED else rows)
    assert rows_of(tmp_path / "a.csv", buffer.getvalue(), columns) == rows


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=4), delimiter=st.sampled_from(",;\t|"))
def test_with_names_any_cells_are_read(
    rows: list[tuple[str, str]], delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([("de", "en"), *rows])
    found = rows_of(tmp_path_factory.mktemp("csv") / "a.csv", buffer.getvalue(), NAMED)
    assert [tuple(row) for row in found] == rows


def test_a_comma_in_sentences_separates_nothing(tmp_path: Path) -> None:
    content = "Ein Hund, der läuft.;A dog, that runs.\nEine Frau, die singt.;A woman, who sings.\n"
    assert rows_of(tmp_path / "a.csv", content, NUMBERED)[0] == ["Ein Hund, der läuft.", "A dog, that runs."]
    broken = "a;b\n" * 20 + "only one\n" + "c;d, e\n"
    assert len(rows_of(tmp_path / "a.csv", broken, NUMBERED, most=1)) == 21


def test_without_names_no_pair_is_lost(tmp_path: Path) -> None:
    content = "Ein Hund.\tA dog.\nZwei Frauen.\tTwo women.\n"
    with pytest.raises(
        InputError, match=r"a.tsv line 1 looks like data, .* such as corpus.source_column=1 and corpus."
    ):
        rows_of(tmp_path / "a.tsv", content, NAMED)
    assert len(rows_of(tmp_path / "a.tsv", content, NUMBERED)) == 2
    third = [NUMBERED[0], Column("corpus.target_column", "3")]
    with pytest.raises(InputError, match=r"corpus.target_column=3: .*a.tsv has no column 3; its columns are 1, 2; set"):
        rows_of(tmp_path / "a.tsv", content, third)


def test_numbers_may_be_names(tmp_path: Path) -> None:
    """What `nmt translate` writes of a file without names has the numbers as names."""
    assert rows_of(tmp_path / "a.csv", "1,2,translation\nx,y,z\n", NUMBERED) == [["x", "y", "z"]]


def test_a_file_of_one_cell_per_line(tmp_path: Path) -> None:
    for name, separators in (("a.csv", r"a comma, a semicolon, a tab or \|"), ("a.tsv", "tabs")):
        with pytest.raises(
            InputError, match=rf"{name} line 1 has only one cell \(de\^en\); separate cells by {separators}"
        ):
            rows_of(tmp_path / name, "de^en\nx^y\n", NAMED)
    assert rows_of(tmp_path / "a.csv", "de\nx\n", NAMED[:1]) == [["x"]]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    text = "Wort " * 100_000
    assert rows_of(tmp_path / "a.csv", f'de,en\n"{text}",y\n', NAMED) == [[text, "y"]]
    assert rows_of(tmp_path / "a.tsv", f"de\ten\n{text}\ty\n", NAMED) == [[text, "y"]]


@pytest.mark.parametrize(
    ("name", "content", "bad", "kept"),
    [
        ("a.tsv", "de\ten\na\tb\nx\ty\tz\nc\td\n", 1, 2),
        ("a.csv", "de,en\na,b\nx\nc,d\nx,y,z\n", 2, 2),
        ("a.csv", b"de,en\na,b\n\xff,x\nc,d\n", 1, 2),
        ("a.csv", 'de,en\na,b\n"x"y,z\nc,d\n', 1, 2),
        ("a.csv", 'de,en\na,b\nc,"d\ne,f\ng,h\n', 3, 1),
    ],
)
def test_bad_rows_are_counted_by_their_lines(
    tmp_path: Path, name: str, content: str | bytes, bad: int, kept: int
) -> None:
    assert len(rows_of(tmp_path / name, content, NAMED, most=bad)) == kept
    with pytest.raises(InputError, match=r"corpus.skip_bad_lines="):
        rows_of(tmp_path / name, content, NAMED, most=bad - 1)
