"""User symbols of the sources that translations lose: placeholders, tags."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence


def symbol_figures(symbols: Sequence[str], sources: Iterable[str], translations: Iterable[str]) -> dict[str, int]:
    """Return how many user symbols the sources have, and how many of them are not in their translations.

    Nothing without symbols. Where one holds another, the longer is counted.

    >>> symbol_figures(["<b>", "{n}"], ["<b> {n} {n}", "x"], ["<b> {n}", "<b>"])
    {'user_symbols': 3, 'user_symbols_lost': 1}
    """
    if not symbols:
        return {}
    pattern = re.compile("|".join(re.escape(symbol) for symbol in sorted(symbols, key=len, reverse=True)))
    counts = [
        (Counter(pattern.findall(source)), Counter(pattern.findall(translation)))
        for source, translation in zip(sources, translations, strict=True)
    ]
    return {
        "user_symbols": sum(source.total() for source, _ in counts),
        "user_symbols_lost": sum((source - translation).total() for source, translation in counts),
    }
