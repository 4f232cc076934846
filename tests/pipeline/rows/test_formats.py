"""Formats by suffix."""

import pytest

from pipeline.rows.formats import KNOWN, PACKINGS, TABLES, format_of, packing_of, without_packing


@pytest.mark.parametrize(
    ("name", "form", "packing"),
    [
        ("a.txt", "text", None),
        ("a", "text", None),
        ("a.de.gz", "text", "gzip"),
        ("a.jsonl", "jsonl", None),
        ("a.b.JSON", "jsonl", None),
        ("a.csv.gz", "csv", "gzip"),
        ("a.csv.XZ", "csv", "xz"),
        ("a.tmx.bz2", "tmx", "bzip2"),
        ("a.zst", "text", "zstd"),
        ("a.TSV", "tsv", None),
        ("a-00000-of-00002.parquet", "parquet", None),
        (".csv", "text", None),
    ],
)
def test_a_format_is_told_by_the_suffix_before_a_packing(name: str, form: str, packing: str | None) -> None:
    assert (format_of(name), packing_of(name)) == (form, packing)
    assert packing_of(without_packing(name)) is None


def test_messages_name_every_suffix() -> None:
    assert [suffix for suffix in (*TABLES, *PACKINGS) if suffix not in KNOWN] == []
