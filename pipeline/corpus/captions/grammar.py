"""Noun phrases: German declension and the English forms that go with it.

German: the determiner decides the ending of the adjective: weak after der, mixed after ein, kein and the
possessives, strong after nothing, a numeral or a quantifier. English: a or an by sound, bare plurals,
possessive 's for a German genitive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from pipeline.corpus.captions.types import EMPTY, Adjective, Case, Gender, Noun, Number, Text

_CASES: Final = (Case.NOMINATIVE, Case.ACCUSATIVE, Case.DATIVE, Case.GENITIVE)
_COLUMNS: Final = ("m", "f", "n", "pl")


def _table(*columns: str) -> dict[tuple[str, Case], str]:
    """Read one string of four endings or articles (in the order of _CASES) a column; '-' is none."""
    return {
        (name, case): "" if form == "-" else form
        for name, column in zip(_COLUMNS, columns, strict=True)
        for case, form in zip(_CASES, column.split(), strict=True)
    }


DEFINITE_ARTICLE: Final = _table("der den dem des", "die die der der", "das das dem des", "die die den der")
RELATIVE_PRONOUN: Final = _table("der den dem dessen", "die die der deren", "das das dem dessen", "die die denen deren")
EIN_ENDING: Final = _table("- en em es", "e e er er", "- - em es", "e e en er")
WEAK_ENDING: Final = _table("e en en en", "e e en en", "e e en en", "en en en en")
MIXED_ENDING: Final = _table("er en en en", "e e en en", "es es en en", "en en en en")
STRONG_ENDING: Final = _table("er en em en", "e e er er", "es es em en", "e e en er")

CONTRACTIONS: Final[dict[tuple[str, str], str]] = {
    ("in", "dem"): "im", ("in", "das"): "ins", ("an", "dem"): "am", ("an", "das"): "ans",
    ("zu", "dem"): "zum", ("zu", "der"): "zur", ("von", "dem"): "vom", ("bei", "dem"): "beim",
}  # fmt: skip

_PRONOUNS: Final = {Gender.MASCULINE: "er", Gender.FEMININE: "sie", Gender.NEUTER: "es"}
_ENGLISH_POSSESSIVES: Final = {"he": "his", "she": "her", "it": "its", "they": "their"}
_SOUNDS_LIKE_CONSONANT: Final = ("uni", "eu", "one")


class DeterminerKind(Enum):
    """How a noun phrase is introduced."""

    DEFINITE = "der"
    INDEFINITE = "ein"
    NEGATIVE = "kein"
    POSSESSIVE = "sein"
    BARE = ""
    NUMERAL = "zwei"
    BOTH = "die beiden"
    QUANTIFIER = "viele"


@dataclass(frozen=True, slots=True)
class Determiner:
    """A determiner; `word` is the numeral, the quantifier stem or the possessive in both languages."""

    kind: DeterminerKind
    word: Text = EMPTY


DEFINITE: Final = Determiner(DeterminerKind.DEFINITE)
INDEFINITE: Final = Determiner(DeterminerKind.INDEFINITE)
NEGATIVE: Final = Determiner(DeterminerKind.NEGATIVE)
BARE: Final = Determiner(DeterminerKind.BARE)
BOTH: Final = Determiner(DeterminerKind.BOTH)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A noun with its determiner, adjectives and whatever follows it."""

    noun: Noun
    number: Number = Number.SINGULAR
    determiner: Determiner = INDEFINITE
    adjectives: tuple[Adjective, ...] = ()
    attributes: tuple[Text, ...] = ()
    """Prepositional phrases and relative clauses, whose form does not depend on the case of the phrase."""
    possessor: NounPhrase | None = field(default=None)
    """German genitive, English possessive 's."""

    @property
    def column(self) -> str:
        """The column of the declension tables this phrase is declined by."""
        return "pl" if self.number is Number.PLURAL else self.noun.gender.value

    @property
    def pronoun(self) -> Text:
        """Personal pronoun in the nominative; its English is empty where none fits."""
        if self.number is Number.PLURAL:
            return Text("sie", "they")
        return Text(_PRONOUNS[self.noun.gender], self.noun.pronoun)

    @property
    def possessive(self) -> Determiner | None:
        """The possessive determiner that refers back to this phrase."""
        pronoun = self.pronoun
        if not pronoun.english:
            return None
        stem = "ihr" if pronoun.german == "sie" else "sein"
        return Determiner(DeterminerKind.POSSESSIVE, Text(stem, _ENGLISH_POSSESSIVES[pronoun.english]))


def _german_determiner(phrase: NounPhrase, case: Case) -> tuple[str, dict[tuple[str, Case], str]]:
    """Return the determiner and the table of the adjective endings it asks for."""
    cell = (phrase.column, case)
    kind, word = phrase.determiner.kind, phrase.determiner.word.german
    if phrase.possessor is not None or kind is DeterminerKind.DEFINITE:
        return DEFINITE_ARTICLE[cell], WEAK_ENDING
    if kind is DeterminerKind.BOTH:
        return f"{DEFINITE_ARTICLE[cell]} beiden", WEAK_ENDING
    if kind is DeterminerKind.NUMERAL:
        return word, STRONG_ENDING
    if kind is DeterminerKind.QUANTIFIER:
        return word + STRONG_ENDING[cell], STRONG_ENDING
    if kind is DeterminerKind.BARE or (kind is DeterminerKind.INDEFINITE and phrase.column == "pl"):
        return "", STRONG_ENDING
    stem = {DeterminerKind.INDEFINITE: "ein", DeterminerKind.NEGATIVE: "kein"}.get(kind, word)
    return stem + EIN_ENDING[cell], MIXED_ENDING


def german_noun(noun: Noun, number: Number, case: Case) -> str:
    """Return the German noun in a number and case."""
    if number is Number.PLURAL:
        return noun.dative_plural if case is Case.DATIVE else noun.plural
    if case is Case.NOMINATIVE:
        return noun.singular
    return noun.genitive if case is Case.GENITIVE else noun.oblique


def german_phrase(phrase: NounPhrase, case: Case) -> str:
    """Return a noun phrase in German."""
    determiner, endings = _german_determiner(phrase, case)
    ending = endings[phrase.column, case]
    words = [determiner] if determiner else []
    words += [adjective.stem + ending if adjective.declined else adjective.stem for adjective in phrase.adjectives]
    words.append(german_noun(phrase.noun, phrase.number, case))
    if phrase.possessor is not None:
        words.append(german_phrase(phrase.possessor, Case.GENITIVE))
    words += [attribute.german for attribute in phrase.attributes]
    return " ".join(words)


def german_prepositional(preposition: str, phrase: NounPhrase, case: Case) -> str:
    """Return a prepositional phrase, contracted where German contracts (im, zum ...)."""
    text = german_phrase(phrase, case)
    if not preposition:
        return text
    first, _, rest = text.partition(" ")
    contracted = CONTRACTIONS.get((preposition, first))
    return f"{contracted} {rest}" if contracted and _may_contract(phrase) else f"{preposition} {text}"


def _may_contract(phrase: NounPhrase) -> bool:
    """Return whether the article may merge: before a relative clause it must not (an dem Haus, das ...)."""
    return phrase.determiner.kind is DeterminerKind.DEFINITE and not any(
        attribute.german.startswith(",") for attribute in phrase.attributes
    )


def indefinite_article(following: str) -> str:
    """Return a or an, by the sound the next word starts with."""
    word = following.lower()
    return "an" if word[0] in "aeiou" and not word.startswith(_SOUNDS_LIKE_CONSONANT) else "a"


def _english_determiner(phrase: NounPhrase, rest: str) -> str:
    kind = phrase.determiner.kind
    if phrase.possessor is not None:
        owner = english_phrase(phrase.possessor)
        return owner + ("'" if owner.endswith("s") and phrase.possessor.number is Number.PLURAL else "'s")
    if kind is DeterminerKind.DEFINITE:
        return "the"
    if kind is DeterminerKind.BOTH:
        return "the two"
    if kind is DeterminerKind.INDEFINITE:
        return "" if phrase.number is Number.PLURAL or phrase.noun.pair else indefinite_article(rest)
    if kind is DeterminerKind.NEGATIVE:
        return "no"
    return phrase.determiner.word.english


def english_phrase(phrase: NounPhrase) -> str:
    """Return a noun phrase in English."""
    plural = phrase.number is Number.PLURAL or phrase.noun.pair
    words = [adjective.english for adjective in phrase.adjectives]
    words.append(phrase.noun.english_plural if plural else phrase.noun.english)
    determiner = _english_determiner(phrase, words[0])
    if determiner:
        words.insert(0, determiner)
    words += [attribute.english for attribute in phrase.attributes]
    return " ".join(words)


def english_relative_pronoun(noun: Noun) -> str:
    """Return who for persons and that for everything else."""
    return "who" if {"anyone", "baby"}.intersection(noun.tags) else "that"
