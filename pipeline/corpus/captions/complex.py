"""Sentence patterns with subordinate clauses (weil, um ... zu, wenn, dass, relative), and the list of all."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from pipeline.corpus.captions.clauses import (
    Mode,
    Subject,
    english_gerund,
    english_infinitive,
    english_main,
    german_final,
    german_infinitive,
    german_main,
    german_predicate,
)
from pipeline.corpus.captions.events import Scene, any_frame, frames_for, key_of, wears
from pipeline.corpus.captions.grammar import NEGATIVE, NounPhrase, english_phrase, german_phrase
from pipeline.corpus.captions.modifiers import REASONS
from pipeline.corpus.captions.phrases import adjectives, candidates, choose
from pipeline.corpus.captions.scenes import (
    definite_subject,
    make_clause,
    make_subject,
    person_phrase,
    relative_clause,
)
from pipeline.corpus.captions.sentences import (
    Pattern,
    coordination,
    fronted_place,
    fronted_time,
    modal,
    perfect,
    plain,
    same_spot,
    shared_subject,
    two_activities,
    while_after,
    while_before,
)
from pipeline.corpus.captions.types import Case, Number, Text

_AIMS: Final[dict[str, tuple[str, ...]]] = {
    "bend": ("pick-up", "stroke"),
    "stop": ("photograph", "look-at", "view", "listen", "stroke", "rest", "pick-up"),
    "sit-down": ("read", "eat", "rest", "drink", "write", "draw"),
    "climb": ("clean", "paint-coat", "photograph"),
    "walk": (
        "buy", "play", "feed", "pick", "rest", "photograph", "swim", "build", "help", "get-on", "shop",
        "work", "train",
        "water", "bake", "cook", "brush", "mow", "plant", "put-up", "repair", "view", "look-at", "dance",
    ),
}  # fmt: skip
"""What one does the first activity for."""
_WEATHER: Final[tuple[tuple[Text, tuple[str, ...]], ...]] = (
    (
        Text("die Sonne scheint", "the sun shines"),
        ("park", "beach", "garden", "play", "lake", "farm", "street"),
    ),
    (
        Text("das Wetter schön ist", "the weather is nice"),
        ("park", "beach", "garden", "play", "lake", "forest"),
    ),
    (Text("es regnet", "it rains"), ("home", "cafe", "museum", "kitchen", "school")),
    (Text("es kalt ist", "it is cold"), ("home", "cafe", "kitchen", "museum")),
    (Text("es schneit", "it snows"), ("snow",)),
)
_HABITS: Final = (
    "play", "swim", "build", "eat", "drink", "read", "bake", "cook", "work", "water", "pick", "mow", "feed",
    "grill",
    "dance", "rest", "skate", "ski", "ride-horse", "paint-art", "draw", "view", "write", "sing", "shop",
    "buy", "plant",
)  # fmt: skip


def _because(random: Random, scene: Scene) -> Text | None:
    frame = any_frame(random, scene)
    if not frame.reason:
        return None
    reason = choose(random, REASONS)
    if not set(frame.reason.split()).intersection(reason.tags):
        return None
    clause = make_clause(random, scene, frame)
    plural = clause.subject.number is Number.PLURAL
    predicate = reason.plural if plural else reason.singular
    german, english = predicate
    if reason.pronoun:
        single = clause.subject.phrases[0].pronoun
        pronoun = Text("sie", "they") if plural else single
        if not pronoun.english:
            return None
        german, english = f"{pronoun.german} {german}", f"{pronoun.english} {english}"
    return Text(f"{german_main(clause)} , weil {german}", f"{english_main(clause)} because {english}")


def _in_order_to(random: Random, scene: Scene) -> Text | None:
    frame = any_frame(random, scene, "person")
    aims = _AIMS.get(key_of(frame))
    if aims is None:
        return None
    first = replace(make_clause(random, scene, frame, place=0.5), manner=None)
    if key_of(frame) == "walk" and not first.complement.english.startswith(("into", "to ", "onto")):
        return None
    noun = first.subject.phrases[0].noun
    plural = first.subject.number is Number.PLURAL
    options = [
        other
        for other in frames_for(scene, noun)
        if key_of(other) in aims and other.intent and (plural or not other.plural)
    ]
    if not options:
        return None
    aim = replace(make_clause(random, scene, choose(random, options), first.subject, place=0.0), manner=None)
    return Text(
        f"{german_main(first)} , um {german_infinitive(aim)}",
        f"{english_main(first)} to {english_infinitive(aim)}",
    )


def _habit(random: Random, scene: Scene) -> Text | None:
    frame = any_frame(random, scene)
    options = [text for text, names in _WEATHER if scene.environment in names]
    if not frame.intent or not options or key_of(frame) not in _HABITS:
        return None
    weather = choose(random, options)
    subject = make_subject(random, Scene(scene.environment, 0.3), frame, plain=True)
    clause = make_clause(random, scene, frame, definite_subject(subject), mode=Mode.HABIT)
    clause = replace(clause, mode=Mode.HABIT, manner=None)
    if random.random() < 0.5:
        german = german_main(clause, f"wenn {weather.german} ,")
        return Text(german, f"when {weather.english} , {english_main(clause)}")
    return Text(f"{german_main(clause)} , wenn {weather.german}", f"{english_main(clause)} when {weather.english}")


def _that(random: Random, scene: Scene) -> Text | None:
    frame = any_frame(random, scene)
    clause = make_clause(random, scene, frame)
    if frame.perfect and random.random() < 0.5:
        clause = replace(clause, mode=Mode.PERFECT, manner=None)
    share = random.random()
    if share < 0.25:
        return Text(f"man sieht , dass {german_final(clause)}", f"you can see that {english_main(clause)}")
    phrase = person_phrase(random, scene)
    if phrase.noun is clause.subject.phrases[0].noun:
        return None
    subject = Subject((phrase,))
    german, english = subject.text
    plural = subject.number is Number.PLURAL
    if share < 0.6:
        matrix = Text("sehen" if plural else "sieht", "see" if plural else "sees")
    elif share < 0.8 or not frame.perfect:
        matrix = Text("bemerken" if plural else "bemerkt", "notice" if plural else "notices")
    else:
        matrix = Text("freuen sich" if plural else "freut sich", "are happy" if plural else "is happy")
    return Text(
        f"{german} {matrix.german} , dass {german_final(clause)}",
        f"{english} {matrix.english} that {english_main(clause)}",
    )


def _picture(random: Random, scene: Scene) -> Text | None:
    frame = any_frame(random, scene)
    bare = make_subject(random, Scene(scene.environment, scene.richness * 0.7), frame, plain=True)
    if len(bare.phrases) > 1:
        return None
    clause = make_clause(random, scene, frame, bare)
    head = bare.phrases[0]
    phrase = replace(head, attributes=(*head.attributes, relative_clause(head, clause)))
    german, english = german_phrase(phrase, Case.ACCUSATIVE), english_phrase(phrase)
    share = random.random()
    if share < 0.4:
        return Text(f"das Foto zeigt {german}", f"the photo shows {english}")
    if share < 0.7:
        return Text(f"auf dem Bild sieht man {german}", f"in the picture you can see {english}")
    verb = "sind" if bare.number is Number.PLURAL else "ist"
    nominative, relative = german_phrase(head, Case.NOMINATIVE), phrase.attributes[-1].german
    return Text(f"auf diesem Foto {verb} {nominative} zu sehen {relative}", f"this photo shows {english}")


def _without(random: Random, scene: Scene) -> Text | None:
    """Somebody wears one thing but not another: kein."""
    frame = any_frame(random, scene, "person")
    if not wears(frame) or key_of(frame) != "wear":
        return None
    clause = make_clause(random, scene, frame, place=0.0)
    plural = clause.subject.number is Number.PLURAL
    missing = choose(random, candidates("headwear footwear eyewear scarf tie glove"))
    if missing.tags[0] in (frame.object.tag if frame.object else "") or (missing.key == "Krawatte"):
        return None
    number = Number.PLURAL if plural or missing.tags[0] in ("footwear", "glove") else Number.SINGULAR
    phrase = NounPhrase(missing, number, NEGATIVE, adjectives(random, missing, 0.15))
    german, english = german_phrase(phrase, Case.ACCUSATIVE), english_phrase(phrase)
    if random.random() < 0.3:
        alone = replace(clause, object=Text(german, english), manner=None)
        return Text(german_main(alone), english_main(alone))
    return Text(f"{german_main(clause)} , aber {german}", f"{english_main(clause)} but {english}")


def _long(random: Random, scene: Scene) -> Text | None:
    """Two events, the first with two activities."""
    pair = two_activities(random, scene)
    if pair is None:
        return None
    first, second = pair
    frame = any_frame(random, scene)
    subject = make_subject(random, scene, frame)
    taken = {phrase.noun.key for phrase in first.subject.phrases}
    if frame.verb in (first.verb, second.verb) or any(phrase.noun.key in taken for phrase in subject.phrases):
        return None
    third = make_clause(random, scene, frame, subject, place=0.2)
    if same_spot(first, third):
        return None
    german = f"{german_main(first)} und {german_predicate(second)} , während {german_final(third)}"
    english = f"{english_main(first)} and {english_gerund(second)} while {english_main(third)}"
    return Text(german, english)


PATTERNS: Final[tuple[tuple[Pattern, int, float], ...]] = (
    (plain, 22, 0.45), (fronted_place, 14, 0.45), (fronted_time, 6, 0.4), (perfect, 9, 0.5),
    (modal, 8, 0.5),
    (shared_subject, 7, 0.45), (while_after, 5, 0.5), (while_before, 3, 0.4), (coordination, 5, 0.45),
    (_because, 6, 0.45), (_in_order_to, 7, 0.4), (_habit, 4, 0.4), (_that, 5, 0.4), (_picture, 5, 0.5),
    (_without, 2, 0.4), (_long, 11, 1.1),
)  # fmt: skip
"""Pattern, weight and typical richness of its phrases."""
