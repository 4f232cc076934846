"""Columns by the names that users give them, and the texts of a row in a column.

In a translation unit, whose columns are languages, a language stands for its regions, too, and may be missing or be
there several times.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self

from pipeline.errors import InputError


class Location(NamedTuple):
    """Where a row is, for messages: a file and its line, or a split of a data set and its row."""

    name: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} {self.unit} {self.number}"


class ColumnError(InputError):
    """The name of a column is wrong, rather than the row."""


class Versions(list[Any]):
    """The texts of one language in a unit: none, one or several."""


class ByLanguage(dict[str, Any]):
    """The texts of a translation unit by language, codes as they are spelt; a list if there are several of one."""

    @classmethod
    def of(cls, codes: Iterable[str], texts: Iterable[Any]) -> Self:
        """Return texts by their languages.

        >>> ByLanguage.of(["de", "en", "en"], ["Hund", "dog", "hound"])
        {'de': 'Hund', 'en': ['dog', 'hound']}
        """
        found: dict[str, list[Any]] = {}
        for code, text in zip(codes, texts, strict=True):
            found.setdefault(code, []).append(text)
        return cls({code: texts[0] if len(texts) == 1 else texts for code, texts in found.items()})

    @classmethod
    def from_lists(cls, value: Any) -> Self | None:
        """Return what `datasets` keeps as {"language": [...], "translation": [...]}; None for anything else."""
        if not isinstance(value, Mapping):
            return None
        codes, texts = value.get("language"), value.get("translation")
        if not isinstance(codes, list | tuple) or not isinstance(texts, list | tuple) or len(codes) != len(texts):
            return None
        return cls.of(codes, texts) if all(isinstance(code, str) for code in codes) else None

    def versions(self, language: str) -> Versions:
        """Return the texts of a language or, if there are none, of its only region.

        Raises LookupError with the codes of several regions.
        """
        codes = fitting_codes(language, self)
        if len({_normal(code) for code in codes}) > 1:
            raise LookupError(*codes)
        found = [self[code] for code in codes]
        return Versions(text for value in found for text in (value if isinstance(value, list) else [value]))


def fitting_codes(language: str, codes: Iterable[str]) -> list[str]:
    """Return the codes that a language stands for: itself or, if it is not there, its regions (RFC 4647, 3.3.1).

    >>> fitting_codes("en", ["de", "en-US", "EN_gb"]), fitting_codes("en", ["en", "en-US"])
    (['en-US', 'EN_gb'], ['en'])
    """
    wanted, known = _normal(language), list(codes)
    exact = [code for code in known if _normal(code) == wanted]
    return exact or [code for code in known if _normal(code).startswith(f"{wanted}-")]


def _normal(code: str) -> str:
    return code.replace("_", "-").lower()


@dataclass(frozen=True)
class Column:
    """A column of texts; `translation.de` is the field de of the nested column translation."""

    option: str
    """The option that names it: corpus.source_column or --column."""
    name: str

    @property
    def given(self) -> str:
        """The option and its value, as the user wrote them."""
        return self.assigned(self.name)

    @property
    def is_number(self) -> bool:
        """Whether its name may be its place, counted from 1."""
        return self.name.isascii() and self.name.isdecimal()

    def assigned(self, name: str) -> str:
        """Return how a user sets the option to a name."""
        return f"{self.option} {name}" if self.option.startswith("--") else f"{self.option}={name}"

    def is_in(self, row: Mapping[str, Any]) -> bool:
        """Return whether the row has the column."""
        try:
            value = _value(row, self.name)
        except KeyError:
            return False
        except LookupError:
            return True
        return not isinstance(value, Versions) or bool(value)

    def text(self, row: Mapping[str, Any], location: Location) -> str:
        """Return the row's text; "" for a language that the unit lacks.

        Raises InputError for a missing column, with the nearest name, and for a value that is not a text.
        """
        value = self._found(row, location)
        if not isinstance(value, Versions):
            return self._checked(value, location)
        if len(value) > 1:
            raise InputError(f"{self.given}: {location} holds {len(value)} texts, and one is translated; keep one")
        return self._checked(value[0], location) if value else ""

    def texts(self, row: Mapping[str, Any], location: Location) -> list[str]:
        """Return the row's texts: several where it is a list, and none for a language that the unit lacks.

        Raises InputError as `text` does.
        """
        value = self._found(row, location)
        if isinstance(value, str):
            return [self._checked(value, location)]
        texts = [self._checked(text, location) for text in (value if isinstance(value, list) else [value])]
        return Versions(texts) if isinstance(value, Versions) else texts

    def root(self, names: Iterable[str], nested_names: Iterable[str], where: str) -> str:
        """Return the column of a table that holds the text: its own name, or the part before the first dot.

        Raises InputError, with the names of all columns and nested fields, if there is none.
        """
        found = next((name for name in names if name in (self.name, self.name.partition(".")[0])), None)
        return self.refuse_missing(list(nested_names), where) if found is None else found

    def refuse_missing(self, names: list[str], location: Location | str) -> NoReturn:
        """Raise InputError, with the nearest of the names that there are."""
        by_lower = {name.lower(): name for name in names} | {name.lower().rpartition(".")[2]: name for name in names}
        near = difflib.get_close_matches(self.name.lower(), by_lower, 1)
        for prefix in (name.removesuffix("language") for name in names if name.endswith(".language")):
            if f"{prefix}translation" in names:  # Lists of languages and texts, as `datasets` keeps them.
                near, by_lower = [self.name], {self.name: f"{prefix}{self.name}"}
        hint = f"did you mean {by_lower[near[0]]}?" if near else f"set {self.option} to one of them"
        raise ColumnError(
            f"{self.given}: {location} has no column {self.name}; its columns are {listed(names)}; {hint}"
        )

    def _found(self, row: Mapping[str, Any], location: Location) -> Any:
        try:
            return _value(row, self.name)
        except KeyError:
            self.refuse_missing(list(names_of(row)), location)
        except LookupError as error:
            raise ColumnError(
                f"{self.given}: {location} has several regions of it ({listed(error.args)}); name one of them"
            ) from None

    def _checked(self, value: Any, location: Location) -> str:
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
    """Return a row's value. Raises KeyError if it has none, LookupError with the codes of several regions."""
    if isinstance(row, ByLanguage):
        return row.versions(column)
    if column in row:
        return row[column]
    if (unit := ByLanguage.from_lists(row)) is not None:
        return unit.versions(column)
    head, _, rest = column.partition(".")
    if not isinstance(row.get(head), Mapping):
        raise KeyError(column)
    return _value(row[head], rest)


def names_of(row: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of a row's columns, of nested ones with dots."""
    for name, value in (ByLanguage.from_lists(row) or row).items():
        if isinstance(value, Mapping):
            yield from names_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
