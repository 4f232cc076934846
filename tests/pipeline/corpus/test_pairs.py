"""Pairs out of rows and of aligned lines."""

from pathlib import Path

import pytest

from pipeline.corpus.pairs import PairColumns, read_aligned, read_table
from pipeline.data_config import CorpusConfig
from pipeline.errors import InputError
from pipeline.rows.files import RowFile
from pipeline.rows.lines import BadLines

COLUMNS = PairColumns.of(CorpusConfig(source_column="t.de", target_column="t.en"))


def write(path: Path, content: str) -> RowFile:
    path.write_text(content)
    return RowFile.local(path)


def test_the_two_columns_of_a_row(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"t": {"en": "dog", "de": "Hund"}}\n{"t.de": "Katze", "t.en": "cat"}\n')
    assert list(read_table(file, COLUMNS)) == [("Hund", "dog"), ("Katze", "cat")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            '{"t": {"de": "x"}}',
            "corpus.target_column=t.en: .*a.jsonl line 1 has no column t.en; its columns are t.de; did",
        ),
        ('{"t": {"de": null, "en": "y"}}', "corpus.source_column=t.de: .*a.jsonl line 1 holds null, not text"),
    ],
)
def test_a_side_that_is_missing_is_named_by_its_field(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_table(write(tmp_path / "a.jsonl", row), COLUMNS))


def test_aligned_lines(tmp_path: Path) -> None:
    source = write(tmp_path / "a.de", "Hund\n\nKatze")
    assert list(read_aligned(source, write(tmp_path / "a.en", "dog\n\ncat\n"))) == [
        ("Hund", "dog"),
        ("", ""),
        ("Katze", "cat"),
    ]
    pairs = read_aligned(source, write(tmp_path / "b.en", "dog\n"))
    assert next(pairs) == ("Hund", "dog")
    with pytest.raises(InputError, match=r"a.de has 3 lines and .*b.en has 1; line-aligned text needs the same number"):
        list(pairs)


def test_a_nul_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_bytes(b"Hund\nKa\0tze\n")
    (tmp_path / "a.en").write_bytes(b"dog\ncat\n")
    sides = [RowFile.local(tmp_path / name) for name in ("a.de", "a.en")]
    with pytest.raises(InputError, match=r"a.de and a.en line 2 holds a NUL byte, which is not text"):
        list(read_aligned(sides[0], sides[1]))
    (tmp_path / "a.jsonl").write_text('{"de": "Hund", "en": "d\\u0000og"}\n')
    with pytest.raises(InputError, match=r"a.jsonl line 1 holds a NUL byte"):
        list(read_table(RowFile.local(tmp_path / "a.jsonl"), PairColumns.of(CorpusConfig())))


def test_several_versions_of_a_side_are_several_pairs(tmp_path: Path) -> None:
    lists = '{"t": {"language": ["de", "en", "en"], "translation": ["Hund", "dog", "hound"]}}\n'
    lacking = '{"t": {"language": ["de"], "translation": ["Hund"]}}\n'
    file = write(tmp_path / "a.jsonl", lists + lacking + '{"t": {"de": ["Uhr"], "en": ["clock", "watch"]}}\n')
    assert list(read_table(file, COLUMNS)) == [
        ("Hund", "dog"),
        ("Hund", "hound"),
        ("Hund", ""),
        ("Uhr", "clock"),
        ("Uhr", "watch"),
    ]
    words = write(tmp_path / "b.jsonl", '{"t": {"de": ["Ein", "Hund"], "en": ["A", "dog"]}}\n')
    with pytest.raises(
        InputError, match=r"b.jsonl line 1 has lists on both sides; join the words of a sentence to one"
    ):
        list(read_table(words, COLUMNS))


def test_a_bad_pair_is_skipped_on_both_sides(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_bytes(b"eins\nzw\xffi\ndrei\nvier\n")
    (tmp_path / "a.en").write_bytes(b"one\ntwo\nthr\0ee\nfour\n")
    sides = [RowFile.local(tmp_path / name) for name in ("a.de", "a.en")]
    bad = BadLines(2, "corpus.skip_bad_lines")
    assert list(read_aligned(sides[0], sides[1], bad)) == [("eins", "one"), ("vier", "four")]
    assert bad.figures() == {"lines": 2, "first": [f"{tmp_path}/a.de line 2", f"{tmp_path}/a.de line 3"]}
    with pytest.raises(InputError, match=r"a.de line 2: byte 0xFF is not UTF-8"):
        list(read_aligned(sides[0], sides[1]))


def test_a_bad_row_is_skipped(tmp_path: Path) -> None:
    good = '{"t": {"de": "Hund", "en": "dog"}}\n'
    file = write(tmp_path / "a.jsonl", good + '{"t": {"de": null, "en": "x"}}\n{\n[]\n{"u": 1}\n' + good)
    assert list(read_table(file, COLUMNS, BadLines(4, "corpus.skip_bad_lines"))) == [("Hund", "dog")] * 2
    with pytest.raises(
        InputError, match=r"line 5 has no column t.de; .*; corpus.skip_bad_lines=3 has skipped 3 already"
    ):
        list(read_table(file, COLUMNS, BadLines(3, "corpus.skip_bad_lines")))
