"""Lines before translation: which have text, and how long ones are split."""

import itertools
import re
import unicodedata
from collections.abc import Sequence

ENDS = re.compile(r"""[.!?;:…։]["'”’»)\]]*\s+|[。！？；｡؟۔।॥።]["'”’»)\]」』】》]*""")
"""The end of a sentence, or of most of one. The marks of the second group end one without white space after them."""
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65]")
"""Characters of scripts without white space between words: Thai, Lao, Burmese, Khmer, Chinese and Japanese."""
BLANKS = re.compile(r"\s+")


def has_text(line: str) -> bool:
    r"""Return whether a line has a visible character: one that is not white space, control or format.

    >>> has_text("Ein"), has_text(" \u200b\u0007")
    (True, False)
    """
    return any(character.isprintable() and not character.isspace() for character in line)


def has_letter(line: str) -> bool:
    """Return whether a line has a letter, of any script: numbers, signs and emoji have none.

    >>> has_letter("3,5 €"), has_letter("5 km")
    (False, True)
    """
    return any(character.isalpha() for character in line)


def one_line(text: str) -> str:
    r"""Return a text with a blank in place of each control character and each line or paragraph separator.

    >>> one_line("Ein\nHund\u2028bellt.")
    'Ein Hund bellt.'
    """
    return CONTROLS.sub(" ", text)


def join_parts(parts: Sequence[str]) -> str:
    """Join the translations of a line's parts, with a blank where their scripts have one.

    >>> join_parts(["Ein Hund.", "Er bellt."]), join_parts(["一只狗。", "它在叫。"])
    ('Ein Hund. Er bellt.', '一只狗。它在叫。')
    """
    joined = ""
    for part in filter(None, parts):
        blank = " " if joined and not UNSPACED.match(joined[-1]) else ""
        joined += blank + part
    return joined


def split_line(line: str, offsets: list[tuple[int, int]], most: int) -> list[str]:
    """Split a line into parts of at most `most` pieces each.

    `offsets` are the character offsets where each of its pieces begins and ends. A part ends at the last end of a
    sentence in its second half, else at its last white space, else inside a word. Joined, the parts are the line, but
    for white space around them. (A part cut inside a word can have a piece or two more when tokenized by itself.)

    >>> split_line("Ein Hund. Er bellt.", [(0, 3), (4, 8), (8, 9), (10, 12), (13, 18), (18, 19)], 5)
    ['Ein Hund.', 'Er bellt.']
    """
    parts, first, begin = [], 0, 0
    while len(offsets) - first > most:
        end = offsets[first + most][0]
        cut = _last_cut(line, begin, max(end, begin + 1))
        parts.append(line[begin:cut])
        begin = cut
        # A piece that the cut goes through belongs to the next part, with what is left of it.
        while first < len(offsets) and offsets[first][1] <= cut:
            first += 1
    return [part.strip() for part in [*parts, line[begin:]] if part.strip()]


def _last_cut(line: str, begin: int, end: int) -> int:
    """Return where a part that begins at `begin` ends, `end` at the latest."""
    middle = begin + (end - begin) // 2
    cuts = [match.end() for match in ENDS.finditer(line, begin, end) if match.end() > middle]
    cuts = cuts or [match.end() for match in BLANKS.finditer(line, begin + 1, end)]
    if cuts:
        return cuts[-1]
    # A letter and its marks stay together.
    nearest = itertools.chain(range(end, begin, -1), range(end + 1, len(line) + 1))
    return next(cut for cut in nearest if not _is_mark(line[cut : cut + 1]))


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character).startswith("M")
