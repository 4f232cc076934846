"""The source and target sentence of a row of a data set: by the columns' names, checked to be text."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from pipeline.errors import InputError

Pair = tuple[str, str]
"""A source sentence and its target."""


class Place(NamedTuple):
    """Where a row stands, for messages: a file and line, or a data set's split and row."""

    name: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} {self.unit} {self.number}"


@dataclass(frozen=True)
class Columns:
    """The names of the two columns; `translation.de` is the field de of the nested column translation."""

    source: str
    target: str

    def pair(self, row: Mapping[str, Any], place: Place) -> Pair:
        """Return the row's two sentences.

        Raises InputError for a missing column, with the nearest name, and for a value that is not a text.
        """
        return _text(row, "source_column", self.source, place), _text(row, "target_column", self.target, place)

    def roots(self, names: Iterable[str], nested_names: Iterable[str], where: str) -> list[str]:
        """Return those of a table's column names that the two sentences are in.

        Raises InputError, naming all columns and the nested ones, where one is missing.
        """
        found: dict[str, None] = {}
        for field, column in (("source_column", self.source), ("target_column", self.target)):
            root = next((name for name in names if name in (column, column.partition(".")[0])), None)
            if root is None:
                _refuse_missing(list(nested_names), field, column, where)
            found[root] = None
        return list(found)


def _text(row: Mapping[str, Any], field: str, column: str, place: Place) -> str:
    try:
        value = _value(row, column)
    except KeyError:
        _refuse_missing(list(_names(row)), field, column, place)
    if not isinstance(value, str):
        what = "null" if value is None else f"{value!r} ({type(value).__name__})"
        raise InputError(
            f"corpus.{field}={column}: {place} holds {what}, not a text; correct the row or name another column"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"corpus.{field}={column}: {place} holds half of a surrogate pair, which is no character; correct the row"
        ) from None
    return value


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    head, _, rest = column.partition(".")
    if not isinstance(row.get(head), Mapping):
        raise KeyError(column)
    return _value(row[head], rest)


def _names(row: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _refuse_missing(names: list[str], field: str, column: str, place: Place | str) -> NoReturn:
    by_lower = {name.lower(): name for name in names} | {name.lower().rpartition(".")[2]: name for name in names}
    near = difflib.get_close_matches(column.lower(), by_lower, 1)
    hint = f"did you mean {by_lower[near[0]]}?" if near else f"set corpus.{field} to one of them"
    raise InputError(
        f"corpus.{field}={column}: {place} has no column {column}; its columns are {', '.join(names) or 'none'}; {hint}"
    )
