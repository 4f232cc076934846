"""Clauses: where German puts the finite verb, and the English clause that says the same.

A German main clause has its finite verb second, so that whatever opens the clause draws the verb before
the subject; a subordinate clause has it last, where the separable prefix joins it again. Participles,
infinitives and separated prefixes close the main clause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from pipeline.corpus.captions.grammar import NounPhrase, english_phrase, german_phrase
from pipeline.corpus.captions.types import EMPTY, Adverb, Case, Number, Text, Verb


class Mode(Enum):
    """What the finite verb of a clause is."""

    PRESENT = "present"
    HABIT = "habit"
    PERFECT = "perfect"
    WANT = "want"
    MUST = "must"
    MAY = "may"
    WOULD_LIKE = "would like"
    TRY = "try"


_MODALS: Final[dict[Mode, tuple[Text, Text]]] = {
    Mode.WANT: (Text("will", "wants to"), Text("wollen", "want to")),
    Mode.MUST: (Text("muss", "has to"), Text("müssen", "have to")),
    Mode.MAY: (Text("darf", "is allowed to"), Text("dürfen", "are allowed to")),
    Mode.WOULD_LIKE: (Text("möchte", "would like to"), Text("möchten", "would like to")),
}
"""Singular and plural of each modal verb with its English equivalent."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One noun phrase or several joined by und."""

    phrases: tuple[NounPhrase, ...]

    @property
    def number(self) -> Number:
        """Number that the verb agrees with."""
        return self.phrases[0].number if len(self.phrases) == 1 else Number.PLURAL

    @property
    def text(self) -> Text:
        """The subject in the nominative."""
        german = " und ".join(german_phrase(phrase, Case.NOMINATIVE) for phrase in self.phrases)
        return Text(german, " and ".join(english_phrase(phrase) for phrase in self.phrases))


@dataclass(frozen=True, slots=True)
class Clause:
    """A verb with its arguments; all but the subject are phrases already in their case."""

    verb: Verb
    subject: Subject
    mode: Mode = Mode.PRESENT
    dative: Text = EMPTY
    dative_last: bool = False
    """English puts the recipient after the object (with *to*)."""
    object: Text = EMPTY
    object_relative: Text = EMPTY
    """Relative clause of the object, which German moves behind the closing verb."""
    complement: Text = EMPTY
    place: Text = EMPTY
    manner: Adverb | None = None

    @property
    def plural(self) -> bool:
        """Whether the verb is plural."""
        return self.subject.number is Number.PLURAL


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _german_middle(clause: Clause) -> str:
    """Order what stands between the finite verb and the closing verb: place before object, not after."""
    place = clause.place.german
    return _join(
        "sich" if clause.verb.reflexive else "",
        clause.dative.german,
        place if clause.object.german else "",
        clause.manner.german if clause.manner else "",
        clause.object.german,
        "" if clause.object.german else place,
        clause.complement.german,
    )


_APART: Final = ("", "stehen")
"""A verb as first part is written apart: stehen bleiben."""


def _prefixed(prefix: str, form: str, apart: bool = False) -> str:
    return f"{prefix} {form}".strip() if apart or prefix in _APART else prefix + form


def zu_infinitive(verb: Verb) -> str:
    """Return the infinitive with zu, which separates the prefix from the stem (aufzuheben)."""
    return _prefixed(verb.prefix, _prefixed("zu", verb.infinitive, apart=verb.prefix in _APART))


def _finite(clause: Clause) -> tuple[str, str]:
    """Return the finite verb and the verb that closes the main clause."""
    verb, mode, plural = clause.verb, clause.mode, clause.plural
    if mode is Mode.PERFECT:
        auxiliary = ("sind" if plural else "ist") if verb.auxiliary_be else ("haben" if plural else "hat")
        return auxiliary, verb.participle
    if mode in _MODALS:
        return _MODALS[mode][plural].german, _prefixed(verb.prefix, verb.infinitive)
    if mode is Mode.TRY:
        return "versuchen" if plural else "versucht", ""
    return verb.infinitive if plural else verb.third, verb.prefix


def german_main(clause: Clause, front: str = "") -> str:
    """Return a main clause; `front` opens it and puts the subject behind the verb."""
    finite, closing = _finite(clause)
    subject = clause.subject.text.german
    # The reflexive pronoun stands right behind the verb, before a subject that is not a pronoun.
    middle = _german_middle(clause)
    if clause.mode is Mode.TRY:
        infinitive = _join(",", middle, zu_infinitive(clause.verb), clause.object_relative.german)
        return _join(front, finite, subject, infinitive) if front else _join(subject, finite, infinitive)
    if not front:
        return _join(subject, finite, middle, closing, clause.object_relative.german)
    if clause.verb.reflexive:
        return _join(front, finite, "sich", subject, middle.removeprefix("sich").strip(), closing)
    return _join(front, finite, subject, middle, closing, clause.object_relative.german)


def german_final(clause: Clause, subject: str | None = None) -> str:
    """Return a subordinate clause without its conjunction: the finite verb stands last."""
    finite, closing = _finite(clause)
    start = clause.subject.text.german if subject is None else subject
    if clause.mode is Mode.TRY:
        infinitive = _join(",", _german_middle(clause), zu_infinitive(clause.verb), clause.object_relative.german)
        return _join(start, finite, infinitive)
    joined = clause.mode in (Mode.PRESENT, Mode.HABIT)
    end = _prefixed(closing, finite) if joined else _join(closing, finite)
    return _join(start, _german_middle(clause), end, clause.object_relative.german)


def german_predicate(clause: Clause) -> str:
    """Return the predicate of a main clause without its subject, as after 'und'."""
    finite, closing = _finite(clause)
    return _join(finite, _german_middle(clause), closing, clause.object_relative.german)


def german_infinitive(clause: Clause) -> str:
    """Return the infinitive group of 'um ... zu'."""
    return _join(_german_middle(clause), zu_infinitive(clause.verb), clause.object_relative.german)


def _english_verb(clause: Clause) -> tuple[str, str]:
    """Return the auxiliary and the verb."""
    verb, mode, plural = clause.verb, clause.mode, clause.plural
    be = "are" if plural else "is"
    if mode is Mode.PERFECT:
        return "have" if plural else "has", verb.english_participle
    if mode in _MODALS:
        return _MODALS[mode][plural].english, verb.english
    if mode is Mode.TRY:
        return f"{be} trying to", verb.english
    if mode is Mode.HABIT:
        return "", verb.english if plural else verb.english_third
    return be, verb.gerund


def _english_rest(clause: Clause, verb: str) -> str:
    """Return verb, objects, adverb and place in English order."""
    manner = clause.manner
    objects = clause.object.english
    early = manner is not None and not manner.after and objects != ""
    late = manner.english if manner is not None and not early else ""
    return _join(
        manner.english if manner is not None and early else "",
        verb,
        clause.verb.particle,
        "" if clause.dative_last else clause.dative.english,
        objects,
        clause.dative.english if clause.dative_last else "",
        clause.object_relative.english,
        late,
        clause.complement.english,
        clause.place.english,
    )


def english_predicate(clause: Clause) -> str:
    """Return the English predicate without its subject."""
    auxiliary, verb = _english_verb(clause)
    return _join(auxiliary, _english_rest(clause, verb))


def english_main(clause: Clause) -> str:
    """Return the English clause."""
    return _join(clause.subject.text.english, english_predicate(clause))


def english_gerund(clause: Clause) -> str:
    """Return the predicate from the -ing form on, as after 'and' with shared 'is'."""
    return _english_rest(clause, clause.verb.gerund)


def english_infinitive(clause: Clause) -> str:
    """Return the infinitive with its objects, without 'to'."""
    return _english_rest(clause, clause.verb.english)


def without_place(clause: Clause) -> Clause:
    """Return the clause with its place left unsaid."""
    return replace(clause, place=EMPTY)
