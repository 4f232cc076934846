"""Lines before they are translated: whether there is something in them, and long ones in parts."""

import re

ENDS = re.compile(r"""[.!?;:…。！？；]["'”’»)\]]*\s+|[。！？；]""")
"""Where a sentence ends, or nearly."""
BLANKS = re.compile(r"\s+")


def has_text(line: str) -> bool:
    r"""Whether there is anything to see in a line: neither blanks nor control and format characters.

    >>> has_text("Ein"), has_text(" \u200b\u0007")
    (True, False)
    """
    return any(character.isprintable() and not character.isspace() for character in line)


def split_line(line: str, offsets: list[tuple[int, int]], most: int) -> list[str]:
    """Return a line in parts of at most `most` pieces each, in order.

    `offsets` are the places in the line where each of its pieces begins and ends. A part ends at the last end of a
    sentence in its second half, else at its last blank, else in the middle of a word. Together the parts are the line,
    blanks at their ends aside. (Cut in a word, a part can come to a piece or two more when it is tokenized by itself.)

    >>> split_line("Ein Hund. Er bellt.", [(0, 3), (4, 8), (8, 9), (10, 12), (13, 18), (18, 19)], 5)
    ['Ein Hund.', 'Er bellt.']
    """
    parts, first, begin = [], 0, 0
    while len(offsets) - first > most:
        end = offsets[first + most][0]
        cut = _last_cut(line, begin, max(end, begin + 1))
        parts.append(line[begin:cut])
        begin = cut
        # A piece that the cut goes through is still to come, with what is left of it.
        while first < len(offsets) and offsets[first][1] <= cut:
            first += 1
    return [part.strip() for part in [*parts, line[begin:]] if part.strip()]


def _last_cut(line: str, begin: int, end: int) -> int:
    """Return where a part that begins at `begin` ends, at `end` at the latest."""
    middle = begin + (end - begin) // 2
    cuts = [match.end() for match in ENDS.finditer(line, begin, end) if match.end() > middle]
    cuts = cuts or [match.end() for match in BLANKS.finditer(line, begin + 1, end)]
    return cuts[-1] if cuts else end
