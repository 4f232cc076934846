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
"""The suffixes of files with named columns; everything else is text, a line each."""
PACKED = ".gz"
KNOWN = ".jsonl, .json (an object a line), .csv, .tsv (each also with .gz), .parquet"
"""The formats with columns, for messages."""
assert {*TABLES.values(), "text"} == {*get_args(Format)}


def is_packed(name: str) -> bool:
    """Return whether a file of that name is packed with gzip."""
    return name.endswith(PACKED)


def suffix_of(name: str) -> str:
    """Return the suffix that tells the format, in lower case: of a packed file the one before .gz.

    >>> suffix_of("train.DE.gz"), suffix_of("pairs.tsv")
    ('.de', '.tsv')
    """
    return Path(name.removesuffix(PACKED)).suffix.lower()


def format_of(name: str) -> Format:
    """Return the format of a file of that name."""
    return TABLES.get(suffix_of(name), "text")
