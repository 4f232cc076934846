"""Faults of the search that mean scores hide: translations that repeat themselves, or that their limit cut off."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.inference.segments import UNSPACED

NGRAM = 4
EXCESS = 2
WORD = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\S)+")
"""A word or, in scripts without white space between words, a character."""
FAULTS = ("repeating", "truncated")
"""In figures and MLflow, counts; with `_percent`, shares of the translations."""


def fault_figures(
    sources: Sequence[str],
    references: Sequence[Sequence[str | None]],
    translations: Sequence[str],
    truncated: int | None,
) -> dict[str, float]:
    """Return how many translations repeat themselves, and how many were `truncated` (None: nobody knows), with shares.

    `references` has all those of each sentence, None for a missing one.
    """
    counts = {"repeating": sum(map(repeats, sources, references, translations))}
    counts |= {} if truncated is None else {"truncated": truncated}
    shares = {f"{name}_percent": round(100 * count / len(translations), 4) for name, count in counts.items()}
    return {**counts, **shares}


def repeats(source: str, references: Iterable[str | None], translation: str) -> bool:
    """Return whether a translation says something over and over that its source and references do not.

    That is the top n-gram count of Raunak et al. 2021 ("The Curious Case of Hallucinations in Neural Machine
    Translation", section 4) with the values of Guerreiro et al. 2023 ("Looking for a Needle in a Haystack", section
    3.1): its most frequent n-gram of 4 words occurs at least twice more than that of the source and, here, than that
    of each reference. In scripts without white space between words, a character counts as one.

    >>> repeats("Ein Mann und ein Mann.", ["A man and a man."], "a man and a man and a man and a man")
    True
    >>> repeats("nein nein nein nein nein nein", ["no no no no no no"], "no no no no no no no")
    False
    """
    usual = max(_top_count(text or "") for text in (source, *references))
    return _top_count(translation) >= max(1, usual) + EXCESS


def fault_cells(figures: Mapping[str, float]) -> list[str]:
    """Return the faults for a table: `3 (0.3%)`, `0`, or a dash for one that nobody knows.

    >>> fault_cells({"repeating": 3, "repeating_percent": 0.3})
    ['3 (0.3%)', '—']
    """
    return [_cell(figures, name) for name in FAULTS]


def _cell(figures: Mapping[str, float], name: str) -> str:
    if name not in figures:
        return "—"
    percent = figures[f"{name}_percent"]
    # As short as it can be: a terminal of 80 columns holds the table.
    return f"{figures[name]:,} ({percent:.{0 if percent >= 10 else 1}f}%)" if figures[name] else "0"


def _top_count(text: str) -> int:
    """Return how often the most frequent n-gram occurs; 0 in a text that is too short for one."""
    words = WORD.findall(text)
    counts = Counter(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    return max(counts.values(), default=0)
