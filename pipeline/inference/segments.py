"""Lines before translation: which have text, and how long ones are split."""

import re

ENDS = re.compile(r"""[.!?;:…。！？；]["'”’»)\]]*\s+|[。！？；]""")
"""The end of a sentence, or of most of one."""
BLANKS = re.compile(r"\s+")


def has_text(line: str) -> bool:
    r"""Return whether a line has a visible character: one that is not white space, control or format.

    >>> has_text("Ein"), has_text(" \u200b\u0007")
    (True, False)
    """
    return any(character.isprintable() and not character.isspace() for character in line)


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
    return cuts[-1] if cuts else end
