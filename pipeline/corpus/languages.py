"""The languages of a corpus: as configured, else guessed from its text, its columns and its name."""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.corpus.pairs import Pair
from pipeline.language_tags import is_language_code
from pipeline.source_config import SourceConfig

SAMPLED_PAIRS = 1000
LANGUAGES = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo",
}
"""The language of a script that has one, or mainly one, by how the Unicode names of its letters begin."""
LEAST_SHARE = 0.3
"""Of a text's letters: its names and units may be Latin, which needs several letters for one of Chinese."""
LEAST_KANA = 0.05
"""Of the letters of a Chinese or Japanese text: Japanese is never without kana, Chinese quotes them at most."""


@dataclass(frozen=True)
class Languages:
    """BCP 47 tags of both sides; None for one that is not known."""

    source: str | None = None
    target: str | None = None

    def __str__(self) -> str:
        """In messages: de → en, or nothing if neither is known."""
        return f"{self.source or '?'} → {self.target or '?'}" if self.source or self.target else ""


UNKNOWN = Languages()


def find_languages(config: SourceConfig, pairs: Iterable[Pair]) -> Languages:
    """Return the languages of a corpus, of which `pairs` may be any part.

    A configured one is taken as it is. Else a script that belongs to one language decides, then the column's name
    (`de`, `translation.pt_BR`, `sentence_eng_Latn`), then a pair of codes in the subset's, the data set's or the file's
    name (`wmt19`'s `zh-en`).
    """
    sample = list(itertools.islice(pairs, SAMPLED_PAIRS))
    named = named_languages(config)
    source, target = (
        configured or language_of_text([pair[side] for pair in sample]) or name
        for side, (configured, name) in enumerate(
            ((config.source_language, named.source), (config.target_language, named.target))
        )
    )
    return Languages(source, target)


def named_languages(config: SourceConfig) -> Languages:
    """Return the languages that are configured, or that columns or names say: what is known without the text."""
    named = _named_pair(config)
    return Languages(
        config.source_language or language_of_column(config.source_column) or named[0],
        config.target_language or language_of_column(config.target_column) or named[1],
    )


def language_of_text(sentences: Sequence[str]) -> str | None:
    """Return the language of sentences in a script of its own; None for the scripts of many.

    >>> language_of_text(["你好,世界"]), language_of_text(["東京へ行く"]), language_of_text(["Hallo"])
    ('zh', 'ja', None)
    """
    letters = Counter(character for sentence in sentences for character in sentence if character.isalpha())
    found: Counter[str] = Counter()
    for letter, count in letters.items():
        if (language := _language_of_letter(letter)) is not None:
            found[language] += count
    if sum(found.values()) < LEAST_SHARE * letters.total() or not found:
        return None
    if found["ja"] > LEAST_KANA * (found["ja"] + found["zh"]) > 0:
        found["ja"] += found.pop("zh", 0)
    return found.most_common(1)[0][0]


@cache
def _language_of_letter(letter: str) -> str | None:
    name = unicodedata.name(letter, "")
    return next((language for begin, language in LANGUAGES.items() if name.startswith(begin)), None)


def language_of_column(column: str) -> str | None:
    """Return the language that a column or a suffix is named after, as a BCP 47 tag.

    >>> [language_of_column(name) for name in ("translation.de", "pt_BR", "sentence_eng_Latn", "source")]
    ['de', 'pt-BR', 'eng-Latn', None]
    """
    *_, first, last = ["", "", *re.findall(r"[^\W_]+", column.rpartition(".")[2])]
    language = first.lower()
    if re.fullmatch("[A-Z]{2}|[0-9]{3}", last) and is_language_code(language):
        return f"{language}-{last}"
    if re.fullmatch("[A-Z][a-z]{3}", last) and re.fullmatch("[a-z]{2,3}", language):
        return f"{language}-{last}"
    return last.lower() if is_language_code(last.lower()) else None


def _named_pair(config: SourceConfig) -> tuple[str | None, str | None]:
    names = [Path(config.path).name] if config.path is not None else [config.subset or "", config.dataset]
    for name in names:
        for first, second in re.findall(r"(?=(?<![a-z])([a-z]{2})[-_]([a-z]{2})(?![a-z]))", name):
            if is_language_code(first) and is_language_code(second):
                return first, second
    return None, None
