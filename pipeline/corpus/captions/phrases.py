"""Random noun phrases and prepositional phrases of the caption grammar."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

from pipeline.corpus.captions.directions import PLACES
from pipeline.corpus.captions.grammar import (
    BARE,
    BOTH,
    DEFINITE,
    INDEFINITE,
    Determiner,
    DeterminerKind,
    NounPhrase,
    english_phrase,
    german_phrase,
    german_prepositional,
)
from pipeline.corpus.captions.modifiers import ADJECTIVES, NUMERALS, QUANTIFIERS
from pipeline.corpus.captions.things import NOUN_BY_KEY, NOUNS
from pipeline.corpus.captions.types import Adjective, Case, Noun, Number, Place, Slot, Text

_Item = TypeVar("_Item")

SINGULAR, PLURAL = Number.SINGULAR, Number.PLURAL

_NUMERAL_DETERMINERS: Final = tuple(Determiner(DeterminerKind.NUMERAL, numeral) for numeral in NUMERALS)
_FEW: Final = _NUMERAL_DETERMINERS[:3]
_QUANTIFIER_DETERMINERS: Final = tuple(Determiner(DeterminerKind.QUANTIFIER, word) for word in QUANTIFIERS)


def choose(random: Random, items: Sequence[_Item]) -> _Item:
    """Return one item; several times faster than `Random.choice`, which matters for a corpus."""
    return items[int(random.random() * len(items))]


def nouns_of(tags: str) -> tuple[Noun, ...]:
    """Return the nouns with any of the tags, everyday persons three times so that they prevail."""
    wanted = tags.split()
    found = [noun for noun in NOUNS if any(tag in wanted for tag in noun.tags)]
    return tuple(noun for noun in found for _ in range(3 if "common" in noun.tags else 1))


_ADJECTIVES_OF: Final[dict[Noun, tuple[Adjective, ...]]] = {
    noun: tuple(
        adjective for adjective in ADJECTIVES if any(name in noun.adjective_classes for name in adjective.classes)
    )
    for noun in NOUNS
}
_NOUNS_OF_TAGS: Final[dict[str, tuple[Noun, ...]]] = {}
PLACES_OF: Final[dict[tuple[str, str], tuple[Place, ...]]] = {
    (kind, environment): tuple(place for place in PLACES if place.kind == kind and environment in place.environments)
    for kind in dict.fromkeys(place.kind for place in PLACES)
    for environment in dict.fromkeys(name for place in PLACES for name in place.environments)
}


def candidates(tags: str) -> tuple[Noun, ...]:
    """Return `nouns_of`, remembered."""
    if tags not in _NOUNS_OF_TAGS:
        _NOUNS_OF_TAGS[tags] = nouns_of(tags)
    return _NOUNS_OF_TAGS[tags]


def adjectives(random: Random, noun: Noun, richness: float) -> tuple[Adjective, ...]:
    """Return up to two adjectives of different rank, in the order both languages want."""
    available = _ADJECTIVES_OF[noun]
    if not available or random.random() > richness:
        return ()
    first = choose(random, available)
    if random.random() > 0.35 * richness:
        return (first,)
    second = choose(random, available)
    if second.rank == first.rank or second.english == first.english:
        return (first,)
    return (first, second) if first.rank < second.rank else (second, first)


def plural_determiner(random: Random, many: bool = True) -> Determiner:
    """Return a determiner for a plural subject."""
    share = random.random()
    if share < 0.42:
        return choose(random, _FEW)
    if share < 0.5:
        return choose(random, _NUMERAL_DETERMINERS)
    if share < 0.64:
        return choose(random, _QUANTIFIER_DETERMINERS) if many else choose(random, _FEW)
    if share < 0.78:
        return BARE
    return DEFINITE if share < 0.93 else BOTH


def subject_phrase(random: Random, noun: Noun, richness: float, plural: bool) -> NounPhrase:
    """Return a noun phrase fit to be a subject."""
    if plural:
        determiner = plural_determiner(random)
        if noun.key == "Leute" and determiner is BOTH:
            determiner = DEFINITE
        return NounPhrase(noun, PLURAL, determiner, adjectives(random, noun, richness))
    determiner = INDEFINITE if random.random() < 0.72 else DEFINITE
    found = adjectives(random, noun, richness)
    if "pet" in noun.tags and random.random() < 0.2:
        owner = choose(random, candidates("common"))
        possessor = NounPhrase(
            owner,
            PLURAL if random.random() < 0.2 else SINGULAR,
            DEFINITE if random.random() < 0.7 else INDEFINITE,
            adjectives(random, owner, 0.3),
        )
        # An indefinite plural has no article to carry the genitive ending (Hunde von Kindern).
        if possessor.number is PLURAL:
            possessor = NounPhrase(owner, PLURAL, DEFINITE, possessor.adjectives)
        return NounPhrase(noun, SINGULAR, DEFINITE, found, possessor=possessor)
    return NounPhrase(noun, SINGULAR, determiner, found)


def _group_text(random: Random, noun: Noun) -> Text:
    """Return the members of a group: a genitive that an adjective shows, or else von."""
    found = adjectives(random, noun, 0.6)[:1]
    members = NounPhrase(noun, PLURAL, BARE, found)
    if found and found[0].declined:
        return Text(german_phrase(members, Case.GENITIVE), f"of {english_phrase(members)}")
    return Text(german_prepositional("von", members, Case.DATIVE), f"of {english_phrase(members)}")


def group_phrase(random: Random, member: Noun) -> NounPhrase:
    """Return 'eine Gruppe von ...', singular in both languages."""
    return NounPhrase(
        NOUN_BY_KEY["Gruppe"],
        SINGULAR,
        INDEFINITE,
        attributes=(_group_text(random, member),),
    )


def _cup_phrase(random: Random, determiner: Determiner, number: Number) -> NounPhrase:
    """Return a container with a drink: eine Tasse Kaffee."""
    hot = random.random() < 0.5
    drink = choose(random, candidates("hot" if hot else "cold"))
    content = Text(drink.singular, f"of {drink.english}")
    return NounPhrase(NOUN_BY_KEY["Tasse" if hot else "Glas"], number, determiner, (), (content,))


def _slot_determiner(random: Random, slot: Slot, plural: bool, owner: Determiner | None) -> Determiner:
    letters = slot.determiners if owner is not None else slot.determiners.replace("p", "") or "d"
    letter = choose(random, letters)
    if letter == "p" and owner is not None:
        return owner
    if letter == "d":
        return DEFINITE
    if plural:
        return BARE if letter == "b" or random.random() < 0.45 else choose(random, _FEW)
    return INDEFINITE


def slot_phrase(
    random: Random, slot: Slot, subject_plural: bool, owner: Determiner | None, richness: float, avoid: Noun
) -> NounPhrase:
    """Return a noun phrase that fills an argument slot."""
    plural = slot.number == "p" or (slot.number == "=" and subject_plural)
    if slot.number == "a":
        plural = random.random() < 0.3
    if (slot.tag == "food drinkcup" and random.random() < 0.5) or slot.tag == "drinkcup":
        return _cup_phrase(random, INDEFINITE if not plural else choose(random, _FEW), PLURAL if plural else SINGULAR)
    nouns = candidates(slot.tag)
    noun = choose(random, nouns)
    if noun is avoid:
        noun = choose(random, nouns)
    if "plural" in noun.tags or {"footwear", "glove"}.intersection(noun.tags):
        plural = True
    if not noun.plural:
        plural = False
    determiner = _slot_determiner(random, slot, plural, owner)
    if slot.number == "=" and plural and determiner.kind is DeterminerKind.NUMERAL:
        determiner = BARE
    if plural and {"footwear", "glove"}.intersection(noun.tags) and determiner.kind is DeterminerKind.NUMERAL:
        determiner = BARE
    found = adjectives(random, noun, richness)
    return NounPhrase(noun, PLURAL if plural else SINGULAR, determiner, found)


def prepositional(german: str, english: str, phrase: NounPhrase, case: Case) -> Text:
    """Return a noun phrase with its preposition in both languages."""
    text = english_phrase(phrase)
    return Text(german_prepositional(german, phrase, case), f"{english} {text}" if english else text)


def place_phrase(random: Random, place: Place, richness: float) -> NounPhrase:
    """Return the noun phrase of a place."""
    definite = place.determiners == "d" or (place.determiners == "id" and random.random() < 0.45)
    determiner = DEFINITE if definite else INDEFINITE
    attributes: tuple[Text, ...] = ()
    if place.whole:
        noun = choose(random, candidates(place.whole))
        kind = INDEFINITE if random.random() < 0.6 else DEFINITE
        whole = NounPhrase(noun, SINGULAR, kind, adjectives(random, noun, richness))
        attributes = (Text(german_phrase(whole, Case.GENITIVE), f"of {english_phrase(whole)}"),)
        richness = 0.0
    found = adjectives(random, place.noun, richness * (0.6 if definite else 1.0))
    return NounPhrase(place.noun, SINGULAR, determiner, found, attributes)


def place_text(random: Random, place: Place, richness: float) -> Text:
    """Return the prepositional phrase of a place."""
    phrase = place_phrase(random, place, richness)
    return prepositional(place.german_preposition, place.english_preposition, phrase, place.case)
