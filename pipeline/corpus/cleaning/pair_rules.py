"""Rules that decide on a pair alone: each gives the reason why a pair is to be dropped, or None."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline.corpus.cleaning.characters import comparable, letters
from pipeline.corpus.cleaning.language import WrongLanguage, known_language

Pair = tuple[str, str]
"""A source sentence and its target."""
PairRule = Callable[[Pair], str | None]
LanguageRule = Callable[[Sequence[Pair]], list[str | None]]
"""Decides on many pairs at once, which is faster."""

LONGEST = 3_000
"""Characters of a side: more is no sentence."""
COPIED_LETTERS = 12
"""Letters from which on a target that equals its source is no name."""
LEAST_LETTERS, LETTERS_APART, COUNTED = 0.35, 0.45, 6
"""The least share of letters in a side, and how far those of both may be apart; of at least so many characters."""
SPELLED_OUT = 12
"""Numbers up to this one may be digits on one side and words on the other."""
URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'”»]+|[\w.+-]+@[\w-]+\.[\w.-]+", re.IGNORECASE)
NUMBER = re.compile(r"\d+(?:[.,:'’\u00a0\u202f ]\d{3}(?!\d)|[.,:]\d+)*")


def too_long(pair: Pair) -> str | None:
    """Find a side that is longer than any sentence."""
    longest = max(map(len, pair))
    return f"{longest:,} characters" if longest > LONGEST else None


def copied(pair: Pair) -> str | None:
    """Find a target that is its source, but for case, punctuation and spacing."""
    if abs(len(pair[0]) - len(pair[1])) > 10 or _initial(pair[0]) != _initial(pair[1]):  # Most pairs: fast.
        return None
    if letters(pair[0]) < COPIED_LETTERS:
        return None
    return "the target is the source" if comparable(pair[0]) == comparable(pair[1]) else None


def _initial(text: str) -> str:
    return next((character for character in text.casefold() if character.isalnum()), "")


def few_letters(pair: Pair) -> str | None:
    """Find a side that is mostly of digits and symbols, or much more so than the other."""
    shares = []
    for text in pair:
        counted = len(text) - text.count(" ")
        if counted < COUNTED:
            return None
        shares.append(letters(text) / counted)
    if min(shares) < LEAST_LETTERS or abs(shares[0] - shares[1]) > LETTERS_APART:
        return f"{shares[0]:.0%} and {shares[1]:.0%} letters"
    return None


def other_addresses(pair: Pair) -> str | None:
    """Find addresses of web pages and of people that are on one side only."""
    if not any("@" in text or "www." in text.lower() or "://" in text for text in pair):
        return None
    first, second = (Counter(found.rstrip(".,;:!?)]").lower() for found in URL.findall(text)) for text in pair)
    differing = (first - second) + (second - first)
    return f"{next(iter(differing))} is on one side only" if differing else None


def other_numbers(pair: Pair) -> str | None:
    """Find numbers on one side only, whatever groups their digits; small ones may be words on the other."""
    found = [[_digits(number) for number in NUMBER.findall(text)] for text in pair]
    if "".join(sorted("".join(found[0]))) == "".join(sorted("".join(found[1]))):
        return None
    first, second = (Counter(number for number in side if int(number) > SPELLED_OUT) for side in found)
    differing = (first - second) + (second - first)
    return f"{next(iter(differing))} is on one side only" if differing else None


def _digits(number: str) -> str:
    """Return a number's digits in ASCII, without what groups them and without decimals that are zero."""
    number = re.sub(r"[.,]0{1,2}$", "", number)
    return "".join(str(int(character)) for character in number if character.isdecimal()).lstrip("0") or "0"


PAIR_RULES: dict[str, tuple[PairRule, str]] = {
    "long": (too_long, f"a side has more than {LONGEST:,} characters"),
    "copy": (copied, "the target is the source"),
    "letters": (few_letters, "a side is mostly digits and symbols, or much more so than the other"),
    "addresses": (other_addresses, "a web or mail address is on one side only"),
    "numbers": (other_numbers, "a number over 12 is on one side only"),
}
"""Rules by name, in the order in which they decide, with what each of them drops. `language` comes last."""
LANGUAGE = ("language", "a side is surely in another language")


def language_rule(source: str | None, target: str | None) -> LanguageRule | None:
    """Return the rule against other languages than these two; None if neither can be told."""
    names = known_language(source), known_language(target)
    sides = [(number, WrongLanguage(name, names[1 - number])) for number, name in enumerate(names) if name is not None]

    def faults(pairs: Sequence[Pair]) -> list[str | None]:
        found: list[str | None] = [None] * len(pairs)
        for number, side in sides:
            for row, language in enumerate(side.faults([pair[number] for pair in pairs])):
                if language and not found[row]:
                    found[row] = f"the {('source', 'target')[number]} is in {language}"
        return found

    return faults if sides else None
