"""File formats and packings by their suffixes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Format = Literal["text", "jsonl", "csv", "tsv", "parquet", "tmx"]
TABLES: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".tmx": "tmx",
}
"""Suffixes of formats with columns. Every other file is plain text, one text per line."""
Packing = Literal["gzip", "xz", "bzip2", "zstd"]
PACKINGS: Mapping[str, Packing] = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
ZIP = ".zip"
KNOWN = ".jsonl, .json (one object per line), .csv, .tsv, .tmx (each also with .gz, .xz, .bz2, .zst), .parquet"
"""The formats with columns, for messages."""
assert {*TABLES.values(), "text"} == {*get_args(Format)}
assert {*PACKINGS.values()} == {*get_args(Packing)}


def packing_of(name: str) -> Packing | None:
    """Return how a file with this name is compressed; None if it is not."""
    return PACKINGS.get(Path(name).suffix.lower())


def without_packing(name: str) -> str:
    """Return the name that a file has when it is decompressed.

    >>> without_packing("a.de.gz"), without_packing("a.de")
    ('a.de', 'a.de')
    """
    return name if packing_of(name) is None else str(Path(name).with_suffix(""))


def suffix_of(name: str) -> str:
    """Return the suffix that tells the format, in lower case; for a compressed file, the one before .gz.

    >>> suffix_of("train.DE.gz"), suffix_of("pairs.tsv")
    ('.de', '.tsv')
    """
    return Path(without_packing(name)).suffix.lower()


def format_of(name: str) -> Format:
    """Return the format of a file with this name."""
    return TABLES.get(suffix_of(name), "text")


def is_zip(name: str) -> bool:
    """Return whether a file with this name is a zip archive."""
    return name.lower().endswith(ZIP)
