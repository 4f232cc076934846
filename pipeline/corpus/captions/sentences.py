"""Sentence patterns of one or more main clauses: plain, inverted, perfect, modal, coordinated, while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from pipeline.corpus.captions.clauses import (
    Clause,
    Mode,
    english_gerund,
    english_main,
    german_final,
    german_main,
    german_predicate,
    without_place,
)
from pipeline.corpus.captions.events import Scene, any_frame, frames_for, is_person, key_of, mere_thing, wears
from pipeline.corpus.captions.modifiers import SUNNY_TIMES, TIMES, WINTER_TIMES
from pipeline.corpus.captions.phrases import choose
from pipeline.corpus.captions.scenes import MOODS, make_clause, make_subject
from pipeline.corpus.captions.types import EMPTY, Frame, Number, Text

Pattern = Callable[[Random, Scene], Text | None]

_POSITIONS: Final = ("sit", "stand", "lie", "hang", "park")
_COMPANIONS: Final[dict[str, tuple[str, ...]]] = {
    "sit": ("read", "eat", "drink", "write", "draw", "smile", "laugh"),
    "stand": ("smile", "laugh", "sing", "watch", "hold", "wave", "listen"),
    "lie": ("read", "smile"),
    "walk": ("carry", "hold", "smile", "laugh"),
    "wear": ("hold", "read", "eat", "drink", "smile", "laugh", "stroke", "wave", "play", "lead"),
    "dance": ("sing", "laugh"),
    "run": ("laugh", "wave"),
    "smile": ("wave", "read", "hold"),
    "hold": ("smile", "laugh", "wave"),
}
"""What one does at the same time as the first activity."""
_SUNNY: Final = ("park", "beach", "garden", "play", "lake", "street", "market", "farm", "forest", "zoo")


def plain(random: Random, scene: Scene) -> Text:
    """Return a main clause."""
    clause = make_clause(random, scene, any_frame(random, scene), place=0.45)
    return Text(german_main(clause), english_main(clause))


def fronted_place(random: Random, scene: Scene) -> Text | None:
    """Return a main clause that opens with its place."""
    frame = any_frame(random, scene)
    clause = make_clause(random, scene, frame, place=1.0)
    if clause.place is EMPTY:
        return None
    inner = without_place(clause)
    german = german_main(inner, clause.place.german)
    # English keeps 'A man is sitting on a bench'; a scene goes first: 'In the park, two boys are playing'.
    if key_of(frame) in _POSITIONS or frame.place != "area":
        return Text(german, english_main(clause))
    return Text(german, f"{clause.place.english} , {english_main(inner)}")


def fronted_time(random: Random, scene: Scene) -> Text | None:
    """Return a main clause that opens with a time."""
    times = TIMES
    if scene.environment == "snow":
        times = WINTER_TIMES
    elif scene.environment in _SUNNY and random.random() < 0.5:
        times = SUNNY_TIMES
    time = choose(random, times)
    clause = make_clause(random, scene, any_frame(random, scene))
    if mere_thing(clause.subject.phrases[0].noun):
        return None
    return Text(german_main(clause, time.german), f"{time.english} , {english_main(clause)}")


def perfect(random: Random, scene: Scene) -> Text | None:
    """Return a main clause in the perfect."""
    frame = any_frame(random, scene)
    if not frame.perfect:
        return None
    clause = make_clause(random, scene, frame, mode=Mode.PERFECT)
    clause = replace(clause, mode=Mode.PERFECT, manner=None)
    return Text(german_main(clause), english_main(clause))


_MODES: Final = (Mode.WANT, Mode.WANT, Mode.TRY, Mode.TRY, Mode.WOULD_LIKE, Mode.MUST, Mode.MAY)
_EFFORTS: Final = (
    "catch", "open", "repair", "pick-up", "climb", "build", "put-up", "score", "photograph", "read", "kick",
    "jump",
    "paint-art", "draw", "open-umbrella", "put-on", "take-off",
)  # fmt: skip
_DUTIES: Final = (
    "wash", "repair", "paint-coat", "water", "mow", "clean", "dry", "work", "brush", "feed", "cook", "help",
    "write",
    "build", "train", "dig", "get-on",
)  # fmt: skip
_LEAVES: Final = (
    "stroke",
    "feed",
    "ride-horse",
    "swim",
    "play",
    "paint-art",
    "bake",
    "unwrap",
    "jump",
    "water",
)


def modal(random: Random, scene: Scene) -> Text | None:
    """Return a main clause with a modal verb or 'try'."""
    frame = any_frame(random, scene)
    mode = choose(random, _MODES)
    wanted = {Mode.TRY: _EFFORTS, Mode.MUST: _DUTIES, Mode.MAY: _LEAVES}.get(mode)
    if not frame.intent or (wanted is not None and key_of(frame) not in wanted):
        return None
    clause = make_clause(random, scene, frame)
    if not is_person(clause.subject.phrases[0].noun) and mode is not Mode.TRY:
        mode = Mode.WANT
    if mode is Mode.MAY and not any("child" in phrase.noun.tags for phrase in clause.subject.phrases):
        return None
    if mode is Mode.TRY:
        clause = without_place(clause) if clause.object.german and not frame.place.endswith("!") else clause
    clause = replace(clause, mode=mode, manner=None)
    return Text(german_main(clause), english_main(clause))


def _companion(random: Random, scene: Scene, frame: Frame, clause: Clause) -> Clause | None:
    """Return what the subject does at the same time."""
    keys = _COMPANIONS.get(key_of(frame), ())
    noun = clause.subject.phrases[0].noun
    if any("," in phrase.attributes[-1].german for phrase in clause.subject.phrases if phrase.attributes):
        # What the relative clause says of the subject need not fit what it holds or wears besides.
        keys = tuple(key for key in keys if key not in ("hold", "carry", "wear", "lead", "wave"))
    options = [
        other
        for other in frames_for(scene, noun)
        if key_of(other) in keys and (clause.subject.number is Number.PLURAL or not other.plural)
    ]
    if not options:
        return None
    other = choose(random, options)
    if wears(other) and clause.subject.phrases[0].attributes:
        return None
    moods = any(adjective.english in MOODS for phrase in clause.subject.phrases for adjective in phrase.adjectives)
    if moods and key_of(other) in ("smile", "laugh"):
        return None
    second = make_clause(random, scene, other, clause.subject, place=0.0)
    return None if other.place.endswith("!") else second


def two_activities(random: Random, scene: Scene) -> tuple[Clause, Clause] | None:
    """Return two clauses about what one subject does at a time."""
    frame = any_frame(random, scene, "person")
    if key_of(frame) not in _COMPANIONS:
        return None
    first = replace(make_clause(random, scene, frame), manner=None)
    second = _companion(random, scene, frame, first)
    return None if second is None else (first, second)


def shared_subject(random: Random, scene: Scene) -> Text | None:
    """Return two predicates of one subject, joined by und."""
    pair = two_activities(random, scene)
    if pair is None:
        return None
    first, second = pair
    return Text(
        f"{german_main(first)} und {german_predicate(second)}",
        f"{english_main(first)} and {english_gerund(second)}",
    )


def _second_clause(random: Random, scene: Scene, first: Frame, taken: Clause) -> Clause | None:
    """Return an event beside the first: other verb, other people, no second mention of the place."""
    frame = any_frame(random, scene)
    nouns = {phrase.noun.key for phrase in taken.subject.phrases}
    subject = make_subject(random, scene, frame)
    if frame.verb is first.verb or any(phrase.noun.key in nouns for phrase in subject.phrases):
        return None
    if mere_thing(taken.subject.phrases[0].noun) or mere_thing(subject.phrases[0].noun):
        return None
    # An animal that is merely there does not contrast with what somebody does.
    if not is_person(taken.subject.phrases[0].noun) and not is_person(subject.phrases[0].noun):
        return None
    if frame.place == first.place and frame.place.endswith("!"):
        return None
    second = make_clause(random, scene, frame, subject, place=0.0)
    return None if same_spot(taken, second) else second


def same_spot(first: Clause, second: Clause) -> bool:
    """Whether two clauses name the same kind of place, which would read as a repetition."""
    spots = [(clause.place.english or clause.complement.english).split()[-1:] for clause in (first, second)]
    return spots[0] == spots[1] != []


def _two_events(random: Random, scene: Scene) -> tuple[Clause, Clause] | None:
    frame = any_frame(random, scene)
    first = make_clause(random, scene, frame)
    second = _second_clause(random, scene, frame, first)
    return None if second is None else (first, second)


def while_after(random: Random, scene: Scene) -> Text | None:
    """Return a main clause and a während-clause behind it."""
    pair = _two_events(random, scene)
    if pair is None:
        return None
    first, second = pair
    return Text(
        f"{german_main(first)} , während {german_final(second)}",
        f"{english_main(first)} while {english_main(second)}",
    )


def while_before(random: Random, scene: Scene) -> Text | None:
    """Return a während-clause and a main clause behind it."""
    pair = _two_events(random, scene)
    if pair is None:
        return None
    first, second = pair
    german = german_main(second, f"während {german_final(first)} ,")
    return Text(german, f"while {english_main(first)} , {english_main(second)}")


def coordination(random: Random, scene: Scene) -> Text | None:
    """Return two main clauses joined by und or aber."""
    pair = _two_events(random, scene)
    if pair is None:
        return None
    first, second = pair
    conjunction = Text("und", "and") if random.random() < 0.7 else Text(", aber", ", but")
    if conjunction.german != "und":
        persons = is_person(first.subject.phrases[0].noun) and is_person(second.subject.phrases[0].noun)
        if not persons:
            return None
    english = conjunction.english if conjunction.german != "und" else ", and"
    return Text(
        f"{german_main(first)} {conjunction.german} {german_main(second)}",
        f"{english_main(first)} {english} {english_main(second)}",
    )
