"""The default corpus: German-English image captions, generated from a grammar of our own.

The grammar in outline (each file one part):

* `types`, `lexicon`, `things`, `verbs`, `modifiers`: the words;
* `places`, `directions`: prepositional phrases, dative for where, accusative for where to;
* `frames`: events - a verb, who may be its subject and object, and the scenes it belongs to;
* `grammar`: noun phrases - declension in German, articles and plurals in English;
* `clauses`: clauses - verb second, verb last, separable prefixes, perfect, modals, um ... zu;
* `phrases`, `events`, `scenes`: the random choice of phrases and events;
* `sentences`, `complex`: sentence patterns - inversion, coordination, subordinate clauses.

Every caption is chosen as a structure and then spelled out twice, so both sides are right by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from pipeline.corpus.captions.complex import PATTERNS
from pipeline.corpus.captions.events import Scene
from pipeline.corpus.captions.phrases import choose
from pipeline.corpus.captions.places import ENVIRONMENTS
from pipeline.corpus.captions.sentences import Pattern
from pipeline.corpus.captions.types import Text

SHORTEST: Final = 3
LONGEST: Final = 40

_DRAWS: Final[tuple[tuple[Pattern, float], ...]] = tuple(
    (pattern, richness) for pattern, weight, richness in PATTERNS for _ in range(weight)
)


def generate_pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield `count` distinct (German, English) caption pairs, the same for the same seed everywhere.

    The pairs for a smaller count are a prefix of those for a larger one. No sentence occurs twice on either
    side, so splits cut from the stream share none. Raises ValueError at once if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"count={count} must be at least 1")
    return _distinct_pairs(count, Random(seed))  # noqa: S311 - a corpus needs repeatable choices, not secrets


def _distinct_pairs(count: int, random: Random) -> Iterator[tuple[str, str]]:
    # Membership only: the order of these sets never shows.
    seen_german: set[str] = set()
    seen_english: set[str] = set()
    produced = 0
    while produced < count:
        german, english = _pair(random)
        german_key, english_key = german.casefold(), english.casefold()
        if german_key in seen_german or english_key in seen_english:
            continue
        seen_german.add(german_key)
        seen_english.add(english_key)
        produced += 1
        yield german, english


def _pair(random: Random) -> Text:
    """Return a pair of admissible length; a pattern that does not fit its scene tries another scene."""
    while True:
        pattern, richness = choose(random, _DRAWS)
        for _ in range(60):
            scene = Scene(choose(random, ENVIRONMENTS), richness * 1.9 * random.random())
            text = pattern(random, scene)
            if text is None:
                continue
            pair = Text(spell_out(text.german), spell_out(text.english))
            if all(SHORTEST <= len(sentence.split()) <= LONGEST for sentence in pair):
                return pair


def spell_out(text: str) -> str:
    """Return a sentence from a phrase whose commas are words of their own."""
    words: list[str] = []
    for word in text.split():
        if word != ",":
            words.append(word)
        elif not words[-1].endswith(","):
            words[-1] += ","
    sentence = " ".join(words).rstrip(",")
    return sentence[0].upper() + sentence[1:] + "."
