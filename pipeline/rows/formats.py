"""File formats by their suffixes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Format = Literal["text", "jsonl", "csv", "tsv", "parquet"]
TABLES: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
"""Suffixes of formats with named columns. Every other file is plain text, one text per line."""
PACKED = ".gz"
KNOWN = ".jsonl, .json (one object per line), .csv, .tsv (each also with .gz), .parquet"
"""The formats with named columns, for messages."""
assert {*TABLES.values(), "text"} == {*get_args(Format)}


def is_packed(name: str) -> bool:
    """Return whether a file with this name is compressed with gzip."""
    return name.endswith(PACKED)


def suffix_of(name: str) -> str:
    """Return the suffix that tells the format, in lower case; for a compressed file, the one before .gz.

    >>> suffix_of("train.DE.gz"), suffix_of("pairs.tsv")
    ('.de', '.tsv')
    """
    return Path(name.removesuffix(PACKED)).suffix.lower()


def format_of(name: str) -> Format:
    """Return the format of a file with this name."""
    return TABLES.get(suffix_of(name), "text")
