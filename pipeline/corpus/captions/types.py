"""Types of the caption grammar: grammatical categories and the frozen records of its lexicon."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Gender(Enum):
    """Grammatical gender of a German noun."""

    MASCULINE = "m"
    FEMININE = "f"
    NEUTER = "n"


class Case(Enum):
    """Grammatical case of a German noun phrase."""

    NOMINATIVE = "nom"
    ACCUSATIVE = "acc"
    DATIVE = "dat"
    GENITIVE = "gen"


class Number(Enum):
    """Grammatical number, shared by both languages."""

    SINGULAR = "sg"
    PLURAL = "pl"


class Text(NamedTuple):
    """A phrase in both languages; a comma is a token of its own until the sentence is spelled out."""

    german: str
    english: str


EMPTY = Text("", "")


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun with the forms both languages need; `plural` is empty where the noun has none."""

    key: str
    singular: str
    gender: Gender
    plural: str
    english: str
    english_plural: str
    tags: tuple[str, ...]
    adjective_classes: tuple[str, ...]
    genitive: str
    weak: bool = False
    """Weak masculine: every form but the nominative singular ends in -(e)n (der Junge, den Jungen)."""
    pronoun: str = "it"
    """English personal pronoun; empty where English would not settle on one (a child, a person)."""
    pair: bool = False
    """Singular in German, plural only in English (eine Brille, glasses)."""

    @property
    def oblique(self) -> str:
        """Accusative and dative singular."""
        return self.genitive if self.weak else self.singular

    @property
    def dative_plural(self) -> str:
        """Dative plural, with its -n unless the plural ends in -n or -s."""
        return self.plural if self.plural.endswith(("n", "s")) else self.plural + "n"


class Adjective(NamedTuple):
    """An attributive adjective in one sense; `rank` orders adjectives alike in both languages."""

    stem: str
    english: str
    rank: int
    classes: tuple[str, ...]
    declined: bool = True
    """False for rosa and lila, which take no ending."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A German verb and its English equivalent."""

    infinitive: str
    """Without separable prefix; equals the third person plural."""
    third: str
    participle: str
    """With prefix: aufgehoben."""
    english: str
    gerund: str
    english_participle: str
    prefix: str = ""
    particle: str = ""
    """English particle that stays behind the verb: pick *up*."""
    auxiliary_be: bool = False
    """Perfect with sein instead of haben."""
    reflexive: bool = False

    @property
    def english_third(self) -> str:
        """Third person singular of the English simple present."""
        if self.english.endswith(("s", "sh", "ch", "x", "o")):
            return self.english + "es"
        if self.english.endswith("y") and self.english[-2] not in "aeiou":
            return self.english[:-1] + "ies"
        return self.english + "s"


class Slot(NamedTuple):
    """An argument of a verb: which nouns fill it, and how each language marks it."""

    tag: str
    determiners: str = "i"
    """Allowed determiners: i(ndefinite), d(efinite), p(ossessive), b(are)."""
    number: str = "s"
    """s(ingular), p(lural), a(ny), or = for the number of the subject."""
    german_preposition: str = ""
    english_preposition: str = ""
    case: Case = Case.ACCUSATIVE


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A verb with its argument slots: one kind of event that a caption can tell."""

    verb: Verb
    subjects: tuple[str, ...]
    environments: tuple[str, ...]
    object: Slot | None = None
    dative: Slot | None = None
    fixed_object: Text = EMPTY
    """An object without choice: Fußball (spielen)."""
    fixed: Text = EMPTY
    """A closing complement without choice: an der Leine (führen)."""
    place: str = "area"
    """Kind of place that may be named; a trailing ! makes it obligatory, empty forbids it."""
    manner: tuple[str, ...] = ()
    plural: bool = False
    """Only for several subjects, as with 'talk to each other'."""
    perfect: bool = False
    """Has a result that a caption can show, so the perfect is natural."""
    intent: bool = False
    """Can be wanted, tried or aimed at: modal verbs and um ... zu."""
    reason: str = ""
    """Kind of weil-clause that explains it."""


class Place(NamedTuple):
    """A prepositional phrase of location or direction, but for its adjectives."""

    noun: Noun
    german_preposition: str
    case: Case
    english_preposition: str
    kind: str
    environments: tuple[str, ...]
    determiners: str = "id"
    whole: str = ""
    """Tag of the nouns that may stand in the genitive: am Ufer *eines Sees*."""


class Adverb(NamedTuple):
    """An adverb of manner; `after` puts it behind the English object."""

    german: str
    english: str
    tags: tuple[str, ...]
    after: bool = False


class Reason(NamedTuple):
    """The predicate of a weil-clause, verb last; `pronoun` says whether a personal subject precedes it."""

    singular: Text
    plural: Text
    tags: tuple[str, ...]
    pronoun: bool = True
