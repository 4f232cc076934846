"""The rule against sentences in the wrong language; unsure is kept."""

from collections.abc import Iterable
from copy import copy
from functools import cache
from pathlib import Path
from typing import Protocol

from py3langid.langid import MODEL_FILE, LanguageIdentifier

FAMILIES = (
    "af da de en fy is lb nl nn no sv",
    "ca es fr gl it la oc pt ro",
    "be bg bs cs hr mk pl ru sk sl sr uk",
    "et fi hu",
    "lt lv",
    "ar fa he ps ur",
    "bn gu hi mr ne pa",
    "kn ml ta te",
    "az kk ky tr",
    "id jv ms tl",
    "ja ko zh",
    "lo th",
)
"""Neighbours: languages that are mistaken for each other."""
COMMON = "ar de en es fr ja ru zh"
"""What strays into any corpus."""
CONFUSED = (
    frozenset({"da", "nn", "no"}),
    frozenset({"bs", "hr", "sr"}),
    frozenset({"id", "ms"}),
    frozenset({"cs", "sk"}),
    frozenset({"gl", "pt"}),
)
"""Languages that cannot be told apart by one sentence."""
ALIASES = {"nb": "no", "iw": "he", "in": "id", "zho": "zh", "cmn": "zh", "deu": "de", "eng": "en", "fra": "fr"}
CHARACTERS = 100
"""As much of a sentence is looked at."""
LETTERS = 12
"""Shorter texts, such as names, are of any language."""
DOUBT = 0.05
"""A sentence is of another language if the probability of its own is less."""


class Identifier(Protocol):
    """Gives probabilities to languages."""

    def classify(self, text: str) -> tuple[str, float]:
        """Return the most probable language with its probability."""
        ...

    def rank(self, text: str) -> list[tuple[str, float]]:
        """Return every language with its probability, the most probable first."""
        ...

    def set_languages(self, langs: tuple[str, ...]) -> None:
        """Tell these languages alone."""
        ...


class WrongLanguage:
    """Finds sentences that are surely not of one language, among its neighbours and the most common ones."""

    def __init__(self, language: str, other: str | None) -> None:
        """Take the tag of the sentences' language, and that of the other side's.

        Raises KeyError if the language is not among those that can be told.
        """
        self._own = {language, *(name for group in CONFUSED if language in group for name in group)}
        self._among = identifier(tuple(sorted(_neighbours([language, *([other] if other else [])]))))

    def fault(self, text: str) -> str | None:
        """Return the language that a sentence is of instead, or None."""
        begin = text[:CHARACTERS]
        if sum(map(str.isalpha, begin)) < LETTERS:
            return None
        best, _ = self._among.classify(begin)
        if best in self._own:
            return None
        ranks = self._among.rank(begin)
        return None if sum(share for name, share in ranks if name in self._own) >= DOUBT else best


def known_language(tag: str | None) -> str | None:
    """Return the name that the identifier has for a BCP 47 tag, or None if it does not know the language.

    >>> known_language("pt-BR"), known_language("nb"), known_language("tlh"), known_language(None)
    ('pt', 'no', None, None)
    """
    name = (tag or "").partition("-")[0].lower()
    name = ALIASES.get(name, name)
    return name if name in labels() else None


@cache
def labels() -> frozenset[str]:
    """Return the languages that can be told."""
    return frozenset(_load().labels)


def _neighbours(languages: Iterable[str]) -> set[str]:
    found = {*languages, *COMMON.split()}
    for family in map(str.split, FAMILIES):
        if not {*family}.isdisjoint(languages):
            found |= {*family}
    return found & labels()


@cache
def identifier(languages: tuple[str, ...]) -> Identifier:
    """Return what tells languages apart; its model comes with the package and is plain numbers (npz)."""
    found: Identifier = copy(_load())
    found.set_languages(languages)
    return found


@cache
def _load() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(Path(MODEL_FILE), norm_probs=True)
