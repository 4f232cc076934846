"""Repairs of characters: each returns the text as it should have been, and never drops a pair."""

import re
import unicodedata
from collections.abc import Callable

import ftfy

SEPARATED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer: a zero-width space between their letters tells where words end."""
CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u2060\ufeff\ufffe\uffff]"
    rf"|(?<![{SEPARATED}])\u200b|\u200b(?![{SEPARATED}])"
)
"""Characters that are not seen and mean nothing; joiners and marks of direction, which do, are not among them."""
LINE_ENDS = re.compile("[\x0b\x0c\x85\u2028\u2029]")
"""Ends of lines that are not among those of `clean_sentence`."""

SUSPICIOUS = re.compile(r"[^\x00-\x7f]{2}|[\u00c3\u00e2] ")
"""A character of several bytes becomes several beyond ASCII, or one and a blank. To look for it is faster than ftfy."""

Repair = Callable[[str], str]


def mend_mojibake(text: str) -> str:
    """Return text that was decoded by the wrong encoding as it was meant.

    >>> mend_mojibake("FrÃ¼hstÃ¼ck im CafÃ©")
    'Frühstück im Café'
    """
    return str(ftfy.fix_encoding(text)) if SUSPICIOUS.search(text) else text


def drop_controls(text: str) -> str:
    """Return text without characters of control and without blanks of no width; ends of lines become blanks."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROLS.sub("", LINE_ENDS.sub(" ", text)).strip()


def compose(text: str) -> str:
    """Return text in Unicode's normal form C: letters and their accents as one character where there is one."""
    return unicodedata.normalize("NFC", text)


def compose_compatible(text: str) -> str:
    """Return text in normal form KC: ligatures, full-width letters and the like become the usual ones."""
    return unicodedata.normalize("NFKC", text)


REPAIRS: dict[str, tuple[Repair, str]] = {
    "mojibake": (mend_mojibake, "text decoded by the wrong encoding is mended"),
    "controls": (drop_controls, "control characters and characters without width are removed"),
    "nfc": (compose, "letters and their accents become one character (Unicode NFC)"),
    "nfkc": (compose_compatible, "ligatures, full-width letters and the like become the usual ones (Unicode NFKC)"),
}
"""Repairs by name, in the order in which they come, with what each does."""


def comparable(text: str) -> str:
    """Return what is left of a text when case, punctuation, symbols and spacing do not count.

    Punctuation inside a word does not part it. A text of nothing else is returned as it is.

    >>> comparable("A dog,  barking!"), comparable("an e-mail - sent"), comparable("?!")
    ('a dog barking', 'an email sent', '?!')
    """
    seen = unicodedata.normalize("NFKC", text).casefold().translate(_UNSEEN)
    return " ".join(seen.split()) or text


class _Unseen(dict[int, int | None]):
    """A table for `str.translate` that keeps letters, marks and numbers, and makes blanks of white space."""

    def __missing__(self, code: int) -> int | None:
        """Look a character up once."""
        kind = unicodedata.category(chr(code))[0]
        self[code] = ord(" ") if kind == "Z" or chr(code).isspace() else None if kind in "PSC" else code
        return self[code]


_UNSEEN = _Unseen()


def letters(text: str) -> int:
    """Return how many letters a text has, with the marks that belong to them."""
    found = sum(map(str.isalpha, text))
    if text.isascii() or found > 0.7 * len(text):  # In scripts with marks they are a third.
        return found
    return found + sum(unicodedata.category(character)[0] == "M" for character in text)


def units(text: str) -> list[str]:
    """Return what a text is compared by: its words, or its characters if it is written without blanks."""
    words = text.split()
    return words if len(words) > len(text) / 15 else [character for character in text if character != " "]
