"""Sentence pairs from local files: aligned lines, or two columns of a row."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import CorpusConfig
from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location
from pipeline.rows.files import RowFile
from pipeline.rows.readers import read_lines, read_rows

Pair = tuple[str, str]
"""A source sentence and its target."""


@dataclass(frozen=True)
class PairColumns:
    """The columns of the source and the target sentence."""

    source: Column
    target: Column

    @classmethod
    def of(cls, config: CorpusConfig) -> "PairColumns":
        """Return the columns named by a configuration."""
        return cls(
            Column("corpus.source_column", config.source_column), Column("corpus.target_column", config.target_column)
        )

    def pair(self, row: Mapping[str, Any], location: Location) -> Pair:
        """Return a row's two sentences. Raises InputError if one is missing or not text."""
        return _checked((self.source.text(row, location), self.target.text(row, location)), location)


def read_table(file: RowFile, columns: PairColumns) -> Iterator[Pair]:
    """Yield the pairs of a file with named columns, in order. Raises InputError with the file and line or row."""
    for location, row in read_rows(file, [columns.source, columns.target]):
        yield columns.pair(row, location)


def read_aligned(source: RowFile, target: RowFile) -> Iterator[Pair]:
    """Yield the pairs of two text files, line by line. Raises InputError if their numbers of lines differ."""
    counts = [0, 0]
    name = f"{source.given} and {target.name}"
    for lines in itertools.zip_longest(read_lines(source), read_lines(target)):
        counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
        if None not in lines:
            yield _checked(lines, Location(name, "line", counts[0]))
    if counts[0] != counts[1]:
        raise InputError(
            f"{source.given} has {counts[0]} lines and {target.given} has {counts[1]}; "
            "line-aligned text needs the same number on both sides"
        )


def _checked(pair: Pair, location: Location) -> Pair:
    """Return the pair; raise InputError for a NUL: files in other encodings than UTF-8 are full of them."""
    if any("\0" in sentence for sentence in pair):
        raise InputError(f"{location} holds a NUL byte, which is not text; remove it, or convert the file to UTF-8")
    return pair
