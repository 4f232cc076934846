"""Which characters are made one before a sentence is cut into pieces: rules inside a SentencePiece model.

A model applies its rule whenever it encodes, and its offsets are those of the sentence as it was written.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import permutations

import sentencepiece

from pipeline.inference.sentencepiece_internals import QUIET

FAITHFUL, IDENTITY = "faithful", "identity"
LAST = 0x30000
"""No character from here on has a canonical form other than itself."""


def rules_of(normalization: str) -> tuple[str, str]:
    """Return the rules of the source and of the target; `compiled` takes them.

    `faithful` leaves the target as it is, and unifies in the source what no reader tells apart. Others are the same on
    both sides.
    """
    return (FAITHFUL, IDENTITY) if normalization == FAITHFUL else (normalization, normalization)


@cache
def compiled(rule: str) -> sentencepiece.SentencePieceNormalizer:
    """Return a rule as SentencePiece applies it: `faithful` (of a source), `nfc`, or one that SentencePiece has."""
    sentencepiece.set_min_log_level(QUIET)
    if rule == FAITHFUL:
        return sentencepiece.SentencePieceNormalizer(norm_map=list((_canonical_forms() | _invisible()).items()))
    if rule == "nfc":
        return sentencepiece.SentencePieceNormalizer(norm_map=list(_canonical_forms(ideographs=True).items()))
    return sentencepiece.SentencePieceNormalizer(rule_name=rule)


def unified(text: str, rule: str) -> str:
    r"""Return a text after a rule; blanks stay.

    >>> unified("zu\u0308gig\u00a0m²", "faithful"), unified("½\u00a0m²", "nmt_nfkc")
    ('zügig m²', '1⁄2 m2')
    """
    return str(_of_texts(rule).normalize(text))


@cache
def _of_texts(rule: str) -> sentencepiece.SentencePieceNormalizer:
    return sentencepiece.SentencePieceNormalizer(
        normalizer_spec=compiled(rule).serialized_normalizer_spec(),
        add_dummy_prefix=False,
        escape_whitespaces=False,
        remove_extra_whitespaces=False,
    )


def _canonical_forms(ideographs: bool = False) -> dict[str, str]:
    """Return the spellings of characters that Unicode calls canonically equivalent, with their composed form (NFC).

    `ideographs` adds those of CJK compatibility ideographs, which a reader tells apart.
    """
    forms: dict[str, str] = {}
    for character in map(chr, range(LAST)):
        decomposed = unicodedata.normalize("NFD", character)
        is_ideograph = unicodedata.name(character, "").startswith("CJK COMPATIBILITY IDEOGRAPH")
        if decomposed != character and (ideographs or not is_ideograph):
            composed = unicodedata.normalize("NFC", character)
            forms |= {spelling: composed for spelling in (character, *_spellings(decomposed)) if spelling != composed}
    return forms


def _spellings(decomposed: str) -> Iterator[str]:
    """Yield the equivalents of a letter and its marks: the marks in other orders, the first of them composed or not."""
    composed = unicodedata.normalize("NFC", decomposed)
    for marks in permutations(decomposed[1:]):
        for number in range(len(marks) + 1):
            first = unicodedata.normalize("NFC", decomposed[0] + "".join(marks[:number]))
            spelling = first + "".join(marks[number:])
            if unicodedata.normalize("NFC", spelling) == composed:
                yield spelling


def _invisible() -> dict[str, str]:
    """Return a blank for every kind of blank, and nothing for what has no shape of its own.

    Joiners and variation selectors shape the letters around them: they stay.
    """
    blanks = "\t\n\v\f\r\u0085\u00a0\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
    directions = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    hidden = "\u00ad\u200b\u2060\ufeff" + directions
    controls = {chr(code) for code in (*range(1, 0x20), *range(0x7F, 0xA0))}
    return dict.fromkeys([*hidden, *sorted(controls)], "") | dict.fromkeys(blanks, " ")
