"""What texts become: capitals, typos, no final punctuation. User symbols stay as they are."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from pipeline.noise.draws import Stream

FINAL_PUNCTUATION = re.compile(r"\s*[.!?…:;,。！？．｡、，：；؟۔؛।॥።။។՜։‼⁇⁈⁉]+(?=[\s\"'”“’‘»«›‹)\]）］」』】》]*$)")
"""The marks at a sentence's end; quotes and brackets that are closed after them stay."""
DOTTED_I = ("az", "crh", "tr")
"""Languages in which i and ı are two letters, each with a capital of its own."""
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SHORTEST_WORD = 3
"""Letters of a word that may get a typo: in a shorter one it would often make another word."""
WORD = re.compile(r"\S+")


def symbols_pattern(symbols: Sequence[str]) -> re.Pattern[str] | None:
    """Return what finds the user symbols in a text, the longest first."""
    return re.compile(f"({'|'.join(map(re.escape, sorted(symbols, key=len, reverse=True)))})") if symbols else None


def upper_case(text: str, symbols: re.Pattern[str] | None, language: str | None = None) -> str:
    """Return a text in capitals.

    >>> upper_case("Straße nach <b>", symbols_pattern(["<b>"])), upper_case("ilk ışık", None, "tr")
    ('STRASSE NACH <b>', 'İLK IŞIK')
    """
    return _between(text, symbols, lambda part: _capitals(part, language))


def title_case(text: str, symbols: re.Pattern[str] | None, language: str | None = None) -> str:
    """Return a text with the first letter of every word a capital, and the others as they were.

    >>> title_case("ein BMW fährt »heute« an", None)
    'Ein BMW Fährt »Heute« An'
    """

    def titled(word: re.Match[str]) -> str:
        place = next((place for place, character in enumerate(word[0]) if character.isalnum()), 0)
        letter = word[0][place]
        capital = _capitals(letter, language) if letter in "iı" else letter.title()
        return f"{word[0][:place]}{capital}{word[0][place + 1 :]}"

    return _between(text, symbols, lambda part: WORD.sub(titled, part))


def without_final_punctuation(text: str, symbols: re.Pattern[str] | None) -> str:
    """Return a text without the marks at its end; one that is nothing else stays.

    >>> [without_final_punctuation(text, None) for text in ("Wirklich?!", "„Komm.“", "...")]
    ['Wirklich', '„Komm“', '...']
    """
    kept = max((found.end() for found in symbols.finditer(text)), default=0) if symbols else 0
    return text[:kept] + FINAL_PUNCTUATION.sub("", text[kept:]) or text


def with_typos(text: str, share: float, draw: Stream, symbols: re.Pattern[str] | None) -> str:
    """Return a text in which each word has a typo with the probability `share`, and at least one word has one.

    Words of fewer letters than `SHORTEST_WORD`, and those with a user symbol in them, stay.
    """
    words = [word for word in WORD.finditer(text) if _may_err(word[0], symbols)]
    drawn = [word for word in words if draw.uniform() < share]
    if words and not drawn:
        drawn = [words[draw.below(len(words))]]
    parts, end = list[str](), 0
    for word in drawn:
        parts += [text[end : word.start()], misspelt(word[0], draw)]
        end = word.end()
    return "".join([*parts, text[end:]])


def _between(text: str, symbols: re.Pattern[str] | None, change: Callable[[str], str]) -> str:
    """Return a text with what is between user symbols changed."""
    if symbols is None:
        return change(text)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(symbols.split(text)))


def _capitals(text: str, language: str | None) -> str:
    if language and language.lower().split("-")[0] in DOTTED_I:
        text = text.replace("i", "İ").replace("ı", "I")
    return text.upper()


def _may_err(word: str, symbols: re.Pattern[str] | None) -> bool:
    return sum(map(str.isalpha, word)) >= SHORTEST_WORD and (symbols is None or symbols.search(word) is None)


def misspelt(word: str, draw: Stream) -> str:
    """Return a word with one typo; one without letters as it is.

    Two letters are swapped, or one is dropped, doubled or replaced by its neighbour on the keyboard, with equal chances
    as far as the word allows: it does not vanish. A letter and the marks that belong to it stay together.
    """
    letters = [
        place
        for place, letter in enumerate(word)
        if letter.isalpha() and not unicodedata.category(word[place + 1 : place + 2] or " ").startswith("M")
    ]
    swappable = [place for place in letters if place + 1 in letters and word[place] != word[place + 1]]
    replaceable = [place for place in letters if word[place].lower() in NEIGHBOURS]
    kinds = [
        (_dropped, letters if len(letters) > 1 else []),
        (_doubled, letters),
        (_swapped, swappable),
        (_neighboured, replaceable),
    ]
    possible = [(typo, places) for typo, places in kinds if places]
    if not possible:
        return word
    typo, places = possible[draw.below(len(possible))]
    return typo(word, places[draw.below(len(places))], draw)


def _dropped(word: str, place: int, _draw: Stream) -> str:
    return word[:place] + word[place + 1 :]


def _doubled(word: str, place: int, _draw: Stream) -> str:
    return word[: place + 1] + word[place:]


def _swapped(word: str, place: int, _draw: Stream) -> str:
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _neighboured(word: str, place: int, draw: Stream) -> str:
    letter = word[place]
    neighbours = NEIGHBOURS[letter.lower()]
    found = neighbours[draw.below(len(neighbours))]
    return word[:place] + (found.upper() if letter.isupper() else found) + word[place + 1 :]


def _neighbours() -> dict[str, str]:
    """Return the letters beside, above and below each letter; a row is half a key to the right of the one above it."""
    found: dict[str, str] = {}
    for number, row in enumerate(KEYBOARD):
        above = KEYBOARD[number - 1] if number else ""
        below = KEYBOARD[number + 1] if number + 1 < len(KEYBOARD) else ""
        for place, letter in enumerate(row):
            beside = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            found[letter] = beside + above[place : place + 2] + below[max(0, place - 1) : place + 1]
    return found


NEIGHBOURS = _neighbours()
