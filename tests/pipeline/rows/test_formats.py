"""Formats by suffix."""

import pytest

from pipeline.rows.formats import KNOWN, TABLES, format_of, is_packed


@pytest.mark.parametrize(
    ("name", "form", "packed"),
    [
        ("a.txt", "text", False),
        ("a", "text", False),
        ("a.de.gz", "text", True),
        ("a.jsonl", "jsonl", False),
        ("a.b.JSON", "jsonl", False),
        ("a.csv.gz", "csv", True),
        ("a.TSV", "tsv", False),
        ("a-00000-of-00002.parquet", "parquet", False),
        (".csv", "text", False),
    ],
)
def test_a_format_is_told_by_the_suffix_before_gz(name: str, form: str, packed: bool) -> None:
    assert (format_of(name), is_packed(name)) == (form, packed)


def test_messages_name_every_suffix() -> None:
    assert [suffix for suffix in TABLES if suffix not in KNOWN] == []
