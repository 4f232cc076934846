"""Properties of the caption corpus: it is deterministic, distinct, varied and grammatical on both sides."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.corpus.captions import LONGEST, SHORTEST, generate_pairs, spell_out
from pipeline.corpus.captions.clauses import zu_infinitive
from pipeline.corpus.captions.grammar import (
    BARE,
    BOTH,
    DEFINITE,
    INDEFINITE,
    NEGATIVE,
    Determiner,
    DeterminerKind,
    NounPhrase,
    english_phrase,
    german_phrase,
    german_prepositional,
    indefinite_article,
)
from pipeline.corpus.captions.modifiers import ADJECTIVES
from pipeline.corpus.captions.things import NOUN_BY_KEY, NOUNS
from pipeline.corpus.captions.types import Case, Gender, Number, Text
from pipeline.corpus.captions.verbs import VERBS

ROOT = Path(__file__).resolve().parents[3]
SG, PL = Number.SINGULAR, Number.PLURAL
NOM, ACC, DAT, GEN = Case.NOMINATIVE, Case.ACCUSATIVE, Case.DATIVE, Case.GENITIVE
TWO = Determiner(DeterminerKind.NUMERAL, Text("zwei", "two"))
MANY = Determiner(DeterminerKind.QUANTIFIER, Text("viel", "many"))
HER = Determiner(DeterminerKind.POSSESSIVE, Text("ihr", "her"))
BIG = next(adjective for adjective in ADJECTIVES if adjective.stem == "groß" and adjective.english == "big")
OLD = next(adjective for adjective in ADJECTIVES if adjective.stem == "alt")
PINK = next(adjective for adjective in ADJECTIVES if adjective.stem == "rosa")


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    return list(generate_pairs(20_000, 11))


def test_the_same_under_any_hash_seed() -> None:
    program = (
        "import hashlib; from pipeline.corpus.captions import generate_pairs; "
        "print(hashlib.sha256(repr(list(generate_pairs(1500, 7))).encode()).hexdigest())"
    )
    digests = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def test_fewer_pairs_are_a_prefix_of_more() -> None:
    assert list(generate_pairs(300, 5)) == list(generate_pairs(900, 5))[:300]
    assert list(itertools.islice(generate_pairs(10**9, 5), 300)) == list(generate_pairs(300, 5))


def test_seeds_differ() -> None:
    assert len(set(generate_pairs(1000, 1)) & set(generate_pairs(1000, 2))) < 100


@pytest.mark.parametrize("count", [0, -3])
def test_rejects_counts_below_one_at_once(count: int) -> None:
    with pytest.raises(ValueError, match=rf"count={count} must be at least 1"):
        generate_pairs(count, 1)


def test_no_sentence_occurs_twice_on_either_side(pairs: list[tuple[str, str]]) -> None:
    for side in (0, 1):
        assert len({pair[side].casefold() for pair in pairs}) == len(pairs) == 20_000


def test_lengths_are_bounded_and_spread(pairs: list[tuple[str, str]]) -> None:
    for side in (0, 1):
        lengths = [len(pair[side].split()) for pair in pairs]
        assert min(lengths) >= SHORTEST == 3
        assert max(lengths) <= LONGEST == 40
        assert 10 < sum(lengths) / len(lengths) < 14
        assert 0.05 < sum(length > 20 for length in lengths) / len(lengths) < 0.16
        assert max(lengths) > 33
        assert sum(length < 8 for length in lengths) / len(lengths) > 0.08


def test_spelling(pairs: list[tuple[str, str]]) -> None:
    form = re.compile(r"[A-ZÄÖÜ][\w,' éß-]*\w\.")
    for sentence in itertools.chain.from_iterable(pairs):
        assert form.fullmatch(sentence), sentence
        assert not any(wrong in sentence for wrong in ("  ", " ,", ",,"))


PHENOMENA = {
    "relative clause, nominative": (r", (der|die|das) [^,]+[a-z]t(,|\.)", 0.03),
    "relative clause, accusative": (r"\b(Hund|Welpen?), den ", 0.0001),
    "relative clause, dative": (r", (dem|der) (ein|eine|der|die|das) ", 0.0003),
    "separable verb at the end": (r" (auf|an|aus|zu|vor|ab|ein|weg|hinterher)(\.|,)", 0.03),
    "prefix joins in the final verb": (
        r"(aufhebt|aufheben|ausruht|ausruhen|zusieht|anzieht|aussteigt)[.,]",
        0.002,
    ),
    "zu inside a separable verb": (r"\b(auf|an|aus|ein|ab|zu|teil)zu\w+en\b", 0.002),
    "um zu": (r", um [^.]*zu", 0.02),
    "während": (r"[Ww]ährend ", 0.05),
    "weil": (r", weil ", 0.02),
    "wenn": (r"[Ww]enn ", 0.01),
    "dass": (r", dass ", 0.02),
    "perfect": (r" (hat|haben|ist|sind) .*(ge\w+(t|en)|t)\.", 0.03),
    "modal": (r"\b(will|wollen|muss|müssen|darf|dürfen|möchten?) ", 0.02),
    "inversion": (r"^(Auf|In|Im|Am|An|Vor|Unter|Neben) ", 0.1),
    "numeral": (r"\b([Zz]wei|[Dd]rei|[Vv]ier|[Ss]ieben|[Zz]wölf)\b", 0.05),
    "reflexive": (r" sich ", 0.03),
    "negation": (r"\bkeine?n?\b", 0.005),
    "location in the park": (r"\b[Ii]m Park\b", 0.001),
    "direction into the park": (r"\bin den Park\b", 0.0003),
    "genitive": (r"\b(des|eines) (\w+ )?\w+s\b", 0.005),
    "dative plural": (r"\b(zwei|drei|den|mit) \w+en (Kindern|Hunden|Männern|Haaren|Hüten)\b", 0.002),
    "weak masculine": (r"\b(den|einen|dem|einem) (\w+en )?(Jungen|Studenten|Welpen|Touristen)\b", 0.003),
    "bench": (r"\bauf einer Bank\b", 0.0005),
}


@pytest.mark.parametrize("name", PHENOMENA)
def test_phenomenon_occurs(pairs: list[tuple[str, str]], name: str) -> None:
    pattern, share = PHENOMENA[name]
    found = sum(re.search(pattern, german) is not None for german, _ in pairs)
    assert found >= share * len(pairs), f"{name}: {found} of {len(pairs)}"


def test_location_and_direction_differ_in_both_languages(pairs: list[tuple[str, str]]) -> None:
    # 'im Park' occurs with 'in the park' and 'in den Park' with 'into the park', if there is but one park.
    for german, english in pairs:
        if english.count("park") == 1 and "parked" not in english:
            if re.search(r"\b[Ii]m Park\b", german):
                assert re.search(r"\b[Ii]n the park\b", english), (german, english)
            if re.search(r"\bin den Park\b", german):
                assert re.search(r"\binto the park\b", english), (german, english)


def phrase(key: str, number: Number, determiner: Determiner, *adjectives: object) -> NounPhrase:
    return NounPhrase(NOUN_BY_KEY[key], number, determiner, tuple(adjectives))  # type: ignore[arg-type]


# Nominative, accusative, dative, genitive, each written by hand.
DECLENSIONS = [
    (
        phrase("Hund", SG, INDEFINITE, BIG),
        "ein großer Hund|einen großen Hund|einem großen Hund|eines großen Hundes",
    ),
    (phrase("Hund", SG, DEFINITE, BIG), "der große Hund|den großen Hund|dem großen Hund|des großen Hundes"),
    (
        phrase("Hund", PL, DEFINITE, BIG),
        "die großen Hunde|die großen Hunde|den großen Hunden|der großen Hunde",
    ),
    (phrase("Hund", PL, TWO, BIG), "zwei große Hunde|zwei große Hunde|zwei großen Hunden|zwei großer Hunde"),
    (phrase("Hund", PL, BARE, BIG), "große Hunde|große Hunde|großen Hunden|großer Hunde"),
    (
        phrase("Hund", PL, MANY, BIG),
        "viele große Hunde|viele große Hunde|vielen großen Hunden|vieler großer Hunde",
    ),
    (
        phrase("Hund", SG, NEGATIVE, OLD),
        "kein alter Hund|keinen alten Hund|keinem alten Hund|keines alten Hundes",
    ),
    (
        phrase("Hund", PL, NEGATIVE, OLD),
        "keine alten Hunde|keine alten Hunde|keinen alten Hunden|keiner alten Hunde",
    ),
    (
        phrase("Katze", SG, INDEFINITE, OLD),
        "eine alte Katze|eine alte Katze|einer alten Katze|einer alten Katze",
    ),
    (phrase("Katze", SG, DEFINITE, OLD), "die alte Katze|die alte Katze|der alten Katze|der alten Katze"),
    (phrase("Katze", SG, HER, OLD), "ihre alte Katze|ihre alte Katze|ihrer alten Katze|ihrer alten Katze"),
    (
        phrase("Pferd", SG, INDEFINITE, OLD),
        "ein altes Pferd|ein altes Pferd|einem alten Pferd|eines alten Pferdes",
    ),
    (phrase("Pferd", SG, DEFINITE, OLD), "das alte Pferd|das alte Pferd|dem alten Pferd|des alten Pferdes"),
    (phrase("Junge", SG, INDEFINITE), "ein Junge|einen Jungen|einem Jungen|eines Jungen"),
    (phrase("Student", SG, DEFINITE), "der Student|den Studenten|dem Studenten|des Studenten"),
    (phrase("Kind", PL, DEFINITE), "die Kinder|die Kinder|den Kindern|der Kinder"),
    (phrase("Auto", PL, TWO), "zwei Autos|zwei Autos|zwei Autos|zwei Autos"),
    (phrase("Frau", PL, BOTH), "die beiden Frauen|die beiden Frauen|den beiden Frauen|der beiden Frauen"),
    (
        phrase("Kleid", SG, INDEFINITE, PINK),
        "ein rosa Kleid|ein rosa Kleid|einem rosa Kleid|eines rosa Kleides",
    ),
]


@pytest.mark.parametrize(("given", "expected"), DECLENSIONS, ids=lambda value: str(value)[:20])
def test_declension(given: NounPhrase, expected: str) -> None:
    assert "|".join(german_phrase(given, case) for case in (NOM, ACC, DAT, GEN)) == expected


def test_contractions() -> None:
    park, beach, house = (phrase(key, SG, DEFINITE) for key in ("Park", "Strand", "Haus"))
    assert german_prepositional("in", park, DAT) == "im Park"
    assert german_prepositional("in", park, ACC) == "in den Park"
    assert german_prepositional("in", house, ACC) == "ins Haus"
    assert german_prepositional("an", beach, DAT) == "am Strand"
    assert german_prepositional("zu", phrase("Kirche", SG, DEFINITE), DAT) == "zur Kirche"
    assert german_prepositional("von", house, DAT) == "vom Haus"
    assert german_prepositional("in", phrase("Park", SG, INDEFINITE), DAT) == "in einem Park"


@pytest.mark.parametrize(
    ("word", "article"),
    [("old", "an"), ("umbrella", "an"), ("uniform", "a"), ("apple", "an"), ("elderly", "an"), ("young", "a")],
)
def test_article_by_sound(word: str, article: str) -> None:
    assert indefinite_article(word) == article


def test_english_plurals_and_pairs() -> None:
    plurals = {
        "Mann": "men",
        "Frau": "women",
        "Kind": "children",
        "Wolf": "wolves",
        "Maus": "mice",
        "Schaf": "sheep",
    }
    for key, plural in plurals.items():
        assert english_phrase(phrase(key, PL, TWO)) == f"two {plural}"
    assert english_phrase(phrase("Brille", SG, INDEFINITE)) == "glasses"
    assert english_phrase(phrase("Apfel", SG, INDEFINITE)) == "an apple"
    owned = NounPhrase(NOUN_BY_KEY["Hund"], possessor=phrase("Frau", SG, DEFINITE, OLD))
    assert (german_phrase(owned, ACC), english_phrase(owned)) == (
        "den Hund der alten Frau",
        "the old woman's dog",
    )


def test_articles_in_the_corpus(pairs: list[tuple[str, str]]) -> None:
    for _, english in pairs:
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", english):
            expected = "an" if word[0] in "aeiou" and not word.startswith("uni") else "a"
            assert article.lower() == expected, english
        assert not re.search(r"\b(is|has) (are|have)\b|\b(a|an) (a|an|the|two|his|her)\b", english), english


def test_german_phrases_agree_in_the_corpus(pairs: list[tuple[str, str]]) -> None:
    """After einem, einen, einer ... stands a noun of a fitting gender, read from the lexicon's own forms."""
    singular: dict[str, set[Gender]] = {}
    for noun in NOUNS:
        for form in (noun.singular, noun.oblique, noun.genitive):
            singular.setdefault(form, set()).add(noun.gender)
    masculine, feminine, neuter = Gender.MASCULINE, Gender.FEMININE, Gender.NEUTER
    fitting = {
        "einen": {masculine}, "einem": {masculine, neuter}, "eines": {masculine, neuter},
        "eine": {feminine}, "einer": {feminine}, "ein": {masculine, neuter},
        "im": {masculine, neuter}, "am": {masculine, neuter}, "zur": {feminine},
    }  # fmt: skip
    checked = 0
    for german, _ in pairs:
        for article, noun_form in re.findall(
            r"\b(\w+) (?:(?!und |ein|der |die |das |den |dem )[a-zäöüß]+ ){0,2}?([A-ZÄÖÜ][\w-]+)", german
        ):
            genders = fitting.get(article.lower())
            if genders is None or noun_form not in singular:
                continue
            checked += 1
            assert singular[noun_form] & genders, (article, noun_form, german)
    assert checked > 10_000


def test_weak_masculines_are_inflected(pairs: list[tuple[str, str]]) -> None:
    weak = "|".join(noun.singular for noun in NOUNS if noun.weak)
    wrong = re.compile(rf"\b(einen|einem|den|dem|eines|des) (\w+en )?({weak})\b(?!-)")
    for german, _ in pairs:
        assert not wrong.search(german), german


def test_infinitive_with_zu() -> None:
    assert zu_infinitive(VERBS["pick-up"]) == "aufzuheben"
    assert zu_infinitive(VERBS["catch"]) == "zu fangen"
    assert zu_infinitive(VERBS["stop"]) == "stehen zu bleiben"


def test_the_vocabulary_is_broad() -> None:
    assert len({noun.singular for noun in NOUNS}) >= 120
    assert len(VERBS) >= 60
    assert len({adjective.stem for adjective in ADJECTIVES}) >= 50


def test_spelling_out() -> None:
    assert spell_out("ein Hund , der bellt , , weil es regnet ,") == "Ein Hund, der bellt, weil es regnet."
