"""Texts as careless writers write them: in upper case, with typos, without the last full stop, with an emoji.

Pure functions of a text and a generator of numbers, for copies of test sets and for noise in training alike.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from pipeline.config import EvaluationConfig, Perturbation
from pipeline.metrics.faults import WORD

FINAL_PUNCTUATION = re.compile(r"\s*[.!?…:;,。！？．｡、，：；।॥۔؟؛]+(?=[\s\"'”“’‘»«›‹)\]）］」』】》]*$)")
"""The marks at a sentence's end; quotes and brackets that are closed after them stay."""
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""The rows of keys; what lies next to each other is mistaken for each other."""
EMOJI = ("😀", "😂", "😊", "😍", "😭", "🙏", "🎉", "🔥", "✨", "👏", "❤️", "👍🏽", "🤷‍♀️", "👩‍💻", "🇪🇺", "☀️")
"""Frequent ones, also such as are several characters: with a variation selector, a skin tone, a joiner, a flag."""

Item = TypeVar("Item")


class Draws(Protocol):
    """What gives random numbers: `random.Random`, or a generator of numpy's."""

    def random(self) -> float:
        """Return a number from 0 up to, but not including, 1."""


def upper_case(text: str, generator: Draws) -> str:
    """Return a text in capitals.

    >>> upper_case("Große Hunde.", random.Random(1))
    'GROSSE HUNDE.'
    """
    return text.upper()


def no_final_punctuation(text: str, generator: Draws) -> str:
    """Return a text without the marks at its end; one that is nothing else stays.

    >>> [no_final_punctuation(text, random.Random(1)) for text in ("Wer ist da?!", "„Komm.“", "...")]
    ['Wer ist da', '„Komm“', '...']
    """
    return FINAL_PUNCTUATION.sub("", text) or text


def emoji(text: str, generator: Draws) -> str:
    """Return a text with an emoji: at its end every other time, else after one of its words."""
    found = _choose(EMOJI, generator)
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    place = len(text) if generator.random() < 0.5 or not ends else _choose(ends, generator)
    return f"{text[:place]} {found}{text[place:]}"


def typos(text: str, generator: Draws, share: float = 0.1) -> str:
    """Return a text in which each word has a typo with a probability of `share`.

    A letter is swapped with the next, left out, doubled, or mistaken for its neighbour on the keyboard; one alone, as a
    word of one letter has, is doubled or mistaken. In scripts without white space a character is a word.
    """

    def write(match: re.Match[str]) -> str:
        word = match[0]
        letters = [place for place, character in enumerate(word) if character.isalpha()]
        if not letters or generator.random() >= share:
            return word
        return _misspelt(word, letters, generator)

    return WORD.sub(write, text)


def _misspelt(word: str, letters: Sequence[int], generator: Draws) -> str:
    """Return a word, whose letters are in these places, with a typo: never the word itself."""
    place = _choose(letters, generator)
    letter, before, after = word[place], word[:place], word[place + 1 :]
    ways = [f"{before}{letter}{word[place:]}"]
    if len(letters) > 1:
        ways.append(before + after)
    if place + 1 in letters and after[0] != letter:
        ways.append(f"{before}{after[0]}{letter}{after[1:]}")
    if near := _neighbours(letter):
        ways.append(f"{before}{_choose(near, generator)}{after}")
    return _choose(ways, generator)


def _neighbours(letter: str) -> Sequence[str]:
    """Return the letters beside one on the keyboard, in its case; none for a letter that is not there.

    >>> list(_neighbours("a")), list(_neighbours("G")), list(_neighbours("ß"))
    (['s'], ['F', 'H'], [])
    """
    for row in KEYBOARD:
        if (place := row.find(letter.lower())) >= 0:
            near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            return near.upper() if letter.isupper() else near
    return ""


def _choose(items: Sequence[Item], generator: Draws) -> Item:
    # By `random` alone, whose numbers Python promises to keep the same in all versions.
    return items[int(generator.random() * len(items))]


def perturb(texts: Sequence[str], kind: Perturbation, config: EvaluationConfig) -> list[str]:
    """Return texts with a perturbation; what becomes of one depends on it, the kind and the seed, on nothing else."""
    kinds: dict[Perturbation, Callable[[str, Draws], str]] = {
        "upper_case": upper_case,
        "typos": partial(typos, share=config.typo_share),
        "no_final_punctuation": no_final_punctuation,
        "emoji": emoji,
    }
    return [kinds[kind](text, draws_of(text, kind, config.perturbation_seed)) for text in texts]


def draws_of(text: str, kind: str, seed: int) -> Draws:
    """Return the generator of a text's perturbation: the same on every machine and wherever the text stands."""
    digest = hashlib.blake2b(json.dumps([seed, kind, text]).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest))  # noqa: S311
