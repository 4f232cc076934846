"""Random clauses of the caption grammar: an event, who takes part in it and where, all of one scene."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from pipeline.corpus.captions.clauses import Clause, Mode, Subject, english_predicate, german_final
from pipeline.corpus.captions.events import (
    FRAMES_IN,
    SUBJECTS_OF,
    Scene,
    frames_for,
    key_of,
    wears,
)
from pipeline.corpus.captions.frames import FRAMES
from pipeline.corpus.captions.grammar import (
    DEFINITE,
    RELATIVE_PRONOUN,
    Determiner,
    DeterminerKind,
    NounPhrase,
    english_relative_pronoun,
)
from pipeline.corpus.captions.modifiers import ADVERBS
from pipeline.corpus.captions.phrases import (
    PLACES_OF,
    adjectives,
    candidates,
    choose,
    group_phrase,
    place_text,
    prepositional,
    slot_phrase,
    subject_phrase,
)
from pipeline.corpus.captions.types import EMPTY, Adverb, Case, Frame, Number, Slot, Text

_HAIR: Final = ("blond", "dark-haired", "red-haired", "bearded")
_ADVERBS_OF: Final[dict[Frame, tuple[Adverb, ...]]] = {
    frame: tuple(adverb for adverb in ADVERBS if any(tag in frame.manner for tag in adverb.tags)) for frame in FRAMES
}


def _adornment(random: Random, phrase: NounPhrase) -> Text:
    """Return what a person or animal has on: mit einem roten Hut, in einem blauen Kleid."""
    noun, plural = phrase.noun, phrase.number is Number.PLURAL
    number = "p" if plural else "s"
    if "anyone" not in noun.tags:
        slot, german, english = Slot("collar", "b" if plural else "i", number), "mit", "with"
    else:
        options = [("eyewear", "mit", "with")]
        if not any(adjective.english in _HAIR for adjective in phrase.adjectives):
            options.append(("hair", "mit", "with"))
        if "adult" in noun.tags or "child" in noun.tags:
            options += [("garment", "in", "in"), ("headwear bag", "mit", "with")]
        if "she" in noun.tags and ("garment", "in", "in") in options:
            options.append(("dress", "in", "in"))
        if "man" in noun.adjective_classes and "child" not in noun.tags and ("hair", "mit", "with") in options:
            options.append(("beard", "mit", "with"))
        tag, german, english = choose(random, options)
        slot = Slot(tag, "b" if plural or tag == "hair" else "i", "p" if tag == "hair" else number)
    worn = slot_phrase(random, slot, plural, None, 1.0, noun)
    return prepositional(german, english, worn, Case.DATIVE)


def relative_clause(phrase: NounPhrase, clause: Clause) -> Text:
    """Return a relative clause whose pronoun is the subject of the clause."""
    pronoun = RELATIVE_PRONOUN[phrase.column, Case.NOMINATIVE]
    german = german_final(clause, pronoun)
    english = f"{english_relative_pronoun(phrase.noun)} {english_predicate(clause)}"
    return Text(f", {german} ,", english)


_RELATIVE_VERBS: Final = ("wear", "hold", "carry")


def _said(frame: Frame, number: Number) -> Text:
    """Return the closing complement of the frame, in English with the possessive of the subject's number."""
    german, english = frame.fixed
    return Text(german, english.replace("its mouth", "their mouths") if number is Number.PLURAL else english)


def _subject_relative(random: Random, scene: Scene, phrase: NounPhrase, frame: Frame) -> Text | None:
    """Return a relative clause about what the subject wears, holds or carries meanwhile."""
    options = [
        other
        for other in frames_for(scene, phrase.noun)
        if key_of(other) in _RELATIVE_VERBS and not (wears(other) and wears(frame))
        and other.verb is not frame.verb
        and not (other.object and not wears(other) and (frame.object or frame.dative))
    ]  # fmt: skip
    if not options:
        return None
    chosen = choose(random, options)
    clause = make_clause(random, Scene(scene.environment, 0.5), chosen, Subject((phrase,)), plain=True)
    return relative_clause(phrase, replace(clause, manner=None, place=EMPTY, complement=_said(chosen, phrase.number)))


def object_relative(random: Random, scene: Scene, phrase: NounPhrase, keys: tuple[str, ...]) -> Text | None:
    """Return a relative clause whose pronoun is the accusative or dative object: den ein Junge führt."""
    options = [
        frame
        for frame in FRAMES_IN[scene.environment]
        if key_of(frame) in keys and phrase.noun in candidates((frame.object or frame.dative or Slot("")).tag)
    ]
    if not options:
        return None
    frame = choose(random, options)
    slot = frame.object or frame.dative
    assert slot is not None
    subject = make_subject(random, Scene(scene.environment, 0.3), frame, plain=True)
    if subject.phrases[0].noun is phrase.noun:
        return None
    mode = Mode.PERFECT if keys is _MAKING else Mode.PRESENT
    clause = Clause(frame.verb, subject, mode, complement=frame.fixed)
    german = german_final(clause, f"{RELATIVE_PRONOUN[phrase.column, slot.case]} {subject.text.german}")
    english = f"{english_relative_pronoun(phrase.noun)} {subject.text.english} {english_predicate(clause)}"
    return Text(f", {german} ,", f"{english} {slot.english_preposition}".strip())


_TURNED_TO: Final = (
    "lead",
    "stroke",
    "chase",
    "watch",
    "wave",
    "follow",
    "feed",
    "brush",
    "film",
    "draw",
    "listen",
)
_MAKING: Final = ("bake", "paint-art", "build", "buy", "repair", "draw")


_STILL: Final = ("sleep", "lie", "rest", "fall-asleep", "cry", "stop", "swim")


def _furnish(random: Random, scene: Scene, phrase: NounPhrase, frame: Frame) -> NounPhrase:
    """Add an adornment or a relative clause to a subject."""
    share = random.random()
    if share > 0.75 * scene.richness or phrase.possessor is not None:
        return phrase
    text: Text | None = None
    person, dog = "anyone" in phrase.noun.tags, "pet" in phrase.noun.tags
    if share < 0.3 * scene.richness:
        text = _subject_relative(random, scene, phrase, frame) if person or dog else None
    elif share < 0.42 * scene.richness and not frame.object and not frame.dative and key_of(frame) not in _STILL:
        text = object_relative(random, scene, phrase, _TURNED_TO)
    elif (person and not wears(frame)) or ("dog" in phrase.noun.tags):
        text = _adornment(random, phrase)
    return replace(phrase, attributes=(*phrase.attributes, text)) if text else phrase


_MOODY: Final = ("cry", "sleep", "fall-asleep", "laugh", "smile", "run-away", "rest", "lie", "read", "bend")
MOODS: Final = ("tired", "cheerful", "happy", "smiling", "laughing", "curious")
_DIRECTIONS: Final = (
    "path", "road", "dive", "hurdle", "climb", "air", "put", "sitdown", "hangput",
)  # fmt: skip
"""Kinds of place that say where to, not where: they follow the object in German too."""


def make_subject(random: Random, scene: Scene, frame: Frame, plain: bool = False) -> Subject:
    """Return a subject for an event."""
    nouns = SUBJECTS_OF[scene.environment, frame]
    noun = choose(random, nouns)
    person = "anyone" in noun.tags
    if person and random.random() < (0.4 if frame.plural else 0.1):
        other = choose(random, nouns)
        related = "kin" in noun.tags + other.tags and not ("kin" in noun.tags and "kin" in other.tags)
        if related and "child" not in noun.tags + other.tags:
            other = noun
        if (
            other.english != noun.english
            and "Person" not in (noun.key, other.key)
            and "plural" not in other.tags
            and "plural" not in noun.tags
        ):
            richness = scene.richness * 0.6
            return Subject(
                (
                    NounPhrase(noun, adjectives=adjectives(random, noun, richness)),
                    NounPhrase(other, adjectives=adjectives(random, other, richness)),
                )
            )
    kin = "kin" in noun.tags
    if person and not kin and not wears(frame) and random.random() < 0.04:
        return Subject((group_phrase(random, noun),))
    while frame.plural and kin:
        noun = choose(random, nouns)
        kin = "kin" in noun.tags
    plural = frame.plural or "plural" in noun.tags or (not kin and random.random() < 0.27)
    phrase = subject_phrase(random, noun, scene.richness, plural)
    if key_of(frame) in _MOODY:
        kept = tuple(adjective for adjective in phrase.adjectives if adjective.english not in MOODS)
        phrase = replace(phrase, adjectives=kept)
    return Subject((phrase if plain else _furnish(random, scene, phrase, frame),))


def _owner(subject: Subject) -> Determiner | None:
    if len(subject.phrases) > 1:
        return Determiner(DeterminerKind.POSSESSIVE, Text("ihr", "their"))
    return subject.phrases[0].possessive


def _slot_text(slot: Slot, phrase: NounPhrase) -> Text:
    text = prepositional(slot.german_preposition, "", phrase, slot.case)
    return Text(text.german, f"{slot.english_preposition} {text.english}".strip())


def _manner(random: Random, frame: Frame, subject: Subject) -> Adverb | None:
    if not _ADVERBS_OF[frame] or random.random() > 0.22:
        return None
    adverb = choose(random, _ADVERBS_OF[frame])
    plural = subject.number is Number.PLURAL
    if ("together" in adverb.tags and not plural) or ("alone" in adverb.tags and plural):
        return None
    return adverb


_FOR_ONE: Final = ("Stuhl", "Liegestuhl", "Hängematte", "Schaukel", "Schlitten", "Leiter")


def _place(random: Random, scene: Scene, frame: Frame, wanted: bool, plural: bool) -> Text:
    if not frame.place or not (frame.place.endswith("!") or wanted):
        return EMPTY
    places = PLACES_OF.get((frame.place.rstrip("!"), scene.environment), ())
    if plural and len(places) > 1:
        places = tuple(place for place in places if place.noun.key not in _FOR_ONE)
    return place_text(random, choose(random, places), scene.richness * 0.7) if places else EMPTY


def make_clause(
    random: Random, scene: Scene, frame: Frame, subject: Subject | None = None, *, place: float = 0.65,
    mode: Mode = Mode.PRESENT, plain: bool = False,
) -> Clause:  # fmt: skip
    """Return a clause about an event of the scene; `place` is the chance of naming an optional place."""
    subject = subject or make_subject(random, scene, frame)
    owner, plural, noun = _owner(subject), subject.number is Number.PLURAL, subject.phrases[0].noun
    dative, target, relative = EMPTY, frame.fixed_object, EMPTY
    if frame.dative is not None:
        dative = _slot_text(frame.dative, slot_phrase(random, frame.dative, plural, owner, scene.richness * 0.6, noun))
    where = _place(random, scene, frame, random.random() < place * (0.65 + 0.7 * scene.richness), plural)
    if frame.object is not None:
        phrase = slot_phrase(random, frame.object, plural, owner, scene.richness, noun)
        target = _slot_text(frame.object, phrase)
        bare = (
            plain
            or key_of(frame) in _MAKING
            or frame.fixed is not EMPTY
            or where is not EMPTY
            or frame.dative is not None
        )
        if (
            not bare
            and phrase.determiner.kind is not DeterminerKind.POSSESSIVE
            and random.random() < 0.25 * scene.richness
        ):
            relative = object_relative(random, scene, phrase, _MAKING) or EMPTY
    complement = _said(frame, subject.number)
    if frame.place.rstrip("!") in _DIRECTIONS:
        complement = Text(
            f"{complement.german} {where.german}".strip(), f"{complement.english} {where.english}".strip()
        )
        where = EMPTY
    return Clause(
        frame.verb, subject, mode, dative,
        bool(frame.dative and frame.dative.english_preposition and target.english),
        target, relative, complement, where, None if plain else _manner(random, frame, subject),
    )  # fmt: skip


def person_phrase(random: Random, scene: Scene) -> NounPhrase:
    """Return a person who looks on."""
    noun = choose(random, candidates("common adult"))
    return subject_phrase(random, noun, scene.richness * 0.6, "plural" in noun.tags)


def definite_subject(subject: Subject) -> Subject:
    """Return the subject as known persons, as habits are told of them."""
    return Subject(tuple(replace(phrase, determiner=DEFINITE) for phrase in subject.phrases))
