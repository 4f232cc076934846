"""Sentence pairs from local files: aligned lines, or two columns of a row."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InputError
from pipeline.rows.columns import Column, Location, Versions
from pipeline.rows.files import RowFile
from pipeline.rows.lines import BadLines, byte_lines, decode
from pipeline.rows.readers import read_rows
from pipeline.source_config import SourceConfig

Pair = tuple[str, str]
"""A source sentence and its target."""


@dataclass(frozen=True)
class PairColumns:
    """The columns of the source and the target sentence."""

    source: Column
    target: Column

    @classmethod
    def of(cls, config: SourceConfig) -> "PairColumns":
        """Return the columns named by a configuration."""
        return cls(
            Column("corpus.source_column", config.source_column), Column("corpus.target_column", config.target_column)
        )

    def pairs(self, row: Mapping[str, Any], location: Location) -> list[Pair]:
        """Return a row's pair of sentences, or several if it has several versions of a side.

        A language that a unit lacks is an empty side. Raises InputError if a side is missing or not text.
        """
        sources, targets = self.source.texts(row, location), self.target.texts(row, location)
        if len(sources) == len(targets) == 1:
            return [_checked((sources[0], targets[0]), location)]
        if len(sources) > 1 and len(targets) > 1 and not isinstance(sources, Versions):
            raise InputError(
                f"{self.source.given}: {location} has lists on both sides; join the words of a sentence to one text"
            )
        return [_checked(pair, location) for pair in itertools.product(sources or [""], targets or [""])]


def read_table(file: RowFile, columns: PairColumns, bad: BadLines | None = None) -> Iterator[Pair]:
    """Yield the pairs of a file with columns, in order. Raises InputError with the file and line or row."""
    return pairs_of(read_rows(file, [columns.source, columns.target], whole=False, bad=bad), columns, bad)


def pairs_of(
    rows: Iterable[tuple[Location, Mapping[str, Any]]], columns: PairColumns, bad: BadLines | None = None
) -> Iterator[Pair]:
    """Yield the pairs of rows, in order."""
    for location, row in rows:
        try:
            pairs = columns.pairs(row, location)
        except InputError as error:
            (bad or BadLines()).refuse(error, location)
        else:
            yield from pairs


def read_aligned(source: RowFile, target: RowFile, bad: BadLines | None = None) -> Iterator[Pair]:
    """Yield the pairs of two text files, line by line. Raises InputError if their numbers of lines differ."""
    counts = [0, 0]
    for lines in itertools.zip_longest(byte_lines(source), byte_lines(target)):
        counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
        if None in lines:
            continue
        try:
            pair = _decoded(lines, source, target, counts[0])
        except InputError as error:
            (bad or BadLines()).refuse(error, Location(source.given, "line", counts[0]))
        else:
            yield pair
    if counts[0] != counts[1]:
        raise InputError(
            f"{source.given} has {counts[0]} lines and {target.given} has {counts[1]}; "
            "line-aligned text needs the same number on both sides"
        )


def _decoded(lines: tuple[bytes, bytes], source: RowFile, target: RowFile, number: int) -> Pair:
    pair = (
        decode(lines[0], source.given, number).rstrip("\r\n"),
        decode(lines[1], target.given, number).rstrip("\r\n"),
    )
    return _checked(pair, Location(f"{source.given} and {target.name}", "line", number))


def _checked(pair: Pair, location: Location) -> Pair:
    """Return the pair; raise InputError for a NUL: files in other encodings than UTF-8 are full of them."""
    if "\0" in pair[0] or "\0" in pair[1]:
        raise InputError(f"{location} holds a NUL byte, which is not text; remove it, or convert the file to UTF-8")
    return pair
