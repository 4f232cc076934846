"""The rule against sentences in the wrong language; unsure is kept."""

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from pipeline.corpus.cleaning.identifier import Identifier, model

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


class WrongLanguage:
    """Finds sentences that are surely not of one language, among its neighbours and the most common ones."""

    def __init__(self, language: str, other: str | None) -> None:
        """Take the tag of the sentences' language, and that of the other side's.

        Raises KeyError if the language is not among those that can be told.
        """
        self._identifier = Identifier(sorted(_neighbours([language, *([other] if other else [])])))
        own = {language, *(name for group in CONFUSED if language in group for name in group)}
        self._own = np.array([name in own for name in self._identifier.languages])
        if not self._own.any():
            raise KeyError(language)

    def faults(self, texts: Sequence[str]) -> list[str | None]:
        """Return for each sentence the language that it is of instead, or None."""
        begins = [text[:CHARACTERS] for text in texts]
        asked = [row for row, begin in enumerate(begins) if sum(map(str.isalpha, begin)) >= LETTERS]
        shares = self._identifier.probabilities([begins[row] for row in asked])
        best = shares.argmax(axis=1)
        wrong = ~self._own[best] & (shares[:, self._own].sum(axis=1) < DOUBT)
        found: list[str | None] = [None] * len(texts)
        for place in np.flatnonzero(wrong):
            found[asked[place]] = self._identifier.languages[best[place]]
        return found


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
    return frozenset(model().labels)


def _neighbours(languages: Iterable[str]) -> set[str]:
    found = {*languages, *COMMON.split()}
    for family in map(str.split, FAMILIES):
        if not {*family}.isdisjoint(languages):
            found |= {*family}
    return found & labels()
