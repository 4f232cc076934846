"""Columns by the names that users give them, and a row's text in a column."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from pipeline.errors import InputError


class Location(NamedTuple):
    """Where a row is, for messages: a file and its line, or a split of a data set and its row."""

    name: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} {self.unit} {self.number}"


@dataclass(frozen=True)
class Column:
    """A column of texts; `translation.de` is the field de of the nested column translation."""

    option: str
    """The option that names it: corpus.source_column or --column."""
    name: str

    @property
    def given(self) -> str:
        """The option and its value, as the user wrote them."""
        return f"{self.option} {self.name}" if self.option.startswith("--") else f"{self.option}={self.name}"

    def text(self, row: Mapping[str, Any], location: Location) -> str:
        """Return the row's text.

        Raises InputError for a missing column, with the nearest name, and for a value that is not text.
        """
        try:
            value = _value(row, self.name)
        except KeyError:
            self._refuse_missing(list(_names(row)), location)
        if not isinstance(value, str):
            what = "null" if value is None else f"{value!r:.40} ({type(value).__name__})"
            raise InputError(f"{self.given}: {location} holds {what}, not text; correct it or name another column")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{self.given}: {location} holds half of a surrogate pair, which is not a character; correct the row"
            ) from None
        return value

    def root(self, names: Iterable[str], nested_names: Iterable[str], where: str) -> str:
        """Return the column of a table that holds the text: its own name, or the part before the first dot.

        Raises InputError, with the names of all columns and nested fields, if there is none.
        """
        found = next((name for name in names if name in (self.name, self.name.partition(".")[0])), None)
        return self._refuse_missing(list(nested_names), where) if found is None else found

    def _refuse_missing(self, names: list[str], location: Location | str) -> NoReturn:
        by_lower = {name.lower(): name for name in names} | {name.lower().rpartition(".")[2]: name for name in names}
        near = difflib.get_close_matches(self.name.lower(), by_lower, 1)
        hint = f"did you mean {by_lower[near[0]]}?" if near else f"set {self.option} to one of them"
        raise InputError(f"{self.given}: {location} has no column {self.name}; its columns are {listed(names)}; {hint}")


def listed(names: Sequence[str]) -> str:
    """Return column names for a message: on one line, long ones cut, many counted.

    >>> listed(["de", "en"]), listed([])
    ('de, en', 'none')
    """
    shown = [" ".join(name.split())[:40] for name in names[:20]]
    more = [f"and {len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return ", ".join(shown + more) or "none"


def roots(columns: Sequence[Column], names: Sequence[str], nested_names: Sequence[str], where: str) -> list[str]:
    """Return the columns of a table that hold `columns`, each once. Raises InputError if one is missing."""
    return list(dict.fromkeys(column.root(names, nested_names, where) for column in columns))


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
